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

/// Squared differences of the neighbours left and right, above and below, over all channels of an
/// image [channels, height, width]; the border repeats.
MRF_CORE int64_t slic_gradient(const SlicPlan& plan, const int16_t* features, int64_t y,
                               int64_t x) {
  const int64_t width = plan.x.count, height = plan.y.count;
  const int64_t left = x > 0 ? x - 1 : x, right = x + 1 < width ? x + 1 : x;
  const int64_t above = y > 0 ? y - 1 : y, below = y + 1 < height ? y + 1 : y;
  int64_t total = 0;
  for (int c = 0; c < plan.channels; ++c) {
    const int16_t* plane = features + c * height * width;
    const int64_t dx = plane[y * width + right] - plane[y * width + left];
    const int64_t dy = plane[below * width + x] - plane[above * width + x];
    total += dx * dx + dy * dy;
  }
  return total;
}

/// A first centre: the pixel of least gradient among the middle of the cell and the eight around it
/// that lie in the cell; the middle wins ties, else the first in raster order.
MRF_CORE void slic_seed(const SlicPlan& plan, const int16_t* features, int64_t row, int64_t column,
                        int32_t* centre) {
  const int64_t middle_y = plan.y.middle(row), middle_x = plan.x.middle(column);
  int64_t best_y = middle_y, best_x = middle_x;
  int64_t best = slic_gradient(plan, features, middle_y, middle_x);
  for (int64_t y = middle_y - 1; y <= middle_y + 1; ++y) {
    for (int64_t x = middle_x - 1; x <= middle_x + 1; ++x) {
      const bool inside = y >= plan.y.begin(row) && y < plan.y.begin(row + 1) &&
                          x >= plan.x.begin(column) && x < plan.x.begin(column + 1);
      if (!inside) continue;
      const int64_t value = slic_gradient(plan, features, y, x);
      if (value >= best) continue;
      best = value;
      best_y = y;
      best_x = x;
    }
  }
  for (int c = 0; c < plan.channels; ++c)
    centre[c] = features[(c * plan.y.count + best_y) * plan.x.count + best_x];
  centre[plan.channels] = plan.y.place_in(best_y, row);
  centre[plan.channels + 1] = plan.x.place_in(best_x, column);
}

/// Nearest number of units to a colour, halves go up; -200 < value < 200.
MRF_CORE int16_t slic_units(float value) {
  constexpr int kShift = 256 * kSlicUnit;  // positive, so that truncation is the floor
  const float shifted = value * static_cast<float>(kSlicUnit) + (static_cast<float>(kShift) + 0.5f);
  return static_cast<int16_t>(static_cast<int32_t>(shifted) - kShift);
}

}  // namespace mrfcore
