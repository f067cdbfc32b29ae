// SPDX-License-Identifier: Apache-2.0
// The mean-shift filter by hand, colours of L*u*v*, and errors; the Python tests compare with the
// definition and with OpenCV.
#include "mrfcore/mean_shift_filter.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/luv.hpp"
#include "mrfcore/minimize.hpp"

namespace mrfcore::test {
namespace {

template <class T>
ImageView view(const std::vector<T>& pixels, int64_t height, int64_t width, int64_t channels = 1) {
  return {pixels.data(), sizeof(T) == 1 ? PixelType::UInt8 : PixelType::Float32, height, width,
          channels};
}

template <class T>
std::vector<T> filtered(const std::vector<T>& pixels, const MeanShiftFilterOptions& options) {
  std::vector<T> out(pixels.size());
  mean_shift_filter(view(pixels, 1, static_cast<int64_t>(pixels.size())), options, out.data());
  return out;
}

TEST(MeanShiftFilter, OneMoveByHand) {
  const MeanShiftFilterOptions options{.spatial_radius = 1, .color_radius = 10, .iterations = 1};
  // Means of (10, 15), (10, 15, 20), (15, 20), (90, 91), (90, 91); halves to even.
  EXPECT_EQ(filtered<uint8_t>({10, 15, 20, 90, 91}, options),
            (std::vector<uint8_t>{12, 15, 18, 90, 90}));
  EXPECT_EQ(filtered<float>({10, 15, 20, 90, 91}, options),
            (std::vector<float>{12.5F, 15, 17.5F, 90.5F, 90.5F}));
}

TEST(MeanShiftFilter, GaussianByHand) {
  const MeanShiftFilterOptions options{
      .spatial_radius = 2, .color_radius = 10, .kernel = FilterKernel::Gaussian, .iterations = 1};
  const double near = std::exp(-2 * 0.25 - 2 * 0.16);  // 1 of 2 pixels, 4 of 10 grey values
  const std::vector<float> out = filtered<float>({50, 54}, options);
  EXPECT_NEAR(out[0], (50 + 54 * near) / (1 + near), 1e-4);
  EXPECT_NEAR(out[1], (54 + 50 * near) / (1 + near), 1e-4);
}

TEST(MeanShiftFilter, KnownColoursInLuv) {
  const double expected[][2][3] = {
      {{1, 1, 1}, {100, 0, 0}},
      {{0, 0, 0}, {0, 0, 0}},
      {{1, 0, 0}, {53.24, 175.01, 37.76}},
      {{0, 1, 0}, {87.73, -83.08, 107.40}},
      {{0, 0, 1}, {32.30, -9.41, -130.34}},
  };
  for (const auto& [rgb, luv] : expected) {
    double found[3], back[3];
    core::linear_to_luv(rgb, found);
    core::luv_to_linear(found, back);
    for (int c = 0; c < 3; ++c) {
      EXPECT_NEAR(found[c], luv[c], 0.02);
      EXPECT_NEAR(back[c], rgb[c], 1e-5);
    }
  }
}

TEST(MeanShiftFilter, CurveOfSrgb) {
  for (const double v : {0.0, 0.01, 0.04045, 0.041, 0.2, 0.5, 0.99, 1.0, 1.7}) {
    const double linear = v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
    EXPECT_NEAR(core::srgb_to_linear(v), linear, 1e-14);
    EXPECT_NEAR(core::linear_to_srgb(linear), v, 1e-7);
  }
}

TEST(MeanShiftRegions, ByHand) {
  const std::vector<uint8_t> image{10, 12, 80,  //
                                   50, 12, 81,  //
                                   50, 50, 60};
  std::vector<int32_t> ids(9);
  const ImageView pixels = view(image, 3, 3);
  EXPECT_EQ(mean_shift_regions(pixels, 2, 1, FilterSpace::RGB, ids.data()), 4);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 0, 1, 2, 0, 1, 2, 2, 3}));
  // 60 joins 50; then 80, 81 (two pixels) join what is nearer: 52.5 rather than 11.3.
  EXPECT_EQ(mean_shift_regions(pixels, 2, 3, FilterSpace::RGB, ids.data()), 2);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 0, 1, 1, 0, 1, 1, 1, 1}));
}

TEST(MeanShiftFilter, AsksWhetherToStop) {
  const std::vector<uint8_t> image(400 * 400, 7);
  std::vector<uint8_t> out(image.size());
  MeanShiftFilterOptions options{.spatial_radius = 60, .threads = 1};
  options.interrupted = [] { return true; };
  EXPECT_THROW(mean_shift_filter(view(image, 400, 400), options, out.data()), Interrupted);
}

void expect_refused(const MeanShiftFilterOptions& options, const std::string& name) {
  const std::vector<uint8_t> image(12);
  std::vector<uint8_t> out(12);
  try {
    mean_shift_filter(view(image, 3, 4), options, out.data());
    ADD_FAILURE() << name << " was accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_EQ(std::string(error.what()).rfind(name, 0), 0U) << error.what();
  }
}

TEST(MeanShiftFilter, RefusesWhatIsWrong) {
  expect_refused({.spatial_radius = 0}, "spatial_radius is 0");
  expect_refused({.spatial_radius = kMostSpatialRadius + 1}, "spatial_radius");
  expect_refused({.color_radius = 0}, "color_radius");
  expect_refused({.color_radius = std::numeric_limits<double>::quiet_NaN()}, "color_radius");
  expect_refused({.iterations = -1}, "iterations is -1");
  expect_refused({.tolerance = -1}, "tolerance");
  expect_refused({.levels = 9}, "levels is 9");
  expect_refused({.space = FilterSpace::LUV}, "color_space");
  const std::vector<float> bad{1, 2, std::numeric_limits<float>::infinity()};
  std::vector<float> out(3);
  EXPECT_THROW(mean_shift_filter(view(bad, 1, 3), {}, out.data()), std::invalid_argument);
  EXPECT_THROW(mean_shift_filter(view(bad, 0, 3), {}, out.data()), std::invalid_argument);
  std::vector<int32_t> ids(3);
  const std::vector<uint8_t> good{1, 2, 3};
  EXPECT_THROW(mean_shift_regions(view(good, 1, 3), -1, 1, FilterSpace::RGB, ids.data()),
               std::invalid_argument);
  EXPECT_THROW(mean_shift_regions(view(good, 1, 3), 1, 0, FilterSpace::RGB, ids.data()),
               std::invalid_argument);
}

}  // namespace
}  // namespace mrfcore::test
