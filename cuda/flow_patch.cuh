// SPDX-License-Identifier: Apache-2.0
// What the kernels of filter flow share: tiles of 32 columns and 8 rows, the part of the image that
// such a tile's filters see, and the exponential of a softmax.
#pragma once

#include <cfloat>
#include <cstdint>

#include "core/exponential.hpp"
#include "core/hd.hpp"
#include "filter_flow_kernels.hpp"
#include "half.cuh"
#include "warp_row.cuh"

namespace mrfcore::cuda {

constexpr int kTileRows = 8, kTilePixels = kTileRows * kWarp;

/// Tap 0 lies -before(side) away.
MRF_CORE constexpr int before(int side) { return (side - 1) / 2; }

/// A filter's value. Each is read once; but transposed, rows begin anywhere, and what is left over
/// of a sector is the next block's.
template <bool kKeep = false, class F>
__device__ __forceinline__ F read(const F* at) {
  if constexpr (kKeep) {
    return *at;
  } else if constexpr (sizeof(F) == 2) {
    return F{__ldcs(&at->bits)};
  } else {
    return __ldcs(at);
  }
}

/// Which of 0..size-1 stands at position i, -1: none, zero. Farther out than filters reach (tiles
/// go on beyond the image) it is any of them.
__device__ __forceinline__ int source_of(int i, int size, FlowPadding padding) {
  if (i >= 0 && i < size) return i;
  if (padding == FlowPadding::Zeros) return -1;
  if (padding == FlowPadding::Reflect) i = i < 0 ? -i : 2 * (size - 1) - i;
  return max(0, min(i, size - 1));
}

/// exp(x), x <= 0, of core/exponential.hpp, but NaN stays NaN.
template <class T>
__device__ __forceinline__ T exponential(T x) {
  return x == x ? core::exp_nonpositive(x) : x;
}

template <class T>
constexpr T kInfinite = T(__builtin_inf());
template <class T>
constexpr T kLargest = sizeof(T) == 4 ? T(FLT_MAX) : T(DBL_MAX);

/// Where element (row, column) of a tile, or of what its filters see, lies in the image. Transposed
/// filters see the tile turned by half a turn: what is read by tap p then comes at p as well.
struct Place {
  int y, x;  ///< of the tile's element (0, 0)
  int sign;  ///< 1, or -1 where the tile is turned

  __device__ __forceinline__ int row(int r) const { return y + sign * r; }
  __device__ __forceinline__ int column(int c) const { return x + sign * c; }
};

/// Rows of what a tile sees, all channels side by side, in shared memory: a ring of kTileRows rows.
/// Its row r and column c are seen through tap (u, v) by the tile's row r - u and column c - v.
template <class T>
struct FlowPatch {
  T* data;  ///< [channels][kTileRows][pitch]
  int pitch;

  __device__ __forceinline__ T* row(int channel, int r) const {
    return data + (channel * kTileRows + r % kTileRows) * pitch;
  }
  /// Rows first .. first + count - 1 of `channels` channels, columns 0 .. columns - 1, from
  /// value(channel, y, x); one warp each.
  template <class Value>
  __device__ __forceinline__ void fill(const Place& place, int reach, int first, int count,
                                       int channels, int columns, const Value& value) const {
    const int warps = static_cast<int>(blockDim.x) / kWarp;
    for (int i = static_cast<int>(threadIdx.x) / kWarp; i < count * channels; i += warps) {
      const int channel = i / count, r = first + i % count;
      T* to = row(channel, r);
      const int y = place.row(r - reach);
      for (int c = lane_index(); c < columns; c += kWarp)
        to[c] = value(channel, y, place.column(c - reach));
    }
  }
};

/// Tiles cover `rows` x `columns` positions of every item, the first at (top, left).
struct Tiling {
  int top, left, rows, columns, across, down;

  static Tiling of(int top, int left, int64_t all_rows, int64_t all_columns) {
    const auto rows = static_cast<int>(all_rows), columns = static_cast<int>(all_columns);
    return {top,
            left,
            rows,
            columns,
            (columns + kWarp - 1) / kWarp,
            (rows + kTileRows - 1) / kTileRows};
  }
  int64_t blocks(int64_t items) const { return items * across * down; }
  MRF_CORE int64_t plane() const { return static_cast<int64_t>(rows) * columns; }

  /// Of tile `index` of all items' tiles.
  __device__ __forceinline__ int item(int index) const { return index / (across * down); }
  __device__ __forceinline__ Place place(int index, bool turned) const {
    const int tile = index % (across * down);
    const int y = top + tile / across * kTileRows, x = left + tile % across * kWarp;
    return turned ? Place{y + kTileRows - 1, x + kWarp - 1, -1} : Place{y, x, 1};
  }
  __device__ __forceinline__ bool contains(int y, int x) const {
    return y < top + rows && x < left + columns;
  }
};

/// Sizes as kernels want them.
struct FlowSize {
  int channels, height, width, side;

  static FlowSize of(const FilterFlowProblem& p) {
    return {static_cast<int>(p.channels), static_cast<int>(p.height), static_cast<int>(p.width),
            static_cast<int>(p.side)};
  }
  MRF_CORE int64_t plane() const { return static_cast<int64_t>(height) * width; }
  __device__ __forceinline__ bool contains(int y, int x) const {
    return y >= 0 && y < height && x >= 0 && x < width;
  }
};

inline bool fits(const FilterFlowProblem& p) {
  return p.height <= kernels::kMostExtent && p.width <= kernels::kMostExtent &&
         p.channels <= kernels::kMostExtent;
}

/// body(F{}) for the type F that filters are stored in.
template <class T, class Body>
int with_filters(FilterType type, const Body& body) {
  if constexpr (sizeof(T) == 8) {
    return body(double{});
  } else {
    switch (type) {
      case FilterType::BFloat16:
        return body(BFloat16{});
      case FilterType::Float16:
        return body(Float16{});
      default:
        return body(float{});
    }
  }
}

/// Launches of more than 48 KiB of shared memory have to ask for it.
template <class Kernel>
int allow_shared(Kernel kernel, size_t bytes) {
  if (bytes <= 48 * 1024) return 0;
  return forgotten(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(bytes)));
}

}  // namespace mrfcore::cuda
