// SPDX-License-Identifier: Apache-2.0
// Checks of filter flow, for every back-end. They throw std::invalid_argument, naming
// the argument.
#pragma once

#include "mrfcore/filter_flow.hpp"

namespace mrfcore {

/// Of filter_flow and of filter_flow_transpose.
template <class T>
void check_filter_flow(const FilterFlowProblem& problem, const T* image,
                       SoftmaxStatistics<const T> statistics, const T* out);

/// Of filter_flow_filter_gradient.
template <class T>
void check_filter_gradient(const FilterFlowProblem& problem, const T* image,
                           SoftmaxStatistics<const T> statistics,
                           const FilterFlowGradients<T>& gradients, const void* grad_filters);

}  // namespace mrfcore
