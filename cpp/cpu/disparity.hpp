// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mrfcore::cpu {

struct SmoothArgs {
  const float* disparity;
  const float* guide;  ///< [channels, height, width]
  int64_t height, width, channels;
  int64_t radius;
  float max_difference, colour_scale;
  int threads;
  float* rows;  ///< [height, width]: the result of the pass along rows
  float* out;   ///< may be `disparity`
};

struct DisparityKernels {
  void (*smooth)(const SmoothArgs& args);
};

namespace baseline {
const DisparityKernels& disparity_kernels();
}
namespace avx2 {
const DisparityKernels& disparity_kernels();
}
namespace avx512 {
const DisparityKernels& disparity_kernels();
}

}  // namespace mrfcore::cpu
