// SPDX-License-Identifier: Apache-2.0
//
// Thin face of mrfcore/disparity.hpp; stereo.py checks and converts.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bindings.hpp"
#include "mrfcore/disparity.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Map = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Guide = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

void smooth_disparity(const Map& disparity, const Guide& guide, int64_t radius,
                      float max_difference, float colour_scale, int threads) {
  if (guide.shape(0) != disparity.shape(0) || guide.shape(1) != disparity.shape(1)) {
    throw std::invalid_argument("guide differs from disparity in height or width");
  }
  const mrfcore::ImageView image{
      guide.data(), mrfcore::PixelType::Float32, static_cast<int64_t>(guide.shape(0)),
      static_cast<int64_t>(guide.shape(1)), static_cast<int64_t>(guide.shape(2))};
  const nb::gil_scoped_release release;
  mrfcore::smooth_disparity(disparity.data(), image,
                            {.radius = radius,
                             .max_difference = max_difference,
                             .colour_scale = colour_scale,
                             .threads = threads},
                            disparity.data());
}

void remove_speckles(const Map& disparity, int64_t max_size, float max_difference) {
  const nb::gil_scoped_release release;
  mrfcore::remove_speckles(disparity.data(), static_cast<int64_t>(disparity.shape(0)),
                           static_cast<int64_t>(disparity.shape(1)), max_size, max_difference);
}

}  // namespace

void bind_disparity(nb::module_& m) {
  m.def("smooth_disparity", &smooth_disparity, "disparity"_a.noconvert(), "guide"_a, "radius"_a,
        "max_difference"_a, "colour_scale"_a, "threads"_a);
  m.def("remove_speckles", &remove_speckles, "disparity"_a.noconvert(), "max_size"_a,
        "max_difference"_a);
}
