// SPDX-License-Identifier: Apache-2.0
#include "ops/slic_plan.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace mrfcore {
namespace {

constexpr int64_t kMostSide = int64_t{1} << 19;  // 2^12 times as much fits 32 bits
constexpr double kMostSigma = static_cast<double>(kSlicRadius) / 4;
constexpr int32_t kWhole = 1 << 14;

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

void check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  fail(std::string(name) + " is " + std::to_string(value) + ", expected " + std::to_string(low) +
       ".." + std::to_string(high));
}

void check_sizes(int64_t batch, int64_t channels, int64_t height, int64_t width) {
  check_range("batch", batch, 1, kMostSide);
  check_range("channels", channels, 1, kSlicChannels);
  check_range("height", height, 1, kMostSide);
  check_range("width", width, 1, kMostSide);
  check_range("pixels of an image", height * width, 1, INT32_MAX);
}

}  // namespace

int64_t SlicOptions::rows() const {
  const double rows = std::sqrt(static_cast<double>(num) * static_cast<double>(height) /
                                static_cast<double>(width));
  return std::clamp<int64_t>(std::llround(rows), 1, std::min(height, num));
}

int64_t SlicOptions::columns() const {
  const int64_t n = rows();
  return std::clamp<int64_t>((num + n / 2) / n, 1, width);
}

void check_slic(const SlicOptions& options) {
  check_sizes(options.batch, options.channels, options.height, options.width);
  check_range("num", options.num, 1, options.height * options.width);
  if (!(options.compactness >= 0 && options.compactness <= kSlicCompactness)) {
    fail("compactness is " + std::to_string(options.compactness) + ", expected 0.." +
         std::to_string(static_cast<int>(kSlicCompactness)));
  }
  check_range("iterations", options.iterations, 0, INT32_MAX);
  check_range("min_size", options.min_size, -1, INT32_MAX);
}

SlicPlan plan_slic(const SlicOptions& options) {
  SlicPlan plan{{options.height, options.rows(), 0},
                {options.width, options.columns(), 0},
                static_cast<int>(options.channels)};
  const auto side = [](const SlicAxis& axis) {
    return static_cast<double>(axis.count) / static_cast<double>(axis.cells);
  };
  const double longer = std::max(side(plan.y), side(plan.x));
  plan.y.step = plan.x.step = std::llround(options.compactness * kSlicUnit / longer * 65536.0);
  return plan;
}

int64_t slic_min_size(const SlicOptions& options) {
  if (options.min_size >= 0) return options.min_size;
  return options.height * options.width / (options.rows() * options.columns()) / 4;
}

void check_slic_features(int64_t batch, int64_t channels, int64_t height, int64_t width,
                         SlicColors colors, double sigma) {
  check_sizes(batch, channels, height, width);
  if (colors == SlicColors::Lab && channels != 1 && channels != 3) {
    fail("channels is " + std::to_string(channels) +
         ", expected 3 (red, green, blue) or 1 (grey) for L*a*b*");
  }
  if (!(sigma >= 0 && sigma <= kMostSigma)) {
    fail("sigma is " + std::to_string(sigma) + ", expected 0.." +
         std::to_string(static_cast<int>(kMostSigma)) + " pixels");
  }
}

int64_t slic_taps(double sigma, int32_t* taps) {
  if (sigma == 0) return 0;
  const auto radius = static_cast<int64_t>(std::ceil(4 * sigma));
  const auto weight = [sigma](int64_t k) {
    const double z = static_cast<double>(k) / sigma;
    return std::exp(-0.5 * z * z);
  };
  double total = 0;
  for (int64_t k = -radius; k <= radius; ++k) total += weight(k);
  int32_t sum = 0;
  for (int64_t k = -radius; k <= radius; ++k) {
    taps[k + radius] = static_cast<int32_t>(std::lround(kWhole * (weight(k) / total)));
    sum += taps[k + radius];
  }
  taps[radius] += kWhole - sum;
  return radius;
}

}  // namespace mrfcore
