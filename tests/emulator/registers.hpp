// SPDX-License-Identifier: Apache-2.0
// threadIdx, blockIdx, blockDim, gridDim.
#pragma once

#include "emulator/vector_types.hpp"

namespace emulator {

// The emulator writes them whenever a thread goes on.
struct Registers {
  uint3 thread{};
  uint3 block{};
  dim3 block_size;
  dim3 grid_size;
};
extern constinit Registers registers;

}  // namespace emulator

// NOLINTBEGIN: names are CUDA's
inline constexpr const uint3& threadIdx = emulator::registers.thread;
inline constexpr const uint3& blockIdx = emulator::registers.block;
inline constexpr const dim3& blockDim = emulator::registers.block_size;
inline constexpr const dim3& gridDim = emulator::registers.grid_size;
inline constexpr int warpSize = 32;
// NOLINTEND
