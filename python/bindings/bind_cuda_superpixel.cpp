// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/cuda_superpixel.hpp, with addresses for arrays; mrfcore.ops checks tensors,
// allocates and owns everything.
#include <nanobind/nanobind.h>

#include <string>

#include "bindings.hpp"
#include "device.hpp"
#include "mrfcore/cuda_superpixel.hpp"

namespace nb = nanobind;
using namespace nb::literals;
namespace cuda = mrfcore::cuda;

namespace {

/// A map [items, H, W] on the device, and how many channels go with it.
struct DeviceMap {
  Address ids = 0;
  bool wide = true;  ///< int64, else int32
  int64_t items = 1, channels = 1, height = 0, width = 0, num = 0;

  mrfcore::SuperpixelMap get() const {
    return {.ids = reinterpret_cast<const void*>(ids),
            .type = wide ? mrfcore::IdType::Int64 : mrfcore::IdType::Int32,
            .batch = items,
            .height = height,
            .width = width,
            .num = num};
  }
};

template <class T>
const T* input(Address address) {
  return reinterpret_cast<const T*>(address);
}

template <class T>
T* output(Address address) {
  return reinterpret_cast<T*>(address);
}

mrfcore::SoftSuperpixels grid_of(int64_t items, int64_t channels, int64_t height, int64_t width,
                                 int64_t cell) {
  return {.batch = items, .channels = channels, .height = height, .width = width, .cell = cell};
}

template <class T>
void pool(const DeviceMap& map, Address x, mrfcore::SuperpixelReduce reduce, Address z,
          Address winners, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::superpixel_pool<T>(map.get(), map.channels, input<T>(x), reduce, output<T>(z),
                           output<int64_t>(winners), queue.get());
}

template <class T>
void unpool(const DeviceMap& map, Address z, bool divide, Address out, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::superpixel_unpool<T>(map.get(), map.channels, input<T>(z), divide, output<T>(out),
                             queue.get());
}

template <class T>
void consistency(const DeviceMap& map, Address x, Address valid, bool keep, bool adjoint,
                 Address out, const DeviceQueue& queue) {
  const mrfcore::ConsistencyOptions options{
      .valid = input<uint8_t>(valid),
      .empty = keep ? mrfcore::NoValidPixel::Keep : mrfcore::NoValidPixel::Zero,
      .adjoint = adjoint,
      .threads = 1};
  const nb::gil_scoped_release release;
  cuda::superpixel_consistency<T>(map.get(), map.channels, input<T>(x), options, output<T>(out),
                                  queue.get());
}

template <class T>
void soft_pool(const mrfcore::SoftSuperpixels& grid, Address q, Address x, Address z,
               const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::soft_superpixel_pool<T>(grid, input<T>(q), input<T>(x), output<T>(z), queue.get());
}

template <class T>
void soft_unpool(const mrfcore::SoftSuperpixels& grid, Address q, Address z, Address y,
                 const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::soft_superpixel_unpool<T>(grid, input<T>(q), input<T>(z), output<T>(y), queue.get());
}

template <class T>
void soft_product(const mrfcore::SoftSuperpixels& grid, Address x, Address z, Address g,
                  const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::soft_superpixel_product<T>(grid, input<T>(x), input<T>(z), output<T>(g), queue.get());
}

template <class T>
void define(nb::module_& m, const char* suffix) {
  const auto name = [suffix](const char* stem) { return std::string("cuda_") + stem + suffix; };
  m.def(
      name("superpixel_pool_workspace_bytes").c_str(),
      [](const DeviceMap& map, int64_t items) {
        return cuda::superpixel_pool_workspace_bytes<T>(map.get(), map.channels, items);
      },
      "map"_a, "items"_a);
  m.def(name("superpixel_pool").c_str(), &pool<T>, "map"_a, "x"_a, "reduce"_a, "z"_a, "winners"_a,
        "queue"_a);
  m.def(name("superpixel_unpool").c_str(), &unpool<T>, "map"_a, "z"_a, "divide"_a, "out"_a,
        "queue"_a);
  m.def(
      name("superpixel_consistency_workspace_bytes").c_str(),
      [](const DeviceMap& map, int64_t items) {
        return cuda::superpixel_consistency_workspace_bytes<T>(map.get(), map.channels, items);
      },
      "map"_a, "items"_a);
  m.def(name("superpixel_consistency").c_str(), &consistency<T>, "map"_a, "x"_a, "valid"_a,
        "keep"_a, "adjoint"_a, "out"_a, "queue"_a);
  m.def(name("soft_superpixel_pool_workspace_bytes").c_str(),
        &cuda::soft_superpixel_pool_workspace_bytes<T>, "grid"_a, "items"_a);
  m.def(name("soft_superpixel_pool").c_str(), &soft_pool<T>, "grid"_a, "q"_a, "x"_a, "z"_a,
        "queue"_a);
  m.def(name("soft_superpixel_unpool").c_str(), &soft_unpool<T>, "grid"_a, "q"_a, "z"_a, "y"_a,
        "queue"_a);
  m.def(name("soft_superpixel_product").c_str(), &soft_product<T>, "grid"_a, "x"_a, "z"_a, "g"_a,
        "queue"_a);
}

}  // namespace

void bind_cuda_superpixel(nb::module_& m) {
  nb::class_<DeviceMap>(m, "CudaSuperpixelMap")
      .def(nb::init<>())
      .def_rw("ids", &DeviceMap::ids)
      .def_rw("wide", &DeviceMap::wide)
      .def_rw("items", &DeviceMap::items)
      .def_rw("channels", &DeviceMap::channels)
      .def_rw("height", &DeviceMap::height)
      .def_rw("width", &DeviceMap::width)
      .def_rw("num", &DeviceMap::num);
  nb::class_<mrfcore::SoftSuperpixels>(m, "CudaSoftSuperpixels")
      .def(nb::new_(&grid_of), "items"_a, "channels"_a, "height"_a, "width"_a, "cell"_a);
  m.def(
      "cuda_superpixel_unpool_workspace_bytes",
      [](const DeviceMap& map, bool divide, int64_t items) {
        return cuda::superpixel_unpool_workspace_bytes(map.get(), divide, items);
      },
      "map"_a, "divide"_a, "items"_a);
  define<float>(m, "_f32");
  define<double>(m, "_f64");
}
