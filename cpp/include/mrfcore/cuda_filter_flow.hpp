// SPDX-License-Identifier: Apache-2.0
// Filter flow on a GPU. All arrays are in device memory. Calls enqueue work on the queue's stream
// and return: they neither allocate nor wait, and may be captured in a graph. Results are the bits
// of the CPU's functions of the same names, but for the rounding of softmaxes in filter_flow().
// FilterFlowProblem::threads is not looked at.
//
// Throws std::invalid_argument, naming the argument, when sizes, types or pointers do not fit,
// OutOfMemory for too small a workspace, CudaError when a launch fails.
#pragma once

#include <cstdint>

#include "mrfcore/cuda.hpp"
#include "mrfcore/filter_flow.hpp"

namespace mrfcore::cuda {

/// Filters are read once for up to 24 channels (8 in double), for more again, from L2. Needs no
/// workspace.
template <class T>
void filter_flow(const FilterFlowProblem& problem, const T* image, T* out, T* flow,
                 SoftmaxStatistics<T> statistics, const Queue& queue);

/// Working memory of filter_flow_transpose(): where a margin is filled, an image with that margin.
template <class T>
int64_t filter_flow_transpose_workspace_bytes(const FilterFlowProblem& problem);

template <class T>
void filter_flow_transpose(const FilterFlowProblem& problem, const T* image,
                           SoftmaxStatistics<const T> statistics, T* out, const Queue& queue);

/// Needs no workspace.
template <class T>
void filter_flow_filter_gradient(const FilterFlowProblem& problem, const T* image,
                                 SoftmaxStatistics<const T> statistics,
                                 const FilterFlowGradients<T>& gradients, void* grad_filters,
                                 const Queue& queue);

}  // namespace mrfcore::cuda
