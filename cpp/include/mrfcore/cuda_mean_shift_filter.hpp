// SPDX-License-Identifier: Apache-2.0
// Mean-shift filtering on a GPU. Images are in device memory, items one after the other; ImageView
// gives the address of the first and the size of each. Calls enqueue work on the queue's stream and
// return: they neither allocate nor wait, and may be captured in a graph. Pixels must be finite and
// below 1e15 (nobody looks).
#pragma once

#include <cstdint>

#include "mrfcore/cuda.hpp"
#include "mrfcore/mean_shift_filter.hpp"

namespace mrfcore::cuda {

/// Working memory of mean_shift_filter() for `items` images at a time. Without levels 8 bytes a
/// pixel for uint8, none for float32 in RGB; otherwise at most 12 bytes a pixel and channel.
int64_t mean_shift_filter_workspace_bytes(const ImageView& image,
                                          const MeanShiftFilterOptions& options, int64_t items);

/// mrfcore::mean_shift_filter() of `items` images, to the bit; out is laid out as they are.
/// `threads` and `interrupted` are not looked at. Throws std::invalid_argument, naming the
/// argument, OutOfMemory when the workspace does not hold one item, CudaError when a launch fails.
void mean_shift_filter(const ImageView& image, int64_t items, const MeanShiftFilterOptions& options,
                       void* out, const Queue& queue);

}  // namespace mrfcore::cuda
