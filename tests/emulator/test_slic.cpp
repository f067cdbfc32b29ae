// SPDX-License-Identifier: Apache-2.0
// SLIC's kernels in the emulator: the CPU's features and superpixels to the pixel, in three orders
// of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "emulator/emulator.hpp"
#include "mrfcore/slic.hpp"
#include "ops/slic_plan.hpp"
#include "slic_kernels.hpp"

namespace mrfcore::test {
namespace {

namespace kernels = cuda::kernels;

constexpr emulator::Order kOrders[] = {emulator::Order::kForward, emulator::Order::kReversed,
                                       emulator::Order::kShuffled};

size_t at(int64_t i) { return static_cast<size_t>(i); }

/// Waves with noise, so that parts are torn.
std::vector<int16_t> waves(const SlicOptions& o) {
  const int64_t size = o.batch * o.channels * o.height * o.width;
  const std::vector<float> noise = Random(3).array<float>(size, 900.0, 1.0);
  std::vector<int16_t> features;
  for (int64_t p = 0; p < size; ++p) {
    const auto x = static_cast<double>(p % o.width), y = static_cast<double>(p / o.width);
    const double wave = 900 * std::sin(x / 9) + 700 * std::cos((y + x) / 13);
    features.push_back(static_cast<int16_t>(wave + static_cast<double>(noise[at(p)])));
  }
  return features;
}

void expect_cpu(const SlicOptions& o) {
  const std::vector<int16_t> features = waves(o);
  const int64_t pixels = o.batch * o.height * o.width;
  std::vector<int32_t> expected(at(pixels)), counts(at(o.batch));
  slic(o, features.data(), expected.data(), counts.data());
  for (const auto order : kOrders) {
    const emulator::ScopedOrder guard(order);
    std::vector<int32_t> ids(at(pixels), -1), found(at(o.batch), -1);
    const kernels::SlicJob job{plan_slic(o),     o.batch,         o.iterations, o.connected,
                               slic_min_size(o), features.data(), ids.data(),   found.data()};
    std::vector<std::byte> scratch(at(kernels::SlicScratch(job.plan, o.batch, o.connected).total),
                                   std::byte{0xa5});
    ASSERT_EQ(0, kernels::slic(job, scratch.data(), nullptr));
    EXPECT_EQ(expected, ids);
    EXPECT_EQ(counts, found);
  }
}

TEST(CudaSlic, SuperpixelsOfTheCpu) {
  const std::vector<SlicOptions> cases = {
      {.batch = 2, .channels = 3, .height = 37, .width = 50, .num = 20},
      {.channels = 1, .height = 30, .width = 41, .num = 60, .compactness = 1, .iterations = 3},
      {.channels = 8, .height = 20, .width = 33, .num = 6, .compactness = 60, .iterations = 2},
      {.channels = 2, .height = 9, .width = 8, .num = 72, .iterations = 2},
      {.channels = 3, .height = 60, .width = 70, .num = 1, .iterations = 2},  // three blocks a cell
      {.channels = 3, .height = 1, .width = 90, .num = 5},
      // More marks than a block numbers at a time; runs of several warps.
      {.channels = 1, .height = 60, .width = 300, .num = 2, .compactness = 90, .iterations = 1},
      {.channels = 3, .height = 33, .width = 31, .num = 9, .iterations = 0},
      {.channels = 3, .height = 33, .width = 31, .num = 20, .compactness = 0, .min_size = 0},
      {.channels = 3, .height = 33, .width = 31, .num = 20, .compactness = 0, .min_size = 1000}};
  for (SlicOptions o : cases) {
    for (const bool connected : {true, false}) {
      o.connected = connected;
      o.threads = 1;
      SCOPED_TRACE(std::to_string(o.height) + "x" + std::to_string(o.width) + "x" +
                   std::to_string(o.channels) + ", " + std::to_string(o.num) +
                   (connected ? " connected" : ""));
      expect_cpu(o);
    }
  }
}

template <class T>
void expect_features(const std::vector<T>& image, int64_t channels, bool lab, double sigma) {
  constexpr int64_t kItems = 2, kHeight = 9, kWidth = 14;
  const int64_t plane = kHeight * kWidth, size = kItems * channels * plane;
  std::vector<int16_t> expected(at(size)), found(at(size)), between(at(size));
  // Channels last, as NumPy has them.
  const SlicImage<T> view{image.data(),     kItems, channels,          kHeight, kWidth,
                          plane * channels, 1,      kWidth * channels, channels};
  slic_features<T>(view, lab ? SlicColors::Lab : SlicColors::Raw, sigma, 1, expected.data());
  kernels::SlicColourJob job{kItems, channels,        kHeight,       kWidth, view.batch_stride,
                             1,      view.row_stride, channels,      lab,    0,
                             {},     found.data(),    between.data()};
  std::vector<int32_t> taps(2 * kSlicRadius + 1);
  job.radius = static_cast<int32_t>(slic_taps(sigma, taps.data()));
  for (int32_t k = 0; k <= job.radius; ++k) job.taps[k] = taps[at(job.radius + k)];
  ASSERT_EQ(0, kernels::slic_features<T>(job, image.data(), nullptr));
  EXPECT_EQ(expected, found) << channels << ' ' << lab << ' ' << sigma;
}

TEST(CudaSlic, FeaturesOfTheCpu) {
  for (const int64_t channels : {1, 3, 5}) {
    const std::vector<uint8_t> bytes = Random(1).array<uint8_t>(2 * channels * 9 * 14, 256.0, 1.0);
    const std::vector<float> floats = Random(2).array<float>(2 * channels * 9 * 14, 1.0, 1e-6);
    for (const double sigma : {0.0, 0.8, 5.0}) {
      for (const bool lab : {true, false}) {
        if (lab && channels == 5) continue;
        expect_features<uint8_t>(bytes, channels, lab, sigma);
        expect_features<float>(floats, channels, lab, sigma);
      }
    }
  }
}

/// Nothing waits to look at values: those outside count as the nearest, NaN as 0.
TEST(CudaSlic, OddValues) {
  const std::vector<float> image = {-1.0F, NAN, 2.0F, INFINITY, -INFINITY, 0.5F};
  std::vector<int16_t> found(6);
  const kernels::SlicColourJob job{1, 1, 1, 6, 6, 6, 6, 1, false, 0, {}, found.data(), nullptr};
  ASSERT_EQ(0, kernels::slic_features<float>(job, image.data(), nullptr));
  EXPECT_EQ((std::vector<int16_t>{0, 0, 3200, 3200, 0, 1600}), found);
}

}  // namespace
}  // namespace mrfcore::test
