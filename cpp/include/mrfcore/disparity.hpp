// SPDX-License-Identifier: Apache-2.0
//
// Clean-up of a disparity map [height, width] in pixels; NaN marks pixels without a disparity.
#pragma once

#include <cstdint>

#include "mrfcore/cost_volume.hpp"

namespace mrfcore {

struct SmoothOptions {
  int64_t radius = 8;           ///< pixels, along rows and then along columns
  float max_difference = 1.5F;  ///< disparities further apart than this do not mix
  float colour_scale = 10.0F;   ///< mean absolute colour difference at which the weight is 1/2
  int threads = 0;              ///< 0: MRFCORE_NUM_THREADS, else OpenMP's default
};

/// Joint bilateral smoothing, separable: first along rows, then along columns,
///   out(p) = sum_q w(p, q) d(q) / sum_q w(p, q),
///   w(p, q) = max(0, 1 - |d(q) - d(p)| / max_difference) / (1 + (|I(q) - I(p)| / colour_scale)^2).
/// NaN stays NaN and lends no weight. `guide` is the image that the disparities belong to, of the
/// same height and width. `out` may be `disparity` itself.
void smooth_disparity(const float* disparity, const ImageView& guide, const SmoothOptions& options,
                      float* out);

/// Sets to NaN every connected patch of at most `max_size` pixels; neighbours (4) are connected
/// when their disparities differ by no more than max_difference.
void remove_speckles(float* disparity, int64_t height, int64_t width, int64_t max_size,
                     float max_difference);

}  // namespace mrfcore
