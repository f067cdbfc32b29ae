// SPDX-License-Identifier: Apache-2.0
// Products of vectors over labels with V, for the pixels of a warp at a time: 8 pixels and up to
// 128 labels (64 in double) in registers. Lanes hold labels l; an element of V that a lane loads
// serves all 8 pixels, and an element of a vector, read from shared memory by all lanes at once,
// serves all its labels. For each 32 labels that is 2 * 8 arithmetic instructions per load of V and
// quarter of a vector's: arithmetic decides.
//
// Sums run over m in ascending order, as cpp/cpu/matvec.hpp has them: the same bits.
#pragma once

#include <cstdint>

#include "warp_row.cuh"

namespace mrfcore::cuda {

constexpr int kTilePixels = 8;
constexpr int kTileWarps = 4;  ///< of a block

/// Most labels of a tile, in 32s.
template <class T>
constexpr int kMostTileChunks = 16 / static_cast<int>(sizeof(T));

/// 32 labels m of the pixels' vectors.
template <class T>
struct alignas(16) TileVectors {
  T of_label[kWarp][kTilePixels];
};

/// Columns l = first + 32 k + lane of V. Beyond the last label the last one stands in: what comes
/// of it is not used.
template <int NK>
struct TileColumns {
  int first, labels;

  __device__ __forceinline__ int label(int k) const { return first + k * kWarp + lane_index(); }
  __device__ __forceinline__ bool exists(int k) const { return label(k) < labels; }
  template <class T>
  __device__ __forceinline__ void load(const T* row, T (&v)[NK]) const {
#pragma unroll
    for (int k = 0; k < NK; ++k) v[k] = __ldg(row + (exists(k) ? label(k) : labels - 1));
  }
};

template <class T, int NK>
struct LabelTile {
  T at[kTilePixels][NK];

  __device__ __forceinline__ LabelTile() {
#pragma unroll
    for (int t = 0; t < kTilePixels; ++t) {
#pragma unroll
      for (int k = 0; k < NK; ++k) at[t][k] = T(0);
    }
  }
  /// at(t, l) += u_t(m) v(l)
  __device__ __forceinline__ void add_product(const T (&u)[kTilePixels], const T (&v)[NK]) {
#pragma unroll
    for (int t = 0; t < kTilePixels; ++t) {
#pragma unroll
      for (int k = 0; k < NK; ++k) at[t][k] = at[t][k] + u[t] * v[k];
    }
  }
  __device__ __forceinline__ void add(const LabelTile& other) {
#pragma unroll
    for (int t = 0; t < kTilePixels; ++t) {
#pragma unroll
      for (int k = 0; k < NK; ++k) at[t][k] = at[t][k] + other.at[t][k];
    }
  }
};

/// Blocks over pixels (x), items (y) and tiles of labels (z); the least 32s per tile that do with
/// as few tiles.
struct TileGrid {
  int tiles;
  int chunks;
  dim3 blocks;

  template <class T>
  static TileGrid of(int64_t pixels, int labels, int64_t items) {
    const int most = kWarp * kMostTileChunks<T>;
    const int tiles = (labels + most - 1) / most;
    const int chunks = (labels + tiles * kWarp - 1) / (tiles * kWarp);
    constexpr int64_t kPixels = kTilePixels * kTileWarps;
    return {tiles, chunks,
            dim3(static_cast<unsigned>((pixels + kPixels - 1) / kPixels),
                 static_cast<unsigned>(items), static_cast<unsigned>(tiles))};
  }
};

/// First of the pixels of this warp.
__device__ __forceinline__ int64_t tile_pixel() {
  return (static_cast<int64_t>(blockIdx.x) * kTileWarps + threadIdx.x / kWarp) * kTilePixels;
}

/// body.template operator()<NK>() for NK = chunks.
template <class T, class Body>
int with_tile_chunks(int chunks, const Body& body) {
  if (chunks == 1) return body.template operator()<1>();
  if constexpr (kMostTileChunks<T> > 2) {
    if (chunks == 3) return body.template operator()<3>();
    if (chunks == 4) return body.template operator()<4>();
  }
  return body.template operator()<2>();
}

}  // namespace mrfcore::cuda
