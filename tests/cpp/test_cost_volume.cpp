// SPDX-License-Identifier: Apache-2.0
// Matching costs against one-cell-at-a-time definitions, on every instruction set and thread count.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "instances.hpp"
#include "mrfcore/cost_volume.hpp"

namespace mrfcore::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class Pixel>
struct Picture {
  int64_t height, width, channels;
  std::vector<Pixel> pixels;

  double at(int64_t y, int64_t x, int64_t c) const {
    return static_cast<double>(pixels[static_cast<size_t>((y * width + x) * channels + c)]);
  }
  ImageView view() const {
    return {pixels.data(), sizeof(Pixel) == 1 ? PixelType::UInt8 : PixelType::Float32, height,
            width, channels};
  }
};

/// Integers for uint8, quarters for float: sums stay exact.
template <class Pixel>
Picture<Pixel> random_picture(int64_t height, int64_t width, int64_t channels, uint32_t seed) {
  Random random(seed);
  const double grain = sizeof(Pixel) == 1 ? 1.0 : 0.25;
  return {height, width, channels, random.array<Pixel>(height * width * channels, 256.0, grain)};
}

struct Interval {
  double low, high;
  double distance(double v) const { return std::max({0.0, low - v, v - high}); }
};

template <class Pixel>
Interval interval(const Picture<Pixel>& image, int64_t y, int64_t x, int64_t c) {
  Interval i{image.at(y, x, c), image.at(y, x, c)};
  for (const int64_t n : {x - 1, x + 1}) {
    if (n < 0 || n >= image.width) continue;
    double half = (image.at(y, x, c) + image.at(y, n, c)) / 2;
    if (sizeof(Pixel) == 1) half = std::floor(half);
    i = {std::min(i.low, half), std::max(i.high, half)};
  }
  return i;
}

template <class Pixel>
double census(const CostVolumeOptions& options, const Picture<Pixel>& a, const Picture<Pixel>& b,
              int64_t y, int64_t xa, int64_t xb) {
  const auto darker = [&](const Picture<Pixel>& image, int64_t x, int64_t dy, int64_t dx) {
    const int64_t qy = std::clamp<int64_t>(y + dy, 0, image.height - 1);
    const int64_t qx = std::clamp<int64_t>(x + dx, 0, image.width - 1);
    return image.at(qy, qx, 0) < image.at(y, x, 0);
  };
  double differing = 0;
  const int64_t h = options.window_height / 2, w = options.window_width / 2;
  for (int64_t dy = -h; dy <= h; ++dy) {
    for (int64_t dx = -w; dx <= w; ++dx)
      differing += darker(a, xa, dy, dx) != darker(b, xb, dy, dx);
  }
  return differing;
}

template <class Pixel>
double cell(const CostVolumeOptions& options, const Picture<Pixel>& left,
            const Picture<Pixel>& right, int64_t y, int64_t x, int64_t xr) {
  if (options.cost == StereoCost::Census) return census(options, left, right, y, x, xr);
  const bool squared =
      options.cost == StereoCost::Squared || options.cost == StereoCost::BirchfieldTomasiSquared;
  const bool plain = options.cost == StereoCost::Absolute || options.cost == StereoCost::Squared;
  double sum = 0;
  for (int64_t c = 0; c < left.channels; ++c) {
    const double a = left.at(y, x, c), b = right.at(y, xr, c);
    const double d = plain ? std::fabs(a - b)
                           : std::min(interval(right, y, xr, c).distance(a),
                                      interval(left, y, x, c).distance(b));
    sum += squared ? d * d : d;
  }
  return sum;
}

template <class Pixel>
std::vector<float> plain_volume(const Picture<Pixel>& left, const Picture<Pixel>& right,
                                const CostVolumeOptions& options, float border) {
  std::vector<float> volume;
  for (int64_t y = 0; y < left.height; ++y) {
    for (int64_t x = 0; x < left.width; ++x) {
      for (int64_t l = 0; l < options.num_disparities; ++l) {
        const int64_t xr = x - options.min_disparity - l;
        const bool inside = xr >= 0 && xr < left.width;
        volume.push_back(inside ? std::min(static_cast<float>(cell(options, left, right, y, x, xr)),
                                           options.truncation)
                                : border);
      }
    }
  }
  return volume;
}

/// Forces an instruction set for its lifetime.
class ForcedIsa {
 public:
  explicit ForcedIsa(const char* name) { setenv("MRFCORE_CPU_ISA", name, 1); }
  ForcedIsa(const ForcedIsa&) = delete;
  ForcedIsa& operator=(const ForcedIsa&) = delete;
  ~ForcedIsa() { unsetenv("MRFCORE_CPU_ISA"); }
};

template <class Pixel>
void expect_plain(const CostVolumeOptions& options, int64_t width, int64_t channels) {
  const auto left = random_picture<Pixel>(5, width, channels, 1);
  const auto right = random_picture<Pixel>(5, width, channels, 2);
  const float border =
      std::min(options.truncation,
               worst_cost(options.cost, channels, options.window_height, options.window_width));
  const auto expected = plain_volume(left, right, options, border);
  for (const char* isa : {"baseline", "avx2", "avx512"}) {
    const ForcedIsa forced(isa);
    for (const int threads : {1, 3}) {
      CostVolumeOptions with_threads = options;
      with_threads.threads = threads;
      std::vector<float> volume(expected.size(), -1.0F);
      try {
        cost_volume(left.view(), right.view(), with_threads, volume.data());
      } catch (const std::invalid_argument&) {
        continue;  // not on this machine
      }
      EXPECT_EQ(volume, expected) << isa << ", " << threads << " threads, width " << width
                                  << ", min_disparity " << options.min_disparity;
    }
  }
}

class Costs : public testing::TestWithParam<StereoCost> {};

TEST_P(Costs, FollowTheirDefinition) {
  for (const int64_t width : {1, 2, 7, 70}) {
    for (const int64_t minimum : {-100, -6, 0, 3, 100}) {
      for (const float truncation : {kInfinity, 20.0F}) {
        CostVolumeOptions options{.cost = GetParam(), .num_disparities = 37};
        options.min_disparity = minimum;
        options.truncation = truncation;
        options.window_height = 5;
        options.window_width = 7;
        expect_plain<uint8_t>(options, width, 1);
        expect_plain<float>(options, width, 1);
        if (GetParam() == StereoCost::Census) continue;
        expect_plain<uint8_t>(options, width, 3);
        expect_plain<float>(options, width, 3);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Costs,
                         testing::Values(StereoCost::BirchfieldTomasi,
                                         StereoCost::BirchfieldTomasiSquared, StereoCost::Absolute,
                                         StereoCost::Squared, StereoCost::Census));

TEST(CostVolume, FullCensusWindowUsesAllBits) {
  CostVolumeOptions options{.cost = StereoCost::Census, .num_disparities = 4};
  options.window_height = 5;
  options.window_width = 13;
  expect_plain<uint8_t>(options, 30, 1);
}

TEST(CostVolume, CensusOfRgbIsThatOfTheLuma) {
  const auto left = random_picture<uint8_t>(6, 20, 3, 1),
             right = random_picture<uint8_t>(6, 20, 3, 2);
  const auto luma = [](const Picture<uint8_t>& rgb) {
    Picture<uint8_t> grey{rgb.height, rgb.width, 1, {}};
    for (int64_t y = 0; y < rgb.height; ++y) {
      for (int64_t x = 0; x < rgb.width; ++x) {
        const double v = 299 * rgb.at(y, x, 0) + 587 * rgb.at(y, x, 1) + 114 * rgb.at(y, x, 2);
        grey.pixels.push_back(static_cast<uint8_t>(std::floor((v + 500) / 1000)));
      }
    }
    return grey;
  };
  const auto left_grey = luma(left), right_grey = luma(right);
  const CostVolumeOptions options{.cost = StereoCost::Census, .num_disparities = 5};
  std::vector<float> colour(6 * 20 * 5), grey(6 * 20 * 5);
  cost_volume(left.view(), right.view(), options, colour.data());
  cost_volume(left_grey.view(), right_grey.view(), options, grey.data());
  EXPECT_EQ(colour, grey);
}

TEST(CostVolume, BlendsByScaleAndAccumulation) {
  const auto left = random_picture<uint8_t>(3, 40, 3, 1),
             right = random_picture<uint8_t>(3, 40, 3, 2);
  CostVolumeOptions first{.num_disparities = 9}, second{.num_disparities = 9};
  first.cost = StereoCost::Absolute;
  second.cost = StereoCost::Census;
  std::vector<float> a(3 * 40 * 9), b(a.size()), blend(a.size());
  cost_volume(left.view(), right.view(), first, a.data());
  cost_volume(left.view(), right.view(), second, b.data());
  first.scale = 0.5F;
  second.scale = 2.0F;
  second.accumulate = true;
  cost_volume(left.view(), right.view(), first, blend.data());
  cost_volume(left.view(), right.view(), second, blend.data());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(blend[i], 0.5F * a[i] + 2.0F * b[i]) << i;
}

TEST(CostVolume, RightViewOfTheLeftVolumeIsTheRightViewsVolume) {
  const auto left = random_picture<uint8_t>(3, 25, 3, 1),
             right = random_picture<uint8_t>(3, 25, 3, 2);
  const int64_t labels = 8, minimum = -3;
  CostVolumeOptions options{.num_disparities = labels, .min_disparity = minimum};
  std::vector<float> costs(3 * 25 * 8), sheared(costs.size());
  cost_volume(left.view(), right.view(), options, costs.data());
  right_view_volume(costs.data(), 3, 25, labels, minimum, 765.0F, 2, sheared.data());
  // The right view's pixel x matches left x + d: swap the views and negate the disparities.
  options.min_disparity = -(minimum + labels - 1);
  std::vector<float> swapped(costs.size());
  cost_volume(right.view(), left.view(), options, swapped.data());
  std::vector<int32_t> winners(3 * 25);
  std::vector<float> minima(3 * 25);
  right_view_minimum(costs.data(), 3, 25, labels, minimum, 2, winners.data(), minima.data());
  for (size_t pixel = 0; pixel < 3 * 25; ++pixel) {
    const int64_t x = static_cast<int64_t>(pixel) % 25;
    float best = kInfinity;
    int32_t label = -1;
    for (int64_t l = 0; l < labels; ++l) {
      const float cost = sheared[pixel * 8 + static_cast<size_t>(l)];
      EXPECT_EQ(cost, swapped[pixel * 8 + static_cast<size_t>(labels - 1 - l)]);
      const bool inside = x + minimum + l >= 0 && x + minimum + l < 25;
      if (inside && (label < 0 || cost < best)) best = cost, label = static_cast<int32_t>(l);
    }
    EXPECT_EQ(winners[pixel], label);
    EXPECT_EQ(minima[pixel], best);
  }
}

TEST(CostVolume, WorstCosts) {
  EXPECT_EQ(worst_cost(StereoCost::BirchfieldTomasi, 3, 7, 9), 765.0F);
  EXPECT_EQ(worst_cost(StereoCost::Squared, 3, 7, 9), 3 * 65025.0F);
  EXPECT_EQ(worst_cost(StereoCost::Census, 3, 7, 9), 62.0F);
}

/// The message of the std::invalid_argument that a call throws; empty if it throws none.
template <class Change>
std::string refusal(const Change& change) {
  const auto left = random_picture<uint8_t>(4, 6, 1, 1);
  ImageView first = left.view(), second = left.view();
  CostVolumeOptions options{.num_disparities = 3};
  std::vector<float> out(4 * 6 * 3);
  change(first, second, options);
  try {
    cost_volume(first, second, options, out.data());
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(CostVolume, SaysWhatIsWrong) {
  const auto has = [](const std::string& text, const char* part) {
    return testing::AssertionResult(text.find(part) != std::string::npos) << '"' << text << '"';
  };
  using I = ImageView;
  using O = CostVolumeOptions;
  EXPECT_TRUE(has(refusal([](I& l, I&, O&) { l.height = 0; }), "left"));
  EXPECT_TRUE(has(refusal([](I&, I& r, O&) { r.channels = 2; }), "right"));
  EXPECT_TRUE(has(refusal([](I&, I& r, O&) { r.width = 5; }), "[4, 5, 1]"));
  EXPECT_TRUE(has(refusal([](I&, I& r, O&) { r.type = PixelType::Float32; }), "type"));
  EXPECT_TRUE(has(refusal([](I& l, I&, O&) { l.data = nullptr; }), "left"));
  EXPECT_TRUE(has(refusal([](I&, I&, O& o) { o.num_disparities = 0; }), "num_disparities"));
  EXPECT_TRUE(
      has(refusal([](I&, I&, O& o) { o.min_disparity = -(int64_t{1} << 40); }), "min_disparity"));
  EXPECT_TRUE(has(refusal([](I&, I&, O& o) { o.truncation = -1; }), "truncation"));
  EXPECT_TRUE(has(refusal([](I&, I&, O& o) { o.border = std::nanf(""); }), "border"));
  EXPECT_TRUE(has(refusal([](I&, I&, O& o) { o.scale = 0; }), "scale"));
  EXPECT_TRUE(has(refusal([](I&, I&, O& o) { o.threads = -1; }), "threads"));
  const auto window = [](int64_t h, int64_t w) {
    return refusal([=](I&, I&, O& o) {
      o.cost = StereoCost::Census;
      o.window_height = h;
      o.window_width = w;
    });
  };
  EXPECT_TRUE(has(window(4, 5), "4 x 5"));
  EXPECT_TRUE(has(window(9, 9), "65"));
  EXPECT_TRUE(has(window(1, 1), "1 x 1"));
  EXPECT_TRUE(has(window(-3, -5), "window"));
  EXPECT_EQ(window(5, 13), "");
}

}  // namespace
}  // namespace mrfcore::test
