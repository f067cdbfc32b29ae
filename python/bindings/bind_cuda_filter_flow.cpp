// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/cuda_filter_flow.hpp and mrfcore/cuda_warp.hpp, with addresses for arrays;
// mrfcore.ops checks tensors, allocates and owns everything.
#include <nanobind/nanobind.h>

#include <string>

#include "bindings.hpp"
#include "device.hpp"
#include "mrfcore/cuda_filter_flow.hpp"
#include "mrfcore/cuda_warp.hpp"

namespace nb = nanobind;
using namespace nb::literals;
namespace cuda = mrfcore::cuda;
using mrfcore::FilterFlowProblem;
using mrfcore::WarpProblem;

namespace {

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

template <class T>
void forward(const FilterFlowProblem& problem, Address image, Address out, Address flow,
             Address peak, Address scale, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::filter_flow<T>(problem, at<const T>(image), at<T>(out), at<T>(flow),
                       {at<T>(peak), at<T>(scale)}, queue.get());
}

template <class T>
void transpose(const FilterFlowProblem& problem, Address image, Address peak, Address scale,
               Address out, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::filter_flow_transpose<T>(problem, at<const T>(image),
                                 {at<const T>(peak), at<const T>(scale)}, at<T>(out), queue.get());
}

template <class T>
void filter_gradient(const FilterFlowProblem& problem, Address image, Address peak, Address scale,
                     Address out, Address grad_out, Address flow, Address grad_flow,
                     Address grad_filters, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::filter_flow_filter_gradient<T>(
      problem, at<const T>(image), {at<const T>(peak), at<const T>(scale)},
      {at<const T>(out), at<const T>(grad_out), at<const T>(flow), at<const T>(grad_flow)},
      at<void>(grad_filters), queue.get());
}

template <class T>
void warp(const WarpProblem& problem, Address image, Address flow, Address out, Address valid,
          const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::warp<T>(problem, at<const T>(image), at<const T>(flow), at<T>(out), at<uint8_t>(valid),
                queue.get());
}

template <class T>
void warp_gradient(const WarpProblem& problem, Address image, Address flow, Address grad_out,
                   Address grad_image, Address grad_flow, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::warp_gradient<T>(problem, at<const T>(image), at<const T>(flow), at<const T>(grad_out),
                         at<T>(grad_image), at<T>(grad_flow), queue.get());
}

template <class T>
void define(nb::module_& m, const std::string& type) {
  const auto def = [&](const std::string& name, const auto& function, const auto&... arguments) {
    m.def((name + "_" + type).c_str(), function, arguments...);
  };
  def("cuda_filter_flow", &forward<T>, "problem"_a, "image"_a, "out"_a, "flow"_a, "peak"_a,
      "scale"_a, "queue"_a);
  def("cuda_filter_flow_transpose_workspace_bytes", &cuda::filter_flow_transpose_workspace_bytes<T>,
      "problem"_a);
  def("cuda_filter_flow_transpose", &transpose<T>, "problem"_a, "image"_a, "peak"_a, "scale"_a,
      "out"_a, "queue"_a);
  def("cuda_filter_flow_filter_gradient", &filter_gradient<T>, "problem"_a, "image"_a, "peak"_a,
      "scale"_a, "out"_a, "grad_out"_a, "flow"_a, "grad_flow"_a, "grad_filters"_a, "queue"_a);
  def("cuda_warp", &warp<T>, "problem"_a, "image"_a, "flow"_a, "out"_a, "valid"_a, "queue"_a);
  def("cuda_warp_gradient_workspace_bytes", &cuda::warp_gradient_workspace_bytes<T>, "problem"_a);
  def("cuda_warp_gradient", &warp_gradient<T>, "problem"_a, "image"_a, "flow"_a, "grad_out"_a,
      "grad_image"_a, "grad_flow"_a, "queue"_a);
}

}  // namespace

void bind_cuda_filter_flow(nb::module_& m) {
  nb::class_<WarpProblem>(m, "CudaWarpProblem")
      .def(nb::init<>())
      .def_rw("batch", &WarpProblem::batch)
      .def_rw("channels", &WarpProblem::channels)
      .def_rw("height", &WarpProblem::height)
      .def_rw("width", &WarpProblem::width)
      .def_rw("out_height", &WarpProblem::out_height)
      .def_rw("out_width", &WarpProblem::out_width)
      .def_rw("padding", &WarpProblem::padding);
  define<float>(m, "f32");
  define<double>(m, "f64");
}
