// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/cuda_stereo.hpp, with addresses for arrays; mrfcore._stereo_device checks
// tensors, allocates and owns everything.
#include <nanobind/nanobind.h>

#include "bindings.hpp"
#include "device.hpp"
#include "mrfcore/cuda_stereo.hpp"

namespace nb = nanobind;
using namespace nb::literals;
namespace cuda = mrfcore::cuda;

namespace {

/// Pairs [items, H, W, C] on the device.
struct DevicePairs {
  Address left = 0, right = 0;
  bool bytes = true;  ///< else float32
  int64_t items = 1, height = 0, width = 0, channels = 1;

  mrfcore::ImageView view(Address image) const {
    return {reinterpret_cast<const void*>(image),
            bytes ? mrfcore::PixelType::UInt8 : mrfcore::PixelType::Float32, height, width,
            channels};
  }
};

void cost_volume(const DevicePairs& pairs, const mrfcore::CostVolumeOptions& options, Address out,
                 const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::cost_volume(pairs.view(pairs.left), pairs.view(pairs.right), pairs.items, options,
                    reinterpret_cast<float*>(out), queue.get());
}

void stereo_sgm(const DevicePairs& pairs, const cuda::StereoSgmOptions& options, Address labels,
                Address disparity, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::stereo_sgm(pairs.view(pairs.left), pairs.view(pairs.right), pairs.items, options,
                   {.labels = reinterpret_cast<int32_t*>(labels),
                    .disparity = reinterpret_cast<float*>(disparity)},
                   queue.get());
}

void bind_types(nb::module_& m) {
  nb::class_<DevicePairs>(m, "CudaPairs")
      .def(nb::init<>())
      .def_rw("left", &DevicePairs::left)
      .def_rw("right", &DevicePairs::right)
      .def_rw("bytes", &DevicePairs::bytes)
      .def_rw("items", &DevicePairs::items)
      .def_rw("height", &DevicePairs::height)
      .def_rw("width", &DevicePairs::width)
      .def_rw("channels", &DevicePairs::channels);
}

}  // namespace

void bind_cuda_stereo(nb::module_& m) {
  bind_types(m);
  m.def(
      "cuda_cost_volume_workspace_bytes",
      [](const DevicePairs& pairs, const mrfcore::CostVolumeOptions& options, int64_t items) {
        return cuda::cost_volume_workspace_bytes(pairs.view(pairs.left), options, items);
      },
      "pairs"_a, "options"_a, "items"_a);
  m.def("cuda_cost_volume", &cost_volume, "pairs"_a, "options"_a, "out"_a, "queue"_a);
  m.def(
      "cuda_sgm_workspace_bytes",
      [](const DevicePairs& pairs, const cuda::StereoSgmOptions& options, int64_t items) {
        return cuda::stereo_sgm_workspace_bytes(pairs.view(pairs.left), options, items);
      },
      "pairs"_a, "options"_a, "items"_a);
  m.def("cuda_sgm", &stereo_sgm, "pairs"_a, "options"_a, "labels"_a, "disparity"_a, "queue"_a);
}
