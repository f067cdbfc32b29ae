// SPDX-License-Identifier: Apache-2.0
// The pixels of every superpixel, listed in ascending order: what superpixel_lists.cu makes and
// the kernels that reduce over superpixels read. `order` is the concatenation of all lists, that of
// superpixel s is order[begins[s]..begins[s + 1]), and the last one, number num, has the pixels of
// ids outside 0..num-1. Lists are cut into pieces of kPiecePixels from their beginning.
#pragma once

#include "core/hd.hpp"
#include "superpixel_kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {

using kernels::kPiecePixels;

struct Piece {
  int32_t superpixel, from;  ///< `from`: its first place in `order`
};

/// A kernel's parameter: the lists of all images.
struct SuperpixelLists {
  const void* ids;
  bool wide;             ///< ids are 64-bit
  const uint8_t* valid;  ///< [items, pixels] or null
  int64_t pixels;
  int64_t num;             ///< of ids; the most there may be where `highest` tells
  const int32_t* highest;  ///< [items], largest id below num, or null: num is what counts
  int64_t chunk;           ///< pixels of a chunk; 0: by chunk_pixels()
  int32_t* counts;         ///< [items, num + 1], valid pixels; null where all are
  int32_t* cells;          ///< [items, most_cells], see superpixel_lists.cu
  int32_t* begins;         ///< [items, num + 2]
  Piece* pieces;           ///< [items, most_pieces]
  int32_t* piece_counts;   ///< [items]
  int32_t* order;          ///< [items, pixels]: p, or ~p where it is not valid
  int64_t most_cells, most_pieces, slots;
};

inline constexpr int64_t kMostChunks = 1024, kLeastChunk = 256;

/// Pixels of a chunk for the sort: whole warps, and no more cells (chunks times superpixels) than
/// pixels and superpixels.
MRF_HD inline int64_t chunk_pixels(int64_t pixels, int64_t num) {
  int64_t chunk = (pixels + kMostChunks - 1) / kMostChunks;
  if (chunk < kLeastChunk) chunk = kLeastChunk;
  if (chunk < num + 1) chunk = num + 1;
  return (chunk + 31) / 32 * 32;
}

/// The lists of one image.
struct ImageLists {
  int64_t item, num;
  int32_t pixels, chunk, chunks;
  int32_t* cells;
  int32_t* begins;
  Piece* pieces;
  int32_t* order;
  int32_t* counts;

  __device__ ImageLists(const SuperpixelLists& lists, int64_t image)
      : item(image),
        num(lists.highest == nullptr ? lists.num : int64_t{lists.highest[image]} + 1),
        pixels(static_cast<int32_t>(lists.pixels)),
        chunk(
            static_cast<int32_t>(lists.chunk > 0 ? lists.chunk : chunk_pixels(lists.pixels, num))),
        chunks((pixels - 1) / chunk + 1),
        cells(lists.cells + image * lists.most_cells),
        begins(lists.begins + image * (lists.num + 2)),
        pieces(lists.pieces + image * lists.most_pieces),
        order(lists.order + image * lists.pixels),
        counts(lists.counts == nullptr ? nullptr : lists.counts + image * (lists.num + 1)) {}

  /// Pixels that count of superpixel s.
  __device__ int32_t size(int64_t s) const {
    return counts == nullptr ? begins[s + 1] - begins[s] : counts[s];
  }
};

/// The superpixel of a pixel of the batch, -1 where its id is not in 0..num-1.
__device__ __forceinline__ int32_t superpixel_at(const SuperpixelLists& lists, int64_t at,
                                                 int64_t num) {
  const int64_t id = lists.wide ? __ldg(static_cast<const int64_t*>(lists.ids) + at)
                                : __ldg(static_cast<const int32_t*>(lists.ids) + at);
  return id >= 0 && id < num ? static_cast<int32_t>(id) : -1;
}

/// The lists in scratch memory. `find_num`: map.num is the most that there may be.
SuperpixelLists superpixel_lists(const SuperpixelMap& map, const kernels::SuperpixelScratch& at,
                                 const uint8_t* valid, bool find_num, void* scratch);

/// Which lists have pieces.
enum class Pieces {
  Superpixels,  ///< of superpixels; of empty ones, too: one, empty
  Pixels        ///< whatever has pixels, list `num` included
};

/// Makes them.
int build_lists(const SuperpixelLists& lists, int64_t items, const kernels::SuperpixelScratch& at,
                Pieces which, void* scratch, Stream stream);

/// Maxima and their pixels (superpixel_maximum.cu). partials: [items, channels, slots].
template <class T>
int superpixel_maximum(const SuperpixelLists& lists, int64_t items, int64_t channels, const T* x,
                       T* z, int64_t* winners, int32_t* partials, Stream stream);

/// cells[item, s] = pixels of superpixel s, with lists.chunk >= pixels.
int count_pixels(const SuperpixelLists& lists, int64_t items, Stream stream);

}  // namespace mrfcore::cuda
