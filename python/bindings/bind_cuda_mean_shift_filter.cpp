// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/cuda_mean_shift_filter.hpp, with addresses for arrays;
// mrfcore._filtering_device checks tensors, allocates and owns everything.
#include <nanobind/nanobind.h>

#include "bindings.hpp"
#include "device.hpp"
#include "mrfcore/cuda_mean_shift_filter.hpp"

namespace nb = nanobind;
using namespace nb::literals;
namespace cuda = mrfcore::cuda;

namespace {

/// Images [items, H, W, C] on the device.
struct DeviceImages {
  Address data = 0;
  bool bytes = true;  ///< else float32
  int64_t items = 1, height = 0, width = 0, channels = 1;

  mrfcore::ImageView view() const {
    return {reinterpret_cast<const void*>(data),
            bytes ? mrfcore::PixelType::UInt8 : mrfcore::PixelType::Float32, height, width,
            channels};
  }
};

}  // namespace

void bind_cuda_mean_shift_filter(nb::module_& m) {
  nb::class_<DeviceImages>(m, "CudaImages")
      .def(nb::init<>())
      .def_rw("data", &DeviceImages::data)
      .def_rw("bytes", &DeviceImages::bytes)
      .def_rw("items", &DeviceImages::items)
      .def_rw("height", &DeviceImages::height)
      .def_rw("width", &DeviceImages::width)
      .def_rw("channels", &DeviceImages::channels);
  m.def(
      "cuda_mean_shift_filter_workspace_bytes",
      [](const DeviceImages& images, const mrfcore::MeanShiftFilterOptions& options,
         int64_t items) {
        return cuda::mean_shift_filter_workspace_bytes(images.view(), options, items);
      },
      "images"_a, "options"_a, "items"_a);
  m.def(
      "cuda_mean_shift_filter",
      [](const DeviceImages& images, const mrfcore::MeanShiftFilterOptions& options, Address out,
         const DeviceQueue& queue) {
        const nb::gil_scoped_release release;
        cuda::mean_shift_filter(images.view(), images.items, options, reinterpret_cast<void*>(out),
                                queue.get());
      },
      "images"_a, "options"_a, "out"_a, "queue"_a);
}
