// SPDX-License-Identifier: Apache-2.0
// Warps against the bilinear sum over all pixels, and their gradients against the adjoint of it.
#include "mrfcore/warp.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace mrfcore::test {
namespace {

std::vector<double> numbers(int64_t count, double range, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> distribution(-range, range);
  std::vector<double> v(static_cast<size_t>(count));
  for (double& x : v) x = distribution(generator);
  return v;
}

constexpr int64_t kBatch = 2, kChannels = 3, kHeight = 4, kWidth = 5, kRows = 3, kColumns = 7;

WarpProblem problem(WarpPadding padding, int threads = 1) {
  return {kBatch, kChannels, kHeight, kWidth, kRows, kColumns, padding, threads};
}

/// Weight of pixel i for a sample at `at`: the hat function; repeated borders hold what is outside.
double hat(double at, int64_t i, int64_t size, WarpPadding padding) {
  if (padding == WarpPadding::Replicate) at = std::clamp(at, 0.0, static_cast<double>(size - 1));
  return std::max(0.0, 1.0 - std::abs(at - static_cast<double>(i)));
}

struct Plain {
  std::vector<double> out, grad_image;
};

Plain plain_warp(const std::vector<double>& image, const std::vector<double>& flow,
                 const std::vector<double>& grad, WarpPadding padding) {
  Plain plain{std::vector<double>(grad.size(), 0), std::vector<double>(image.size(), 0)};
  for (int64_t p = 0; p < kBatch * kChannels; ++p) {
    for (int64_t i = 0; i < kRows * kColumns; ++i) {
      const auto f = static_cast<size_t>(p / kChannels * 2 * kRows * kColumns + i);
      const double x = static_cast<double>(i % kColumns) + flow[f];
      const double y = static_cast<double>(i / kColumns) + flow[f + kRows * kColumns];
      const auto o = static_cast<size_t>(p * kRows * kColumns + i);
      for (int64_t j = 0; j < kHeight * kWidth; ++j) {
        const double w = hat(x, j % kWidth, kWidth, padding) * hat(y, j / kWidth, kHeight, padding);
        const auto s = static_cast<size_t>(p * kHeight * kWidth + j);
        plain.out[o] += w * image[s];
        plain.grad_image[s] += w * grad[o];
      }
    }
  }
  return plain;
}

class Warp : public testing::TestWithParam<WarpPadding> {};

TEST_P(Warp, EqualsTheSumOverPixels) {
  const auto image = numbers(kBatch * kChannels * kHeight * kWidth, 1, 1);
  const auto flow = numbers(kBatch * 2 * kRows * kColumns, 4, 2);
  const auto grad = numbers(kBatch * kChannels * kRows * kColumns, 1, 3);
  const Plain plain = plain_warp(image, flow, grad, GetParam());
  for (const int threads : {1, 3}) {
    const WarpProblem p = problem(GetParam(), threads);
    std::vector<double> out(grad.size()), grad_image(image.size()), grad_flow(flow.size());
    warp<double>(p, image.data(), flow.data(), out.data(), nullptr);
    warp_gradient<double>(p, image.data(), flow.data(), grad.data(), grad_image.data(),
                          grad_flow.data());
    for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], plain.out[i], 1e-14);
    for (size_t i = 0; i < image.size(); ++i) {
      ASSERT_NEAR(grad_image[i], plain.grad_image[i], 1e-14);
    }
    for (size_t i = 0; i < flow.size(); ++i) {  // differences; flows are away from integers
      constexpr double kStep = 1e-6;
      auto moved = flow;
      moved[i] += kStep;
      double difference = 0;
      const Plain there = plain_warp(image, moved, grad, GetParam());
      for (size_t k = 0; k < grad.size(); ++k) {
        difference += grad[k] * (there.out[k] - plain.out[k]) / kStep;
      }
      ASSERT_NEAR(grad_flow[i], difference, 1e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Paddings, Warp,
                         testing::Values(WarpPadding::Zeros, WarpPadding::Replicate));

TEST(WarpErrors, NameTheArgument) {
  const std::vector<float> image(kBatch * kChannels * kHeight * kWidth), flow(84);
  std::vector<float> out(kBatch * kChannels * kRows * kColumns);
  const auto message = [&](const WarpProblem& p, const float* from) {
    try {
      warp<float>(p, from, flow.data(), out.data(), nullptr);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  WarpProblem p = problem(WarpPadding::Zeros);
  EXPECT_EQ(message(p, image.data()), "no error");
  EXPECT_EQ(message(p, nullptr), "image has no data");
  p.width = 0;
  EXPECT_EQ(message(p, image.data()), "width is 0, expected 1..16777216");
}

}  // namespace
}  // namespace mrfcore::test
