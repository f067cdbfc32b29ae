// SPDX-License-Identifier: Apache-2.0
// mrfcore/cuda_slic.hpp through the emulated library, as a program would use a GPU: against the
// CPU's functions, in parts of a batch, and what is refused. (tests/python does the rest.)
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "mrfcore/cuda_slic.hpp"
#include "mrfcore/error.hpp"

namespace mrfcore::test {
namespace {

constexpr int64_t kItems = 3, kHeight = 19, kWidth = 26, kChannels = 3;
constexpr int64_t kPixels = kHeight * kWidth, kValues = kItems * kChannels * kPixels;

/// Before anything looks for the library of kernels.
const bool kNamed = setenv("MRFCORE_CUDA_LIBRARY", MRF_EMULATED_LIBRARY, 1) == 0;

/// A queue and its memory.
struct Work {
  std::vector<std::byte> memory;
  explicit Work(int64_t bytes) : memory(static_cast<size_t>(bytes)) {}
  cuda::Queue queue() { return {0, nullptr, memory.data(), static_cast<int64_t>(memory.size())}; }
};

struct Picture {
  std::vector<uint8_t> bytes = Random(1).array<uint8_t>(kValues, 256.0, 1.0);

  SlicImage<uint8_t> view() const {
    return {bytes.data(),        kItems,  kChannels, kHeight, kWidth,
            kChannels * kPixels, kPixels, kWidth,    1};
  }
};

SlicOptions options() {
  return {.batch = kItems,
          .channels = kChannels,
          .height = kHeight,
          .width = kWidth,
          .num = 12,
          .threads = 1};
}

template <class T>
std::vector<T> blank(int64_t size) {
  return std::vector<T>(static_cast<size_t>(size), T(-7));
}

TEST(DeviceSlic, WholeBatchesAndParts) {
  ASSERT_TRUE(kNamed);
  const Picture picture;
  constexpr double kSigma = 0.7;
  auto features = blank<int16_t>(kValues), found_features = features;
  slic_features(picture.view(), SlicColors::Lab, kSigma, 1, features.data());
  auto ids = blank<int32_t>(kItems * kPixels), found_ids = ids;
  auto counts = blank<int32_t>(kItems), found_counts = counts;
  slic(options(), features.data(), ids.data(), counts.data());
  for (int64_t items = 1; items <= kItems; ++items) {
    Work blur(cuda::slic_features_workspace_bytes(picture.view(), kSigma, items));
    cuda::slic_features(picture.view(), SlicColors::Lab, kSigma, found_features.data(),
                        blur.queue());
    EXPECT_EQ(features, found_features);
    Work work(cuda::slic_workspace_bytes(options(), items));
    cuda::slic(options(), features.data(), found_ids.data(), found_counts.data(), work.queue());
    EXPECT_EQ(ids, found_ids) << items;
    EXPECT_EQ(counts, found_counts) << items;
  }
}

void expect_refused(const std::string& name, const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << name << " was not refused";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
  }
}

TEST(DeviceSlic, Refuses) {
  Work work(cuda::slic_workspace_bytes(options(), 1));
  auto features = blank<int16_t>(kValues);
  auto ids = blank<int32_t>(kItems * kPixels), counts = blank<int32_t>(kItems);
  SlicOptions bad = options();
  bad.num = 0;
  expect_refused("num is 0", [&] {
    cuda::slic(bad, features.data(), ids.data(), counts.data(), work.queue());
  });
  expect_refused("ids has no data", [&] {
    cuda::slic(options(), features.data(), nullptr, counts.data(), work.queue());
  });
  expect_refused("sigma is 65", [&] {
    cuda::slic_features(Picture().view(), SlicColors::Lab, 65.0, features.data(), work.queue());
  });
  work.memory.pop_back();
  EXPECT_THROW(cuda::slic(options(), features.data(), ids.data(), counts.data(), work.queue()),
               OutOfMemory);
}

}  // namespace
}  // namespace mrfcore::test
