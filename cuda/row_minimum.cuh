// SPDX-License-Identifier: Apache-2.0
// The minimum of a row when a warp goes through it 32 labels at a time.
#pragma once

#include "warp_row.cuh"

namespace mrfcore::cuda {

/// Lowest value seen and the lowest label that has it. Without any: a label that exists and a value
/// above all costs.
template <class T>
struct RowMinimum {
  T value;
  int label;

  __device__ __forceinline__ explicit RowMinimum(int labels)
      : value(kForbidden<T> * T(64)), label(labels - 1) {}

  __device__ __forceinline__ void offer(T other, int other_label) {
    if (other < value || (other == value && other_label < label)) {
      value = other;
      label = other_label;
    }
  }
  /// Of all lanes, in every lane.
  __device__ __forceinline__ void reduce() {
#pragma unroll
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
      const T other = __shfl_xor_sync(kAllLanes, value, apart);
      offer(other, __shfl_xor_sync(kAllLanes, label, apart));
    }
  }
};

}  // namespace mrfcore::cuda
