// SPDX-License-Identifier: Apache-2.0
// Numbers for what is marked, in order.
#pragma once

#include <cstdint>

#include "warp_row.cuh"

namespace mrfcore::cuda {

/// Sum of the lanes up to this one.
__device__ __forceinline__ int32_t sum_up_to_lane(int32_t x) {
#pragma unroll
  for (unsigned apart = 1; apart < kWarp; apart *= 2) {
    const int32_t below = __shfl_up_sync(kAllLanes, x, apart);
    if (lane_index() >= static_cast<int>(apart)) x += below;
  }
  return x;
}

/// numbers [items, count]: how many marks are before each; counts [items]: how many there are.
struct Numbering {
  const int32_t* marks;  ///< [items, count], 0 or not
  int32_t* numbers;
  int64_t count;
  int32_t* counts;
};

/// Launches; errors are left to cudaGetLastError(). At most 65535 items.
void number_marks(const Numbering& numbering, int64_t items, cudaStream_t stream);

}  // namespace mrfcore::cuda
