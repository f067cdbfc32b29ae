// SPDX-License-Identifier: Apache-2.0
// How blocks of one launch wait for one another. Work is dealt by tickets: who waits, waits for a
// lower ticket, whose owner is under way, so nothing depends on which blocks are resident.
#pragma once

#include "device.cuh"

namespace mrfcore::cuda {

/// Whoever reads this value by observe() sees all that this thread has written or, by a barrier,
/// has seen before.
__device__ __forceinline__ void publish(int* word, int value) {
#if defined(MRF_CUDA_EMULATOR)
  *static_cast<volatile int*>(word) = value;
#else
  asm volatile("st.release.gpu.s32 [%0], %1;" ::"l"(word), "r"(value) : "memory");
#endif
}

__device__ __forceinline__ int observe(const int* word) {
#if defined(MRF_CUDA_EMULATOR)
  return *static_cast<const volatile int*>(word);
#else
  int value;
  asm volatile("ld.acquire.gpu.s32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
  return value;
#endif
}

/// A value that stands for itself only: nothing else is known to be visible.
__device__ __forceinline__ int glance(const int* word) {
  return *static_cast<const volatile int*>(word);
}

/// Between two looks.
__device__ __forceinline__ void pause() { __nanosleep(40); }

/// How many items, of rows each, side by side: row r of every item before row r + 1 of any.
struct RowTicket {
  int64_t item, row;

  __device__ __forceinline__ RowTicket(int ticket, int64_t items)
      : item(ticket % items), row(ticket / items) {}
};

}  // namespace mrfcore::cuda
