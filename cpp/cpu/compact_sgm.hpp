// SPDX-License-Identifier: Apache-2.0
// Semi-global matching in whole numbers: what ops/stereo_sgm.cpp calls. Arguments are checked by
// the caller; kernels do not throw.
#pragma once

#include <cstdint>

#include "cpu/control.hpp"
#include "mrfcore/cost_volume.hpp"

namespace mrfcore::cpu {

struct CompactSgmArgs {
  const void* left;  ///< [height, width, channels]
  const void* right;
  PixelType type;   ///< Float32: census only
  StereoCost cost;  ///< Census (of 1 channel), Absolute, BirchfieldTomasi
  int64_t height, width, channels;
  int64_t window_height, window_width;
  int labels;  ///< 1 .. 256
  int64_t min_disparity;
  int truncation, border;  ///< 0 .. 255
  int paths;               ///< 4 or 8
  int p1, p2;              ///< 0 <= p1 <= p2; paths (255 + p2) < 65535
  bool subpixel;
  float uniqueness;  ///< 1 + the margin by which the best label wins; 0: no check
  bool left_right_check;
  int max_difference;  ///< labels
  int threads;
  Control* control;

  void* memory;           ///< of `bytes`, any contents, 64-byte aligned
  int32_t* labels_out;    ///< [height, width]
  float* disparity;       ///< [height, width], or null
  int32_t* right_labels;  ///< [height, width], or null
};

struct CompactSgmKernels {
  int lanes;  ///< labels are padded to a multiple
  int64_t (*bytes)(const CompactSgmArgs& args);
  void (*match)(const CompactSgmArgs& args);
};

namespace baseline {
const CompactSgmKernels& compact_sgm_kernels();
}
namespace avx2 {
const CompactSgmKernels& compact_sgm_kernels();
}
namespace avx512 {
const CompactSgmKernels& compact_sgm_kernels();
}

}  // namespace mrfcore::cpu
