// SPDX-License-Identifier: Apache-2.0
//
// Bilinear warps: out[b, c, y, x] = image[b, c] sampled at (x + flow[b, 0, y, x], y + flow[b, 1, y,
// x]). Integer coordinates are pixel centres; flow is in pixels, x first. Arrays are contiguous,
// image [batch, channels, height, width], flow [batch, 2, out_height, out_width]. Results do not
// depend on threads or instruction set.
#pragma once

#include <cstdint>

namespace mrfcore {

/// What is sampled outside the image: 0, or the nearest pixel of its border.
enum class WarpPadding { Zeros, Replicate };

struct WarpProblem {
  int64_t batch = 0, channels = 0, height = 0, width = 0;  ///< batch and channels may be 0
  int64_t out_height = 0, out_width = 0;
  WarpPadding padding = WarpPadding::Zeros;
  int threads = 0;  ///< 0: MRFCORE_NUM_THREADS, else OpenMP's default
};

/// Writes `out` and, unless it is null, `valid` [batch, out_height, out_width]: 1 where all four
/// taps lie inside the image (a tap of weight 0 counts as inside), else 0. A flow that is not
/// finite samples NaN, and is not valid. Throws std::invalid_argument, naming the argument.
template <class T>
void warp(const WarpProblem& problem, const T* image, const T* flow, T* out, uint8_t* valid);

/// Gradients of sum(grad_out * out); those that are null are not computed. Where a coordinate is
/// an integer, the flow's is the derivative to the right, and it is 0 along an axis in which
/// Replicate repeats the border.
template <class T>
void warp_gradient(const WarpProblem& problem, const T* image, const T* flow, const T* grad_out,
                   T* grad_image, T* grad_flow);

}  // namespace mrfcore
