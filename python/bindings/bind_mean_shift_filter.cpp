// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/mean_shift_filter.hpp; mrfcore.filtering checks arrays and allocates.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <type_traits>

#include "bindings.hpp"
#include "mrfcore/error.hpp"
#include "mrfcore/mean_shift_filter.hpp"
#include "problem.hpp"

using namespace nb::literals;

namespace {

template <class T>
using Image = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class T>
mrfcore::ImageView view(const Image<const T>& image) {
  return {image.data(),
          std::is_same_v<T, uint8_t> ? mrfcore::PixelType::UInt8 : mrfcore::PixelType::Float32,
          static_cast<int64_t>(image.shape(0)), static_cast<int64_t>(image.shape(1)),
          static_cast<int64_t>(image.shape(2))};
}

template <class T>
void mean_shift_filter(const Image<const T>& image, mrfcore::MeanShiftFilterOptions options,
                       const Image<T>& out) {
  for (size_t axis = 0; axis < 3; ++axis) {
    if (out.shape(axis) != image.shape(axis)) throw nb::value_error("out: shape is not image's");
  }
  options.interrupted = signal_pending;
  try {
    const nb::gil_scoped_release release;
    mrfcore::mean_shift_filter(view<T>(image), options, out.data());
  } catch (const mrfcore::Interrupted&) {
    throw nb::python_error();  // PyErr_CheckSignals has set it
  }
}

template <class T>
int64_t mean_shift_regions(const Image<const T>& filtered, double color_radius, int64_t min_size,
                           mrfcore::FilterSpace space, const Ids& ids) {
  if (ids.shape(0) != filtered.shape(0) || ids.shape(1) != filtered.shape(1))
    throw nb::value_error("ids: shape does not fit filtered");
  const nb::gil_scoped_release release;
  return mrfcore::mean_shift_regions(view<T>(filtered), color_radius, min_size, space, ids.data());
}

template <class T>
void bind_images(nb::module_& m) {
  m.def("mean_shift_filter", &mean_shift_filter<T>, "image"_a.noconvert(), "options"_a,
        "out"_a.noconvert());
  m.def("mean_shift_regions", &mean_shift_regions<T>, "filtered"_a.noconvert(), "color_radius"_a,
        "min_size"_a, "space"_a, "ids"_a.noconvert());
}

}  // namespace

void bind_mean_shift_filter(nb::module_& m) {
  using mrfcore::MeanShiftFilterOptions;
  nb::enum_<mrfcore::FilterKernel>(m, "FilterKernel")
      .value("flat", mrfcore::FilterKernel::Flat)
      .value("gaussian", mrfcore::FilterKernel::Gaussian);
  nb::enum_<mrfcore::FilterSpace>(m, "FilterSpace")
      .value("rgb", mrfcore::FilterSpace::RGB)
      .value("luv", mrfcore::FilterSpace::LUV);
  nb::class_<MeanShiftFilterOptions>(m, "MeanShiftFilterOptions")
      .def(nb::init<>())
      .def_rw("spatial_radius", &MeanShiftFilterOptions::spatial_radius)
      .def_rw("color_radius", &MeanShiftFilterOptions::color_radius)
      .def_rw("kernel", &MeanShiftFilterOptions::kernel)
      .def_rw("iterations", &MeanShiftFilterOptions::iterations)
      .def_rw("tolerance", &MeanShiftFilterOptions::tolerance)
      .def_rw("levels", &MeanShiftFilterOptions::levels)
      .def_rw("space", &MeanShiftFilterOptions::space)
      .def_rw("threads", &MeanShiftFilterOptions::threads);
  bind_images<uint8_t>(m);
  bind_images<float>(m);
}
