// SPDX-License-Identifier: Apache-2.0
// Exact minima of scanlines, for lower bounds: cpp/cpu/chain_bound.cpp, expression by expression,
// one warp per scanline. In double whatever the messages' type, so that rounding cannot lift the
// bound above the optimum.
//
// Per label and node, 1 + D values are read (20 bytes in float with 4 directions), nothing is
// written, and D + 6 operations come to those of the min-convolution. Where the image is small the
// chain of steps along a scanline is the limit: the next node's values are read and added up before
// the present one is convolved.
#include "chain_bound.cuh"
#include "convolve.cuh"
#include "rules.cuh"
#include "scanlines.cuh"

namespace mrfcore::cuda {
namespace {

template <class T, int NK>
struct Chain {
  using Row = WarpRow<double, NK>;
  const BoundParameters<T>& p;
  int64_t item;

  /// What a node has before it hears from its predecessor: rho (theta + all messages) - messages of
  /// this pair.
  __device__ __forceinline__ Row share(int64_t pixel) const {
    const int64_t first = item * p.batch.volume + pixel * p.shape.labels;
    Row row = read(p.unary + first);
    for (int r = 0; r < p.directions; ++r) {  // labels inside: their loads are under way together
      const Row message = read(p.messages[r] + first);
#pragma unroll
      for (int k = 0; k < NK; ++k) row.at[k] += message.at[k];
    }
    Row even{}, odd{};
    if (p.directions > 0) {
      even = read(p.messages[2 * p.pair] + first);
      odd = read(p.messages[2 * p.pair + 1] + first);
    }
#pragma unroll
    for (int k = 0; k < NK; ++k) row.at[k] = p.rho * row.at[k] - (even.at[k] + odd.at[k]);
    return row;
  }

  /// Adds up what was subtracted on the way, and the minimum over the last node.
  __device__ __forceinline__ double minimum(const core::Scanline& line, double* shared_row) const {
    int64_t pixel = line.first;
    Row h = share(pixel);
    double total = 0.0, lowest = 0.0;
    for (int64_t i = 1; i < line.count; ++i, pixel += line.node_stride) {
      forbid_padding(h, p.shape.labels);
      const Row next = share(pixel + line.node_stride);
      Convolved<double, NK, false> message;
      const double least = row_minimum(h), w = p.weight(item, pixel);
      convolve(p.plan, false, h, least, w, shared_row, message);
      forbid_padding(message.value, p.shape.labels);
      total += lowest;
      lowest = keeps_minimum(p.plan, w) ? least : row_minimum(message.value);
#pragma unroll
      for (int k = 0; k < NK; ++k) h.at[k] = next.at[k] + (message.value.at[k] - lowest);
    }
    return total + (lowest + smallest(h));
  }

 private:
  __device__ __forceinline__ Row read(const T* from) const {
    Row row;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const int l = Row::label(k);
      row.at[k] = l < p.shape.labels ? static_cast<double>(__ldg(from + l)) : 0.0;
    }
    return row;
  }
  /// More than any sum of path costs, as on the CPU.
  __device__ __forceinline__ double smallest(const Row& h) const {
    double least = static_cast<double>(kForbidden<T>) * 64.0;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      if (Row::label(k) < p.shape.labels) least = lower(h.at[k], least);
    }
    return warp_minimum(least);
  }
};

template <class T, int NK>
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp, 1)
    chain_bound_kernel(const __grid_constant__ BoundParameters<T> p) {
  MRF_SHARED(double, shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp;
  const int64_t lines = core::scanlines(p.geometry), item = blockIdx.y;
  if (index >= lines) return;
  const core::Scanline line = core::scanline(p.geometry, index);
  double minimum = 0.0;
  if (line.count > 0) minimum = Chain<T, NK>{p, item}.minimum(line, shared + warp * NK * kWarp);
  if (lane_index() == 0) p.minimum[item * lines + index] = minimum;
}

}  // namespace

template <class T>
int chain_bound(const ChainBoundArgs<T>& args, const Batch& batch, Stream stream) {
  if (!has_hard_kernel(args.plan->kind)) return static_cast<int>(cudaErrorInvalidValue);
  const cpu::GridShape& shape = args.shape;
  BoundParameters<T> p{};
  p.shape = shape;
  p.geometry = core::pair_geometry(args.pair, shape.height, shape.width);
  p.batch = batch;
  p.plan = *args.plan;
  p.scale = static_cast<double>(args.weights.scale);
  p.rho = args.rho;
  if (args.weights.per_edge != nullptr)
    p.per_edge = args.weights.per_edge + args.pair * shape.pixels();
  p.unary = args.unary;
  p.directions = args.messages == nullptr ? 0 : shape.connectivity;
  for (int r = 0; r < p.directions; ++r) p.messages[r] = static_cast<const T*>(args.messages[r]);
  p.pair = args.pair;
  p.minimum = args.scanline_minimum;
  if (shape.labels > kMostLabels<double>) return wide_chain_bound(p, stream);
  return with_labels_per_lane<double>(shape.labels, [&]<int NK>() {
    const size_t bytes = kWarpsPerBlock * NK * kWarp * sizeof(double);
    const auto kernel = chain_bound_kernel<T, NK>;
    MRF_LAUNCH(kernel, scanline_grid(p.geometry, batch), dim3(kWarpsPerBlock * kWarp), bytes,
               static_cast<cudaStream_t>(stream), p);
    return static_cast<int>(cudaGetLastError());
  });
}

template int chain_bound<float>(const ChainBoundArgs<float>&, const Batch&, Stream);
template int chain_bound<double>(const ChainBoundArgs<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
