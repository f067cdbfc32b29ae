// SPDX-License-Identifier: Apache-2.0
// How iterated SGM shrinks costs and weights from one iteration to the next (see SgmSchedule).
#pragma once

#include <cstdint>

namespace mrfcore {

/// d (weights of iteration `done`) / d (weights given): 1 / D for each iteration before it, until
/// weights threaten to vanish.
template <class T>
T sgm_weight_scale(int done, int connectivity) {
  constexpr T kSmallest = T(0x1p-64);
  T scale = T(1);
  for (int k = 0; k < done && scale > kSmallest; ++k) scale /= static_cast<T>(connectivity);
  return scale;
}

/// Factor between the costs after `done` iterations and the unaries of the next one.
template <class T>
T sgm_share(int done, int connectivity) {
  return sgm_weight_scale<T>(done, connectivity) / sgm_weight_scale<T>(done - 1, connectivity);
}

}  // namespace mrfcore
