// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "mrfcore/potential.hpp"

namespace mrfcore {

/// A batch of pairwise MRFs on H x W grids (a view: owns nothing but the potential).
///
/// E(x) = sum_i unary_i(x_i) + sum_(ij) w_ij V(x_i, x_j), every undirected edge once (Eq 3.1).
template <class T>
struct Problem {
  int64_t batch = 1;
  int64_t height = 0;
  int64_t width = 0;
  int64_t labels = 0;
  int connectivity = 4;  ///< 4, 8 or 16: the first directions in canonical order

  const T* unary = nullptr;  ///< [batch, height, width, labels], contiguous; +inf forbids a label

  Potential pairwise = Potential::potts();

  T weight = T(1);                  ///< w_ij of every edge, if edge_weights is null
  const T* edge_weights = nullptr;  ///< [connectivity / 2, height, width] per item, or null. Entry
                                    ///< [p, y, x]: the edge (y, x) - (y + dy_p, x + dx_p); entries
                                    ///< of edges that leave the image are ignored
  int64_t edge_weights_batch_stride = 0;  ///< elements between items; 0 shares one array

  int64_t pixels() const { return height * width; }
  int64_t cells() const { return pixels() * labels; }  ///< of one item
  int64_t pairs() const { return connectivity / 2; }
};

}  // namespace mrfcore
