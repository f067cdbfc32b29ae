// SPDX-License-Identifier: Apache-2.0
// Sums in a fixed order. sum_rows(), sum_items() and sum_bins() add in the order of the numbers,
// as the CPU does; sum_all() in one that depends on the size alone. All read each number once:
// bytes decide, but for sum_rows(), where a chain of dependent additions does: some 10 cycles
// each, 10 microseconds for a thousand rows.
#include <algorithm>

#include "kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int64_t kMostBlocks = 1 << 12;

unsigned blocks_for(int64_t size) {
  return static_cast<unsigned>(std::min((size + kThreads - 1) / kThreads, kMostBlocks));
}

/// A warp per item: reads lines of 32 numbers ahead of the one that it adds.
__global__ void sum_rows_kernel(const double* from, int64_t count, double* to) {
  const int64_t lane = lane_index();
  const double* row = from + blockIdx.x * count;
  double total = 0.0, next = lane < count ? row[lane] : 0.0;
  for (int64_t i = 0; i < count; i += kWarp) {
    const double line = next;
    const int64_t ahead = i + kWarp + lane;
    next = ahead < count ? row[ahead] : 0.0;
#pragma unroll
    for (int k = 0; k < kWarp; ++k) total += __shfl_sync(kAllLanes, line, k);
  }
  if (lane == 0) to[blockIdx.x] = total;
}

/// to[i] = from[i] + from[size + i] + ..., `terms` of them, in double.
template <class From, class To>
__global__ void sum_columns_kernel(const From* from, int64_t size, int64_t terms, To* to) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size; i += step) {
    double total = 0.0;
#pragma unroll 8
    for (int64_t k = 0; k < terms; ++k) total += static_cast<double>(from[k * size + i]);
    to[i] = static_cast<To>(total);
  }
}

/// Sum over the block's threads by halves; the first thread has it.
__device__ __forceinline__ double block_sum(double x, double* shared) {
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) x += __shfl_down_sync(kAllLanes, x, apart);
  if (lane_index() == 0) shared[threadIdx.x / kWarp] = x;
  __syncthreads();
  double total = 0.0;
  if (threadIdx.x == 0) {
    for (int warp = 0; warp < kWarps; ++warp) total += shared[warp];
  }
  return total;
}

/// to[block] = the block's share of `from`. Four sums a thread keep as many reads under way.
template <class From, class To>
__global__ void sum_all_kernel(const From* from, int64_t size, To* to) {
  MRF_SHARED(double, shared);
  constexpr int kChains = 4;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  double sums[kChains] = {};
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size;
       i += kChains * step) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) {
      const int64_t at = i + c * step;
      if (at < size) sums[c] += static_cast<double>(from[at]);
    }
  }
  const double total = block_sum((sums[0] + sums[1]) + (sums[2] + sums[3]), shared);
  if (threadIdx.x == 0) to[blockIdx.x] = static_cast<To>(total);
}

template <class From, class To>
int sum_columns(const From* from, int64_t size, int64_t terms, To* to, Stream stream) {
  if (size == 0) return 0;
  MRF_LAUNCH((sum_columns_kernel<From, To>), dim3(blocks_for(size)), dim3(kThreads), 0,
             static_cast<cudaStream_t>(stream), from, size, terms, to);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

int sum_rows(const double* from, int64_t count, int64_t items, double* to, Stream stream) {
  if (items == 0) return 0;
  MRF_LAUNCH(sum_rows_kernel, dim3(static_cast<unsigned>(items)), dim3(kWarp), 0,
             static_cast<cudaStream_t>(stream), from, count, to);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int sum_items(const T* from, int64_t size, int64_t items, T* to, Stream stream) {
  return sum_columns(from, size, items, to, stream);
}

template <class T>
int sum_bins(const double* from, int64_t size, int64_t bins, T* to, Stream stream) {
  return sum_columns(from, size, bins, to, stream);
}

template <class T>
int sum_all(const T* from, int64_t size, double* scratch, T* to, Stream stream) {
  constexpr size_t kShared = kWarps * sizeof(double);
  const int64_t blocks = std::min(static_cast<int64_t>(blocks_for(size)), kSumScratch);
  const auto queue = static_cast<cudaStream_t>(stream);
  if (blocks > 0) {
    MRF_LAUNCH((sum_all_kernel<T, double>), dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
               kShared, queue, from, size, scratch);
    if (const cudaError_t code = cudaGetLastError(); code != cudaSuccess)
      return static_cast<int>(code);
  }
  MRF_LAUNCH((sum_all_kernel<double, T>), dim3(1), dim3(kThreads), kShared, queue, scratch, blocks,
             to);
  return static_cast<int>(cudaGetLastError());
}

#define MRF_INSTANTIATE(T)                                               \
  template int sum_items<T>(const T*, int64_t, int64_t, T*, Stream);     \
  template int sum_bins<T>(const double*, int64_t, int64_t, T*, Stream); \
  template int sum_all<T>(const T*, int64_t, double*, T*, Stream)
MRF_INSTANTIATE(float);
MRF_INSTANTIATE(double);
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
