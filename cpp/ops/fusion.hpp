// SPDX-License-Identifier: Apache-2.0
// Two labellings made into one that is no worse than either. Where they differ, they do so in
// regions that share no edge: each may take either's labels, whatever the others take.
#pragma once

#include <vector>

#include "cpu/kernels.hpp"

namespace mrfcore {

/// labels takes over the proposal's labels in every connected region of different ones whose
/// changes sum to less than 0. change: per pixel, what of the energy a change of its label changes,
/// edges between two pixels of a region counted once; 0 where labels agree; sums are made in it.
/// Returns whether any label changed.
bool fuse_regions(const cpu::GridShape& shape, const int32_t* proposal, double* change,
                  int32_t* labels);

}  // namespace mrfcore
