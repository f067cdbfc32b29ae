// SPDX-License-Identifier: Apache-2.0
#include "ops/filter_flow.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "cpu/filter_flow.hpp"
#include "ops/buffer.hpp"
#include "ops/dispatch.hpp"

namespace mrfcore {
namespace {

constexpr int64_t kMostSide = 31;
constexpr int64_t kMostElements = std::numeric_limits<int64_t>::max() / 64;

const cpu::FilterFlowKernels& kernels() {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::filter_flow_kernels();
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::filter_flow_kernels();
#endif
    default:
      return cpu::baseline::filter_flow_kernels();
  }
}

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

void check_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return;
  fail(std::string(name) + " is " + std::to_string(value) + ", expected " + std::to_string(least) +
       ".." + std::to_string(most));
}

void check_data(const char* name, const void* data, int64_t elements) {
  if (data == nullptr && elements > 0) fail(std::string(name) + " has no data");
}

int64_t pixels(const FilterFlowProblem& p) { return p.batch * p.height * p.width; }

template <class T>
void check_problem(const FilterFlowProblem& p) {
  constexpr int64_t kMost = int64_t{1} << 31;
  check_range("batch", p.batch, 0, kMost);
  check_range("channels", p.channels, 0, kMost);
  check_range("height", p.height, 1, kMost);
  check_range("width", p.width, 1, kMost);
  check_range("side", p.side, 1, kMostSide);
  const double most = static_cast<double>(kMostElements);
  const double planes =
      static_cast<double>(p.channels + 1) * static_cast<double>(p.side + kMostSide);
  const double area = static_cast<double>(p.height + 64) * static_cast<double>(p.width + 128);
  if (static_cast<double>(p.batch) * planes * area * kMostSide > most) fail("sizes overflow");
  if ((p.type == FilterType::Float64) != (sizeof(T) == 8)) {
    fail("type is that of filters for the other precision: double goes with Float64");
  }
  check_data("filters", p.filters, pixels(p));
  const int64_t reach = p.side / 2;
  if (p.padding == FlowPadding::Reflect && (p.height <= reach || p.width <= reach)) {
    fail("side is " + std::to_string(p.side) + ", expected filters that reach less far than " +
         std::to_string(p.height) + " x " + std::to_string(p.width) +
         " pixels where padding reflects");
  }
}

cpu::FilterFlowArgs arguments(const FilterFlowProblem& p) {
  cpu::FilterFlowArgs a{};
  a.batch = p.batch;
  a.channels = p.channels;
  a.height = p.height;
  a.width = p.width;
  a.side = p.side;
  a.softmax = p.softmax;
  a.padding = p.padding;
  a.threads = threads_for(pixels(p) * p.side * p.side, p.threads);
  a.filters = p.filters;
  return a;
}

/// Kernels only write what `a` holds as const or not by their contract.
template <class T>
void* writable(const T* data) {
  return const_cast<T*>(data);
}

template <class T>
void check_statistics(const FilterFlowProblem& p, SoftmaxStatistics<const T> statistics) {
  if (!p.softmax) return;
  check_data("statistics.peak", statistics.peak, pixels(p));
  check_data("statistics.scale", statistics.scale, pixels(p));
}

template <class T>
void set_statistics(const FilterFlowProblem& p, SoftmaxStatistics<T> statistics,
                    cpu::FilterFlowArgs& a) {
  if (!p.softmax) return;
  a.peak = writable(statistics.peak);
  a.scale = writable(statistics.scale);
}

template <class T>
using Kernel = void (*)(const cpu::FilterFlowArgs&);

template <class T>
void run(Kernel<T> kernel, int64_t workspace, cpu::FilterFlowArgs& a) {
  if (a.batch == 0) return;
  Buffer<T> memory(workspace);
  a.workspace = memory.data();
  kernel(a);
}

}  // namespace

template <class T>
void check_filter_flow(const FilterFlowProblem& problem, const T* image,
                       SoftmaxStatistics<const T> statistics, const T* out) {
  check_problem<T>(problem);
  check_data("image", image, pixels(problem) * problem.channels);
  check_data("out", out, pixels(problem) * problem.channels);
  check_statistics(problem, statistics);
}

template <class T>
void check_filter_gradient(const FilterFlowProblem& problem, const T* image,
                           SoftmaxStatistics<const T> statistics,
                           const FilterFlowGradients<T>& gradients, const void* grad_filters) {
  check_problem<T>(problem);
  const int64_t elements = pixels(problem) * problem.channels;
  check_data("image", image, elements);
  check_data("gradients.grad_out", gradients.grad_out, elements);
  check_data("grad_filters", grad_filters, pixels(problem));
  check_statistics(problem, statistics);
  if (!problem.softmax) return;
  check_data("gradients.out", gradients.out, elements);
  if (gradients.grad_flow != nullptr) {
    check_data("gradients.flow", gradients.flow, pixels(problem));
  }
}

template <class T>
void filter_flow(const FilterFlowProblem& problem, const T* image, T* out, T* flow,
                 SoftmaxStatistics<T> statistics) {
  check_filter_flow<T>(problem, image, {statistics.peak, statistics.scale}, out);
  cpu::FilterFlowArgs a = arguments(problem);
  set_statistics(problem, statistics, a);
  a.image = image;
  a.out = out;
  a.flow = flow;
  const auto type = static_cast<int>(problem.type);
  run<T>(kernels().forward[type], kernels().image_workspace(a), a);
}

template <class T>
void filter_flow_transpose(const FilterFlowProblem& problem, const T* image,
                           SoftmaxStatistics<const T> statistics, T* out) {
  check_filter_flow<T>(problem, image, statistics, out);
  cpu::FilterFlowArgs a = arguments(problem);
  set_statistics(problem, statistics, a);
  a.image = image;
  a.out = out;
  const auto type = static_cast<int>(problem.type);
  run<T>(kernels().transpose[type], kernels().transpose_workspace(a), a);
}

template <class T>
void filter_flow_filter_gradient(const FilterFlowProblem& problem, const T* image,
                                 SoftmaxStatistics<const T> statistics,
                                 const FilterFlowGradients<T>& gradients, void* grad_filters) {
  check_filter_gradient(problem, image, statistics, gradients, grad_filters);
  cpu::FilterFlowArgs a = arguments(problem);
  set_statistics(problem, statistics, a);
  a.image = image;
  a.out = writable(gradients.out);
  a.grad_out = gradients.grad_out;
  a.flow = writable(gradients.flow);
  a.grad_flow = gradients.grad_flow;
  a.grad_filters = grad_filters;
  const auto type = static_cast<int>(problem.type);
  run<T>(kernels().filter_gradient[type], kernels().image_workspace(a), a);
}

#define MRFCORE_INSTANTIATE(T)                                                                    \
  template void check_filter_flow<T>(const FilterFlowProblem&, const T*,                          \
                                     SoftmaxStatistics<const T>, const T*);                       \
  template void check_filter_gradient<T>(const FilterFlowProblem&, const T*,                      \
                                         SoftmaxStatistics<const T>,                              \
                                         const FilterFlowGradients<T>&, const void*);             \
  template void filter_flow<T>(const FilterFlowProblem&, const T*, T*, T*, SoftmaxStatistics<T>); \
  template void filter_flow_transpose<T>(const FilterFlowProblem&, const T*,                      \
                                         SoftmaxStatistics<const T>, T*);                         \
  template void filter_flow_filter_gradient<T>(const FilterFlowProblem&, const T*,                \
                                               SoftmaxStatistics<const T>,                        \
                                               const FilterFlowGradients<T>&, void*);
MRFCORE_INSTANTIATE(float)
MRFCORE_INSTANTIATE(double)
#undef MRFCORE_INSTANTIATE

}  // namespace mrfcore
