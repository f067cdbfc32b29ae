// SPDX-License-Identifier: Apache-2.0
//
// What ops/warp.cpp calls: one table of functions per instruction set. Arguments are checked by the
// caller; kernels do not throw.
#pragma once

#include <cstdint>

#include "mrfcore/warp.hpp"

namespace mrfcore::cpu {

template <class T>
struct WarpArgs {
  int64_t batch, channels, height, width, out_height, out_width;
  WarpPadding padding;
  int threads;
  const T* image;
  const T* flow;
  T* out;          ///< forward
  uint8_t* valid;  ///< forward, may be null
  const T* grad_out;
  T* grad_image;  ///< null: not wanted
  T* grad_flow;   ///< null: not wanted
};

template <class T>
struct WarpKernels {
  void (*forward)(const WarpArgs<T>& args);
  void (*gradient)(const WarpArgs<T>& args);
};

namespace baseline {
template <class T>
const WarpKernels<T>& warp_kernels();
}
namespace avx2 {
template <class T>
const WarpKernels<T>& warp_kernels();
}
namespace avx512 {
template <class T>
const WarpKernels<T>& warp_kernels();
}

}  // namespace mrfcore::cpu
