// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/cuda_slic.hpp, with addresses for arrays; mrfcore.ops checks tensors,
// allocates and owns everything.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>

#include <array>

#include "bindings.hpp"
#include "device.hpp"
#include "mrfcore/cuda_slic.hpp"

namespace nb = nanobind;
using namespace nb::literals;
namespace cuda = mrfcore::cuda;

namespace {

using Sizes = std::array<int64_t, 4>;  ///< batch, channels, height, width

template <class T>
mrfcore::SlicImage<T> view(Address image, const Sizes& shape, const Sizes& strides) {
  return {reinterpret_cast<const T*>(image),
          shape[0],
          shape[1],
          shape[2],
          shape[3],
          strides[0],
          strides[1],
          strides[2],
          strides[3]};
}

template <class T>
void features(Address image, const Sizes& shape, const Sizes& strides, bool lab, double sigma,
              Address to, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::slic_features<T>(view<T>(image, shape, strides),
                         lab ? mrfcore::SlicColors::Lab : mrfcore::SlicColors::Raw, sigma,
                         reinterpret_cast<int16_t*>(to), queue.get());
}

mrfcore::SlicOptions options(const Sizes& shape, int64_t num, double compactness, int iterations,
                             bool connected, int64_t min_size) {
  return {.batch = shape[0],
          .channels = shape[1],
          .height = shape[2],
          .width = shape[3],
          .num = num,
          .compactness = compactness,
          .iterations = iterations,
          .connected = connected,
          .min_size = min_size};
}

void slic(const mrfcore::SlicOptions& wanted, Address from, Address ids, Address counts,
          const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::slic(wanted, reinterpret_cast<const int16_t*>(from), reinterpret_cast<int32_t*>(ids),
             reinterpret_cast<int32_t*>(counts), queue.get());
}

}  // namespace

void bind_cuda_slic(nb::module_& m) {
  nb::class_<mrfcore::SlicOptions>(m, "CudaSlicOptions")
      .def("__init__", [](mrfcore::SlicOptions* self, const Sizes& shape, int64_t num,
                          double compactness, int iterations, bool connected, int64_t min_size) {
        new (self)
            mrfcore::SlicOptions(options(shape, num, compactness, iterations, connected, min_size));
      });
  m.def("cuda_slic_features_u8", &features<uint8_t>, "image"_a, "shape"_a, "strides"_a, "lab"_a,
        "sigma"_a, "features"_a, "queue"_a);
  m.def("cuda_slic_features_f32", &features<float>, "image"_a, "shape"_a, "strides"_a, "lab"_a,
        "sigma"_a, "features"_a, "queue"_a);
  m.def(
      "cuda_slic_features_workspace_bytes",
      [](const Sizes& shape, double sigma, int64_t items) {
        return cuda::slic_features_workspace_bytes(view<float>(0, shape, {}), sigma, items);
      },
      "shape"_a, "sigma"_a, "items"_a);
  m.def("cuda_slic_workspace_bytes", &cuda::slic_workspace_bytes, "options"_a, "items"_a);
  m.def("cuda_slic", &slic, "options"_a, "features"_a, "ids"_a, "counts"_a, "queue"_a);
}
