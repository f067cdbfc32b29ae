// SPDX-License-Identifier: Apache-2.0
// How kernels of filter flow bring filters to the chip: a block of taps at a time, as weights, with
// the softmax and the flow taken on the way.
#pragma once

#include "flow_patch.cuh"

namespace mrfcore::cuda {

constexpr int kMostTaps = 16;  ///< of a block of taps

template <class T>
struct FlowParameters {
  FlowSize size;
  Tiling tiling;
  bool softmax;
  FlowPadding padding;
  const void* filters;
  const T* image;
  T* out;   ///< [batch, channels, tiling.rows, tiling.columns]
  T* flow;  ///< null: not wanted
  T* peak;  ///< softmax: written; transpose: read
  T* scale;
  int taps;   ///< of a block, but for the last of a filter row
  int parts;  ///< of the channels: so many blocks have the same tile, side by side for L2
};

/// A block of taps of the filters' row at hand. A warp's pixels stay with it.
template <class T, class F, bool kTranspose>
struct Stage {
  const FlowParameters<T>& p;
  const Place& place;
  int64_t item;
  T peak = -kInfinite<T>, total = T(0), flow_x = T(0), flow_y = T(0);
  F ahead[kMostTaps] = {};

  static __device__ __forceinline__ int row() { return static_cast<int>(threadIdx.x) / kWarp; }

  /// Asks for taps (u, v) .. (u, v + count - 1), none where u is no row of the filter.
  __device__ __forceinline__ void ask(int u, int v, int count) {
    const FlowSize& q = p.size;
    const int64_t plane = q.plane();
    const int reach = before(q.side), lane = lane_index();
    const int y = place.row(kTranspose ? row() + u - reach : row());
    const bool wanted = u >= 0 && u < q.side && y >= 0 && y < q.height;
    const int x = place.column(kTranspose ? lane + v - reach : lane);
    const F* at = static_cast<const F*>(p.filters) +
                  (item * q.side * q.side + u * q.side + v) * plane + int64_t{y} * q.width + x;
#pragma unroll
    for (int j = 0; j < kMostTaps; ++j) {
      const int column = kTranspose ? x - j : x;
      const bool inside = wanted && j < count && column >= 0 && column < q.width;
      ahead[j] = inside ? read<kTranspose>(at + j * (kTranspose ? plane - 1 : plane)) : F{};
    }
  }

  /// Weights of what was asked for, into taps[j]; returns what older sums are to be multiplied by.
  __device__ __forceinline__ T put(T* taps, const T* peaks, int u, int v, int count) {
    const int reach = before(p.size.side);
    T weight[kMostTaps];
#pragma unroll
    for (int j = 0; j < kMostTaps; ++j) weight[j] = widen(ahead[j]);
    T factor = T(1);
    if (p.softmax) {
      if constexpr (kTranspose) {
        soften_by(weight, peaks, u, v, count);
      } else {
        factor = soften(weight, count);
      }
    }
    if (p.flow != nullptr) add_flow(weight, v - reach, u - reach, count);
#pragma unroll
    for (int j = 0; j < kMostTaps; ++j) {
      if (j < count) taps[j * kTilePixels + threadIdx.x] = weight[j];
    }
    return factor;
  }

 private:
  /// Online softmax: weights are exp(filter - highest so far).
  __device__ __forceinline__ T soften(T (&weight)[kMostTaps], int count) {
    const T old = peak;
#pragma unroll
    for (int j = 0; j < kMostTaps; ++j) peak = j < count && weight[j] > peak ? weight[j] : peak;
    // All -inf so far: they weigh exp(-inf - 0) = 0.
    const T base = peak < -kLargest<T> ? T(0) : peak;
    T sum = T(0);
#pragma unroll
    for (int j = 0; j < kMostTaps; ++j) {
      if (j >= count) break;
      weight[j] = exponential(weight[j] - base);
      sum += weight[j];
    }
    const T factor = exponential(old - base);
    total = total * factor + sum;
    flow_x *= factor;
    flow_y *= factor;
    return factor;
  }
  /// With the highest of the pixels that the filters are of; pixels outside weigh nothing.
  __device__ __forceinline__ void soften_by(T (&weight)[kMostTaps], const T* peaks, int u, int v,
                                            int count) {
    const FlowSize& q = p.size;
    const int reach = before(q.side);
    const int y = place.row(row() + u - reach);
#pragma unroll
    for (int j = 0; j < kMostTaps; ++j) {
      if (j >= count) break;
      const int x = place.column(lane_index() + v + j - reach);
      const bool inside = q.contains(y, x);
      weight[j] = inside ? exponential(weight[j] - peaks[lane_index() + v + j]) : T(0);
    }
  }
  __device__ __forceinline__ void add_flow(const T (&weight)[kMostTaps], int dx, int dy,
                                           int count) {
    T sum = T(0), moment = T(0);
#pragma unroll
    for (int j = 0; j < kMostTaps; ++j) {
      if (j >= count) break;
      sum += weight[j];
      moment += weight[j] * static_cast<T>(dx + j);
    }
    flow_x += moment;
    flow_y += sum * static_cast<T>(dy);
  }
};

}  // namespace mrfcore::cuda
