// SPDX-License-Identifier: Apache-2.0
//
// Thin face of mrfcore/cost_volume.hpp; names, shapes and types are made friendly in stereo.py.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include "bindings.hpp"
#include "mrfcore/cost_volume.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T>
using Image = nb::ndarray<const T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Volume = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using ConstVolume = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Plane = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Labels = nb::ndarray<int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class T>
mrfcore::ImageView view(const Image<T>& image) {
  return {image.data(),
          std::is_same_v<T, uint8_t> ? mrfcore::PixelType::UInt8 : mrfcore::PixelType::Float32,
          static_cast<int64_t>(image.shape(0)), static_cast<int64_t>(image.shape(1)),
          static_cast<int64_t>(image.shape(2))};
}

template <class T>
void cost_volume(const Image<T>& left, const Image<T>& right, mrfcore::StereoCost cost,
                 int64_t min_disparity, float truncation, std::optional<float> border,
                 int64_t window_height, int64_t window_width, float scale, bool accumulate,
                 int threads, const Volume& out) {
  const mrfcore::ImageView left_view = view(left), right_view = view(right);
  if (left_view.height != static_cast<int64_t>(out.shape(0)) ||
      left_view.width != static_cast<int64_t>(out.shape(1))) {
    throw std::invalid_argument("out differs from left in height or width");
  }
  const mrfcore::CostVolumeOptions options{.cost = cost,
                                           .num_disparities = static_cast<int64_t>(out.shape(2)),
                                           .min_disparity = min_disparity,
                                           .truncation = truncation,
                                           .border = border,
                                           .scale = scale,
                                           .accumulate = accumulate,
                                           .window_height = window_height,
                                           .window_width = window_width,
                                           .threads = threads};
  const nb::gil_scoped_release release;
  mrfcore::cost_volume(left_view, right_view, options, out.data());
}

template <class T>
void define_cost_volume(nb::module_& m) {
  m.def("cost_volume", &cost_volume<T>, "left"_a.noconvert(), "right"_a.noconvert(), "cost"_a,
        "min_disparity"_a, "truncation"_a, "border"_a.none(), "window_height"_a, "window_width"_a,
        "scale"_a, "accumulate"_a, "threads"_a, "out"_a.noconvert());
}

void right_view_minimum(const ConstVolume& costs, int64_t min_disparity, int threads,
                        const Labels& labels, const Plane& minima) {
  for (const std::size_t axis : {0U, 1U}) {
    if (labels.shape(axis) != costs.shape(axis) || minima.shape(axis) != costs.shape(axis)) {
      throw std::invalid_argument("labels or minima differ from costs in height or width");
    }
  }
  const nb::gil_scoped_release release;
  mrfcore::right_view_minimum(
      costs.data(), static_cast<int64_t>(costs.shape(0)), static_cast<int64_t>(costs.shape(1)),
      static_cast<int64_t>(costs.shape(2)), min_disparity, threads, labels.data(), minima.data());
}

void right_view_volume(const ConstVolume& costs, int64_t min_disparity, float border, int threads,
                       const Volume& out) {
  for (const std::size_t axis : {0U, 1U, 2U}) {
    if (out.shape(axis) != costs.shape(axis)) {
      throw std::invalid_argument("out differs from costs in shape");
    }
  }
  const nb::gil_scoped_release release;
  mrfcore::right_view_volume(
      costs.data(), static_cast<int64_t>(costs.shape(0)), static_cast<int64_t>(costs.shape(1)),
      static_cast<int64_t>(costs.shape(2)), min_disparity, border, threads, out.data());
}

}  // namespace

void bind_cost_volume(nb::module_& m) {
  nb::enum_<mrfcore::StereoCost>(m, "StereoCost")
      .value("birchfield_tomasi", mrfcore::StereoCost::BirchfieldTomasi)
      .value("birchfield_tomasi_squared", mrfcore::StereoCost::BirchfieldTomasiSquared)
      .value("absolute", mrfcore::StereoCost::Absolute)
      .value("squared", mrfcore::StereoCost::Squared)
      .value("census", mrfcore::StereoCost::Census);
  define_cost_volume<uint8_t>(m);
  define_cost_volume<float>(m);
  m.def("right_view_minimum", &right_view_minimum, "costs"_a.noconvert(), "min_disparity"_a,
        "threads"_a, "labels"_a.noconvert(), "minima"_a.noconvert());
  m.def("right_view_volume", &right_view_volume, "costs"_a.noconvert(), "min_disparity"_a,
        "border"_a, "threads"_a, "out"_a.noconvert());
}
