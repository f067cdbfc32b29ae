// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/directions.hpp"
#include "cpu/kernels.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// core::direction() as a table: a constant of a function would be built on the stack at every
/// call.
struct DirectionTable {
  core::Direction at[core::kMaxDirections];

  constexpr DirectionTable() : at() {
    for (int r = 0; r < core::kMaxDirections; ++r) at[r] = core::direction(r);
  }
};
inline constexpr DirectionTable kDirections;

/// The neighbours of one node that are inside the image.
struct Neighbours {
  int64_t offset[core::kMaxDirections];  ///< pixel offset of the neighbour in direction r
  bool inside[core::kMaxDirections];
  int ahead = 0, behind = 0;

  Neighbours(const GridShape& s, int64_t y, int64_t x) {
    for (int r = 0; r < s.connectivity; ++r) {
      const core::Direction d = kDirections.at[r];
      const int64_t ny = y + d.dy, nx = x + d.dx;
      inside[r] = ny >= 0 && ny < s.height && nx >= 0 && nx < s.width;
      offset[r] = d.dy * s.width + d.dx;
      if (inside[r]) ++(core::is_backward(r) ? behind : ahead);
    }
  }
};

/// Adds w V(., .) of the edge to the neighbour in direction r, whose label is `label`, to a padded
/// row of costs.
template <class T, class Args>
inline void add_edge_costs(const Args& a, const Neighbours& near, int64_t pixel, int r,
                           int32_t label, T* row) {
  // Backward neighbours own the edge and come first in V; forward ones come second.
  const bool theirs = core::is_backward(r);
  const int64_t owner = theirs ? pixel + near.offset[r] : pixel;
  const T w =
      a.weights.per_edge == nullptr
          ? a.weights.scale
          : a.weights.scale * a.weights.per_edge[core::pair_of(r) * a.shape.pixels() + owner];
  const T* v = (theirs ? a.table : a.table_t) + label * a.shape.stride;
  const Vec<T> weight = splat<T>(w);
  for (int64_t l = 0; l < a.shape.stride; l += kLanes<T>)
    store(row + l, load(row + l) + weight * load(v + l));
}

}  // namespace mrfcore::cpu::MRF_ISA
