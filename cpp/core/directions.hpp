// SPDX-License-Identifier: Apache-2.0
// Canonical directions of the grid. Their order decides TRWP's result, so it is fixed here and
// nowhere else.
#pragma once

#include "core/hd.hpp"

namespace mrfcore::core {

/// Step from a node to the next one along a scanline, in pixels (rows grow downwards).
struct Direction {
  int dy;
  int dx;
};

inline constexpr int kMaxDirections = 16;

/// Direction r in canonical order; connectivity 4, 8, 16 = the first 4, 8, 16. Opposite of r is r
/// ^ 1.
MRF_CORE constexpr Direction direction(int r) {
  constexpr Direction kAll[kMaxDirections] = {{0, 1},  {0, -1}, {1, 0},  {-1, 0},  {1, 1}, {-1, -1},
                                              {1, -1}, {-1, 1}, {1, 2},  {-1, -2}, {2, 1}, {-2, -1},
                                              {2, -1}, {-2, 1}, {1, -2}, {-1, 2}};
  return kAll[r];
}

MRF_CORE constexpr int opposite(int r) { return r ^ 1; }

/// Directions come in pairs (r, r ^ 1); the even one owns the edge (y, x) - (y + dy, x + dx).
MRF_CORE constexpr int pair_of(int r) { return r >> 1; }
MRF_CORE constexpr bool is_backward(int r) { return (r & 1) != 0; }

}  // namespace mrfcore::core
