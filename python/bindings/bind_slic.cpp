// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/slic.hpp; mrfcore.superpixels checks arrays and allocates everything.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bindings.hpp"
#include "mrfcore/slic.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T, size_t N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

/// image: [B, C, H, W] with any strides.
template <class T>
void features(const nb::ndarray<const T, nb::ndim<4>, nb::device::cpu>& image, bool lab,
              double sigma, int threads, const Array<int16_t, 4>& out) {
  for (size_t axis = 0; axis < 4; ++axis)
    if (out.shape(axis) != image.shape(axis)) throw nb::value_error("features: shape of image");
  const mrfcore::SlicImage<T> view{.data = image.data(),
                                   .batch = static_cast<int64_t>(image.shape(0)),
                                   .channels = static_cast<int64_t>(image.shape(1)),
                                   .height = static_cast<int64_t>(image.shape(2)),
                                   .width = static_cast<int64_t>(image.shape(3)),
                                   .batch_stride = image.stride(0),
                                   .channel_stride = image.stride(1),
                                   .row_stride = image.stride(2),
                                   .column_stride = image.stride(3)};
  const nb::gil_scoped_release release;
  mrfcore::slic_features<T>(view, lab ? mrfcore::SlicColors::Lab : mrfcore::SlicColors::Raw, sigma,
                            threads, out.data());
}

void slic(const Array<const int16_t, 4>& features, int64_t num, double compactness, int iterations,
          bool connected, int64_t min_size, int threads, const Array<int32_t, 3>& ids,
          const Array<int32_t, 1>& counts) {
  if (ids.shape(0) != features.shape(0) || ids.shape(1) != features.shape(2) ||
      ids.shape(2) != features.shape(3) || counts.shape(0) != features.shape(0)) {
    throw nb::value_error("ids or counts: shapes do not fit features");
  }
  const mrfcore::SlicOptions options{.batch = static_cast<int64_t>(features.shape(0)),
                                     .channels = static_cast<int64_t>(features.shape(1)),
                                     .height = static_cast<int64_t>(features.shape(2)),
                                     .width = static_cast<int64_t>(features.shape(3)),
                                     .num = num,
                                     .compactness = compactness,
                                     .iterations = iterations,
                                     .connected = connected,
                                     .min_size = min_size,
                                     .threads = threads};
  const nb::gil_scoped_release release;
  mrfcore::slic(options, features.data(), ids.data(), counts.data());
}

}  // namespace

void bind_slic(nb::module_& m) {
  m.def("slic_features", &features<uint8_t>, "image"_a.noconvert(), "lab"_a, "sigma"_a, "threads"_a,
        "out"_a.noconvert());
  m.def("slic_features", &features<float>, "image"_a.noconvert(), "lab"_a, "sigma"_a, "threads"_a,
        "out"_a.noconvert());
  m.def("slic", &slic, "features"_a.noconvert(), "num"_a, "compactness"_a, "iterations"_a,
        "connected"_a, "min_size"_a, "threads"_a, "ids"_a.noconvert(), "counts"_a.noconvert());
}
