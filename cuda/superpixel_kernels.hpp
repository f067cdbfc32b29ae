// SPDX-License-Identifier: Apache-2.0
// Superpixels on the GPU: host functions. Conventions are those of kernels.hpp; argument blocks are
// those of the public headers with device pointers. `threads` is not looked at. A batch has at most
// 65535 images, which are worked on side by side.
//
// Ids outside 0..num-1 belong to no superpixel: pooling passes over their pixels, unpooling and
// consistency make them 0. Nobody waits for a GPU to find them.
#pragma once

#include <cstdint>

#include "kernels.hpp"
#include "mrfcore/soft_superpixel.hpp"
#include "mrfcore/superpixel.hpp"

namespace mrfcore::cuda::kernels {

// --- Superpixels (superpixel_lists.cu, superpixel.cu, superpixel_maximum.cu)
// ----------------------

/// A warp reduces a piece, at most so many pixels of one superpixel; superpixels up to that size
/// are one piece. See superpixel_lists.cuh.
inline constexpr int64_t kPiecePixels = 2048;

/// Where things are in the scratch memory of superpixel_pool() and superpixel_consistency(), in
/// bytes from its beginning. Arrays are [items, ...]; those up to `zeroed` are cleared first.
struct SuperpixelScratch {
  int64_t highest = 0, counts = 0, cells = 0, zeroed = 0;
  int64_t begins = 0, pieces = 0, piece_counts = 0, order = 0, partials = 0, total = 0;
  int64_t most_cells = 0, most_pieces = 0, slots = 0;  ///< lengths, per image

  /// `empty_too`: empty superpixels have pieces, as pooling wants them.
  SuperpixelScratch(const SuperpixelMap& map, int64_t channels, int64_t value_bytes,
                    bool empty_too) {
    const int64_t items = map.batch, pixels = map.height * map.width;
    most_cells = pixels + map.num + 1;
    most_pieces = (empty_too || map.num < pixels ? map.num + 1 : pixels) + pixels / kPiecePixels;
    slots = 2 * (pixels / kPiecePixels + 1);
    const auto next = [this](int64_t bytes) {
      const int64_t at = total;
      total += (bytes + 15) / 16 * 16;
      return at;
    };
    highest = next(4 * items);
    counts = next(4 * items * (map.num + 1));
    cells = next(4 * items * most_cells);
    zeroed = total;
    begins = next(4 * items * (map.num + 2));
    pieces = next(8 * items * most_pieces);
    piece_counts = next(4 * items);
    order = next(4 * items * pixels);
    partials = next(value_bytes * items * channels * slots);
  }
};

/// mrfcore::superpixel_pool() of map.batch images. scratch: SuperpixelScratch(map, channels,
/// sizeof(T), true).total bytes, aligned to 16. Sums have an order of their own, the same every
/// time; maxima and winners are those of the CPU.
template <class T>
int superpixel_pool(const SuperpixelMap& map, int64_t channels, const T* x, SuperpixelReduce reduce,
                    T* z, int64_t* winners, void* scratch, Stream stream);

/// Bytes of superpixel_unpool()'s scratch: numbers of pixels, if it divides.
inline int64_t superpixel_unpool_bytes(const SuperpixelMap& map, bool divide) {
  return divide ? 4 * map.batch * (map.num + 1) : 0;
}

/// mrfcore::superpixel_unpool(), to the bit.
template <class T>
int superpixel_unpool(const SuperpixelMap& map, int64_t channels, const T* z, bool divide, T* out,
                      void* scratch, Stream stream);

/// mrfcore::superpixel_consistency() for ids below map.num, which need not be given closely: the
/// largest id that is there decides how long it takes. scratch: SuperpixelScratch(map, channels,
/// sizeof(T), false).total bytes.
template <class T>
int superpixel_consistency(const SuperpixelMap& map, int64_t channels, const T* x,
                           const ConsistencyOptions& options, T* out, void* scratch, Stream stream);

// --- Soft superpixels (soft_superpixel.cu), to the bit -------------------------------------------

/// Bytes of soft_superpixel_pool()'s scratch: what each cell gives to the nine around it.
template <class T>
int64_t soft_superpixel_pool_bytes(const SoftSuperpixels& grid) {
  return grid.batch * grid.rows() * grid.columns() * grid.channels * 9 *
         static_cast<int64_t>(sizeof(T));
}

template <class T>
int soft_superpixel_pool(const SoftSuperpixels& grid, const T* q, const T* x, T* z, void* scratch,
                         Stream stream);
template <class T>
int soft_superpixel_unpool(const SoftSuperpixels& grid, const T* q, const T* z, T* y,
                           Stream stream);
template <class T>
int soft_superpixel_product(const SoftSuperpixels& grid, const T* x, const T* z, T* g,
                            Stream stream);

}  // namespace mrfcore::cuda::kernels
