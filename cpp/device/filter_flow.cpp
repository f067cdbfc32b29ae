// SPDX-License-Identifier: Apache-2.0
// Public functions of filter flow on a GPU: checks, memory.
#include <stdexcept>
#include <string>

// First: its table takes addresses of kernels, which are called as what is declared below.
#include "device/library.hpp"

#include "device/workspace.hpp"
#include "mrfcore/cuda_filter_flow.hpp"
#include "ops/filter_flow.hpp"

namespace mrfcore::cuda {
namespace {

/// Positions in kernels are of 32 bits.
void check_extent(const char* name, int64_t value) {
  if (value <= kernels::kMostExtent) return;
  throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) +
                              ", expected at most " + std::to_string(kernels::kMostExtent) +
                              " on a GPU");
}

void check_extents(const FilterFlowProblem& p) {
  check_extent("height", p.height);
  check_extent("width", p.width);
  check_extent("channels", p.channels);
}

}  // namespace

template <class T>
void filter_flow(const FilterFlowProblem& problem, const T* image, T* out, T* flow,
                 SoftmaxStatistics<T> statistics, const Queue& queue) {
  check_filter_flow<T>(problem, image, {statistics.peak, statistics.scale}, out);
  check_extents(problem);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  check(functions,
        functions.flows<T>().filter_flow(problem, image, out, flow, statistics, queue.stream),
        "filter flow");
}

template <class T>
int64_t filter_flow_transpose_workspace_bytes(const FilterFlowProblem& problem) {
  check_extents(problem);
  return kernels::landing_elements(problem) * static_cast<int64_t>(sizeof(T));
}

template <class T>
void filter_flow_transpose(const FilterFlowProblem& problem, const T* image,
                           SoftmaxStatistics<const T> statistics, T* out, const Queue& queue) {
  check_filter_flow<T>(problem, image, statistics, out);
  expect_workspace(queue, filter_flow_transpose_workspace_bytes<T>(problem));
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  check(functions,
        functions.flows<T>().filter_flow_transpose(problem, image, statistics, out,
                                                   static_cast<T*>(queue.workspace), queue.stream),
        "transposed filter flow");
}

template <class T>
void filter_flow_filter_gradient(const FilterFlowProblem& problem, const T* image,
                                 SoftmaxStatistics<const T> statistics,
                                 const FilterFlowGradients<T>& gradients, void* grad_filters,
                                 const Queue& queue) {
  check_filter_gradient(problem, image, statistics, gradients, grad_filters);
  check_extents(problem);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  check(functions,
        functions.flows<T>().filter_flow_filter_gradient(problem, image, statistics, gradients,
                                                         grad_filters, queue.stream),
        "gradient of filters");
}

#define MRFCORE_INSTANTIATE(T)                                                                   \
  template void filter_flow<T>(const FilterFlowProblem&, const T*, T*, T*, SoftmaxStatistics<T>, \
                               const Queue&);                                                    \
  template int64_t filter_flow_transpose_workspace_bytes<T>(const FilterFlowProblem&);           \
  template void filter_flow_transpose<T>(const FilterFlowProblem&, const T*,                     \
                                         SoftmaxStatistics<const T>, T*, const Queue&);          \
  template void filter_flow_filter_gradient<T>(                                                  \
      const FilterFlowProblem&, const T*, SoftmaxStatistics<const T>,                            \
      const FilterFlowGradients<T>&, void*, const Queue&);
MRFCORE_INSTANTIATE(float)
MRFCORE_INSTANTIATE(double)
#undef MRFCORE_INSTANTIATE

}  // namespace mrfcore::cuda
