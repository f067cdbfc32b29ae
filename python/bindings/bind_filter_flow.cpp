// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/filter_flow.hpp. Arrays are addresses, since NumPy has no bfloat16;
// mrfcore.ops checks tensors, allocates and owns everything.
#include <nanobind/nanobind.h>

#include "bindings.hpp"
#include "device.hpp"
#include "mrfcore/filter_flow.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using mrfcore::FilterFlowProblem;

namespace {

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

template <class T>
void forward(const FilterFlowProblem& problem, Address image, Address out, Address flow,
             Address peak, Address scale) {
  const nb::gil_scoped_release release;
  mrfcore::filter_flow<T>(problem, at<const T>(image), at<T>(out), at<T>(flow),
                          {at<T>(peak), at<T>(scale)});
}

template <class T>
void transpose(const FilterFlowProblem& problem, Address image, Address peak, Address scale,
               Address out) {
  const nb::gil_scoped_release release;
  mrfcore::filter_flow_transpose<T>(problem, at<const T>(image),
                                    {at<const T>(peak), at<const T>(scale)}, at<T>(out));
}

template <class T>
void filter_gradient(const FilterFlowProblem& problem, Address image, Address peak, Address scale,
                     Address out, Address grad_out, Address flow, Address grad_flow,
                     Address grad_filters) {
  const nb::gil_scoped_release release;
  mrfcore::filter_flow_filter_gradient<T>(
      problem, at<const T>(image), {at<const T>(peak), at<const T>(scale)},
      {at<const T>(out), at<const T>(grad_out), at<const T>(flow), at<const T>(grad_flow)},
      at<void>(grad_filters));
}

}  // namespace

void bind_filter_flow(nb::module_& m) {
  nb::enum_<mrfcore::FilterType>(m, "FilterType")
      .value("float32", mrfcore::FilterType::Float32)
      .value("float64", mrfcore::FilterType::Float64)
      .value("bfloat16", mrfcore::FilterType::BFloat16)
      .value("float16", mrfcore::FilterType::Float16);
  nb::enum_<mrfcore::FlowPadding>(m, "FlowPadding")
      .value("zeros", mrfcore::FlowPadding::Zeros)
      .value("replicate", mrfcore::FlowPadding::Replicate)
      .value("reflect", mrfcore::FlowPadding::Reflect);
  nb::class_<FilterFlowProblem>(m, "FilterFlowProblem")
      .def(nb::init<>())
      .def_rw("batch", &FilterFlowProblem::batch)
      .def_rw("channels", &FilterFlowProblem::channels)
      .def_rw("height", &FilterFlowProblem::height)
      .def_rw("width", &FilterFlowProblem::width)
      .def_rw("side", &FilterFlowProblem::side)
      .def_prop_rw(
          "filters",
          [](const FilterFlowProblem& p) { return reinterpret_cast<Address>(p.filters); },
          [](FilterFlowProblem& p, Address filters) { p.filters = at<const void>(filters); })
      .def_rw("type", &FilterFlowProblem::type)
      .def_rw("softmax", &FilterFlowProblem::softmax)
      .def_rw("padding", &FilterFlowProblem::padding)
      .def_rw("threads", &FilterFlowProblem::threads);
  m.def("filter_flow_f32", &forward<float>, "problem"_a, "image"_a, "out"_a, "flow"_a, "peak"_a,
        "scale"_a);
  m.def("filter_flow_f64", &forward<double>, "problem"_a, "image"_a, "out"_a, "flow"_a, "peak"_a,
        "scale"_a);
  m.def("filter_flow_transpose_f32", &transpose<float>, "problem"_a, "image"_a, "peak"_a, "scale"_a,
        "out"_a);
  m.def("filter_flow_transpose_f64", &transpose<double>, "problem"_a, "image"_a, "peak"_a,
        "scale"_a, "out"_a);
  m.def("filter_flow_filter_gradient_f32", &filter_gradient<float>, "problem"_a, "image"_a,
        "peak"_a, "scale"_a, "out"_a, "grad_out"_a, "flow"_a, "grad_flow"_a, "grad_filters"_a);
  m.def("filter_flow_filter_gradient_f64", &filter_gradient<double>, "problem"_a, "image"_a,
        "peak"_a, "scale"_a, "out"_a, "grad_out"_a, "flow"_a, "grad_flow"_a, "grad_filters"_a);
}
