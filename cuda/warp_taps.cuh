// SPDX-License-Identifier: Apache-2.0
// Where a warped pixel looks: the expressions of cpp/cpu/warp.cpp in its order.
#pragma once

#include <cstdint>

#include "core/hd.hpp"
#include "device.cuh"
#include "warp_kernels.hpp"

namespace mrfcore::cuda {

/// Two neighbouring taps along one axis. A tap outside has weight 0 and a place inside.
template <class T>
struct Axis {
  int first, second;
  T low, high;              ///< their weights
  T slope_low, slope_high;  ///< and derivatives of these
  bool inside;
};

/// size: at most 2^24, so that positions are exact.
template <class T>
__device__ __forceinline__ Axis<T> taps_of(T at, int size, WarpPadding padding) {
  const T last = static_cast<T>(size - 1), none = T(0);
  if (!(at - at == none)) return {0, 0, at - at, at - at, none, none, false};  // NaN, infinite
  const bool inside = at >= none && at <= last;
  if (!inside && padding == WarpPadding::Replicate) {
    const int border = at < none ? 0 : size - 1;
    return {border, border, T(1), none, none, none, false};
  }
  if (at <= T(-1) || at >= last + T(1)) {
    // Just at -1 the derivative to the right is that of the first pixel coming in.
    return {0, 0, none, none, none, at == T(-1) ? T(1) : none, false};
  }
  const auto truncated = static_cast<int>(at);
  const int i = static_cast<T>(truncated) > at ? truncated - 1 : truncated;
  const T fraction = at - static_cast<T>(i);
  Axis<T> axis{i, i + 1, T(1) - fraction, fraction, T(-1), T(1), inside};
  if (axis.first < 0) {
    axis.first = 0;
    axis.low = axis.slope_low = none;
  }
  if (axis.second >= size) {
    axis.second = size - 1;
    axis.high = axis.slope_high = none;
    if (padding == WarpPadding::Replicate) axis.slope_low = none;
  }
  return axis;
}

/// Sizes as kernels want them.
struct WarpSize {
  int items, channels, height, width, out_height, out_width;
  WarpPadding padding;

  static WarpSize of(const WarpProblem& p) {
    return {static_cast<int>(p.batch),
            static_cast<int>(p.channels),
            static_cast<int>(p.height),
            static_cast<int>(p.width),
            static_cast<int>(p.out_height),
            static_cast<int>(p.out_width),
            p.padding};
  }
  MRF_CORE int64_t plane() const { return static_cast<int64_t>(height) * width; }
  MRF_CORE int64_t out_plane() const { return static_cast<int64_t>(out_height) * out_width; }
};

/// The four taps of a pixel, as offsets into a plane.
template <class T>
struct WarpTaps {
  Axis<T> x, y;
  int64_t top_left, top_right, bottom_left, bottom_right;

  /// flow: of the item; at: the pixel in a plane of the result.
  static __device__ __forceinline__ WarpTaps of(const WarpSize& size, const T* flow, int64_t at) {
    const auto column = static_cast<T>(static_cast<int>(at % size.out_width));
    const auto row = static_cast<T>(static_cast<int>(at / size.out_width));
    WarpTaps taps;
    taps.x = taps_of(column + flow[at], size.width, size.padding);
    taps.y = taps_of(row + flow[size.out_plane() + at], size.height, size.padding);
    const int64_t top = static_cast<int64_t>(taps.y.first) * size.width;
    const int64_t bottom = static_cast<int64_t>(taps.y.second) * size.width;
    taps.top_left = top + taps.x.first;
    taps.top_right = top + taps.x.second;
    taps.bottom_left = bottom + taps.x.first;
    taps.bottom_right = bottom + taps.x.second;
    return taps;
  }
};

constexpr int kWarpThreads = 256;

/// Threads for all pixels of all items: blocks follow each other item by item.
struct PixelGrid {
  int64_t pixels;  ///< of an item
  int blocks;      ///< of an item

  static PixelGrid of(int64_t pixels, int64_t a_thread = 1) {
    const int64_t a_block = kWarpThreads * a_thread;
    return {pixels, static_cast<int>((pixels + a_block - 1) / a_block)};
  }
  /// Of a launch; 0 where that is more than a grid takes.
  unsigned blocks_of(int64_t items) const {
    const int64_t all = (pixels + kWarpThreads - 1) / kWarpThreads * items;
    return all > INT32_MAX ? 0 : static_cast<unsigned>(blocks * items);
  }
  __device__ __forceinline__ int item() const { return static_cast<int>(blockIdx.x) / blocks; }
  __device__ __forceinline__ int64_t pixel(int64_t a_thread = 1) const {
    const int64_t block = static_cast<int>(blockIdx.x) % blocks;
    return block * kWarpThreads * a_thread + threadIdx.x;
  }
};

}  // namespace mrfcore::cuda
