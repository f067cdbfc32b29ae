// SPDX-License-Identifier: Apache-2.0
// Tiles of a matrix over pairs of points (i, j), made, used and forgotten, as attention does. A
// block of 128 threads owns 64 points j and 16, 32 or 64 of their dimensions, and goes through
// tiles of other points i in ascending order: nobody else adds to its sums, which are in registers.
//
// Per pair of points a tile takes D fused multiply-adds for a product and as many for what is done
// with it; per thread these are 8 x 4 blocks in registers (4 x 4 of doubles), 32 operations for 3
// loads of 16 bytes from shared memory. A tile reads 2 x 64 rows of D numbers, from L1 or L2, for
// 2 x 4096 D operations. Sums are fused (the CPU's order is another anyway): twice the speed of a
// product and a sum.
#pragma once

#include <cmath>

#include "core/exponential.hpp"
#include "mean_shift_kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda::points {

using kernels::kPointBlock;
using kernels::PointLayout;

template <class T>
struct Tile {
  static constexpr int kThreads = 128;
  static constexpr int kResident = sizeof(T) == 4 ? 3 : 2;    ///< blocks of a multiprocessor
  static constexpr int kOwn = static_cast<int>(kPointBlock);  ///< points j
  static constexpr int kOthers = sizeof(T) == 4 ? 64 : 32;    ///< points i
  static constexpr int kDepth = sizeof(T) == 4 ? 32 : 16;     ///< dimensions in memory at a time
  static constexpr int kRows = kOthers / 8, kColumns = 4;     ///< a thread's part of the tile
  static constexpr int kGroup = 8;                            ///< points j of a thread's sums
  static constexpr int kPad = 4;                              ///< keeps banks apart
  static constexpr int kWidth = kOwn + kPad;                  ///< of a tile in shared memory
  static constexpr int kColumnsSize = kDepth * (kOwn + kOthers + 2 * kPad);
  static constexpr int kTileSize = kOthers * kWidth;
  /// A tile and the columns that it is made of take turns.
  static constexpr int kShared = kColumnsSize > kTileSize ? kColumnsSize : kTileSize;
};

__device__ __forceinline__ float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return __fma_rn(a, b, c); }

/// A number that cannot be computed with is NaN, so that it does not go unseen.
template <class T>
__device__ __forceinline__ T nan_unless(bool good, T x) {
  return good ? x : (x - x) * T(INFINITY);
}

/// N numbers side by side in memory.
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Several {
  T at[N];
};
template <int N, class T>
__device__ __forceinline__ Several<T, N> several(const T* from) {
  return *reinterpret_cast<const Several<T, N>*>(from);
}

/// Where a block works.
template <class T>
struct Place {
  int64_t item, first, own_rows;  ///< item; its point 0 of the block; the same among all rows
  int split;
  int dim;            ///< first dimension of this thread's sums
  int64_t tile, end;  ///< tiles of this split
  bool first_chunk;

  template <int W>
  static __device__ __forceinline__ Place of(const PointLayout& layout) {
    constexpr int kTilesPerBlock = Tile<T>::kOwn / Tile<T>::kOthers;
    const int64_t block = blockIdx.x % layout.blocks;
    const int64_t tiles = layout.blocks * kTilesPerBlock;
    const int64_t share = (tiles + gridDim.y - 1) / gridDim.y;
    Place p;
    p.item = blockIdx.x / layout.blocks;
    p.first = block * kPointBlock;
    p.own_rows = static_cast<int64_t>(blockIdx.x) * kPointBlock;
    p.split = static_cast<int>(blockIdx.y);
    p.dim = (static_cast<int>(blockIdx.z) * 16 + static_cast<int>(threadIdx.x) % 16) * W;
    p.tile = blockIdx.y * share;
    p.end = p.tile + share < tiles ? p.tile + share : tiles;
    p.first_chunk = blockIdx.z == 0;
    return p;
  }
  /// Row of the first point of a tile.
  __device__ __forceinline__ int64_t tile_rows(const PointLayout& layout, int64_t t) const {
    return item * layout.blocks * kPointBlock + t * Tile<T>::kOthers;
  }
  /// A thread's part of the tile begins here.
  static __device__ __forceinline__ int row() {
    return static_cast<int>(threadIdx.x) / 16 * Tile<T>::kRows;
  }
  static __device__ __forceinline__ int column() {
    return static_cast<int>(threadIdx.x) % 16 * Tile<T>::kColumns;
  }
  /// And its sums, of the block's points, here.
  static __device__ __forceinline__ int group() {
    return static_cast<int>(threadIdx.x) / 16 * Tile<T>::kGroup;
  }
};

template <class T>
using Part = T[Tile<T>::kRows][Tile<T>::kColumns];

/// Dimensions first, first + 1, ... of kPoints rows -> to [kDepth][kPoints + kPad]. Eight rows and
/// 64 bytes of each to a warp: whole sectors of memory, two lanes to a bank.
template <class T, int kPoints>
__device__ __forceinline__ void load_columns(const T* rows, int64_t stride, int64_t first, T* to) {
  constexpr int kPack = 16 / static_cast<int>(sizeof(T));
  const int thread = static_cast<int>(threadIdx.x), column = thread / 8 % 8 * kPack;
  if (first + column >= stride) return;
#pragma unroll
  for (int row = thread % 8 + thread / 64 * 8; row < kPoints; row += 16) {
    const Several<T, kPack> x = several<kPack>(rows + row * stride + first + column);
#pragma unroll
    for (int q = 0; q < kPack; ++q) to[(column + q) * (kPoints + Tile<T>::kPad) + row] = x.at[q];
  }
}

/// Adds products of the columns in shared memory, or squared differences, to a thread's part.
template <bool kEuclidean, class T>
__device__ __forceinline__ void add_columns(const T* others, const T* own, int depth,
                                            Part<T>& sum) {
  using Of = Tile<T>;
#pragma unroll 4
  for (int d = 0; d < depth; ++d) {
    const auto a = several<Of::kRows>(others + d * (Of::kOthers + Of::kPad) + Place<T>::row());
    const auto b = several<Of::kColumns>(own + d * Of::kWidth + Place<T>::column());
#pragma unroll
    for (int i = 0; i < Of::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Of::kColumns; ++j) {
        if constexpr (kEuclidean) {
          const T difference = a.at[i] - b.at[j];
          sum[i][j] = fused(difference, difference, sum[i][j]);
        } else {
          sum[i][j] = fused(a.at[i], b.at[j], sum[i][j]);
        }
      }
    }
  }
}

template <class T>
__device__ __forceinline__ void clear(Part<T>& part) {
#pragma unroll
  for (int i = 0; i < Tile<T>::kRows; ++i) {
#pragma unroll
    for (int j = 0; j < Tile<T>::kColumns; ++j) part[i][j] = T(0);
  }
}

/// Dimensions that are left for a round in shared memory.
template <class T>
__device__ __forceinline__ int depth_of(const PointLayout& layout, int64_t first) {
  const int64_t left = layout.dims - first;
  return static_cast<int>(left < Tile<T>::kDepth ? left : Tile<T>::kDepth);
}

/// x_i . x_j, or |x_i - x_j|^2, of a tile. Shared memory may be overwritten after the next barrier.
template <bool kEuclidean, class T>
__device__ __forceinline__ void products(const PointLayout& layout, const T* others, const T* own,
                                         T* shared, Part<T>& sum) {
  using Of = Tile<T>;
  T* own_columns = shared + Of::kDepth * (Of::kOthers + Of::kPad);
  clear<T>(sum);
  for (int64_t first = 0; first < layout.dims; first += Of::kDepth) {
    __syncthreads();
    load_columns<T, Of::kOthers>(others, layout.stride, first, shared);
    load_columns<T, Of::kOwn>(own, layout.stride, first, own_columns);
    __syncthreads();
    add_columns<kEuclidean, T>(shared, own_columns, depth_of<T>(layout, first), sum);
  }
}

/// A thread's part -> the tile in shared memory, [kOthers][kWidth].
template <class T>
__device__ __forceinline__ void store_part(const Part<T>& part, T* tile) {
  using Of = Tile<T>;
#pragma unroll
  for (int i = 0; i < Of::kRows; ++i) {
    Several<T, Of::kColumns> row;
#pragma unroll
    for (int j = 0; j < Of::kColumns; ++j) row.at[j] = part[i][j];
    *reinterpret_cast<Several<T, Of::kColumns>*>(tile + (Place<T>::row() + i) * Of::kWidth +
                                                 Place<T>::column()) = row;
  }
}

/// A thread's sums: kGroup points, W dimensions from Place::dim on.
template <class T, int W>
struct Sums {
  T at[Tile<T>::kGroup][W];

  __device__ __forceinline__ Sums() {
#pragma unroll
    for (int j = 0; j < Tile<T>::kGroup; ++j) {
#pragma unroll
      for (int w = 0; w < W; ++w) at[j][w] = T(0);
    }
  }
  /// += sum over i of tile(i, j) rows_i. Rows come from memory, a line of them for all threads.
  __device__ __forceinline__ void add(const T* tile, const T* rows, const PointLayout& layout,
                                      int dim) {
    using Of = Tile<T>;
    if (dim >= layout.stride) return;
#pragma unroll 4
    for (int i = 0; i < Of::kOthers; ++i) {
      const auto k = several<Of::kGroup>(tile + i * Of::kWidth + Place<T>::group());
      const auto x = several<W>(rows + i * layout.stride + dim);
#pragma unroll
      for (int j = 0; j < Of::kGroup; ++j) {
#pragma unroll
        for (int w = 0; w < W; ++w) at[j][w] = fused(k.at[j], x.at[w], at[j][w]);
      }
    }
  }
  __device__ __forceinline__ void store(const PointLayout& layout, const Place<T>& place,
                                        T* parts) const {
    if (place.dim >= layout.stride) return;
    T* to = parts + place.split * layout.batch * layout.blocks * kPointBlock * layout.stride +
            (place.own_rows + Place<T>::group()) * layout.stride + place.dim;
#pragma unroll
    for (int j = 0; j < Tile<T>::kGroup; ++j) {
      Several<T, W> row;
#pragma unroll
      for (int w = 0; w < W; ++w) row.at[w] = at[j][w];
      *reinterpret_cast<Several<T, W>*>(to + j * layout.stride) = row;
    }
  }
};

/// Sums over the rows of parts, by column: thread j < kOwn has that of point j.
template <class T>
__device__ __forceinline__ T column_sum(const T (&sum)[Tile<T>::kColumns], T* shared) {
  using Of = Tile<T>;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < Of::kColumns; ++j)
    shared[threadIdx.x / 16 * Of::kOwn + Place<T>::column() + j] = sum[j];
  __syncthreads();
  T total = T(0);
  if (threadIdx.x >= Of::kOwn) return total;
  for (int row = 0; row < Of::kThreads / 16; ++row) total += shared[row * Of::kOwn + threadIdx.x];
  return total;
}

/// Sum over the block's threads, by halves and then by warps; the first thread has it.
template <class T>
__device__ __forceinline__ double block_sum(double x, T* shared) {
  auto* of_warp = reinterpret_cast<double*>(shared);
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) x += __shfl_down_sync(kAllLanes, x, apart);
  __syncthreads();
  if (lane_index() == 0) of_warp[threadIdx.x / kWarp] = x;
  __syncthreads();
  double total = 0.0;
  if (threadIdx.x == 0) {
    for (int warp = 0; warp < Tile<T>::kThreads / kWarp; ++warp) total += of_warp[warp];
  }
  return total;
}

/// body.template operator()<W>(grid): W dimensions a thread, as few as do.
template <class Body>
int with_dimensions(const PointLayout& layout, int64_t splits, const Body& body) {
  constexpr int64_t kMostX = (int64_t{1} << 31) - 1, kMostZ = 65535;
  const int64_t width = layout.dims <= 16 ? 1 : (layout.dims <= 32 ? 2 : 4);
  const int64_t blocks = layout.batch * layout.blocks;
  const int64_t chunks = (layout.dims + 16 * width - 1) / (16 * width);
  if (blocks > kMostX || chunks > kMostZ) return static_cast<int>(cudaErrorInvalidValue);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(splits),
                  static_cast<unsigned>(chunks));
  if (width == 1) return body.template operator()<1>(grid);
  if (width == 2) return body.template operator()<2>(grid);
  return body.template operator()<4>(grid);
}

}  // namespace mrfcore::cuda::points
