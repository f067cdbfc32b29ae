// SPDX-License-Identifier: Apache-2.0
// Sums over labels when a warp goes through a row 32 labels at a time.
#pragma once

#include "warp_row.cuh"

namespace mrfcore::cuda {

/// In 16 interleaved partial sums, then halves: OrderedSum of cpp/cpu/simd.hpp, to the bit. All
/// lanes take part; those without a label add zero.
template <class T>
class OrderedSum {
 public:
  OrderedSum() = default;
  /// Goes on from partial().
  __device__ __forceinline__ explicit OrderedSum(T partial) : partial_(partial) {}

  /// `x` of label 32 k + lane; k ascending.
  __device__ __forceinline__ void add(T x) {
    const T upper = __shfl_sync(kAllLanes, x, (lane_index() + 16) & (kWarp - 1));
    partial_ = (partial_ + x) + upper;
  }
  /// Lanes 0..15 have one each.
  __device__ __forceinline__ T partial() const { return partial_; }
  /// In every lane.
  __device__ __forceinline__ T total() const {
    T sum = partial_;
#pragma unroll
    for (int apart = 8; apart > 0; apart /= 2)
      sum = sum + __shfl_sync(kAllLanes, sum, (lane_index() + apart) & (kWarp - 1));
    return __shfl_sync(kAllLanes, sum, 0);
  }

 private:
  T partial_ = T(0);
};

}  // namespace mrfcore::cuda
