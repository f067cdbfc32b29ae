// SPDX-License-Identifier: Apache-2.0
// The sweep engine for rows of more labels than a warp holds: one block per scanline, its row in
// shared memory, both ways of a direction pair in one launch. Same bits as sweep.cu.
//
// Bytes as in sweep.cu: 20 per message and label for TRWP. Per node a block meets 2 + log2(band)
// times at a barrier. Up to 29040 labels in float and 14516 in double, with arg-mins 19360 and
// 11612, where a block can have 227 KiB of shared memory (sm_90); more are refused.
#include "scanlines.cuh"
#include "soft_rules.cuh"
#include "wide_kernels.cuh"
#include "wide_row.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct WideSweepParameters {
  cpu::SweepArgs<T> args;
  cpu::MinConvolutionPlan<T> plan;
  core::PairGeometry geometry;
  Batch batch;
};

/// Rules that take a message less its minimum: those of soft minima.
template <class T, class Rule>
struct OfMessage {
  static constexpr bool kMinimumOfState = false;
  Rule rule;

  __device__ __forceinline__ explicit OfMessage(const SweepMemory<T>& a) : rule{a} {}
  __device__ __forceinline__ T head(int64_t at, int) const { return rule.head(at, rule.read(at)); }
  __device__ __forceinline__ T arrive(int64_t, T message) const { return message; }
  __device__ __forceinline__ T leave(int64_t at, T message, T lowest) const {
    return rule.node(at, rule.read(at), message, lowest);
  }
};

/// Eq 3.3: what has a minimum to lose is the path cost.
template <class T>
struct OfPath {
  static constexpr bool kMinimumOfState = true;
  const SweepMemory<T>& a;

  __device__ __forceinline__ explicit OfPath(const SweepMemory<T>& memory) : a(memory) {}
  __device__ __forceinline__ T head(int64_t at, int l) const {
    return a.head_row == nullptr ? a.unary[at] : a.head_row[l];
  }
  __device__ __forceinline__ T arrive(int64_t at, T message) const { return a.unary[at] + message; }
  __device__ __forceinline__ T leave(int64_t at, T path, T lowest) const {
    const T rest = path - lowest;
    a.sum[at] = a.sum[at] + (a.relative ? rest : path);
    return rest;
  }
};

template <class T, bool Argmin, class Rule>
struct WideWalk {
  const WideSweepParameters<T>& p;
  const Rule& rule;
  const WideRows<T>& rows;
  const Tape<>& tape;
  int labels;

  __device__ __forceinline__ void walk(bool backward, const core::Scanline& line,
                                       const T* edge_weights) const {
    const int64_t step = backward ? -line.node_stride : line.node_stride;
    // The edge to the predecessor belongs to whichever comes first in the pair's even direction.
    const int64_t to_owner = backward ? 0 : -step;
    int64_t pixel = backward ? line.first + (line.count - 1) * line.node_stride : line.first;
    head(pixel);
    for (int64_t i = 1; i < line.count; ++i) {
      pixel += step;
      T w = p.args.weights.scale;
      if (edge_weights != nullptr) w = w * __ldg(edge_weights + pixel + to_owner);
      node(pixel, backward, w);
    }
    __syncthreads();  // the next walk begins with the same memory
  }

 private:
  __device__ __forceinline__ Lowest<T> none() const { return {kForbidden<T> * T(64), labels - 1}; }

  /// Leaves h in rows.value(0) and its minimum to be found.
  __device__ __forceinline__ void head(int64_t pixel) const {
    Lowest<T> own = none();
    each_label(labels, [&](int l) {
      const T x = rule.head(pixel * labels + l, l);
      rows.value(0)[l] = x;
      own.offer(x, l);
    });
    if (Rule::kMinimumOfState) return leave(pixel, rows.value(0), own);
    rows.minimum(0).leave(own.value, own.label);
  }

  __device__ __forceinline__ void node(int64_t pixel, bool backward, T w) const {
    __syncthreads();  // h is complete
    const WideConvolution<T, Argmin> message(p.plan, backward, rows, rows.minimum(0).all(), w);
    T* const out = message.out();
    Lowest<T> own = none();
    each_label(labels, [&](int l) {
      const auto best = message.at(l);
      if constexpr (Argmin) tape.keep_label(pixel, l, best.from);
      out[l] = rule.arrive(pixel * labels + l, best.value);
      own.offer(out[l], l);
    });
    leave(pixel, out, own);
  }

  /// From what arrived, of which `own` is this thread's minimum, to h.
  __device__ __forceinline__ void leave(int64_t pixel, const T* arrived, Lowest<T> own) const {
    rows.minimum(1).leave(own.value, own.label);
    __syncthreads();
    const Lowest<T> lowest = rows.minimum(1).all();
    if (Argmin && threadIdx.x == 0) tape.keep_minimum(pixel, lowest.label);
    own = none();
    each_label(labels, [&](int l) {
      const T h = rule.leave(pixel * labels + l, arrived[l], lowest.value);
      rows.value(0)[l] = h;
      own.offer(h, l);
    });
    rows.minimum(0).leave(own.value, own.label);
  }
};

template <class T, bool Argmin, class Forward, class Backward>
__global__ void __launch_bounds__(kWideThreads, 1)
    wide_sweep_kernel(const __grid_constant__ WideSweepParameters<T> p) {
  MRF_SHARED(T, shared);
  const core::Scanline line = core::scanline(p.geometry, blockIdx.x);
  if (line.count == 0) return;
  const cpu::SweepArgs<T>& a = p.args;
  const int64_t item = blockIdx.y, at = item * p.batch.volume;
  const T* edge_weights =
      a.weights.per_edge == nullptr
          ? nullptr
          : a.weights.per_edge + item * p.batch.edge_weights + a.pair * a.shape.pixels();
  const int labels = a.shape.labels;
  SweepMemory<T> m = SweepMemory<T>::of_item(a, at);
  const WideRows<T> rows{shared, labels};
  const Tape<> forward_tape(a.forward_tape, p.batch, item, labels);
  const Forward forward(m);
  WideWalk<T, Argmin, Forward>{p, forward, rows, forward_tape, labels}.walk(false, line,
                                                                            edge_weights);
  T* const own = m.own;
  m.own = m.other;
  m.other = own;
  const Tape<> backward_tape(a.backward_tape, p.batch, item, labels);
  const Backward backward(m);
  WideWalk<T, Argmin, Backward>{p, backward, rows, backward_tape, labels}.walk(true, line,
                                                                               edge_weights);
}

template <class T, bool Argmin, class Forward, class Backward>
int launch(const WideSweepParameters<T>& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(core::scanlines(p.geometry)),
                  static_cast<unsigned>(p.batch.count));
  return launch_wide(wide_sweep_kernel<T, Argmin, Forward, Backward>, grid,
                     WideRows<T>::bytes(p.args.shape.labels, 2, Argmin ? 2 : 0), stream, p);
}

template <class T, bool Argmin>
int launch_rule(const WideSweepParameters<T>& p, cudaStream_t stream) {
  switch (p.args.rule) {
    case cpu::SweepRule::SGM:
      return launch<T, Argmin, OfPath<T>, OfPath<T>>(p, stream);
    case cpu::SweepRule::ISGMR:
      return launch<T, Argmin, OfMessage<T, SoftIsgmrForward<T>>,
                    OfMessage<T, SoftIsgmrBackward<T>>>(p, stream);
    case cpu::SweepRule::TRWP:
      break;
  }
  return launch<T, Argmin, OfMessage<T, SoftTrwp<T>>, OfMessage<T, SoftTrwp<T>>>(p, stream);
}

}  // namespace

template <class T>
int wide_sweep_pair(const cpu::SweepArgs<T>& args, const Batch& batch, Stream stream) {
  const WideSweepParameters<T> p{
      args, *args.plan, core::pair_geometry(args.pair, args.shape.height, args.shape.width), batch};
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  if (args.forward_tape.argmin != nullptr) return launch_rule<T, true>(p, cuda_stream);
  return launch_rule<T, false>(p, cuda_stream);
}

template int wide_sweep_pair<float>(const cpu::SweepArgs<float>&, const Batch&, Stream);
template int wide_sweep_pair<double>(const cpu::SweepArgs<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
