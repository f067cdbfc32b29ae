// SPDX-License-Identifier: Apache-2.0
// The adjoint of a soft sweep (spec section 3): one block undoes a scanline, one label per thread,
// both ways in one launch. The L^2 shares of a soft minimum are computed again from the messages
// before and after, as on the CPU and with its bits but for the logarithm's last place.
//
// A message takes three passes over V: minimum and sum of exponentials with a thread per column l,
// then gradients gh(m) = sum_l g(l) share(m, l) with a thread per row m, whose interleaved sums
// over l are registers: the CPU's order without a shuffle. 2 exponentials a pair of labels, about
// 80 operations in all (5000 a label at L = 64), against some 60 bytes of volumes: arithmetic is
// the limit. V is read by columns in one pass and by rows in the other, hence table and table_t.
#include "soft_row.cuh"
#include "soft_rules.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct SoftAdjointParameters {
  cpu::AdjointArgs<T> args;
  core::PairGeometry geometry;
  Batch batch;
  MessageGradients<T> left_behind;
};

/// Shared memory: rows of one message, whole multiples of 32 labels with zeros at the end.
template <class T>
struct SoftAdjointRows {
  static constexpr int kRows = 5;
  T *h, *g, *lowest, *share, *weight;
  BlockMinimum<T> minimum;

  static size_t bytes(int labels) {
    const size_t threads = soft_threads(labels);
    return (kRows * threads + threads / kWarp) * sizeof(T) + threads / kWarp * sizeof(int);
  }
  __device__ __forceinline__ explicit SoftAdjointRows(T* shared)
      : h(shared),
        g(shared + blockDim.x),
        lowest(shared + 2 * blockDim.x),
        share(shared + 3 * blockDim.x),
        weight(shared + 4 * blockDim.x),
        minimum{shared + kRows * blockDim.x,
                reinterpret_cast<int*>(shared + kRows * blockDim.x + blockDim.x / kWarp)} {}
};

/// OrderedSum of a row in shared memory, by every warp for itself.
template <class T>
__device__ __forceinline__ T ordered_sum_of(const T* row, int labels) {
  constexpr int kParts = 16;
  T partial = T(0);
  for (int l = lane_index() % kParts; l < labels; l += kParts) partial = partial + row[l];
#pragma unroll
  for (int apart = kParts / 2; apart > 0; apart /= 2)
    partial = partial + __shfl_sync(kAllLanes, partial, (lane_index() + apart) & (kWarp - 1));
  return __shfl_sync(kAllLanes, partial, 0);
}

/// Gradients of h(m) and of w, of the latter this row's part.
template <class T>
struct RowGradient {
  T h, weight;

  __device__ __forceinline__ RowGradient operator+(const RowGradient& other) const {
    return {h + other.h, weight + other.weight};
  }
};

/// One row m of a message's shares.
template <class T>
struct ShareRow {
  static constexpr int kParts = 16;   ///< interleaved sums of OrderedSum (cpp/cpu/simd.hpp)
  static constexpr int kStrands = 4;  ///< that many are left before its last two steps
  const T* row;                       ///< V(m, 0), further columns `labels` apart
  int labels;
  T h, w, inverse_t;
  const T *lowest, *share;

  /// Sums in OrderedSum's order, a strand at a time to save registers.
  __device__ __forceinline__ RowGradient<T> gradient() const {
    return (strand(0) + strand(2)) + (strand(1) + strand(3));
  }

 private:
  /// What labels first, first + 4, first + 8, ... add.
  __device__ __forceinline__ RowGradient<T> strand(int first) const {
    RowGradient<T> part[kParts / kStrands] = {};
    const int whole = labels / kParts * kParts;
#pragma unroll 2
    for (int l = first; l < whole; l += kParts) {
#pragma unroll
      for (int j = 0; j < kParts / kStrands; ++j) part[j] = part[j] + of(l + j * kStrands);
    }
#pragma unroll
    for (int j = 0; j < kParts / kStrands; ++j) {
      const int l = whole + first + j * kStrands;
      if (l < labels) part[j] = part[j] + of(l);
    }
    return (part[0] + part[2]) + (part[1] + part[3]);
  }
  __device__ __forceinline__ RowGradient<T> of(int l) const {
    const T v = __ldg(row + static_cast<int64_t>(l) * labels);
    const T term = share[l] * soft_term(lowest[l], h, v, w, inverse_t);
    return {term, term * v};
  }
};

/// What a way needs beside its volumes.
template <class T>
struct Way {
  bool backward;
  const T* table;    ///< V as this way sees it
  const T* table_t;  ///< V as the other way does
  T* kept_g;
  T* kept_h;
};

/// Undoes a scanline one way. Threads without a label keep the others company at barriers.
template <class T, class Rule, class State>
__device__ __forceinline__ void unwind(const cpu::AdjointArgs<T>& a, const Rule& rule,
                                       const State& state, const Way<T>& way, const Place& place,
                                       const SoftAdjointRows<T>& row) {
  const core::Scanline& line = place.line;
  const int labels = a.shape.labels, label = static_cast<int>(threadIdx.x);
  const bool exists = label < labels;
  // The way went from one end to the other; now back.
  const int64_t step = way.backward ? line.node_stride : -line.node_stride;
  const int64_t to_owner = way.backward ? 0 : step;
  const T inverse_t = T(1) / a.temperature;
  const int64_t last = way.backward ? line.first : line.first + (line.count - 1) * line.node_stride;
  int64_t edge = place.edges + last + to_owner;
  int64_t at = place.volume + last * labels + label;

  T gh = T(0);
  typename Rule::Node node{};
  typename State::Node here{}, from{};
  if (exists) {
    node = rule.read(at);
    if (line.count > 1) {
      here = state.read(at);
      from = state.read(at + step * labels);
    }
  }
  for (int64_t i = line.count - 1; i > 0; --i, edge += step, at += step * labels) {
    T w = a.weights.scale;
    if (a.weights.per_edge != nullptr) w = w * __ldg(a.weights.per_edge + edge);
    T h = T(0), g = T(0);
    if (exists) {
      h = state.sent(from);
      g = rule.node(at, node, gh);
      state.rewind(at, here);
    }
    row.h[label] = h;
    row.g[label] = g;
    __syncthreads();
    SoftColumns<T, 1> column{{T(0)}, {T(1)}};
    T message = kForbidden<T> * T(8);
    if (exists) {
      const T* const rows[] = {row.h};
      const T ws[] = {w};
      column = soft_columns(way.table + label, labels, rows, ws, inverse_t);
      message = soft_minimum(column, a.temperature);
    }
    row.lowest[label] = column.lowest[0];
    const T total = ordered_sum_of(row.g, labels);
    row.minimum.leave(message, label);
    __syncthreads();
    // The message had its minimum taken off.
    if (label == row.minimum.all().label) g -= total;
    row.share[label] = g / column.total[0];
    if (exists && way.kept_g != nullptr) way.kept_g[at] = g;
    if (exists && way.kept_h != nullptr) way.kept_h[at + step * labels] = h;
    if (exists) {  // what the next node needs is asked for before the longest pass
      here = from;
      node = rule.read(at + step * labels);
      if (i > 1) from = state.read(at + 2 * step * labels);
    }
    __syncthreads();
    RowGradient<T> found{};
    if (exists) {
      found = ShareRow<T>{way.table_t + label, labels, h, w, inverse_t, row.lowest, row.share}
                  .gradient();
    }
    gh = found.h;
    if (a.gradient.per_edge == nullptr) continue;
    row.weight[label] = found.weight;
    __syncthreads();
    if (label != 0) continue;
    T of_weight = T(0);
    for (int m = 0; m < labels; ++m) of_weight += row.weight[m];
    a.gradient.per_edge[edge] += a.gradient.weight_factor * of_weight;
  }
  if (exists) rule.head(at, node, gh);
}

/// Doubles of 1024 threads spill.
template <class T>
constexpr int kFewThreads = sizeof(T) == 4 ? kMostSoftLabels : 256;

template <class T, int MostThreads, class Backward, class Forward, class State>
__global__ void __launch_bounds__(MostThreads, 1)
    soft_adjoint_kernel(const __grid_constant__ SoftAdjointParameters<T> p) {
  MRF_SHARED(T, shared);
  const cpu::AdjointArgs<T>& a = p.args;
  const int64_t item = blockIdx.y;
  const Place place{core::scanline(p.geometry, blockIdx.x), item * p.batch.volume,
                    item * p.batch.edge_weights + a.pair * a.shape.pixels()};
  if (place.line.count == 0) return;
  const MessageGradients<T>& kept = p.left_behind;
  const AdjointMemory<T> second{a.shape.labels, a.sum,     a.sum_before, a.backward,
                                a.forward,      a.cavity,  nullptr,      nullptr,
                                a.rho,          a.damping, false,        false};
  const AdjointMemory<T> first{a.shape.labels, a.sum,     a.sum_before, a.forward,
                               a.backward,     a.cavity,  nullptr,      nullptr,
                               a.rho,          a.damping, false,        false};
  const SoftAdjointRows<T> row(shared);
  // TRWP's second way found the first one's messages as the iteration left them, all else found the
  // other way's as they were before it.
  unwind(a, Backward{second},
         State{{a.state, a.backward_before, a.backward_after,
                State::kNewest ? a.forward_after : a.forward_before, a.rho}},
         Way<T>{true, a.gradient.table_t, a.gradient.table, kept.backward, kept.backward_sender},
         place, row);
  unwind(a, Forward{first},
         State{{a.state, a.forward_before, a.forward_after, a.backward_before, a.rho}},
         Way<T>{false, a.gradient.table, a.gradient.table_t, kept.forward, kept.forward_sender},
         place, row);
}

template <class T, class Backward, class Forward, class State>
int launch(const SoftAdjointParameters<T>& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(core::scanlines(p.geometry)),
                  static_cast<unsigned>(p.batch.count));
  const bool few = p.args.shape.labels <= kFewThreads<T>;
  const auto kernel = few ? soft_adjoint_kernel<T, kFewThreads<T>, Backward, Forward, State>
                          : soft_adjoint_kernel<T, kMostSoftLabels, Backward, Forward, State>;
  MRF_LAUNCH(kernel, grid, dim3(soft_threads(p.args.shape.labels)),
             SoftAdjointRows<T>::bytes(p.args.shape.labels), stream, p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

template <class T>
int soft_adjoint_pair(const cpu::AdjointArgs<T>& args, const Batch& batch,
                      const MessageGradients<T>& left_behind, Stream stream) {
  const SoftAdjointParameters<T> p{
      args, core::pair_geometry(args.pair, args.shape.height, args.shape.width), batch,
      left_behind};
  const bool tables = args.gradient.table != nullptr && args.gradient.table_t != nullptr;
  if (!tables || args.shape.labels > kMostSoftLabels || args.rule == cpu::SweepRule::SGM)
    return static_cast<int>(cudaErrorInvalidValue);
  const auto on = static_cast<cudaStream_t>(stream);
  if (args.rule == cpu::SweepRule::TRWP)
    return launch<T, SoftTrwpAdjoint<T>, SoftTrwpAdjoint<T>, SoftTrwpState<T>>(p, on);
  return launch<T, SoftIsgmrBackwardAdjoint<T>, SoftIsgmrForwardAdjoint<T>, SoftIsgmrState<T>>(p,
                                                                                               on);
}

template int soft_adjoint_pair<float>(const cpu::AdjointArgs<float>&, const Batch&,
                                      const MessageGradients<float>&, Stream);
template int soft_adjoint_pair<double>(const cpu::AdjointArgs<double>&, const Batch&,
                                       const MessageGradients<double>&, Stream);

}  // namespace mrfcore::cuda
