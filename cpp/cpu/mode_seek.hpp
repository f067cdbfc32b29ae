// SPDX-License-Identifier: Apache-2.0
//
// What ops/mode_seek.cpp calls: one table of functions per instruction set. Arguments are checked
// by the caller; kernels do not throw.
#pragma once

#include <cstdint>

#include "cpu/control.hpp"
#include "mrfcore/mode_seek.hpp"

namespace mrfcore::cpu {

inline constexpr int kGridAxes = 3;
/// Doubles readable behind a dimension's last point, so that vectors may pass the end.
inline constexpr int64_t kModePadding = 16;

/// Points sorted by cell; cells of equal size, the last axis fastest.
struct ModeGrid {
  const double* points;  ///< [dims, stride]
  int64_t stride, dims;
  const int64_t* first;  ///< [cells + 1]: number of the cell's first point
  double origin[kGridAxes];
  int64_t cells[kGridAxes];  ///< 1 where there is no such dimension
  double side;
};

struct ModeSeekArgs {
  ModeGrid grid;
  ModeKernel kernel;
  double bandwidth, radius;  ///< radius: where weights end
  double stop;               ///< length of the last move
  int max_iterations;
  const double* seeds;
  int64_t num_seeds;
  double* modes;
  double* mass;
  int32_t* iterations;
  int threads;
  Control* control;
};

namespace baseline {
void seek_modes(const ModeSeekArgs& args);
}
namespace avx2 {
void seek_modes(const ModeSeekArgs& args);
}
namespace avx512 {
void seek_modes(const ModeSeekArgs& args);
}

}  // namespace mrfcore::cpu
