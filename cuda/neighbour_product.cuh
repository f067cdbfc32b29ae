// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels.hpp"

namespace mrfcore::cuda {

/// to_i(l) = add_i(l) + scale * (sum_m V(m, l) theirs_i(m) + sum_m V(l, m) ours_i(m)) with the
/// weighted sums of rows of `from` over the neighbours that come first in V (theirs) and second
/// (ours). If symmetric, theirs and ours are summed first and there is one product.
template <class T>
struct NeighbourProduct {
  cpu::GridShape shape;
  cpu::EdgeWeightView<T> weights;
  const T* table;    ///< V(m, l) [L, L]
  const T* table_t;  ///< V(l, m)
  bool symmetric;
  T scale;
  const T* from;
  const T* add;  ///< null: nothing
  T* to;
};

template <class T>
int neighbour_product(const NeighbourProduct<T>& product, const Batch& batch, Stream stream);

}  // namespace mrfcore::cuda
