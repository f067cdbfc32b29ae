// SPDX-License-Identifier: Apache-2.0
// Filter flow on the GPU: host functions, with device pointers in the blocks of
// mrfcore/filter_flow.hpp. They launch on `stream`, allocate nothing, do not wait, and return a
// cudaError_t; arguments have been checked. `threads` is not looked at.
#pragma once

#include <cstdint>

#include "mrfcore/filter_flow.hpp"

namespace mrfcore::cuda::kernels {

/// Most rows, columns and channels: positions, with margins and tiles, are of 32 bits. More are
/// refused.
inline constexpr int64_t kMostExtent = int64_t{1} << 30;

/// See mrfcore::filter_flow. image and out may be null without channels.
template <class T>
int filter_flow(const FilterFlowProblem& problem, const T* image, T* out, T* flow,
                SoftmaxStatistics<T> statistics, void* stream);

/// Elements of `landing`: what lands in the margin of an image, too, and is then added to the
/// pixels that it repeats; 0 for FlowPadding::Zeros.
inline int64_t landing_elements(const FilterFlowProblem& p) {
  if (p.padding == FlowPadding::Zeros) return 0;
  return p.batch * p.channels * (p.height + p.side - 1) * (p.width + p.side - 1);
}

/// See mrfcore::filter_flow_transpose.
template <class T>
int filter_flow_transpose(const FilterFlowProblem& problem, const T* image,
                          SoftmaxStatistics<const T> statistics, T* out, T* landing, void* stream);

/// The second half of it: what landed in the margin is added to the pixels that it repeats.
template <class T>
int fold_landing(const FilterFlowProblem& problem, const T* landing, T* out, void* stream);

/// See mrfcore::filter_flow_filter_gradient.
template <class T>
int filter_flow_filter_gradient(const FilterFlowProblem& problem, const T* image,
                                SoftmaxStatistics<const T> statistics,
                                const FilterFlowGradients<T>& gradients, void* grad_filters,
                                void* stream);

}  // namespace mrfcore::cuda::kernels
