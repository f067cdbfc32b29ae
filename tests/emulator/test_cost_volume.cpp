// SPDX-License-Identifier: Apache-2.0
// CUDA's cost volumes and right views in the emulator against the CPU's: the same bits.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "../cpp/instances.hpp"
#include "emulator/emulator.hpp"
#include "emulator/rows.hpp"
#include "mrfcore/cost_volume.hpp"
#include "stereo_kernels.hpp"

namespace mrfcore::test {
namespace {

constexpr StereoCost kCosts[] = {StereoCost::BirchfieldTomasi, StereoCost::BirchfieldTomasiSquared,
                                 StereoCost::Absolute, StereoCost::Squared, StereoCost::Census};
constexpr float kBefore = 3.25F;  ///< what volumes hold when costs are added

struct StereoShape {
  int64_t items, height, width, channels, disparities, min_disparity;

  int64_t pixels() const { return items * height * width; }
  std::string text() const {
    return std::to_string(items) + "x" + std::to_string(height) + "x" + std::to_string(width) +
           "x" + std::to_string(channels) + ", " + std::to_string(disparities) + " from " +
           std::to_string(min_disparity);
  }
};

template <class Pixel>
constexpr PixelType kType = std::is_same_v<Pixel, uint8_t> ? PixelType::UInt8 : PixelType::Float32;

/// Bytes, or multiples of 1/1024.
template <class Pixel>
std::vector<Pixel> pixels_of(const StereoShape& shape, uint32_t seed) {
  return Random(seed).array<Pixel>(shape.pixels() * shape.channels, 256.0,
                                   kType<Pixel> == PixelType::UInt8 ? 1.0 : 1.0 / 1024);
}

template <class Pixel>
struct StereoPair {
  StereoShape shape;
  std::vector<Pixel> left = pixels_of<Pixel>(shape, 1), right = pixels_of<Pixel>(shape, 2);

  int64_t image_size() const { return shape.height * shape.width * shape.channels; }
  int64_t volume_size() const { return shape.height * shape.width * shape.disparities; }
  ImageView view(const std::vector<Pixel>& image, int64_t item) const {
    return {image.data() + item * image_size(), kType<Pixel>, shape.height, shape.width,
            shape.channels};
  }
};

float border_of(const StereoShape& shape, const CostVolumeOptions& options) {
  if (options.border) return *options.border;
  return std::fmin(
      worst_cost(options.cost, shape.channels, options.window_height, options.window_width),
      options.truncation);
}

template <class Pixel>
cpu::CostVolumeArgs arguments(const StereoPair<Pixel>& pair, const CostVolumeOptions& options,
                              float* out) {
  const StereoShape& s = pair.shape;
  return {.left = pair.left.data(),
          .right = pair.right.data(),
          .type = kType<Pixel>,
          .cost = options.cost,
          .height = s.height,
          .width = s.width,
          .channels = s.channels,
          .num_disparities = s.disparities,
          .min_disparity = s.min_disparity,
          .window_height = options.window_height,
          .window_width = options.window_width,
          .truncation = options.truncation,
          .border = border_of(s, options),
          .scale = options.scale,
          .accumulate = options.accumulate,
          .threads = 1,
          .out = out};
}

template <class Pixel>
std::vector<float> on_cpu(const StereoPair<Pixel>& pair, const CostVolumeOptions& options) {
  std::vector<float> out(static_cast<size_t>(pair.shape.items * pair.volume_size()), kBefore);
  for (int64_t b = 0; b < pair.shape.items; ++b) {
    cost_volume(pair.view(pair.left, b), pair.view(pair.right, b), options,
                out.data() + b * pair.volume_size());
  }
  return out;
}

std::vector<uint64_t> scratch_for(const StereoShape& shape) {
  return std::vector<uint64_t>(
      static_cast<size_t>(cuda::census_bytes(shape.height, shape.width, shape.items)) /
      sizeof(uint64_t));
}

template <class Pixel>
void expect_same(const StereoShape& shape, CostVolumeOptions options) {
  const StereoPair<Pixel> pair{shape};
  options.num_disparities = shape.disparities;
  options.min_disparity = shape.min_disparity;
  SCOPED_TRACE(shape.text() + ", cost " + std::to_string(static_cast<int>(options.cost)) +
               ", window " + std::to_string(options.window_height) + "x" +
               std::to_string(options.window_width));
  const std::vector<float> expected = on_cpu(pair, options);
  std::vector<float> out(expected.size(), kBefore);
  std::vector<uint64_t> codes = scratch_for(shape);
  const cpu::CostVolumeArgs args = arguments(pair, options, out.data());
  ASSERT_EQ(cuda::cost_volume(args, shape.items, codes.data(), nullptr), 0);
  ASSERT_EQ(out, expected);

  if (kType<Pixel> != PixelType::UInt8 && options.cost != StereoCost::Census) return;
  // As bytes: what fits them, of the plain costs.
  options.scale = 1.0F;
  options.accumulate = false;
  options.truncation = std::fmin(options.truncation, 255.0F);
  options.border = std::fmin(border_of(shape, options), 255.0F);
  const std::vector<float> plain = on_cpu(pair, options);
  const int64_t stride = shape.disparities + 3;
  std::vector<uint8_t> bytes(static_cast<size_t>(shape.pixels() * stride), 77);
  const cpu::CostVolumeArgs whole = arguments(pair, options, nullptr);
  ASSERT_EQ(cuda::byte_cost_volume(whole, shape.items, codes.data(), bytes.data(), stride, nullptr),
            0);
  ASSERT_EQ(unpadded(std::vector<float>(bytes.begin(), bytes.end()), shape.disparities, stride),
            plain);
}

template <class Pixel>
class CudaCostVolume : public testing::Test {};
using Pixels = testing::Types<uint8_t, float>;
TYPED_TEST_SUITE(CudaCostVolume, Pixels);

TYPED_TEST(CudaCostVolume, GivesTheCpusBitsForEveryCost) {
  for (const StereoCost cost : kCosts) {
    for (const int64_t channels : {1, 3}) {
      CostVolumeOptions options{.cost = cost};
      expect_same<TypeParam>({2, 3, 41, channels, 37, 0}, options);
      options.truncation = 20.0F;
      options.scale = 2.5F;
      options.accumulate = true;
      expect_same<TypeParam>({2, 3, 19, channels, 7, -3}, options);
      options.border = 11.0F;
      expect_same<TypeParam>({1, 2, 9, channels, 15, 2}, options);
    }
  }
}

TYPED_TEST(CudaCostVolume, TakesAnySizes) {
  for (const StereoShape& shape :
       {StereoShape{1, 1, 1, 1, 1, 0}, StereoShape{1, 1, 70, 1, 3, 0},
        StereoShape{1, 9, 1, 3, 2, 0}, StereoShape{2, 17, 33, 1, 4, 1},
        StereoShape{1, 1, 5, 3, 300, -140}, StereoShape{1, 2, 34, 1, 257, 0},
        StereoShape{1, 1, 8, 1, 5, 40}}) {
    for (const StereoCost cost : {StereoCost::BirchfieldTomasi, StereoCost::Census})
      expect_same<TypeParam>(shape, {.cost = cost});
  }
}

TYPED_TEST(CudaCostVolume, TakesAnyCensusWindow) {
  struct Window {
    int64_t height, width;
  };
  for (const auto [height, width] :
       {Window{1, 65}, Window{65, 1}, Window{5, 13}, Window{3, 1}, Window{5, 5}}) {
    CostVolumeOptions options{.cost = StereoCost::Census};
    options.window_height = height;
    options.window_width = width;
    expect_same<TypeParam>({1, 11, 37, 3, 4, 0}, options);
    expect_same<TypeParam>({1, 2, 3, 1, 4, -1}, options);
  }
}

TYPED_TEST(CudaCostVolume, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 3);
    for (const StereoCost cost : {StereoCost::BirchfieldTomasiSquared, StereoCost::Census})
      expect_same<TypeParam>({2, 5, 35, 3, 33, -2}, {.cost = cost});
  }
}

TEST(CudaCostVolumes, RefusesWhatAByteCannotHold) {
  const StereoPair<float> pair{{1, 2, 3, 1, 2, 0}};
  std::vector<uint8_t> out(12);
  const auto refused = [&](const CostVolumeOptions& options, bool scaled) {
    cpu::CostVolumeArgs args = arguments(pair, options, nullptr);
    if (scaled) args.scale = 2.0F;
    std::vector<uint64_t> codes = scratch_for(pair.shape);
    return cuda::byte_cost_volume(args, 1, codes.data(), out.data(), 2, nullptr) != 0;
  };
  EXPECT_TRUE(refused({.cost = StereoCost::Absolute}, false));  // of floats
  EXPECT_TRUE(refused({.cost = StereoCost::Census}, true));
  EXPECT_TRUE(refused({.cost = StereoCost::Census, .border = 256.0F}, false));
  EXPECT_FALSE(refused({.cost = StereoCost::Census}, false));
}

/// Costs with ties, and an infinite one.
std::vector<float> costs_of(const StereoShape& shape) {
  std::vector<float> costs = Random(9).array<float>(shape.pixels() * shape.disparities, 4.0, 1.0);
  costs[costs.size() / 3] = std::numeric_limits<float>::infinity();
  return costs;
}

void expect_same_right_view(const StereoShape& shape) {
  SCOPED_TRACE(shape.text());
  const std::vector<float> costs = costs_of(shape);
  const int64_t pixels = shape.height * shape.width, cells = pixels * shape.disparities;
  const auto count = static_cast<size_t>(shape.pixels());
  std::vector<int32_t> labels(count), expected_labels(count);
  std::vector<float> minima(count), expected_minima(count), volume(costs.size()),
      expected_volume(costs.size());
  for (int64_t b = 0; b < shape.items; ++b) {
    const float* item = costs.data() + b * cells;
    right_view_minimum(item, shape.height, shape.width, shape.disparities, shape.min_disparity, 1,
                       expected_labels.data() + b * pixels, expected_minima.data() + b * pixels);
    right_view_volume(item, shape.height, shape.width, shape.disparities, shape.min_disparity, 7.5F,
                      1, expected_volume.data() + b * cells);
  }
  const cpu::RightViewArgs args{costs.data(),      shape.height,        shape.width,
                                shape.disparities, shape.min_disparity, 1};
  ASSERT_EQ(cuda::right_view_minimum(args, shape.items, labels.data(), minima.data(), nullptr), 0);
  ASSERT_EQ(labels, expected_labels);
  ASSERT_EQ(minima, expected_minima);
  ASSERT_EQ(cuda::right_view_minimum(args, shape.items, labels.data(), nullptr, nullptr), 0);
  ASSERT_EQ(cuda::right_view_volume(args, shape.items, 7.5F, volume.data(), nullptr), 0);
  ASSERT_EQ(volume, expected_volume);
}

TEST(CudaRightView, IsTheCpus) {
  for (const emulator::Order order : {emulator::Order::kForward, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 4);
    for (const StereoShape& shape :
         {StereoShape{1, 1, 1, 1, 1, 0}, StereoShape{2, 3, 41, 1, 37, 0},
          StereoShape{2, 3, 40, 1, 70, -30}, StereoShape{1, 2, 33, 1, 130, 5},
          StereoShape{1, 7, 1, 1, 3, -1}, StereoShape{1, 2, 5, 1, 3, 20}})
      ASSERT_NO_FATAL_FAILURE(expect_same_right_view(shape));
  }
}

}  // namespace
}  // namespace mrfcore::test
