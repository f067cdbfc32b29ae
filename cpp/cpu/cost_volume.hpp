// SPDX-License-Identifier: Apache-2.0
//
// What ops/cost_volume.cpp calls: one table of functions per instruction set. Arguments are checked
// by the caller; kernels do not throw.
#pragma once

#include <cstdint>

#include "mrfcore/cost_volume.hpp"

namespace mrfcore::cpu {

struct CostVolumeArgs {
  const void* left;  ///< [height, width, channels]
  const void* right;
  PixelType type;
  StereoCost cost;
  int64_t height, width, channels;  ///< census: 1 channel
  int64_t num_disparities, min_disparity;
  int64_t window_height, window_width;
  float truncation, border, scale;
  bool accumulate;
  int threads;
  float* out;
};

struct RightViewArgs {
  const float* costs;
  int64_t height, width, num_disparities, min_disparity;
  int threads;
};

struct CostVolumeKernels {
  void (*cost_volume)(const CostVolumeArgs& args);
  void (*right_view_minimum)(const RightViewArgs& args, int32_t* labels, float* minima);
  void (*right_view_volume)(const RightViewArgs& args, float border, float* out);
};

namespace baseline {
const CostVolumeKernels& cost_volume_kernels();
}
namespace avx2 {
const CostVolumeKernels& cost_volume_kernels();
}
namespace avx512 {
const CostVolumeKernels& cost_volume_kernels();
}

}  // namespace mrfcore::cpu
