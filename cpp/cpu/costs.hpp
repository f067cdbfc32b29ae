// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/kernels.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// A row of costs as the caller sees it.
template <class T>
inline void write_costs(const T* row, int labels, T* costs) {
  for (int l = 0; l < labels; ++l) costs[l] = cost_for_caller(row[l]);
}

}  // namespace mrfcore::cpu::MRF_ISA
