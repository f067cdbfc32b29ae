// SPDX-License-Identifier: Apache-2.0
// The adjoint of a hard sweep (spec section 3): one warp undoes a scanline, both ways in one
// launch, by the stored arg-mins. Gradients go to the unaries through the volumes, and to per-edge
// weights: an edge belongs to one scanline, so nothing is added from two sides and no atomics are
// needed.
//
// Per node and way TRWP reads and writes three volumes and reads the tape: 25 bytes a label. What
// the next node needs of them is asked for before the present one is worked on, so that a scanline
// does not wait for memory at every node. Instructions: scatter.cuh.
#include "adjoint_rules.cuh"
#include "ordered_sum.cuh"
#include "scanlines.cuh"
#include "scatter.cuh"
#include "soft_row.cuh"
#include "wide_kernels.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct AdjointParameters {
  cpu::AdjointArgs<T> args;
  core::PairGeometry geometry;
  Batch batch;
  MessageGradients<T> left_behind;
};

/// V(argmin(l), l).
template <class T, int NK>
__device__ __forceinline__ WarpRow<T, NK> potentials(const cpu::PairwiseGradient<T>& gradient,
                                                     bool backward, int labels,
                                                     const WarpRow<int, NK>& from) {
  const T* table = backward ? gradient.table_t : gradient.table;
  WarpRow<T, NK> v{};
  if (table != nullptr) {
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const int l = WarpRow<T, NK>::label(k);
      if (l < labels) v.at[k] = __ldg(table + (static_cast<int64_t>(from.at[k]) * labels + l));
    }
  } else {
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const int l = WarpRow<T, NK>::label(k), m = from.at[k];
      if (l < labels) v.at[k] = __ldg(gradient.differences + (m < l ? l - m : m - l));
    }
  }
  return v;
}

/// Undoes a scanline one way.
template <class T, int NK, class Rule>
struct Unwind {
  using Row = WarpRow<T, NK>;
  const AdjointParameters<T>& p;
  const Rule& rule;
  const WarpTape<NK>& tape;
  const Scatter<T, NK>& scatter;
  T* edge_gradient;  ///< or null
  T* kept;           ///< for gradients of messages, or null
  bool backward;

  __device__ __forceinline__ void operator()(const core::Scanline& line) const {
    const int labels = p.args.shape.labels;
    // The way went from one end to the other; now back.
    const int64_t step = backward ? line.node_stride : -line.node_stride;
    int64_t pixel = backward ? line.first : line.first + (line.count - 1) * line.node_stride;
    Row gh{};
    Edge edge{};
    Ahead next = read(pixel, line.count > 1, step);
    for (int64_t i = line.count - 1; i > 0; --i, pixel += step) {
      if (!kReadsAhead && i < line.count - 1) next = read(pixel, true, step);
      const Ahead now = next;
      if (kReadsAhead) next = read(pixel + step, i > 1, step);
      const Row v = edge_gradient == nullptr
                        ? Row{}
                        : potentials<T, NK>(p.args.gradient, backward, labels, now.from);
      Row g = rule.arrive(pixel, now.node, gh);
      subtract(g, now.minimum, edge);
      g = rule.leave(pixel, now.node, g);
      if (kept != nullptr) write_row(kept, pixel, labels, g);
      if (edge_gradient != nullptr) edge = edge_of(now, g, v);
      gh = scatter(g, now.from, labels);
    }
    if (!kReadsAhead && line.count > 1) next = read(pixel, false, step);
    if (Rule::kMinimumOfState) {
      gh = rule.arrive(pixel, next.node, gh);
      subtract(gh, next.minimum, edge);
    } else if (edge_gradient != nullptr) {
      const Row* const rows[] = {&edge.products};
      T total[1];
      ordered_sums(rows, total);
      write(edge, total[0]);
    }
    rule.head(pixel, next.node, gh);
  }

 private:
  // What the registers hold.
  static constexpr bool kReadsAhead = NK * sizeof(T) <= 32;

  /// What is asked for a node early.
  struct Ahead {
    typename Rule::Node node;
    WarpRow<int, NK> from;
    int minimum;
    T* edge_at;
    T edge;
  };
  /// sum_l g(l) V(argmin(l), l) of the last edge, yet to be summed: along with the next node's
  /// gradient, since the shuffles of two sums take hardly longer than those of one.
  struct Edge {
    T* at;
    T before;
    Row products;
  };

  /// linked: not the head, which has no message.
  __device__ __forceinline__ Ahead read(int64_t pixel, bool linked, int64_t step) const {
    Ahead ahead{rule.read(pixel), {}, 0, nullptr, T(0)};
    if (linked || Rule::kMinimumOfState) ahead.minimum = tape.minimum_of(pixel);
    if (!linked) return ahead;
    ahead.from = tape.template row<NK>(pixel);
    if (edge_gradient != nullptr && lane_index() == 0) {
      // An edge belongs to whichever comes first in the pair's even direction.
      ahead.edge_at = edge_gradient + pixel + (backward ? 0 : step);
      ahead.edge = *ahead.edge_at;
    }
    return ahead;
  }

  /// Gradient of x from that of x - min x; the last edge's sum.
  __device__ __forceinline__ void subtract(Row& g, int minimum, const Edge& edge) const {
    T total;
    if (edge_gradient != nullptr) {
      const Row* const rows[] = {&g, &edge.products};
      T totals[2];
      ordered_sums(rows, totals);
      write(edge, totals[1]);
      total = totals[0];
    } else {
      const Row* const rows[] = {&g};
      T totals[1];
      ordered_sums(rows, totals);
      total = totals[0];
    }
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      if (Row::label(k) == minimum) g.at[k] -= total;
    }
  }
  static __device__ __forceinline__ Edge edge_of(const Ahead& node, const Row& g, const Row& v) {
    Edge edge{node.edge_at, node.edge, {}};
#pragma unroll
    for (int k = 0; k < NK; ++k) edge.products.at[k] = g.at[k] * v.at[k];
    return edge;
  }
  __device__ __forceinline__ void write(const Edge& edge, T total) const {
    if (edge.at != nullptr) *edge.at = edge.before + p.args.gradient.weight_factor * total;
  }
};

template <class T, int NK, class Forward, class Backward>
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp)
    adjoint_kernel(const __grid_constant__ AdjointParameters<T> p) {
  MRF_SHARED(T, shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp;
  if (index >= core::scanlines(p.geometry)) return;
  const core::Scanline line = core::scanline(p.geometry, index);
  if (line.count == 0) return;

  const cpu::AdjointArgs<T>& a = p.args;
  const int64_t item = blockIdx.y, at = item * p.batch.volume;
  const auto of_item = [at](auto* volume) { return volume == nullptr ? volume : volume + at; };
  T* edge_gradient =
      a.gradient.per_edge == nullptr
          ? nullptr
          : a.gradient.per_edge + item * p.batch.edge_weights + a.pair * a.shape.pixels();
  AdjointMemory<T> m{a.shape.labels,      of_item(a.sum),     of_item(a.sum_before),
                     of_item(a.backward), of_item(a.forward), of_item(a.cavity),
                     of_item(a.cost),     of_item(a.unary),   a.rho,
                     a.damping,           a.unary_head,       a.relative};
  const Scatter<T, NK> scatter(shared + warp * (Scatter<T, NK>::kBytes / sizeof(T)));
  const WarpTape<NK> backward_tape(a.backward_tape, p.batch, item, a.shape.labels);
  const Backward second{m};
  Unwind<T, NK, Backward>{p,       second,        backward_tape,
                          scatter, edge_gradient, of_item(p.left_behind.backward),
                          true}(line);
  T* const backward = m.own;
  m.own = m.other;
  m.other = backward;
  const WarpTape<NK> forward_tape(a.forward_tape, p.batch, item, a.shape.labels);
  const Forward first{m};
  Unwind<T, NK, Forward>{
      p, first, forward_tape, scatter, edge_gradient, of_item(p.left_behind.forward), false}(line);
}

template <class T, int NK, class Forward, class Backward>
int launch(const AdjointParameters<T>& p, cudaStream_t stream) {
  const size_t shared = kWarpsPerBlock * Scatter<T, NK>::kBytes;
  const auto kernel = adjoint_kernel<T, NK, Forward, Backward>;
  MRF_LAUNCH(kernel, scanline_grid(p.geometry, p.batch), dim3(kWarpsPerBlock * kWarp), shared,
             stream, p);
  return static_cast<int>(cudaGetLastError());
}

template <class T, int NK>
int launch_rule(const AdjointParameters<T>& p, cudaStream_t stream) {
  switch (p.args.rule) {
    case cpu::SweepRule::SGM:
      return launch<T, NK, SgmAdjoint<T, NK>, SgmAdjoint<T, NK>>(p, stream);
    case cpu::SweepRule::ISGMR:
      return launch<T, NK, IsgmrForwardAdjoint<T, NK>, IsgmrBackwardAdjoint<T, NK>>(p, stream);
    case cpu::SweepRule::TRWP:
      break;
  }
  return launch<T, NK, TrwpAdjoint<T, NK>, TrwpAdjoint<T, NK>>(p, stream);
}

}  // namespace

template <class T>
int adjoint_pair(const cpu::AdjointArgs<T>& args, const Batch& batch,
                 const MessageGradients<T>& left_behind, Stream stream) {
  const AdjointParameters<T> p{args,
                               core::pair_geometry(args.pair, args.shape.height, args.shape.width),
                               batch, left_behind};
  const bool shared_weights = args.gradient.per_edge != nullptr && batch.edge_weights == 0;
  if (shared_weights && batch.count > 1) return static_cast<int>(cudaErrorInvalidValue);
  if (args.temperature > T(0)) return soft_adjoint_pair(args, batch, left_behind, stream);
  if (args.shape.labels > kMostLabels<T>)
    return wide_adjoint_pair(args, batch, left_behind, stream);
  return with_labels_per_lane<T>(args.shape.labels, [&]<int NK>() {
    return launch_rule<T, NK>(p, static_cast<cudaStream_t>(stream));
  });
}

template int adjoint_pair<float>(const cpu::AdjointArgs<float>&, const Batch&,
                                 const MessageGradients<float>&, Stream);
template int adjoint_pair<double>(const cpu::AdjointArgs<double>&, const Batch&,
                                  const MessageGradients<double>&, Stream);

}  // namespace mrfcore::cuda
