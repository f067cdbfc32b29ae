// SPDX-License-Identifier: Apache-2.0
// Sums over labels when a warp goes through a row 32 labels at a time.
#pragma once

#include "warp_row.cuh"

namespace mrfcore::cuda {

/// Sums of partial sums that lanes 0..15 have, in halves, in every lane. Several at once: their
/// shuffles do not wait for one another.
template <class T, int N>
__device__ __forceinline__ void sum_halves(T (&partial)[N]) {
  constexpr int kHalf = 8;
  const int lane = lane_index() % kHalf;
  T upper[N];
#pragma unroll
  for (int n = 0; n < N; ++n) {
    upper[n] = __shfl_sync(kAllLanes, partial[n], lane + kHalf);
    partial[n] = __shfl_sync(kAllLanes, partial[n], lane);
  }
#pragma unroll
  for (int n = 0; n < N; ++n) partial[n] = partial[n] + upper[n];
  // The upper lane of two adds them the other way round: the same bits.
#pragma unroll
  for (int apart = kHalf / 2; apart > 0; apart /= 2) {
#pragma unroll
    for (int n = 0; n < N; ++n) upper[n] = __shfl_xor_sync(kAllLanes, partial[n], apart);
#pragma unroll
    for (int n = 0; n < N; ++n) partial[n] = partial[n] + upper[n];
  }
}

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
    T sum[1] = {partial_};
    sum_halves(sum);
    return sum[0];
  }

 private:
  T partial_ = T(0);
};

/// Sums of whole rows, as by OrderedSum. Elements beyond the last label must be zero.
template <class T, int NK, int N>
__device__ __forceinline__ void ordered_sums(const WarpRow<T, NK>* const (&rows)[N],
                                             T (&totals)[N]) {
  OrderedSum<T> sums[N];
#pragma unroll
  for (int k = 0; k < NK; ++k) {
#pragma unroll
    for (int n = 0; n < N; ++n) sums[n].add(rows[n]->at[k]);
  }
#pragma unroll
  for (int n = 0; n < N; ++n) totals[n] = sums[n].partial();
  sum_halves(totals);
}

}  // namespace mrfcore::cuda
