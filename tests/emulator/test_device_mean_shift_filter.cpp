// SPDX-License-Identifier: Apache-2.0
// mrfcore/cuda_mean_shift_filter.hpp through the emulated library, as a program would use a GPU:
// against the CPU, in parts of a batch, and what is refused. (tests/python does the rest.)
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "mrfcore/cuda_mean_shift_filter.hpp"
#include "mrfcore/error.hpp"

namespace mrfcore::test {
namespace {

constexpr int64_t kItems = 3, kHeight = 7, kWidth = 22, kSize = kHeight * kWidth * 3;

/// Before anything looks for the library of kernels.
const bool kNamed = setenv("MRFCORE_CUDA_LIBRARY", MRF_EMULATED_LIBRARY, 1) == 0;

struct Images {
  std::vector<uint8_t> pixels = Random(4).array<uint8_t>(kItems * kSize, 120.0, 1.0);

  ImageView view(int64_t item = 0) const {
    return {pixels.data() + item * kSize, PixelType::UInt8, kHeight, kWidth, 3};
  }
};

std::vector<uint8_t> on_device(const Images& images, const MeanShiftFilterOptions& options,
                               int64_t bytes) {
  std::vector<std::byte> memory(static_cast<size_t>(bytes));
  std::vector<uint8_t> out(images.pixels.size());
  cuda::mean_shift_filter(images.view(), kItems, options, out.data(),
                          {0, nullptr, memory.data(), bytes});
  return out;
}

TEST(DeviceMeanShiftFilter, IsThatOfTheCpuInPartsOfABatch) {
  const Images images;
  for (const int levels : {0, 2}) {
    const MeanShiftFilterOptions options{
        .spatial_radius = 4, .color_radius = 60, .levels = levels, .threads = 1};
    std::vector<uint8_t> expected(images.pixels.size());
    for (int64_t item = 0; item < kItems; ++item)
      mean_shift_filter(images.view(item), options, expected.data() + item * kSize);
    for (const int64_t items : {1, 2, 3}) {
      const int64_t bytes = cuda::mean_shift_filter_workspace_bytes(images.view(), options, items);
      EXPECT_EQ(on_device(images, options, bytes), expected) << levels << " levels, " << items;
    }
    const int64_t one = cuda::mean_shift_filter_workspace_bytes(images.view(), options, 1);
    EXPECT_THROW(on_device(images, options, one - 1), OutOfMemory);
  }
}

TEST(DeviceMeanShiftFilter, WorkspaceIsWhatTheHeaderSays) {
  const ImageView bytes{&kItems, PixelType::UInt8, 480, 640, 3};
  const ImageView floats{&kItems, PixelType::Float32, 480, 640, 3};
  EXPECT_LE(cuda::mean_shift_filter_workspace_bytes(bytes, {}, 1), 8 * 480 * 640 + 128);
  EXPECT_EQ(cuda::mean_shift_filter_workspace_bytes(floats, {}, 1), 0);
  const MeanShiftFilterOptions most{
      .kernel = FilterKernel::Gaussian, .levels = 8, .space = FilterSpace::LUV};
  const int64_t needed = cuda::mean_shift_filter_workspace_bytes(floats, most, 1);
  EXPECT_LE(needed, 12 * 480 * 640 * 3);
  EXPECT_GT(needed, 8 * 480 * 640 * 3);
}

TEST(DeviceMeanShiftFilter, RefusesWhatIsWrong) {
  const Images images;
  std::vector<uint8_t> out(images.pixels.size());
  const cuda::Queue queue{};
  EXPECT_THROW(cuda::mean_shift_filter(images.view(), 0, {}, out.data(), queue),
               std::invalid_argument);
  EXPECT_THROW(cuda::mean_shift_filter(images.view(), 1, {.spatial_radius = 0}, out.data(), queue),
               std::invalid_argument);
  EXPECT_THROW(cuda::mean_shift_filter(images.view(), 1, {}, nullptr, queue),
               std::invalid_argument);
  EXPECT_THROW(cuda::mean_shift_filter({}, 1, {}, out.data(), queue), std::invalid_argument);
  const ImageView large{&kItems, PixelType::UInt8, 65536, 65536, 1};
  EXPECT_THROW(cuda::mean_shift_filter(large, 1, {}, out.data(), queue), std::invalid_argument);
}

}  // namespace
}  // namespace mrfcore::test
