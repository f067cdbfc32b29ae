// SPDX-License-Identifier: Apache-2.0
// Checks of warps, for every back-end. They throw std::invalid_argument, naming the argument.
#pragma once

#include "mrfcore/warp.hpp"

namespace mrfcore {

/// result: of the name given, [batch, channels, out_height, out_width].
void check_warp(const WarpProblem& problem, const void* image, const void* flow, const char* name,
                const void* result);

}  // namespace mrfcore
