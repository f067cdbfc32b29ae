// SPDX-License-Identifier: Apache-2.0
// Soft pooling. A warp has a cell and eight channels, two in each quarter of the warp; lane r of a
// quarter sums the columns r, r + 8, ... of every row, as the CPU's vectors do, then the eight meet
// by halves. Columns beyond the last whole eight are added pixel by pixel, a lane for each slot. A
// second launch adds what nine cells give to each.
//
// Bytes a value, T = 4: 4, and q's 36 a pixel for each eight channels, all but the first time from
// L2 (9 MB at 512 x 512). Operations a value: 18 of arithmetic, 5.5 loads.
#include "soft_superpixel.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / kWarp;
constexpr int kBlocks = 2;  ///< of a multiprocessor, at least: registers for loads under way
constexpr int kParts = 8;   ///< of a sum: lanes of a quarter
constexpr int kGroup = kWarp / kParts;  ///< quarters
constexpr int kChannels = 2 * kGroup;   ///< of a warp

/// The pixels of a cell.
struct CellPixels {
  int64_t top, bottom, left, right;

  __device__ CellPixels(const SoftSuperpixels& grid, int64_t row, int64_t column)
      : top(row * grid.cell),
        bottom(min(top + grid.cell, grid.height)),
        left(column * grid.cell),
        right(min(left + grid.cell, grid.width)) {}
  /// Where the last whole eight columns end.
  __device__ int64_t whole() const { return left + (right - left) / kParts * kParts; }
};

/// Lane `part` of a quarter: its part of the nine sums of two planes.
template <class T>
__device__ __forceinline__ void sum_parts(const SoftParameters<T>& p, const CellPixels& cell,
                                          int part, const T* q, const T* const (&x)[2],
                                          T (&sums)[2][kSlots]) {
  const int64_t whole = cell.whole();
  for (int64_t y = cell.top; y < cell.bottom; ++y) {
    for (int64_t column = cell.left + part; column < whole; column += kParts) {
      const int64_t at = y * p.grid.width + column;
      const T first = __ldg(x[0] + at), second = __ldg(x[1] + at);
#pragma unroll
      for (int k = 0; k < kSlots; ++k) {
        const T weight = __ldg(q + k * p.pixels + at);
        sums[0][k] = sums[0][k] + weight * first;
        sums[1][k] = sums[1][k] + weight * second;
      }
    }
  }
}

/// Slot k of the columns that are left, pixel by pixel.
template <class T>
__device__ __forceinline__ T sum_rest(const SoftParameters<T>& p, const CellPixels& cell, int k,
                                      const T* q, const T* x) {
  T sum = T(0);
  for (int64_t y = cell.top; y < cell.bottom; ++y) {
    for (int64_t column = cell.whole(); column < cell.right; ++column) {
      const int64_t at = y * p.grid.width + column;
      sum = sum + __ldg(q + k * p.pixels + at) * __ldg(x + at);
    }
  }
  return sum;
}

/// A warp per cell and eight channels.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    soft_give_kernel(const __grid_constant__ SoftParameters<T> p) {
  const int64_t item = blockIdx.y, channels = p.grid.channels;
  const int64_t groups = (channels + kChannels - 1) / kChannels;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (i >= p.cells * groups) return;
  const int64_t number = i / groups;
  const CellPixels cell(p.grid, number / p.columns, number % p.columns);
  const int part = lane_index() % kParts;
  const int64_t first = i % groups * kChannels + 2 * (lane_index() / kParts);
  const T* q = p.q + item * kSlots * p.pixels;
  const T* planes = p.x + item * channels * p.pixels;
  // Lanes without a channel go along with the last one's.
  const T* const x[2] = {planes + min(first, channels - 1) * p.pixels,
                         planes + min(first + 1, channels - 1) * p.pixels};
  T sums[2][kSlots] = {};
  sum_parts(p, cell, part, q, x, sums);
#pragma unroll
  for (int half = kParts / 2; half > 0; half /= 2) {
#pragma unroll
    for (int k = 0; k < 2 * kSlots; ++k) {
      T& sum = sums[k / kSlots][k % kSlots];
      sum = sum + __shfl_xor_sync(kAllLanes, sum, half);
    }
  }
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    T* to = p.out + ((item * p.cells + number) * channels + first + c) * kSlots;
    if (first + c >= channels) continue;
#pragma unroll
    for (int k = 0; k < kSlots; ++k) {
      if (k % kParts == part) to[k] = sums[c][k] + sum_rest(p, cell, k, q, x[c]);
    }
  }
}

/// A thread per superpixel and channel: what the nine cells around it give.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    soft_take_kernel(const __grid_constant__ SoftParameters<T> p, const T* given) {
  const int64_t item = blockIdx.y, channels = p.grid.channels;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= p.cells * channels) return;
  const int64_t c = i / p.cells, number = i % p.cells;
  int64_t cells[kSlots];
  neighbours_of(p, number / p.columns, number % p.columns, cells);
  T sum = T(0);
#pragma unroll
  for (int k = 0; k < kSlots; ++k) {
    if (cells[k] < 0) continue;
    sum = sum + given[((item * p.cells + cells[k]) * channels + c) * kSlots + kSlots - 1 - k];
  }
  p.out[(item * channels + c) * p.cells + number] = sum;
}

}  // namespace

namespace kernels {

template <class T>
int soft_superpixel_pool(const SoftSuperpixels& grid, const T* q, const T* x, T* z, void* scratch,
                         Stream stream) {
  const auto items = static_cast<unsigned>(grid.batch);
  const auto queue = static_cast<cudaStream_t>(stream);
  auto* given = static_cast<T*>(scratch);
  const SoftParameters<T> give = soft_parameters<T>(grid, q, x, nullptr, given);
  const SoftParameters<T> take = soft_parameters<T>(grid, nullptr, nullptr, nullptr, z);
  const int64_t groups = (grid.channels + kChannels - 1) / kChannels;
  const dim3 givers(soft_blocks(give.cells * groups, kWarps), items);
  const dim3 takers(soft_blocks(give.cells * grid.channels, kThreads), items);
  if (givers.x == 0 || takers.x == 0) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(soft_give_kernel<T>, givers, dim3(kThreads), 0, queue, give);
  MRF_LAUNCH(soft_take_kernel<T>, takers, dim3(kThreads), 0, queue, take, given);
  return static_cast<int>(cudaGetLastError());
}

template int soft_superpixel_pool<float>(const SoftSuperpixels&, const float*, const float*, float*,
                                         void*, Stream);
template int soft_superpixel_pool<double>(const SoftSuperpixels&, const double*, const double*,
                                          double*, void*, Stream);

}  // namespace kernels
}  // namespace mrfcore::cuda
