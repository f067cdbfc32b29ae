// SPDX-License-Identifier: Apache-2.0
// Small steps between sweeps: level_costs (a warp per node; reads and writes 4 bytes a label) and
// add (12 bytes an element).
#include "kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarps = 8;

/// Min-marginals of a chain: all nodes have the optimum as their lowest cost.
template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    level_costs_kernel(int64_t pixels, int labels, const double* energy, T* costs) {
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (pixel >= pixels) return;
  const int64_t item = blockIdx.y;
  T* row = costs + (item * pixels + pixel) * labels;
  T lowest = cpu::kInfinity<T>;
  for (int l = lane_index(); l < labels; l += kWarp) lowest = lower(row[l], lowest);
  lowest = warp_minimum(lowest);
  const T optimum = static_cast<T>(energy[item]);
  for (int l = lane_index(); l < labels; l += kWarp) row[l] = row[l] - lowest + optimum;
}

template <class T>
__global__ void add_kernel(T* to, const T* from, int64_t size) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += step)
    to[i] = to[i] + from[i];
}

}  // namespace

template <class T>
int level_costs(const cpu::GridShape& shape, const double* energy, T* costs, const Batch& batch,
                Stream stream) {
  const dim3 grid(static_cast<unsigned>((shape.pixels() + kWarps - 1) / kWarps),
                  static_cast<unsigned>(batch.count));
  MRF_LAUNCH(level_costs_kernel<T>, grid, dim3(kWarps * kWarp), 0,
             static_cast<cudaStream_t>(stream), shape.pixels(), shape.labels, energy, costs);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int add(T* to, const T* from, int64_t size, Stream stream) {
  constexpr int64_t kThreads = 256, kMostBlocks = 1 << 14;
  const int64_t blocks = (size + kThreads - 1) / kThreads;
  MRF_LAUNCH(add_kernel<T>,
             dim3(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks)),
             dim3(kThreads), 0, static_cast<cudaStream_t>(stream), to, from, size);
  return static_cast<int>(cudaGetLastError());
}

template int level_costs<float>(const cpu::GridShape&, const double*, float*, const Batch&, Stream);
template int level_costs<double>(const cpu::GridShape&, const double*, double*, const Batch&,
                                 Stream);
template int add<float>(float*, const float*, int64_t, Stream);
template int add<double>(double*, const double*, int64_t, Stream);

}  // namespace mrfcore::cuda
