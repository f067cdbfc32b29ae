// SPDX-License-Identifier: Apache-2.0
//
// What ops/mean_shift_filter.cpp calls: one table of functions per instruction set. Arguments are
// checked by the caller; kernels do not throw.
#pragma once

#include <cstdint>

#include "core/hd.hpp"
#include "cpu/control.hpp"

namespace mrfcore::cpu {

/// Columns of a window are summed in so many partial sums, whatever the vector length.
inline constexpr int kFilterColumns = 16;
/// Pixels readable behind a plane's last one, so that vectors may pass the end.
inline constexpr int64_t kFilterPadding = 64;

/// What both kernels share. An image is planes of height * width pixels, `plane` elements apart.
struct FilterFrame {
  int64_t height, width, plane;
  int channels;  ///< 1 or 3
  int radius;
  int iterations;
  double tolerance;
  const uint8_t* wanted;  ///< [height, width], 0: the pixel's output is left alone; null: all
  int threads;
  Control* control;
};

struct ByteFilterArgs {
  FilterFrame frame;
  const uint16_t* planes;  ///< values 0..255
  int64_t most;            ///< squared distance of colours that counts as near
  uint16_t* out;           ///< planes as those of the image
};

struct FloatFilterArgs {
  FilterFrame frame;
  const float* planes;
  float most;             ///< squared distance
  bool gaussian;          ///< else flat
  float scale;            ///< of squared distances in the exponent, < 0
  const float* distance;  ///< Gaussian of a distance in pixels, [radius + 1]
  float* out;             ///< planes as those of the image
};

struct MeanShiftFilterKernels {
  void (*bytes)(const ByteFilterArgs& args);
  void (*floats)(const FloatFilterArgs& args);
};

namespace baseline {
const MeanShiftFilterKernels& mean_shift_filter_kernels();
}
namespace avx2 {
const MeanShiftFilterKernels& mean_shift_filter_kernels();
}
namespace avx512 {
const MeanShiftFilterKernels& mean_shift_filter_kernels();
}

}  // namespace mrfcore::cpu
