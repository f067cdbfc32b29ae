// SPDX-License-Identifier: Apache-2.0
//
// What ops/filter_flow.cpp calls: one table of functions per instruction set. Arguments are checked
// by the caller; kernels do not throw.
#pragma once

#include <cstdint>

#include "mrfcore/filter_flow.hpp"

namespace mrfcore::cpu {

/// Of all three passes. Pointers are to double beside FilterType::Float64, else to float.
struct FilterFlowArgs {
  int64_t batch, channels, height, width, side;
  bool softmax;
  FlowPadding padding;
  int threads;
  const void* filters;
  const void* image;  ///< transpose: what the filters spread
  void* out;          ///< filter gradient: read
  void* flow;         ///< null: not wanted; filter gradient: read
  void* peak;         ///< softmax: written by forward, else read
  void* scale;
  const void* grad_out;   ///< filter gradient
  const void* grad_flow;  ///< filter gradient, may be null
  void* grad_filters;     ///< filter gradient, in the filters' type
  void* workspace;
};

constexpr int kFilterTypes = 4;

/// Indexed by FilterType.
struct FilterFlowKernels {
  void (*forward[kFilterTypes])(const FilterFlowArgs& args);
  void (*transpose[kFilterTypes])(const FilterFlowArgs& args);
  void (*filter_gradient[kFilterTypes])(const FilterFlowArgs& args);
  /// Elements of the workspace: padded images, never anything of the filters' size.
  int64_t (*image_workspace)(const FilterFlowArgs& args);
  int64_t (*transpose_workspace)(const FilterFlowArgs& args);
};

namespace baseline {
const FilterFlowKernels& filter_flow_kernels();
}
namespace avx2 {
const FilterFlowKernels& filter_flow_kernels();
}
namespace avx512 {
const FilterFlowKernels& filter_flow_kernels();
}

}  // namespace mrfcore::cpu
