// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "mrfcore/pairwise_margin.hpp"

namespace mrfcore {

/// Throws std::invalid_argument where sizes or options do not fit, on the CPU and on a GPU.
void check_pairwise_margin(int64_t batch, int64_t dims, int64_t points,
                           const PairwiseMarginOptions& options);

}  // namespace mrfcore
