// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>

#include "cpu/kernels.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// A row of costs as the caller sees it: forbidden labels cost the infinity they were given.
template <class T>
inline void write_costs(const T* row, int labels, T* costs) {
  // Messages and sums over directions move kForbidden by far less than this factor, sharing by D
  // (SGM) included.
  constexpr T kFrom = kForbidden<T> / T(64);
  for (int l = 0; l < labels; ++l) {
    costs[l] = row[l] < kFrom ? row[l] : std::numeric_limits<T>::infinity();
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
