// SPDX-License-Identifier: Apache-2.0
// A potential for each hard min-convolution that kernels of nodes and chains have.
#pragma once

#include <cstdint>

#include "../cpp/instances.hpp"

namespace mrfcore::test {

inline Potential hard_potential(int index, int64_t labels) {
  switch (index) {
    case 0:
      return Potential::potts();
    case 1:
      return Potential::sgm_penalty(0.5, 1.75);
    case 2:
      return Potential::truncated_linear(5);
    case 3:
      return Potential::truncated_quadratic(30);
    default:
      return Potential::table(Random(4).array<double>(labels * labels, 3.0, kFine), labels);
  }
}
inline constexpr int kHardPotentials = 5;

}  // namespace mrfcore::test
