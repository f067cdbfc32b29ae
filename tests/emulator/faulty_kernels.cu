// SPDX-License-Identifier: Apache-2.0
// Small wrong kernels, each of which the emulator must find out.
#include "emulator/faulty_kernels.hpp"

#include <cooperative_groups.h>

#include "device.cuh"

namespace faulty {
namespace {

constexpr unsigned kAll = 0xFFFFFFFFU;
constexpr unsigned kThreads = 64;

__device__ float break_barrier(Mistake mistake, unsigned thread) {
  switch (mistake) {
    case Mistake::kBarrierAfterExit:
      __syncthreads();
      break;
    case Mistake::kBarrierInBranches:
      if (thread < 40) {
        __syncthreads();
      } else {
        __syncthreads();
      }
      break;
    case Mistake::kBarrierAgainstWarp:
      if (thread == 5) {
        __syncthreads();
      } else {
        __syncwarp();
      }
      break;
    case Mistake::kGridBarrierAlone:
      cooperative_groups::this_grid().sync();
      break;
    default:
      break;
  }
  return 1.0F;
}

__device__ float break_warp(Mistake mistake, unsigned thread) {
  float value = static_cast<float>(thread);
  const unsigned lane = thread % 32;
  switch (mistake) {
    case Mistake::kMaskOfExited:
    case Mistake::kMaskOfNobody:
      value = __shfl_xor_sync(kAll, value, 1);
      break;
    case Mistake::kShuffleInBranches:
      if (lane < 16) {
        value = __shfl_sync(kAll, value, 0);
      } else {
        value = __shfl_sync(kAll, value, 16);
      }
      break;
    case Mistake::kVoteAgainstShuffle:
      if (lane == 7) {
        value = __any_sync(kAll, 1) ? 1.0F : 0.0F;
      } else {
        value = __shfl_sync(kAll, value, 0);
      }
      break;
    case Mistake::kCallerNotInMask:
      __syncwarp(0xFFFFFFF7U);
      break;
    case Mistake::kShuffleFromOutside:
      if (lane < 16) value = __shfl_down_sync(0x0000FFFFU, value, 4);
      break;
    case Mistake::kWidth:
      value = __shfl_sync(kAll, value, 0, 12);
      break;
    default:
      break;
  }
  return value;
}

__global__ void mistakes_kernel(Mistake mistake, float* out, const unsigned* never) {
  MRF_SHARED(float, memory);
  const unsigned thread = threadIdx.x;
  memory[thread] = 0;
  if (mistake == Mistake::kBarrierAfterExit && thread >= kThreads / 2) return;
  if (mistake == Mistake::kMaskOfExited && thread == 3) return;
  if (mistake == Mistake::kSharedAfter) memory[thread + 1] = 1;
  if (mistake == Mistake::kSharedBefore) (memory - 1)[thread] = 1;
  if (mistake == Mistake::kSpin && thread == 9) {
    while (*static_cast<const volatile unsigned*>(never) == 0) __nanosleep(100);
  }
  out[thread] = break_barrier(mistake, thread) + break_warp(mistake, thread);
}

__global__ void forgets_barrier_kernel(float* out) {
  MRF_SHARED(float, memory);
  const unsigned thread = threadIdx.x;
  memory[thread] = static_cast<float>(thread);
  out[thread] = memory[(thread + 1) % kThreads];
}

__global__ void forgets_to_write_kernel(float* out) {
  MRF_SHARED(float, memory);
  out[threadIdx.x] = fminf(memory[threadIdx.x], 0.0F);
}

__global__ void block_order_kernel(unsigned* total) {
  total[0] = total[0] * 3 + blockIdx.x;
  total[1] += 1;
}

__global__ void writes_33_kernel(float* out) {
  for (unsigned i = threadIdx.x; i < 33; i += 32) out[i] = 1;
}

__global__ void grid_barrier_of_one_kernel() {
  if (blockIdx.x == 0) cooperative_groups::this_grid().sync();
}

__global__ void empty_kernel() {}

}  // namespace

void run(Mistake mistake, float* out) {
  const unsigned threads = mistake == Mistake::kMaskOfNobody ? 48 : kThreads;
  // What kSpin waits for: the zeros that nobody changes.
  unsigned* never = nullptr;
  cudaMalloc(&never, sizeof(unsigned));
  cudaMemsetAsync(never, 0, sizeof(unsigned), nullptr);
  struct Free {
    unsigned* pointer;
    ~Free() { cudaFree(pointer); }
  } const free_at_end{never};
  MRF_LAUNCH(mistakes_kernel, 1, threads, kThreads * sizeof(float), nullptr, mistake, out, never);
}

void forgets_barrier(float* out) {
  MRF_LAUNCH(forgets_barrier_kernel, 1, kThreads, kThreads * sizeof(float), nullptr, out);
}

void forgets_to_write(float* out) {
  MRF_LAUNCH(forgets_to_write_kernel, 1, 32, 32 * sizeof(float), nullptr, out);
}

void depends_on_block_order(unsigned* total) {
  MRF_LAUNCH(block_order_kernel, 5, 1, 0, nullptr, total);
}

void writes_33(float* out) { MRF_LAUNCH(writes_33_kernel, 1, 32, 0, nullptr, out); }

void grid_barrier_of_one(int blocks) {
  cudaLaunchCooperativeKernel(grid_barrier_of_one_kernel, dim3(static_cast<unsigned>(blocks)),
                              dim3(32), static_cast<void**>(nullptr), 0, nullptr);
}

void empty(unsigned grid_x, unsigned grid_y, unsigned block_x, unsigned block_z) {
  MRF_LAUNCH(empty_kernel, dim3(grid_x, grid_y), dim3(block_x, 1, block_z), 0, nullptr);
}

}  // namespace faulty
