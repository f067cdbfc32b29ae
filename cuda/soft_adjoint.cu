// SPDX-License-Identifier: Apache-2.0
// The adjoint of a soft sweep (spec section 3): one block undoes a scanline, one label per thread,
// both ways in one launch. The L^2 shares of a soft minimum are computed again from the messages
// before and after, as on the CPU and with its bits but for the logarithm's last place.
//
// A message takes three passes over V: minimum and sum of exponentials with a thread per column l,
// then gradients gh(m) = sum_l g(l) share(m, l) with a thread per row m, whose 16 interleaved sums
// over l are registers: the CPU's order without a shuffle. 2 exponentials a pair of labels, about
// 80 operations in all (5000 a label at L = 64), against some 60 bytes of volumes: arithmetic is
// the limit. V is read by columns in one pass and by rows in the other, hence table and table_t.
#include "core/scanline.hpp"
#include "soft_row.cuh"
#include "soft_rules.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kParts = 16;  ///< interleaved sums of OrderedSum (cpp/cpu/simd.hpp)

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

/// Upper half to lower half until one is left.
template <int Width = kParts / 4, class T>
__device__ __forceinline__ T halving_sum(T (&part)[kParts / 2]) {
#pragma unroll
  for (int j = 0; j < Width; ++j) part[j] = part[j] + part[j + Width];
  if constexpr (Width > 1) return halving_sum<Width / 2>(part);
  return part[0];
}

/// OrderedSum of a row in shared memory, by every warp for itself.
template <class T>
__device__ __forceinline__ T ordered_sum_of(const T* row, int labels) {
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
};

/// What every second label adds, from label `first` = 0 or 1 on. OrderedSum's last step adds the
/// sums of even and odd labels: 8 registers of each kind at a time instead of 16.
template <class T>
__device__ __forceinline__ RowGradient<T> half_row_gradient(int first, const T* row, int labels,
                                                            T h, T w, T inverse_t,
                                                            const SoftAdjointRows<T>& message) {
  T gh[kParts / 2] = {}, gw[kParts / 2] = {};
  const auto add = [&](int l, int j) {
    const T v = __ldg(row + static_cast<int64_t>(l) * labels);
    const T term = message.share[l] * soft_term(message.lowest[l], h, v, w, inverse_t);
    gh[j] = gh[j] + term;
    gw[j] = gw[j] + term * v;
  };
  const int whole = labels / kParts * kParts;
  for (int l = first; l < whole; l += kParts) {
#pragma unroll
    for (int j = 0; j < kParts / 2; ++j) add(l + 2 * j, j);
  }
#pragma unroll
  for (int j = 0; j < kParts / 2; ++j) {
    if (whole + first + 2 * j < labels) add(whole + first + 2 * j, j);
  }
  return {halving_sum(gh), halving_sum(gw)};
}

/// row: V(m, 0), further columns `labels` apart.
template <class T>
__device__ __forceinline__ RowGradient<T> row_gradient(const T* row, int labels, T h, T w,
                                                       T inverse_t,
                                                       const SoftAdjointRows<T>& message) {
  RowGradient<T> sum = half_row_gradient(0, row, labels, h, w, inverse_t, message);
  const RowGradient<T> odd = half_row_gradient(1, row, labels, h, w, inverse_t, message);
  sum.h = sum.h + odd.h;
  sum.weight = sum.weight + odd.weight;
  return sum;
}

/// One way of one item as the block sees it.
template <class T>
struct Way {
  bool backward;
  const T* table;    ///< V as this way sees it
  const T* table_t;  ///< V as the other way does
  const T* edge_weights;
  T* edge_gradient;
  T* kept_g;
  T* kept_h;
};

/// Undoes a scanline one way. Threads without a label keep the others company at barriers.
template <class T, class Rule, class State>
__device__ __forceinline__ void unwind(const cpu::AdjointArgs<T>& a, const Rule& rule,
                                       const State& state, const Way<T>& way,
                                       const core::Scanline& line, const SoftAdjointRows<T>& row) {
  const int labels = a.shape.labels, label = static_cast<int>(threadIdx.x);
  const bool exists = label < labels;
  // The way went from one end to the other; now back.
  const int64_t step = way.backward ? line.node_stride : -line.node_stride;
  const int64_t to_owner = way.backward ? 0 : step;
  const T inverse_t = T(1) / a.temperature;
  int64_t pixel = way.backward ? line.first : line.first + (line.count - 1) * line.node_stride;
  int64_t at = pixel * labels + label;

  T gh = T(0);
  for (int64_t i = line.count - 1; i > 0; --i, pixel += step, at += step * labels) {
    T w = a.weights.scale;
    if (way.edge_weights != nullptr) w = w * __ldg(way.edge_weights + pixel + to_owner);
    T h = T(0), g = T(0);
    if (exists) {
      h = state.sent(at + step * labels);
      g = rule.node(at, rule.read(at), gh);
      state.rewind(at);
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
    __syncthreads();
    RowGradient<T> found{};
    if (exists) found = row_gradient(way.table_t + label, labels, h, w, inverse_t, row);
    gh = found.h;
    if (way.edge_gradient == nullptr) continue;
    row.weight[label] = found.weight;
    __syncthreads();
    if (label != 0) continue;
    T of_weight = T(0);
    for (int m = 0; m < labels; ++m) of_weight += row.weight[m];
    way.edge_gradient[pixel + to_owner] += a.gradient.weight_factor * of_weight;
  }
  if (exists) rule.head(at, rule.read(at), gh);
}

template <class T>
__device__ __forceinline__ void undo_trwp(const cpu::AdjointArgs<T>& a, AdjointMemory<T>& m,
                                          int64_t volume, const Way<T> (&ways)[2],
                                          const core::Scanline& line,
                                          const SoftAdjointRows<T>& row) {
  T* const state = a.state + volume;
  const T* const forward_before = a.forward_before + volume;
  const T* const forward_after = a.forward_after + volume;
  const T* const backward_before = a.backward_before + volume;
  unwind(a, SoftTrwpAdjoint<T>{m},
         SoftTrwpState<T>{state, backward_before, a.backward_after + volume, forward_after, a.rho},
         ways[1], line, row);
  __syncthreads();  // the last rows have been read
  T* const backward = m.own;
  m.own = m.other;
  m.other = backward;
  unwind(a, SoftTrwpAdjoint<T>{m},
         SoftTrwpState<T>{state, forward_before, forward_after, backward_before, a.rho}, ways[0],
         line, row);
}

template <class T>
__device__ __forceinline__ void undo_isgmr(const cpu::AdjointArgs<T>& a, AdjointMemory<T>& m,
                                           int64_t volume, const Way<T> (&ways)[2],
                                           const core::Scanline& line,
                                           const SoftAdjointRows<T>& row) {
  const T* const state = a.state + volume;
  const T* const forward_before = a.forward_before + volume;
  const T* const backward_before = a.backward_before + volume;
  unwind(a, SoftIsgmrBackwardAdjoint<T>{m},
         SoftIsgmrState<T>{state, backward_before, a.backward_after + volume, forward_before},
         ways[1], line, row);
  __syncthreads();  // the last rows have been read
  T* const backward = m.own;
  m.own = m.other;
  m.other = backward;
  unwind(a, SoftIsgmrForwardAdjoint<T>{m},
         SoftIsgmrState<T>{state, forward_before, a.forward_after + volume, backward_before},
         ways[0], line, row);
}

template <class T, cpu::SweepRule Rule>
__global__ void __launch_bounds__(kMostSoftLabels, 1)
    soft_adjoint_kernel(const __grid_constant__ SoftAdjointParameters<T> p) {
  MRF_SHARED(T, shared);
  const core::Scanline line = core::scanline(p.geometry, blockIdx.x);
  if (line.count == 0) return;
  const cpu::AdjointArgs<T>& a = p.args;
  const int64_t item = blockIdx.y, at = item * p.batch.volume;
  const int64_t edges = item * p.batch.edge_weights + a.pair * a.shape.pixels();
  const auto of_item = [](auto* volume, int64_t offset) {
    return volume == nullptr ? volume : volume + offset;
  };
  const T* edge_weights = of_item(a.weights.per_edge, edges);
  T* edge_gradient = of_item(a.gradient.per_edge, edges);
  const Way<T> ways[2] = {
      {false, a.gradient.table, a.gradient.table_t, edge_weights, edge_gradient,
       of_item(p.left_behind.forward, at), of_item(p.left_behind.forward_sender, at)},
      {true, a.gradient.table_t, a.gradient.table, edge_weights, edge_gradient,
       of_item(p.left_behind.backward, at), of_item(p.left_behind.backward_sender, at)}};
  AdjointMemory<T> m{};
  m.labels = a.shape.labels;
  m.sum = of_item(a.sum, at);
  m.sum_before = of_item(a.sum_before, at);
  m.own = of_item(a.backward, at);
  m.other = of_item(a.forward, at);
  m.cavity = of_item(a.cavity, at);
  m.rho = a.rho;
  m.damping = a.damping;
  const SoftAdjointRows<T> row(shared);
  if constexpr (Rule == cpu::SweepRule::ISGMR) {
    undo_isgmr(a, m, at, ways, line, row);
  } else {
    undo_trwp(a, m, at, ways, line, row);
  }
}

template <class T, cpu::SweepRule Rule>
int launch(const SoftAdjointParameters<T>& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(core::scanlines(p.geometry)),
                  static_cast<unsigned>(p.batch.count));
  const auto kernel = soft_adjoint_kernel<T, Rule>;
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
  if (args.rule == cpu::SweepRule::ISGMR) return launch<T, cpu::SweepRule::ISGMR>(p, on);
  return launch<T, cpu::SweepRule::TRWP>(p, on);
}

template int soft_adjoint_pair<float>(const cpu::AdjointArgs<float>&, const Batch&,
                                      const MessageGradients<float>&, Stream);
template int soft_adjoint_pair<double>(const cpu::AdjointArgs<double>&, const Batch&,
                                       const MessageGradients<double>&, Stream);

}  // namespace mrfcore::cuda
