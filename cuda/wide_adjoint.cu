// SPDX-License-Identifier: Apache-2.0
// The adjoint of a hard sweep for rows of more labels than a warp holds: one block per scanline,
// its rows in shared memory. Same bits as adjoint.cu.
//
// Bytes as there: TRWP reads and writes three volumes and reads the tape, each way. Scattering
// gh(argmin(l)) += g(l) is turned round as there: L^2 comparisons a message, four labels to a
// thread at a time so that four share what is read. Up to 23244 labels in float and 12913 in
// double where a block can have 227 KiB of shared memory (sm_90); more are refused.
#include "ordered_sum.cuh"
#include "scanlines.cuh"
#include "soft_rules.cuh"
#include "wide_kernels.cuh"
#include "wide_row.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct WideAdjointParameters {
  cpu::AdjointArgs<T> args;
  core::PairGeometry geometry;
  Batch batch;
  MessageGradients<T> left_behind;
};

/// Shared memory of a block: gradients of what a node sent and of the message it got, and the
/// message's arg-mins.
template <class T>
struct AdjointRows {
  T* gh;
  T* g;
  uint16_t* from;

  static size_t bytes(int labels) {
    return static_cast<size_t>(labels) * (2 * sizeof(T) + sizeof(uint16_t));
  }
  __device__ __forceinline__ AdjointRows(T* shared, int labels)
      : gh(shared), g(shared + labels), from(reinterpret_cast<uint16_t*>(shared + 2 * labels)) {}
};

/// Sum over labels of a row that is complete, in every thread.
template <class T>
__device__ __forceinline__ T sum_of(const T* row, int labels) {
  OrderedSum<T> sum;
  for (int l = 0; l < labels; l += kWarp)
    sum.add(l + lane_index() < labels ? row[l + lane_index()] : T(0));
  return sum.total();
}

/// Rules whose messages lose their minimum: those of soft minima.
template <class T, class Rule>
struct ThroughMessage {
  static constexpr bool kMinimumOfState = false;
  Rule rule;

  __device__ __forceinline__ explicit ThroughMessage(const AdjointMemory<T>& a) : rule{a} {}
  __device__ __forceinline__ T arrive(int64_t at, T gh) const {
    return rule.node(at, rule.read(at), gh);
  }
  __device__ __forceinline__ T leave(int64_t, T g) const { return g; }
  __device__ __forceinline__ void head(int64_t at, T gh) const { rule.head(at, rule.read(at), gh); }
};

/// Adjoint of Eq 3.3: h = L - min L was handed on, L (or h, if relative) was added to the cost.
template <class T>
struct ThroughPath {
  static constexpr bool kMinimumOfState = true;
  const AdjointMemory<T>& a;

  __device__ __forceinline__ explicit ThroughPath(const AdjointMemory<T>& memory) : a(memory) {}
  __device__ __forceinline__ T arrive(int64_t at, T gh) const {
    return a.relative ? gh + a.cost[at] : gh;
  }
  __device__ __forceinline__ T leave(int64_t at, T g) const {
    g = path(at, g);
    a.unary[at] = a.unary[at] + g;
    return g;
  }
  __device__ __forceinline__ void head(int64_t at, T g) const {
    g = path(at, g);
    if (a.unary_head) a.unary[at] = a.unary[at] + g;
  }

 private:
  __device__ __forceinline__ T path(int64_t at, T g) const {
    return a.relative ? g : g + a.cost[at];
  }
};

template <class T, class Rule>
struct WideUnwind {
  const WideAdjointParameters<T>& p;
  const Rule& rule;
  const AdjointRows<T>& rows;
  const Tape<>& tape;
  int labels;
  T* edge_gradient;  ///< or null
  T* kept;           ///< for gradients of messages, or null

  /// Undoes a scanline one way.
  __device__ __forceinline__ void unwind(bool backward, const core::Scanline& line) const {
    // The way went from one end to the other; now back.
    const int64_t step = backward ? line.node_stride : -line.node_stride;
    const int64_t to_owner = backward ? 0 : step;
    int64_t pixel = backward ? line.first : line.first + (line.count - 1) * line.node_stride;
    each_label(labels, [&](int l) { rows.gh[l] = T(0); });
    for (int64_t i = line.count - 1; i > 0; --i, pixel += step) {
      message(pixel);
      gather();
      if (edge_gradient != nullptr) add_weight_gradient(backward, pixel + to_owner);
      __syncthreads();  // g and arg-mins have been read
    }
    head(pixel);
  }

 private:
  /// From gh to g and arg-mins of the message, complete.
  __device__ __forceinline__ void message(int64_t pixel) const {
    each_label(labels, [&](int l) { rows.g[l] = rule.arrive(pixel * labels + l, rows.gh[l]); });
    subtract_at(tape.minimum_of(pixel));
    each_label(labels, [&](int l) {
      const T g = rule.leave(pixel * labels + l, rows.g[l]);
      rows.g[l] = g;
      rows.from[l] = static_cast<uint16_t>(tape.of(pixel, l));
      if (kept != nullptr) kept[pixel * labels + l] = g;
    });
    __syncthreads();
  }

  __device__ __forceinline__ void head(int64_t pixel) const {
    if (Rule::kMinimumOfState) {
      each_label(labels, [&](int l) { rows.g[l] = rule.arrive(pixel * labels + l, rows.gh[l]); });
      subtract_at(tape.minimum_of(pixel));
    }
    const T* g = Rule::kMinimumOfState ? rows.g : rows.gh;
    each_label(labels, [&](int l) { rule.head(pixel * labels + l, g[l]); });
    __syncthreads();  // the next way begins with the same memory
  }

  /// Gradient of x from that of x - min x, in rows.g. A thread sees its own labels afterwards.
  __device__ __forceinline__ void subtract_at(int minimum) const {
    __syncthreads();
    const T total = sum_of(rows.g, labels);
    __syncthreads();
    each_label(labels, [&](int l) {
      if (l == minimum) rows.g[l] -= total;
    });
  }

  /// gh(m) = sum of g(l) over labels l that came from m, in four banks as on the CPU.
  __device__ __forceinline__ void gather() const {
    constexpr int kTile = 4;
    const int whole = labels / 4 * 4;
    for (int first = static_cast<int>(threadIdx.x); first < labels; first += kTile * kWideThreads) {
      T bank[4][kTile] = {};
      const auto add = [&](int j, int l) {
        const int from = rows.from[l];
        const T g = rows.g[l];
#pragma unroll
        for (int k = 0; k < kTile; ++k) {
          if (from == first + k * kWideThreads) bank[j][k] += g;
        }
      };
      for (int l = 0; l < whole; l += 4) {
#pragma unroll
        for (int j = 0; j < 4; ++j) add(j, l + j);
      }
      for (int l = whole; l < labels; ++l) add(0, l);
#pragma unroll
      for (int k = 0; k < kTile; ++k) {
        if (first + k * kWideThreads < labels)
          rows.gh[first + k * kWideThreads] = (bank[0][k] + bank[1][k]) + (bank[2][k] + bank[3][k]);
      }
    }
  }

  /// sum_l g(l) V(argmin(l), l); g is lost.
  __device__ __forceinline__ void add_weight_gradient(bool backward, int64_t edge) const {
    const cpu::PairwiseGradient<T>& gradient = p.args.gradient;
    const T* table = backward ? gradient.table_t : gradient.table;
    __syncthreads();  // g has been read
    each_label(labels, [&](int l) {
      const int m = rows.from[l];
      const T v = table != nullptr ? __ldg(table + static_cast<int64_t>(m) * labels + l)
                                   : __ldg(gradient.differences + (m < l ? l - m : m - l));
      rows.g[l] = rows.g[l] * v;
    });
    __syncthreads();
    const T total = sum_of(rows.g, labels);
    if (threadIdx.x == 0) edge_gradient[edge] += gradient.weight_factor * total;
  }
};

template <class T, class Forward, class Backward>
__global__ void __launch_bounds__(kWideThreads, 1)
    wide_adjoint_kernel(const __grid_constant__ WideAdjointParameters<T> p) {
  MRF_SHARED(T, shared);
  const core::Scanline line = core::scanline(p.geometry, blockIdx.x);
  if (line.count == 0) return;
  const cpu::AdjointArgs<T>& a = p.args;
  const int64_t item = blockIdx.y, at = item * p.batch.volume;
  const auto of_item = [at](auto* volume) { return volume == nullptr ? volume : volume + at; };
  T* edge_gradient =
      a.gradient.per_edge == nullptr
          ? nullptr
          : a.gradient.per_edge + item * p.batch.edge_weights + a.pair * a.shape.pixels();
  const int labels = a.shape.labels;
  AdjointMemory<T> m{labels,
                     of_item(a.sum),
                     of_item(a.sum_before),
                     of_item(a.backward),
                     of_item(a.forward),
                     of_item(a.cavity),
                     of_item(a.cost),
                     of_item(a.unary),
                     a.rho,
                     a.damping,
                     a.unary_head,
                     a.relative};
  const AdjointRows<T> rows(shared, labels);
  const Tape<> backward_tape(a.backward_tape, p.batch, item, labels);
  const Backward backward(m);
  WideUnwind<T, Backward>{
      p, backward, rows, backward_tape, labels, edge_gradient, of_item(p.left_behind.backward)}
      .unwind(true, line);
  T* const own = m.own;
  m.own = m.other;
  m.other = own;
  const Tape<> forward_tape(a.forward_tape, p.batch, item, labels);
  const Forward forward(m);
  WideUnwind<T, Forward>{
      p, forward, rows, forward_tape, labels, edge_gradient, of_item(p.left_behind.forward)}
      .unwind(false, line);
}

template <class T, class Forward, class Backward>
int launch(const WideAdjointParameters<T>& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(core::scanlines(p.geometry)),
                  static_cast<unsigned>(p.batch.count));
  return launch_wide(wide_adjoint_kernel<T, Forward, Backward>, grid,
                     AdjointRows<T>::bytes(p.args.shape.labels), stream, p);
}

}  // namespace

template <class T>
int wide_adjoint_pair(const cpu::AdjointArgs<T>& args, const Batch& batch,
                      const MessageGradients<T>& left_behind, Stream stream) {
  const WideAdjointParameters<T> p{
      args, core::pair_geometry(args.pair, args.shape.height, args.shape.width), batch,
      left_behind};
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  switch (args.rule) {
    case cpu::SweepRule::SGM:
      return launch<T, ThroughPath<T>, ThroughPath<T>>(p, cuda_stream);
    case cpu::SweepRule::ISGMR:
      return launch<T, ThroughMessage<T, SoftIsgmrForwardAdjoint<T>>,
                    ThroughMessage<T, SoftIsgmrBackwardAdjoint<T>>>(p, cuda_stream);
    case cpu::SweepRule::TRWP:
      break;
  }
  return launch<T, ThroughMessage<T, SoftTrwpAdjoint<T>>, ThroughMessage<T, SoftTrwpAdjoint<T>>>(
      p, cuda_stream);
}

template int wide_adjoint_pair<float>(const cpu::AdjointArgs<float>&, const Batch&,
                                      const MessageGradients<float>&, Stream);
template int wide_adjoint_pair<double>(const cpu::AdjointArgs<double>&, const Batch&,
                                       const MessageGradients<double>&, Stream);

}  // namespace mrfcore::cuda
