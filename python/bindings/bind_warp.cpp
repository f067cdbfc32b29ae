// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/warp.hpp; mrfcore.ops checks tensors and allocates everything.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>
#include <stdexcept>

#include "bindings.hpp"
#include "mrfcore/warp.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T>
using Images = nb::ndarray<T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Mask = nb::ndarray<uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <class A, class B>
void require(const char* name, const A& array, std::initializer_list<B> shape) {
  size_t axis = 0;
  for (const B size : shape) {
    if (static_cast<int64_t>(array.shape(axis++)) == size) continue;
    throw std::invalid_argument(std::string(name) + " does not fit the image and the flow");
  }
}

template <class T>
mrfcore::WarpProblem problem_of(const Images<const T>& image, const Images<const T>& flow,
                                mrfcore::WarpPadding padding, int threads) {
  mrfcore::WarpProblem p;
  p.batch = static_cast<int64_t>(image.shape(0));
  p.channels = static_cast<int64_t>(image.shape(1));
  p.height = static_cast<int64_t>(image.shape(2));
  p.width = static_cast<int64_t>(image.shape(3));
  p.out_height = static_cast<int64_t>(flow.shape(2));
  p.out_width = static_cast<int64_t>(flow.shape(3));
  p.padding = padding;
  p.threads = threads;
  require("flow", flow, {p.batch, int64_t{2}});
  return p;
}

template <class T>
void forward(const Images<const T>& image, const Images<const T>& flow,
             mrfcore::WarpPadding padding, int threads, const Images<T>& out,
             const std::optional<Mask>& valid) {
  const auto p = problem_of(image, flow, padding, threads);
  require("out", out, {p.batch, p.channels, p.out_height, p.out_width});
  if (valid) require("valid", *valid, {p.batch, p.out_height, p.out_width});
  const nb::gil_scoped_release release;
  mrfcore::warp<T>(p, image.data(), flow.data(), out.data(), valid ? valid->data() : nullptr);
}

template <class T>
void gradient(const Images<const T>& image, const Images<const T>& flow,
              const Images<const T>& grad_out, mrfcore::WarpPadding padding, int threads,
              const std::optional<Images<T>>& grad_image,
              const std::optional<Images<T>>& grad_flow) {
  const auto p = problem_of(image, flow, padding, threads);
  require("grad_out", grad_out, {p.batch, p.channels, p.out_height, p.out_width});
  if (grad_image) require("grad_image", *grad_image, {p.batch, p.channels, p.height, p.width});
  if (grad_flow) require("grad_flow", *grad_flow, {p.batch, int64_t{2}, p.out_height, p.out_width});
  const nb::gil_scoped_release release;
  mrfcore::warp_gradient<T>(p, image.data(), flow.data(), grad_out.data(),
                            grad_image ? grad_image->data() : nullptr,
                            grad_flow ? grad_flow->data() : nullptr);
}

template <class T>
void define(nb::module_& m) {
  m.def("warp", &forward<T>, "image"_a.noconvert(), "flow"_a.noconvert(), "padding"_a, "threads"_a,
        "out"_a.noconvert(), "valid"_a.noconvert().none());
  m.def("warp_gradient", &gradient<T>, "image"_a.noconvert(), "flow"_a.noconvert(),
        "grad_out"_a.noconvert(), "padding"_a, "threads"_a, "grad_image"_a.noconvert().none(),
        "grad_flow"_a.noconvert().none());
}

}  // namespace

void bind_warp(nb::module_& m) {
  nb::enum_<mrfcore::WarpPadding>(m, "WarpPadding")
      .value("zeros", mrfcore::WarpPadding::Zeros)
      .value("replicate", mrfcore::WarpPadding::Replicate);
  define<float>(m);
  define<double>(m);
}
