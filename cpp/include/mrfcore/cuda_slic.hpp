// SPDX-License-Identifier: Apache-2.0
// SLIC on a GPU: mrfcore/slic.hpp with all arrays in device memory, and the CPU's superpixels to
// the pixel. Calls enqueue work on the queue's stream and return: they neither allocate nor wait,
// and may be captured in a graph. As many images are worked on side by side as the workspace holds.
//
// Nobody waits to look at values: those of an image outside 0..1 count as the nearest in it, NaN as
// 0; features must be slic_features()'s.
//
// Throws std::invalid_argument, naming the argument, when sizes or options do not fit, OutOfMemory
// when the workspace does not hold one image, CudaError when a launch fails.
#pragma once

#include <cstdint>

#include "mrfcore/cuda.hpp"
#include "mrfcore/slic.hpp"

namespace mrfcore::cuda {

/// Working memory of slic_features() for `items` images at a time: 2 bytes a value where sigma > 0,
/// else none.
template <class T>
int64_t slic_features_workspace_bytes(const SlicImage<T>& image, double sigma, int64_t items);

/// mrfcore::slic_features(). For T in uint8_t, float.
template <class T>
void slic_features(const SlicImage<T>& image, SlicColors colors, double sigma, int16_t* features,
                   const Queue& queue);

/// Working memory of slic() for `items` images at a time: if `connected` 24 + 8 C bytes a pixel.
int64_t slic_workspace_bytes(const SlicOptions& options, int64_t items);

/// mrfcore::slic(). `threads` is not looked at.
void slic(const SlicOptions& options, const int16_t* features, int32_t* ids, int32_t* counts,
          const Queue& queue);

}  // namespace mrfcore::cuda
