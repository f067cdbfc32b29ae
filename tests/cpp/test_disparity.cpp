// SPDX-License-Identifier: Apache-2.0
// Smoothing and speckles; the Python tests compare them with plain loops in more cases.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "instances.hpp"
#include "mrfcore/disparity.hpp"

namespace mrfcore::test {
namespace {

const float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(SmoothDisparity, MeansWithinOneRowByHand) {
  // One row: the pass along columns changes nothing.
  const std::vector<float> disparity{1.0F, 2.0F, kNaN, 1.5F, 9.0F};
  const std::vector<uint8_t> image{50, 60, 60, 70, 70};
  std::vector<float> out(5);
  const SmoothOptions options{.radius = 2, .max_difference = 2.0F, .colour_scale = 10.0F};
  smooth_disparity(disparity.data(), {image.data(), PixelType::UInt8, 1, 5, 1}, options,
                   out.data());
  // Weights: (1 - |difference| / 2) / (1 + (colour / 10)^2).
  EXPECT_FLOAT_EQ(out[0], (1.0F + 0.25F * 2.0F) / 1.25F);
  EXPECT_FLOAT_EQ(out[1], (2.0F + 0.25F * 1.0F + 0.375F * 1.5F) / 1.625F);
  EXPECT_TRUE(std::isnan(out[2]));
  EXPECT_FLOAT_EQ(out[3], (1.5F + 0.375F * 2.0F) / 1.375F);
  EXPECT_FLOAT_EQ(out[4], 9.0F);
}

TEST(SmoothDisparity, InPlaceAndAnyThreadCountGiveTheSame) {
  Random random(3);
  const auto disparity = random.array<float>(40 * 33, 8.0, kFine);
  const auto image = random.array<uint8_t>(40 * 33 * 3, 256.0, 1.0);
  const ImageView guide{image.data(), PixelType::UInt8, 40, 33, 3};
  std::vector<float> expected(disparity.size());
  smooth_disparity(disparity.data(), guide, {.threads = 1}, expected.data());
  auto in_place = disparity;
  smooth_disparity(in_place.data(), guide, {.threads = 4}, in_place.data());
  EXPECT_EQ(in_place, expected);
}

TEST(SmoothDisparity, RefusesBadOptions) {
  float value = 1.0F;
  const uint8_t pixel = 0;
  const ImageView guide{&pixel, PixelType::UInt8, 1, 1, 1};
  const auto smooth = [&](const ImageView& image, const SmoothOptions& options) {
    smooth_disparity(&value, image, options, &value);
  };
  EXPECT_THROW(smooth(guide, {.radius = -1}), std::invalid_argument);
  EXPECT_THROW(smooth(guide, {.max_difference = 0}), std::invalid_argument);
  EXPECT_THROW(smooth(guide, {.colour_scale = kNaN}), std::invalid_argument);
  EXPECT_THROW(smooth({&pixel, PixelType::UInt8, 1, 1, 2}, {}), std::invalid_argument);
  EXPECT_THROW(smooth({nullptr, PixelType::UInt8, 1, 1, 1}, {}), std::invalid_argument);
  EXPECT_NO_THROW(smooth(guide, {}));
}

TEST(RemoveSpeckles, RemovesPatchesUpToASize) {
  //  1 1 9      the 9s and the 5 are patches of 2 and 1, the 1s of 3
  //  1 5 9
  std::vector<float> disparity{1, 1, 9, 1, 5, 9};
  remove_speckles(disparity.data(), 2, 3, 1, 1.0F);
  EXPECT_TRUE(std::isnan(disparity[4]));
  EXPECT_EQ(disparity[5], 9.0F);
  remove_speckles(disparity.data(), 2, 3, 2, 1.0F);
  EXPECT_TRUE(std::isnan(disparity[2]) && std::isnan(disparity[5]));
  EXPECT_EQ(disparity[0], 1.0F);
  EXPECT_THROW(remove_speckles(disparity.data(), 2, 3, -1, 1.0F), std::invalid_argument);
}

TEST(RemoveSpeckles, FollowsGradualChanges) {
  std::vector<float> ramp{0, 1, 2, 3, 4, 5};
  remove_speckles(ramp.data(), 1, 6, 5, 1.0F);
  EXPECT_EQ(ramp[5], 5.0F);
  remove_speckles(ramp.data(), 1, 6, 1, 0.5F);
  for (const float d : ramp) EXPECT_TRUE(std::isnan(d));
}

}  // namespace
}  // namespace mrfcore::test
