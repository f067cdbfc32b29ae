// SPDX-License-Identifier: Apache-2.0
// What every .cu file includes instead of cuda_runtime.h, so that the same source is compiled by
// nvcc for a GPU and, with MRF_CUDA_EMULATOR defined, by a C++ compiler for the CPU
// (tests/emulator). Two things differ between the two and have a macro; all else keeps CUDA's name.
//
//   MRF_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...)
//       kernel<<<grid, block, shared_bytes, stream>>>(arguments...). A template-id with commas goes
//       in parentheses: MRF_LAUNCH((sweep<float, 4>), grid, 128, 0, stream, p). The emulator throws
//       emulator::Error from here; under nvcc, look at cudaGetLastError() afterwards.
//
//   MRF_SHARED(T, name)
//       T* const name: the block's dynamic shared memory, shared_bytes long, aligned to 16 bytes.
//       There is no static __shared__ in this project: the emulator could neither poison nor bound
//       it.
#pragma once

#if defined(MRF_CUDA_EMULATOR)

#include "emulator/emulator.hpp"

#define MRF_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  ::emulator::launch(#kernel, kernel, grid, block, shared_bytes, stream __VA_OPT__(, ) __VA_ARGS__)

#define MRF_SHARED(T, name) T* const name = ::emulator::shared_memory<T>()

#else

#include <cuda_runtime.h>

#define MRF_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)

#define MRF_SHARED(T, name)                                                \
  extern __shared__ __align__(16) unsigned char mrf_dynamic_shared[];      \
  static_assert(alignof(T) <= 16, "shared memory is aligned to 16 bytes"); \
  T* const name = reinterpret_cast<T*>(mrf_dynamic_shared)

#endif

namespace mrfcore::cuda {

/// What a call of the runtime returned. Failures are not left behind: after the next launch,
/// cudaGetLastError() would take them for its own.
inline int forgotten(cudaError_t code) {
  if (code != cudaSuccess) static_cast<void>(cudaGetLastError());
  return static_cast<int>(code);
}

}  // namespace mrfcore::cuda
