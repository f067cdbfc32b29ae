// SPDX-License-Identifier: Apache-2.0
// What forward and backward loops of mean shift share: weights of pairs, and a warp per point.
#pragma once

#include "point_tile.cuh"

namespace mrfcore::cuda::points {

constexpr int kRowThreads = 256;  ///< eight points

/// Vectors shorter than this have no direction.
template <class T>
constexpr T kShortest = T(1e-12);

__device__ __forceinline__ float root(float x) { return sqrtf(x); }
__device__ __forceinline__ double root(double x) { return sqrt(x); }

inline dim3 rows_grid(const PointLayout& layout) {
  return dim3(static_cast<unsigned>(layout.numbers() / (kRowThreads / kWarp)));
}

__device__ __forceinline__ int64_t row_of_warp() {
  return static_cast<int64_t>(blockIdx.x) * (kRowThreads / kWarp) + threadIdx.x / kWarp;
}

/// In every lane.
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) x = x + __shfl_xor_sync(kAllLanes, x, apart);
  return x;
}

template <class T>
__device__ __forceinline__ T warp_dot(const T* a, const T* b, int64_t size) {
  T sum = T(0);
  for (int64_t d = lane_index(); d < size; d += kWarp) sum = fused(a[d], b[d], sum);
  return warp_sum(sum);
}

/// In the order of the parts.
template <class T>
__device__ __forceinline__ T sum_of_parts(const T* parts, int64_t apart, int count) {
  T sum = parts[0];
  for (int s = 1; s < count; ++s) sum += parts[s * apart];
  return sum;
}

/// g <- (g - x (x . g)) / length by a warp; 0 where length is.
template <class T>
__device__ __forceinline__ void project(const T* x, T length, int64_t stride, T* g) {
  const T along = warp_dot(x, g, stride), scale = length == T(0) ? T(0) : T(1) / length;
  for (int64_t d = lane_index(); d < stride; d += kWarp)
    g[d] = length == T(0) ? T(0) : fused(-x[d], along, g[d]) * scale;
}

/// exp(x), x <= 0: core::exp_nonpositive() in fused operations, half as many; as exact.
__device__ __forceinline__ float exponential(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float clipped = x > -87.0f ? x : -87.0f;
  const float n = fused(clipped, 1.44269504f, kRound) - kRound;
  const float r = fused(n, 2.12194440e-4f, fused(n, -0.693359375f, clipped));
  float p = 1.0f / 720.0f;
  p = fused(p, r, 1.0f / 120.0f);
  p = fused(p, r, 1.0f / 24.0f);
  p = fused(p, r, 1.0f / 6.0f);
  p = fused(p, r, 0.5f);
  p = fused(p, r, 1.0f);
  p = fused(p, r, 1.0f);
  const float power = __int_as_float((static_cast<int>(n) + 127) << 23);
  return x > -87.0f ? p * power : 0.0f;
}
__device__ __forceinline__ double exponential(double x) { return core::exp_nonpositive(x); }

/// E_ij, of which K = exp(kappa E): x_i . x_j - 1 or -|x_i - x_j|^2 / 2; NaN stays NaN.
template <bool kEuclidean, class T>
__device__ __forceinline__ T exponent(T product) {
  const T e = kEuclidean ? T(-0.5) * product : product - T(1);
  return e > T(0) ? T(0) : e;  // rounding may pass 1
}

/// K of the pairs of a thread's part.
template <class T>
struct Weights {
  bool flat;
  T kappa;      ///< NaN if it cannot be one
  int columns;  ///< points j of the part that are no padding

  __device__ __forceinline__ Weights(const PointLayout& layout, const Place<T>& place,
                                     MeanShiftKernel kernel, T of)
      : flat(kernel == MeanShiftKernel::Flat),
        kappa(nan_unless(of >= T(0) && of - of == T(0), of)),
        columns(within_block(layout.points - place.first) - Place<T>::column()) {}

  /// Points i of the part in tile t.
  static __device__ __forceinline__ int rows(const PointLayout& layout, int64_t t) {
    return within_block(layout.points - t * Tile<T>::kOthers) - Place<T>::row();
  }
  /// Of exponent e, or 0 for padding: all threads compute the same, none branches.
  __device__ __forceinline__ T operator()(T e, bool valid) const {
    const T x = valid ? kappa * e : T(-1e30);
    const T k = flat ? (x >= T(-0.5) ? T(1) : T(0)) : exponential(x);
    return x <= T(0) ? k : x;  // NaN
  }

 private:
  static __device__ __forceinline__ int within_block(int64_t points) {
    return points < kPointBlock ? static_cast<int>(points) : static_cast<int>(kPointBlock);
  }
};

}  // namespace mrfcore::cuda::points
