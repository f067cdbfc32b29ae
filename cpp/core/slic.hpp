// SPDX-License-Identifier: Apache-2.0
//
// SLIC in whole numbers: its grid of cells, its units, and where things lie in its arrays. Sums of
// integers do not depend on their order, so a CPU and a GPU find the same superpixels to the pixel.
//
// The feature of a pixel is its colour in kSlicUnit-ths and its place in the same units: one pixel
// is compactness / S colour units (Achanta et al., Eq 2), and a squared distance is that of two
// vectors. Places are told relative to the middle of a cell, or they would not fit 16 bits.
#pragma once

#include <cstdint>

#include "core/hd.hpp"

namespace mrfcore {

inline constexpr int kSlicUnit = 32;             ///< features count 1/32 of a unit of Lab
inline constexpr int kSlicChannels = 8;          ///< most channels
inline constexpr double kSlicCompactness = 100;  ///< largest: 2.5 cells, doubled, fit 16 bits
inline constexpr int kSlicSlots = 9;             ///< a cell and its neighbours, in raster order
inline constexpr int kSlicOwn = 4;               ///< the slot of the cell itself
/// Cost of a cell outside the grid; squared distances stay below half of it.
inline constexpr int32_t kSlicNowhere = int32_t{1} << 30;

/// `count` pixels cut into `cells` parts as even as can be.
struct SlicAxis {
  int64_t count, cells;
  int64_t step;  ///< units of a pixel, times 2^16

  MRF_CORE int64_t cell_of(int64_t pixel) const { return pixel * cells / count; }
  MRF_CORE int64_t begin(int64_t cell) const { return (cell * count + cells - 1) / cells; }
  MRF_CORE int64_t middle(int64_t cell) const { return (begin(cell) + begin(cell + 1) - 1) / 2; }
  /// In units, from the left or upper end of the image.
  MRF_CORE int64_t place(int64_t pixel) const { return (pixel * step + 32768) >> 16; }
  /// In units, from the middle of a cell.
  MRF_CORE int32_t place_in(int64_t pixel, int64_t cell) const {
    return static_cast<int32_t>(place(pixel) - place(middle(cell)));
  }
  /// From the middle of one cell to that of another.
  MRF_CORE int32_t between(int64_t from, int64_t to) const {
    return static_cast<int32_t>(place(middle(to)) - place(middle(from)));
  }
};

struct SlicPlan {
  SlicAxis y, x;
  int channels;

  MRF_CORE int64_t cells() const { return y.cells * x.cells; }
  /// A centre: its colour, then its place [y, x] from the middle of its cell.
  MRF_CORE int centre_size() const { return channels + 2; }
  /// The pixels of one cell in one slot: sums of colours, of places [y, x] from the middle of that
  /// cell, and their number.
  MRF_CORE int sum_size() const { return channels + 3; }
};

/// Nearest integer to sum / count, count > 0; halves go up.
MRF_CORE int32_t slic_mean(int64_t sum, int64_t count) {
  const int64_t doubled = 2 * sum + count, divisor = 2 * count;
  const int64_t quotient = doubled / divisor;
  return static_cast<int32_t>(doubled % divisor < 0 ? quotient - 1 : quotient);
}

}  // namespace mrfcore
