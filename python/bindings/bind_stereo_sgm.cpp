// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/stereo_sgm.hpp, and the options that it shares with the CUDA back-end;
// mrfcore._stereo_sgm checks arrays and allocates everything.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include "bindings.hpp"
#include "mrfcore/stereo_sgm.hpp"
#include "problem.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T>
using Images = nb::ndarray<const T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
template <class T>
using Maps = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <class T>
mrfcore::ImageView view(const Images<T>& images) {
  return {images.data(),
          std::is_same_v<T, uint8_t> ? mrfcore::PixelType::UInt8 : mrfcore::PixelType::Float32,
          static_cast<int64_t>(images.shape(1)), static_cast<int64_t>(images.shape(2)),
          static_cast<int64_t>(images.shape(3))};
}

template <class T>
void stereo_sgm(const Images<T>& left, const Images<T>& right, mrfcore::StereoSgmOptions options,
                int threads, const Maps<int32_t>& labels, const Maps<float>& disparity) {
  for (const size_t axis : {0U, 1U, 2U}) {
    if (labels.shape(axis) != left.shape(axis) || disparity.shape(axis) != left.shape(axis))
      throw nb::value_error("labels or disparity: expected [B, H, W] of left");
  }
  if (right.shape(0) != left.shape(0)) throw nb::value_error("right: expected left's batch");
  options.costs.threads = threads;
  options.interrupted = signal_pending;
  const nb::gil_scoped_release release;
  mrfcore::stereo_sgm(view(left), view(right), static_cast<int64_t>(left.shape(0)), options,
                      {.labels = labels.data(), .disparity = disparity.data()});
}

template <class T>
void define_stereo_sgm(nb::module_& m) {
  m.def("stereo_sgm", &stereo_sgm<T>, "left"_a.noconvert(), "right"_a.noconvert(), "options"_a,
        "threads"_a, "labels"_a.noconvert(), "disparity"_a.noconvert());
}

void bind_options(nb::module_& m) {
  using Costs = mrfcore::CostVolumeOptions;
  nb::class_<Costs>(m, "CostVolumeOptions")
      .def(nb::init<>())
      .def_rw("cost", &Costs::cost)
      .def_rw("num_disparities", &Costs::num_disparities)
      .def_rw("min_disparity", &Costs::min_disparity)
      .def_rw("truncation", &Costs::truncation)
      .def_rw("border", &Costs::border, nb::arg().none())
      .def_rw("window_height", &Costs::window_height)
      .def_rw("window_width", &Costs::window_width);
  using Sgm = mrfcore::StereoSgmOptions;
  nb::class_<Sgm>(m, "SgmOptions")
      .def(nb::init<>())
      .def_rw("costs", &Sgm::costs)
      .def_rw("paths", &Sgm::paths)
      .def_rw("p1", &Sgm::p1)
      .def_rw("p2", &Sgm::p2)
      .def_rw("subpixel", &Sgm::subpixel)
      .def_rw("uniqueness", &Sgm::uniqueness)
      .def_rw("left_right_check", &Sgm::left_right_check)
      .def_rw("max_difference", &Sgm::max_difference);
}

}  // namespace

void bind_stereo_sgm(nb::module_& m) {
  bind_options(m);
  define_stereo_sgm<uint8_t>(m);
  define_stereo_sgm<float>(m);
}
