// SPDX-License-Identifier: Apache-2.0
// The sweep engine with soft minima: one block per scanline, one label per thread, both ways of a
// direction pair in one launch. A file of its own: exponentials in the hard kernel would cost it
// registers.
//
// Arithmetic is the limit: per message L^2 candidates of 3 operations for the minimum and about 35
// for the sum of exponentials (24 of them the exponential), 2400 a label at L = 64, against 40
// bytes of volumes. Every warp reads all of V once a pass, 2 L^2 elements a message, from L1 or L2.
// A block per scanline, not a warp: L / 32 times as many warps, each with a sum over m of its own
// in the CPU's order. The loops over m give independent work (four exponentials at a time).
#include "cpu/min_convolution_plan.hpp"
#include "soft_row.cuh"
#include "soft_rules.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct SoftSweepParameters {
  cpu::SweepArgs<T> args;
  cpu::MinConvolutionPlan<T> plan;
  core::PairGeometry geometry;
  Batch batch;
};

/// Shared memory: a row h, and what the warps found.
template <class T>
struct SoftSweepRow {
  T* h;
  BlockMinimum<T> minimum;

  static size_t bytes(int labels) {
    const size_t threads = soft_threads(labels);
    return (threads + threads / kWarp) * sizeof(T) + threads / kWarp * sizeof(int);
  }
  __device__ __forceinline__ explicit SoftSweepRow(T* shared)
      : h(shared),
        minimum{shared + blockDim.x,
                reinterpret_cast<int*>(shared + blockDim.x + blockDim.x / kWarp)} {}
};

/// Walks a scanline one way. Threads without a label keep the others company at barriers.
template <class T, class Rule>
__device__ __forceinline__ void walk(const SoftSweepParameters<T>& p, const Rule& rule,
                                     bool backward, const Place& place,
                                     const SoftSweepRow<T>& row) {
  const core::Scanline& line = place.line;
  const int labels = p.plan.labels, label = static_cast<int>(threadIdx.x);
  const bool exists = label < labels;
  const int64_t step = backward ? -line.node_stride : line.node_stride;
  // The edge to the predecessor belongs to whichever comes first in the pair's even direction.
  const int64_t to_owner = backward ? 0 : -step;
  const T* column = (backward ? p.plan.table_t : p.plan.table) + label;
  const T inverse_t = T(1) / p.plan.temperature;
  const int64_t head = backward ? line.first + (line.count - 1) * line.node_stride : line.first;
  int64_t edge = place.edges + head + to_owner;
  int64_t at = place.volume + head * labels + label;

  T h = T(0);
  typename Rule::Node next{};
  if (exists) {
    h = rule.head(at, rule.read(at));
    if (line.count > 1) next = rule.read(at + step * labels);
  }
  for (int64_t i = 1; i < line.count; ++i) {
    edge += step;
    at += step * labels;
    const typename Rule::Node node = next;
    if (exists && i + 1 < line.count) next = rule.read(at + step * labels);
    T w = p.args.weights.scale;
    if (p.args.weights.per_edge != nullptr) w = w * __ldg(p.args.weights.per_edge + edge);
    row.h[label] = h;
    __syncthreads();
    T message = kForbidden<T> * T(8);
    if (exists) {
      const T* const rows[] = {row.h};
      const T ws[] = {p.plan.unit_weight ? T(1) : w};
      message = soft_minimum(soft_columns(column, labels, rows, ws, inverse_t), p.plan.temperature);
    }
    row.minimum.leave(message, label);
    __syncthreads();
    const T lowest = row.minimum.all().value;
    if (exists) h = rule.node(at, node, message, lowest);
  }
}

template <class T, class Forward, class Backward>
__global__ void __launch_bounds__(kMostSoftLabels)
    soft_sweep_kernel(const __grid_constant__ SoftSweepParameters<T> p) {
  MRF_SHARED(T, shared);
  const cpu::SweepArgs<T>& a = p.args;
  const int64_t item = blockIdx.y;
  const Place place{core::scanline(p.geometry, blockIdx.x), item * p.batch.volume,
                    item * p.batch.edge_weights + a.pair * a.shape.pixels()};
  if (place.line.count == 0) return;
  T *const forward = static_cast<T*>(a.forward), *const backward = static_cast<T*>(a.backward);
  const SweepMemory<T> first{a.shape.labels, nullptr, a.sum, forward,   backward,
                             a.cavity,       nullptr, a.rho, a.damping, false};
  const SweepMemory<T> second{a.shape.labels, nullptr, a.sum, backward,  forward,
                              a.cavity,       nullptr, a.rho, a.damping, false};
  const SoftSweepRow<T> row(shared);
  walk(p, Forward{first}, false, place, row);
  walk(p, Backward{second}, true, place, row);
}

template <class T, class Forward, class Backward>
int launch(const SoftSweepParameters<T>& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(core::scanlines(p.geometry)),
                  static_cast<unsigned>(p.batch.count));
  const auto kernel = soft_sweep_kernel<T, Forward, Backward>;
  MRF_LAUNCH(kernel, grid, dim3(soft_threads(p.plan.labels)), SoftSweepRow<T>::bytes(p.plan.labels),
             stream, p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

template <class T>
int soft_sweep_pair(const cpu::SweepArgs<T>& args, const Batch& batch, Stream stream) {
  const SoftSweepParameters<T> p{
      args, *args.plan, core::pair_geometry(args.pair, args.shape.height, args.shape.width), batch};
  const bool recorded = args.forward_tape.argmin != nullptr;  // there are no arg-mins to record
  if (recorded || args.shape.labels > kMostSoftLabels || args.rule == cpu::SweepRule::SGM)
    return static_cast<int>(cudaErrorInvalidValue);
  const auto on = static_cast<cudaStream_t>(stream);
  if (args.rule == cpu::SweepRule::ISGMR)
    return launch<T, SoftIsgmrForward<T>, SoftIsgmrBackward<T>>(p, on);
  return launch<T, SoftTrwp<T>, SoftTrwp<T>>(p, on);
}

template int soft_sweep_pair<float>(const cpu::SweepArgs<float>&, const Batch&, Stream);
template int soft_sweep_pair<double>(const cpu::SweepArgs<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
