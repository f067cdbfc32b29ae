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

/// One scanline: node j lies at outer coordinate `first` + j step, inner coordinate slot + shift
/// (j + first / step), for j = 0 .. count - 1.
struct Scanline {
  int64_t first;        ///< pixel of its first node
  int64_t node_stride;  ///< pixels from a node to the next
  int64_t count;        ///< nodes; may be 0
};

/// a / b rounded up, b > 0.
MRF_CORE int64_t ceil_div(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

/// Scanline `index` = 0 .. scanlines(g) - 1 of a pair.
MRF_CORE int64_t scanlines(const PairGeometry& g) { return g.slots() * g.step; }
MRF_CORE Scanline scanline(const PairGeometry& g, int64_t index) {
  const int64_t slot = g.slot_begin + index / g.step, parity = index % g.step;
  int64_t begin = 0, end = ceil_div(g.outer_n - parity, g.step);
  // 0 <= slot + shift j < inner_n
  if (g.shift > 0) {
    const int64_t low = ceil_div(-slot, g.shift), high = ceil_div(g.inner_n - slot, g.shift);
    begin = low > begin ? low : begin;
    end = high < end ? high : end;
  } else if (g.shift < 0) {
    const int64_t low = ceil_div(slot - g.inner_n + 1, -g.shift), high = slot / -g.shift + 1;
    begin = low > begin ? low : begin;
    end = high < end ? high : end;
  }
  const int64_t outer = parity + begin * g.step;
  return {g.pixel(outer, slot + g.skew(outer)), g.step * g.outer_stride + g.shift * g.inner_stride,
          end > begin ? end - begin : 0};
}

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
