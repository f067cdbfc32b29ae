// SPDX-License-Identifier: Apache-2.0
// Small correct kernels that use what the emulator offers; compiled by nvcc, too, so that the
// emulator's interface stays CUDA's.
#include <cooperative_groups.h>

#include "device.cuh"
#include "emulator/sample_kernels.hpp"

namespace sample {
namespace {

constexpr unsigned kAll = 0xFFFFFFFFU;

constexpr unsigned blocks_of(int count, int size) {
  return static_cast<unsigned>((count + size - 1) / size);
}

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAll, value, step);
  return value;
}

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    block_sums_kernel(const T* __restrict__ in, T* __restrict__ out, int count) {
  MRF_SHARED(T, partial);
  const int thread = static_cast<int>(threadIdx.x);
  const int i = static_cast<int>(blockIdx.x) * kThreads + thread;
  const T sum = warp_sum(i < count ? in[i] : T(0));
  if (thread % kLanes == 0) partial[thread / kLanes] = sum;
  __syncthreads();
  if (thread < kLanes) {
    const T total = warp_sum(thread < kThreads / kLanes ? partial[thread] : T(0));
    if (thread == 0) out[blockIdx.x] = total;
  }
}

template <class T>
void launch_block_sums(const T* in, T* out, int count) {
  constexpr int kThreads = 128;
  MRF_LAUNCH((block_sums_kernel<T, kThreads>), blocks_of(count, kThreads), kThreads,
             kThreads / kLanes * sizeof(T), nullptr, in, out, count);
}

__global__ void segment_scans_kernel(const float* in, float* out, int width) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % width;
  float sum = in[i];
  for (int step = 1; step < width; step *= 2) {
    const float before = __shfl_up_sync(kAll, sum, static_cast<unsigned>(step), width);
    if (lane >= step) sum = __fadd_rn(sum, before);
  }
  out[i] = sum;
}

constexpr int kTile = 8;

__global__ void transpose_kernel(const float* in, float* out, int height, int width) {
  MRF_SHARED(float, tile);
  const int tx = static_cast<int>(threadIdx.x);
  const int ty = static_cast<int>(threadIdx.y);
  const int x0 = static_cast<int>(blockIdx.x) * kTile;
  const int y0 = static_cast<int>(blockIdx.y) * kTile;
  if (y0 + ty < height && x0 + tx < width) {
    tile[ty * (kTile + 1) + tx] = in[(y0 + ty) * width + x0 + tx];
  }
  __syncthreads();
  if (y0 + tx < height && x0 + ty < width) {
    out[(x0 + ty) * height + y0 + tx] = tile[tx * (kTile + 1) + ty];
  }
}

__global__ void shuffles_kernel(const int* in, int* out, int operand, int width) {
  const unsigned lane = threadIdx.x;
  const int value = in[lane];
  const auto delta = static_cast<unsigned>(operand);
  out[lane] = __shfl_sync(kAll, value, operand, width);
  out[kLanes + lane] = __shfl_up_sync(kAll, value, delta, width);
  out[2 * kLanes + lane] = __shfl_down_sync(kAll, value, delta, width);
  out[3 * kLanes + lane] = __shfl_xor_sync(kAll, value, operand, width);
}

__global__ void votes_kernel(const int* in, unsigned* out) {
  const int value = in[threadIdx.x];
  const auto bits = static_cast<unsigned>(value);
  const unsigned results[kVotes] = {__ballot_sync(kAll, value % 2 != 0),
                                    static_cast<unsigned>(__any_sync(kAll, value < 0)),
                                    static_cast<unsigned>(__all_sync(kAll, value < 0)),
                                    static_cast<unsigned>(__reduce_min_sync(kAll, value)),
                                    static_cast<unsigned>(__reduce_max_sync(kAll, value)),
                                    static_cast<unsigned>(__reduce_add_sync(kAll, value)),
                                    __reduce_min_sync(kAll, bits),
                                    __reduce_max_sync(kAll, bits),
                                    __reduce_add_sync(kAll, bits),
                                    __reduce_and_sync(kAll, bits),
                                    __reduce_or_sync(kAll, bits),
                                    __reduce_xor_sync(kAll, bits)};
  if (threadIdx.x != 0) return;
  for (int i = 0; i < kVotes; ++i) out[i] = results[i];
}

__global__ void block_votes_kernel(const int* in, int* out) {
  const int value = in[threadIdx.x];
  const int some = __syncthreads_or(value);
  const int all = __syncthreads_and(value);
  const int count = __syncthreads_count(value);
  if (threadIdx.x != blockDim.x - 1) return;
  out[0] = some != 0;
  out[1] = all != 0;
  out[2] = count;
}

__global__ void histogram_kernel(const int* in, unsigned* counts, int* extremes, int count,
                                 int bins) {
  MRF_SHARED(unsigned, local);
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  for (int bin = thread; bin < bins; bin += threads) local[bin] = 0;
  __syncthreads();
  for (int i = static_cast<int>(blockIdx.x) * threads + thread; i < count;
       i += static_cast<int>(gridDim.x) * threads) {
    const int value = __ldg(&in[i]);
    atomicAdd(&local[value % bins], 1U);
    atomicMin(&extremes[0], value);
    atomicMax(&extremes[1], value);
  }
  __syncthreads();
  for (int bin = thread; bin < bins; bin += threads) atomicAdd(&counts[bin], local[bin]);
}

constexpr int kScanThreads = 64;

__global__ void chained_scan_kernel(const unsigned* in, unsigned* out, unsigned* state, int count) {
  MRF_SHARED(unsigned, shared);  // [block, sum of first warp, sum before]
  const unsigned thread = threadIdx.x;
  // Blocks take numbers as they begin: who waits for a smaller number waits for one that runs.
  if (thread == 0) shared[0] = atomicAdd(&state[0], 1U);
  __syncthreads();
  const unsigned block = shared[0];
  const auto i = static_cast<int>(block * kScanThreads + thread);
  const unsigned lane = thread % kLanes;
  unsigned sum = i < count ? in[i] : 0;
  for (unsigned step = 1; step < kLanes; step *= 2) {
    const unsigned before = __shfl_up_sync(kAll, sum, step);
    if (lane >= step) sum += before;
  }
  if (thread == kLanes - 1) shared[1] = sum;
  __syncthreads();
  if (thread >= kLanes) sum += shared[1];
  if (thread == kScanThreads - 1) {
    volatile unsigned* ready = state + 1;
    volatile unsigned* sums = state + 1 + gridDim.x;
    unsigned before = 0;
    if (block > 0) {
      while (ready[block - 1] == 0) __nanosleep(100);
      __threadfence();
      before = sums[block - 1];
    }
    sums[block] = before + sum;
    __threadfence();
    ready[block] = 1;
    shared[2] = before;
  }
  __syncthreads();
  if (i < count) out[i] = shared[2] + sum;
}

__device__ void smooth(const int* in, int* out, int count) {
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < count;
       i += static_cast<int>(gridDim.x * blockDim.x)) {
    out[i] = in[max(i - 1, 0)] + in[i] + in[min(i + 1, count - 1)];
  }
}

__global__ void smooth_twice_kernel(const int* in, int* scratch, int* out, int count) {
  smooth(in, scratch, count);
  cooperative_groups::this_grid().sync();
  smooth(scratch, out, count);
}

__global__ void separate_halves_kernel(const int* trips, int* out) {
  const unsigned thread = threadIdx.x;
  if (thread >= 2 * kLanes) return;  // the third warp; no barrier of the block follows
  const bool upper = thread % kLanes >= kLanes / 2;
  const unsigned mask = upper ? 0xFFFF0000U : 0x0000FFFFU;
  const int mine = trips[thread / (kLanes / 2)];
  int sum = 0;
  if (upper) {
    for (int trip = 0; trip < mine; ++trip) sum += __reduce_add_sync(mask, 1);
  } else {
    for (int trip = 0; trip < mine; ++trip) {
      for (int from = 0; from < kLanes / 2; ++from) sum += __shfl_sync(mask, 1, from);
    }
  }
  __syncwarp();
  out[thread] = sum;
}

__global__ void vector_loads_kernel(const float4* in, float4* out, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count) return;
  const float4 v = in[i];
  out[i] = make_float4(__fmaf_rn(v.x, 2.0F, 2.0F), __fmul_rn(__fadd_rn(v.y, 1.0F), 2.0F),
                       fminf(v.z, v.w), fmaxf(v.z, v.w));
}

__global__ void use_shared_kernel(int bytes, unsigned char* last) {
  MRF_SHARED(unsigned char, memory);
  const int threads = static_cast<int>(blockDim.x);
  for (int i = static_cast<int>(threadIdx.x); i < bytes; i += threads) {
    memory[i] = static_cast<unsigned char>(i);
  }
  __syncthreads();
  if (threadIdx.x == 0) *last = memory[bytes - 1];
}

__global__ void take_turns_kernel(volatile int* turn) {
  while (*turn != static_cast<int>(blockIdx.x)) __nanosleep(20);
  *turn = *turn + 1;
}

}  // namespace

void block_sums(const int* in, int* out, int count) { launch_block_sums(in, out, count); }
void block_sums(const double* in, double* out, int count) { launch_block_sums(in, out, count); }

void segment_scans(const float* in, float* out, int count, int width) {
  MRF_LAUNCH(segment_scans_kernel, blocks_of(count, 64), 64, 0, nullptr, in, out, width);
}

void transpose(const float* in, float* out, int height, int width) {
  const dim3 grid(blocks_of(width, kTile), blocks_of(height, kTile));
  MRF_LAUNCH(transpose_kernel, grid, dim3(kTile, kTile), kTile * (kTile + 1) * sizeof(float),
             nullptr, in, out, height, width);
}

void shuffles(const int* in, int* out, int operand, int width) {
  MRF_LAUNCH(shuffles_kernel, 1, kLanes, 0, nullptr, in, out, operand, width);
}

void votes(const int* in, unsigned* out) {
  MRF_LAUNCH(votes_kernel, 1, kLanes, 0, nullptr, in, out);
}

void block_votes(const int* in, int* out, int threads) {
  MRF_LAUNCH(block_votes_kernel, 1, static_cast<unsigned>(threads), 0, nullptr, in, out);
}

void histogram(const int* in, unsigned* counts, int* extremes, int count, int bins) {
  MRF_LAUNCH(histogram_kernel, 3, 96, static_cast<unsigned>(bins) * sizeof(unsigned), nullptr, in,
             counts, extremes, count, bins);
}

void chained_scan(const unsigned* in, unsigned* out, unsigned* state, int count) {
  MRF_LAUNCH(chained_scan_kernel, blocks_of(count, kScanThreads), kScanThreads,
             3 * sizeof(unsigned), nullptr, in, out, state, count);
}

void take_turns(int* turn, int blocks) {
  MRF_LAUNCH(take_turns_kernel, static_cast<unsigned>(blocks), 1, 0, nullptr, turn);
}

void smooth_twice(const int* in, int* scratch, int* out, int count) {
  void* arguments[] = {&in, &scratch, &out, &count};
  cudaLaunchCooperativeKernel(smooth_twice_kernel, dim3(3), dim3(32), arguments, 0, nullptr);
}

void separate_halves(const int* trips, int* out) {
  MRF_LAUNCH(separate_halves_kernel, 1, 3 * kLanes, 0, nullptr, trips, out);
}

void vector_loads(const float* in, float* out, int count) {
  MRF_LAUNCH(vector_loads_kernel, blocks_of(count / 4, 32), 32, 0, nullptr,
             reinterpret_cast<const float4*>(in), reinterpret_cast<float4*>(out), count / 4);
}

void use_shared(int bytes, bool raise, unsigned char* last) {
  if (raise) {
    cudaFuncSetAttribute(use_shared_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  }
  MRF_LAUNCH(use_shared_kernel, 1, 64, static_cast<unsigned>(bytes), nullptr, bytes, last);
}

}  // namespace sample
