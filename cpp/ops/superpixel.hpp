// SPDX-License-Identifier: Apache-2.0
// Checks that both back-ends make. They throw std::invalid_argument.
#pragma once

#include "mrfcore/soft_superpixel.hpp"
#include "mrfcore/superpixel.hpp"

namespace mrfcore {

/// Sizes, and that there are ids; nobody looks at their values. num may be 0 unless `num_needed`.
void check_superpixel_map(const SuperpixelMap& map, int64_t channels, bool num_needed);

void check_soft_superpixels(const SoftSuperpixels& grid);

}  // namespace mrfcore
