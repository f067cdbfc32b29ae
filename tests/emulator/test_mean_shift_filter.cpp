// SPDX-License-Identifier: Apache-2.0
// Kernels of the mean-shift filter against the CPU's, to the bit.
#include <gtest/gtest.h>

#include <vector>

#include "../cpp/instances.hpp"
#include "core/luv.hpp"
#include "emulator/emulator.hpp"
#include "mean_shift_filter_kernels.hpp"
#include "mrfcore/mean_shift_filter.hpp"

namespace mrfcore::test {
namespace {

namespace kernels = cuda::kernels;

constexpr emulator::Order kOrders[] = {emulator::Order::kForward, emulator::Order::kReversed,
                                       emulator::Order::kShuffled};

struct Case {
  int64_t items, height, width, channels;
  int radius;
  double color_radius;
};

const Case kCases[] = {
    {2, 9, 37, 3, 4, 60}, {1, 1, 40, 1, 5, 40}, {1, 30, 1, 1, 3, 30},
    {1, 1, 1, 3, 2, 20},  {2, 7, 5, 1, 30, 80}, {1, 12, 33, 3, 17, 300},
};

/// Patches of colours with noise, so that windows hold some near pixels.
template <class T>
std::vector<T> images(const Case& c) {
  std::vector<T> out;
  Random random(7);
  const std::vector<float> noise =
      random.array<float>(c.items * c.height * c.width * c.channels, 60.0, 1.0);
  for (size_t i = 0; i < noise.size(); ++i) {
    const auto x = static_cast<int64_t>(i) / c.channels % c.width;
    out.push_back(static_cast<T>(60 + 70 * (x / 9 % 2) + static_cast<int>(noise[i])));
  }
  return out;
}

/// The CPU's filter, item by item.
template <class T>
std::vector<T> expected(const Case& c, const std::vector<T>& image,
                        const MeanShiftFilterOptions& options) {
  std::vector<T> out(image.size());
  const int64_t size = c.height * c.width * c.channels;
  for (int64_t item = 0; item < c.items; ++item) {
    mean_shift_filter(
        {image.data() + item * size, sizeof(T) == 1 ? PixelType::UInt8 : PixelType::Float32,
         c.height, c.width, c.channels},
        options, out.data() + item * size);
  }
  return out;
}

kernels::ImageFilter filter_of(const Case& c, const MeanShiftFilterOptions& o) {
  return {.height = c.height,
          .width = c.width,
          .channels = static_cast<int>(c.channels),
          .radius = o.spatial_radius,
          .iterations = o.iterations,
          .tolerance = o.tolerance,
          .wanted = nullptr};
}

TEST(MeanShiftFilterKernels, Words) {
  for (const Case& c : kCases) {
    const MeanShiftFilterOptions options{.spatial_radius = c.radius,
                                         .color_radius = c.color_radius};
    const std::vector<uint8_t> bytes = images<uint8_t>(c);
    const std::vector<uint8_t> wanted = expected(c, bytes, options);
    const int64_t pixels = c.items * c.height * c.width;
    const auto most = static_cast<int64_t>(c.color_radius * c.color_radius);
    for (const auto order : kOrders) {
      const emulator::ScopedOrder scope(order);
      std::vector<uint32_t> image(static_cast<size_t>(pixels)), out(image.size());
      std::vector<uint8_t> found(bytes.size());
      const int channels = static_cast<int>(c.channels);
      ASSERT_EQ(kernels::pixels_of_bytes(bytes.data(), pixels, channels, image.data(), nullptr), 0);
      ASSERT_EQ(kernels::filter_words(filter_of(c, options), most, image.data(), c.items,
                                      out.data(), nullptr),
                0);
      ASSERT_EQ(kernels::bytes_of_pixels(out.data(), pixels, channels, found.data(), nullptr), 0);
      EXPECT_EQ(found, wanted) << c.height << " x " << c.width;
    }
  }
}

void expect_floats(FilterKernel kernel) {
  for (const Case& c : kCases) {
    const MeanShiftFilterOptions options{
        .spatial_radius = c.radius, .color_radius = c.color_radius + 0.25, .kernel = kernel};
    const std::vector<float> image = images<float>(c);
    const std::vector<float> wanted = expected(c, image, options);
    const double square = options.color_radius * options.color_radius;
    std::vector<float> distance(static_cast<size_t>(c.radius) + 1);
    ASSERT_EQ(kernels::filter_distances(c.radius, distance.data(), nullptr), 0);
    const kernels::FilterWeights weights{.most = static_cast<float>(square),
                                         .gaussian = kernel == FilterKernel::Gaussian,
                                         .scale = static_cast<float>(-2 / square),
                                         .distance = distance.data()};
    for (const auto order : kOrders) {
      const emulator::ScopedOrder scope(order);
      std::vector<float> out(image.size());
      ASSERT_EQ(kernels::filter_floats(filter_of(c, options), weights, image.data(), c.items,
                                       out.data(), nullptr),
                0);
      EXPECT_EQ(out, wanted) << c.height << " x " << c.width;
    }
  }
}

TEST(MeanShiftFilterKernels, FlatFloats) { expect_floats(FilterKernel::Flat); }
TEST(MeanShiftFilterKernels, GaussianFloats) { expect_floats(FilterKernel::Gaussian); }

TEST(MeanShiftFilterKernels, PixelsThatAreNotWantedStay) {
  const Case c{1, 4, 20, 3, 3, 60};
  const std::vector<float> image = images<float>(c);
  std::vector<uint8_t> wanted(80);
  for (size_t i = 0; i < wanted.size(); i += 3) wanted[i] = 1;
  kernels::ImageFilter filter = filter_of(c, {.spatial_radius = 3, .iterations = 0});
  filter.wanted = wanted.data();
  std::vector<float> out(image.size(), -7.0F);
  ASSERT_EQ(kernels::filter_floats(filter,
                                   {.most = 1, .gaussian = false, .scale = 0, .distance = nullptr},
                                   image.data(), 1, out.data(), nullptr),
            0);
  for (size_t i = 0; i < out.size(); ++i)
    EXPECT_EQ(out[i], wanted[i / 3] != 0 ? image[i] : -7.0F) << i;
}

TEST(MeanShiftFilterKernels, LuvAndBack) {
  std::vector<float> rgb = Random(3).array<float>(300, 256.0, 0.5), luv(300), back(300);
  ASSERT_EQ(kernels::convert_luv(rgb.data(), 100, false, luv.data(), nullptr), 0);
  ASSERT_EQ(kernels::convert_luv(luv.data(), 100, true, back.data(), nullptr), 0);
  for (size_t i = 0; i < rgb.size(); ++i) EXPECT_NEAR(back[i], rgb[i], 0.02F);
  double linear[3], first[3];
  for (size_t k = 0; k < 3; ++k)
    linear[k] = core::srgb_to_linear(static_cast<double>(rgb[k]) / 255);
  core::linear_to_luv(linear, first);
  for (size_t k = 0; k < 3; ++k) EXPECT_EQ(luv[k], static_cast<float>(first[k]));
}

TEST(MeanShiftFilterKernels, RefusesWhatItCannotDo) {
  const Case c{1, 4, 20, 3, 3, 60};
  uint32_t word = 0;
  kernels::ImageFilter filter = filter_of(c, {.spatial_radius = 3});
  EXPECT_NE(kernels::filter_words(filter, -1, &word, 1, &word, nullptr), 0);
  EXPECT_NE(kernels::filter_words(filter, 1, &word, 70000, &word, nullptr), 0);
  filter.channels = 2;
  EXPECT_NE(kernels::filter_words(filter, 1, &word, 1, &word, nullptr), 0);
  filter = filter_of(c, {.spatial_radius = 3});
  filter.radius = 0;
  EXPECT_NE(kernels::filter_words(filter, 1, &word, 1, &word, nullptr), 0);
}

}  // namespace
}  // namespace mrfcore::test
