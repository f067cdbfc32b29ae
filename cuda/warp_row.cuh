// SPDX-License-Identifier: Apache-2.0
// A row of labels held by one warp: lane i has labels i, 32 + i, 64 + i, ..., so that every access
// to memory is one line of 32 neighbours. Lanes beyond the last label hold kForbidden.
#pragma once

#include <cstdint>

#include "cpu/kernels.hpp"
#include "device.cuh"

namespace mrfcore::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarp = 32;

using cpu::kForbidden;

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }

/// Not fmin: the CPU's minimum is this comparison.
template <class T>
__device__ __forceinline__ T lower(T a, T b) {
  return a < b ? a : b;
}

template <class T>
__device__ __forceinline__ T warp_minimum(T x) {
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    x = lower(x, __shfl_xor_sync(kAllLanes, x, apart));
  }
  return x;
}

/// In one reduction of integers that compare as the floats do.
__device__ __forceinline__ float warp_minimum(float x) {
  const auto turned = [](int bits) { return bits ^ (bits >> 31 & 0x7fffffff); };
  return __int_as_float(turned(__reduce_min_sync(kAllLanes, turned(__float_as_int(x)))));
}

/// V: T for values, int for labels. NK * 32 >= labels.
template <class V, int NK>
struct WarpRow {
  V at[NK];

  static __device__ __forceinline__ int label(int k) { return k * kWarp + lane_index(); }

  /// Row moved S labels up: element k holds label - S, or `outside`.
  template <int S>
  __device__ __forceinline__ WarpRow from_below(V outside) const {
    WarpRow moved;
    if constexpr (S >= kWarp) {
#pragma unroll
      for (int k = 0; k < NK; ++k) moved.at[k] = k >= S / kWarp ? at[k - S / kWarp] : outside;
    } else {
      const int lane = lane_index();
      V before = outside;
#pragma unroll
      for (int k = 0; k < NK; ++k) {
        const V turned = __shfl_sync(kAllLanes, at[k], (lane - S) & (kWarp - 1));
        moved.at[k] = lane >= S ? turned : before;
        before = turned;
      }
    }
    return moved;
  }

  /// Row moved S labels down: element k holds label + S, or `outside`.
  template <int S>
  __device__ __forceinline__ WarpRow from_above(V outside) const {
    WarpRow moved;
    if constexpr (S >= kWarp) {
#pragma unroll
      for (int k = 0; k < NK; ++k) moved.at[k] = k + S / kWarp < NK ? at[k + S / kWarp] : outside;
    } else {
      const int lane = lane_index();
      V after = outside;
#pragma unroll
      for (int k = NK - 1; k >= 0; --k) {
        const V turned = __shfl_sync(kAllLanes, at[k], (lane + S) & (kWarp - 1));
        moved.at[k] = lane < kWarp - S ? turned : after;
        after = turned;
      }
    }
    return moved;
  }
};

template <class T, int NK>
__device__ __forceinline__ T row_minimum(const WarpRow<T, NK>& row) {
  T lowest = row.at[0];
#pragma unroll
  for (int k = 1; k < NK; ++k) lowest = lower(lowest, row.at[k]);
  return warp_minimum(lowest);
}

/// Lowest label that holds `value`.
template <class T, int NK>
__device__ __forceinline__ int first_label(const WarpRow<T, NK>& row, T value) {
  int first = 0;
#pragma unroll
  for (int k = NK - 1; k >= 0; --k) {
    const unsigned here = __ballot_sync(kAllLanes, row.at[k] == value);
    if (here != 0) first = k * kWarp + __ffs(static_cast<int>(here)) - 1;
  }
  return first;
}

}  // namespace mrfcore::cuda
