// SPDX-License-Identifier: Apache-2.0
// Scanline geometry: one description of all 16 directions, so that no solver has a loop of its own.
//
// The image is seen in (outer, inner) coordinates: `outer` is walked in order, pixels of equal
// `outer` are independent. Horizontal pairs walk x with rows as the independent axis; all others
// walk y. A scanline is named by its slot c = inner - shift * (outer / step): constant along the
// scanline, because one step moves `outer` by `step` and `inner` by `shift`. Where step is 2, a
// slot holds two interleaved scanlines (outer parity).
#pragma once

#include <cstdint>

#include "core/directions.hpp"
#include "core/hd.hpp"

namespace mrfcore::core {

struct PairGeometry {
  int64_t outer_n;       ///< extent of the walked axis
  int64_t inner_n;       ///< extent of the independent axis
  int64_t outer_stride;  ///< in pixels
  int64_t inner_stride;  ///< in pixels
  int step;              ///< outer distance between neighbours on a scanline, 1 or 2
  int shift;             ///< inner distance between neighbours on a scanline
  int64_t slot_begin;
  int64_t slot_end;

  MRF_CORE int64_t skew(int64_t outer) const { return shift * (outer / step); }
  MRF_CORE int64_t pixel(int64_t outer, int64_t inner) const {
    return outer * outer_stride + inner * inner_stride;
  }
  MRF_CORE int64_t slots() const { return slot_end - slot_begin; }
};

/// Geometry of direction pair p (directions 2p and 2p + 1) on an H x W image.
MRF_CORE PairGeometry pair_geometry(int pair, int64_t height, int64_t width) {
  const Direction d = direction(2 * pair);
  PairGeometry g{};
  if (d.dy == 0) {
    g = {width, height, 1, width, d.dx, 0, 0, height};
    return g;
  }
  g = {height, width, width, 1, d.dy, d.dx, 0, width};
  const int64_t last_skew = height > 0 ? g.skew(height - 1) : 0;
  (last_skew > 0 ? g.slot_begin : g.slot_end) -= last_skew;
  return g;
}

/// Does pair p have an edge in an H x W image? (A single pixel counts as a horizontal scanline.)
MRF_CORE bool pair_inside(int pair, int64_t height, int64_t width) {
  const Direction d = direction(2 * pair);
  if (height == 1 && width == 1) return pair == 0;
  return d.dy < height && (d.dx < 0 ? -d.dx : d.dx) < width;
}

/// Pairs with an edge in an H x W image: D / 2, fewer where it is a pixel or two thin.
MRF_CORE int pairs_inside(int connectivity, int64_t height, int64_t width) {
  int pairs = 0;
  for (int pair = 0; pair < connectivity / 2; ++pair)
    pairs += pair_inside(pair, height, width) ? 1 : 0;
  return pairs;
}

}  // namespace mrfcore::core
