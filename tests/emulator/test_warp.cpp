// SPDX-License-Identifier: Apache-2.0
// CUDA's warps in the emulator against the CPU's: the same bits, but for the image's gradient,
// whose sums are exact up to a stated unit, and the same in any order of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "emulator/emulator.hpp"
#include "mrfcore/warp.hpp"
#include "warp_kernels.hpp"

namespace mrfcore::test {
namespace {

struct WarpCase {
  int64_t batch, channels, height, width, out_height, out_width;
  WarpPadding padding;
  double reach = 4;  ///< of the flow

  std::string text() const {
    return std::to_string(batch) + "x" + std::to_string(channels) + "x" + std::to_string(height) +
           "x" + std::to_string(width) + " to " + std::to_string(out_height) + "x" +
           std::to_string(out_width);
  }
};

constexpr auto kZeros = WarpPadding::Zeros, kReplicate = WarpPadding::Replicate;
const std::vector<WarpCase> kCases = {
    {2, 3, 9, 37, 9, 37, kZeros},      {1, 1, 1, 1, 5, 7, kReplicate},
    {3, 2, 17, 65, 33, 70, kZeros, 9}, {2, 5, 40, 31, 7, 19, kReplicate},
    {1, 0, 4, 5, 4, 5, kZeros},        {0, 3, 4, 5, 4, 5, kZeros},
    {1, 2, 3, 4, 30, 40, kReplicate}};

template <class T>
std::vector<T> numbers(int64_t count, double size, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> distribution(-size, size);
  std::vector<T> v(static_cast<size_t>(count));
  for (T& x : v) x = static_cast<T>(distribution(generator));
  return v;
}

template <class T>
struct Results {
  std::vector<T> out, grad_image, grad_flow;
  std::vector<uint8_t> valid;
};

template <class T>
struct Warp {
  WarpCase c;
  int64_t pixels = c.batch * c.height * c.width, out_pixels = c.batch * c.out_height * c.out_width;
  std::vector<T> image = numbers<T>(pixels * c.channels, 1, 1);
  std::vector<T> flow = some_whole(numbers<T>(2 * out_pixels, c.reach, 2));
  std::vector<T> grad_out = numbers<T>(out_pixels * c.channels, 1, 3);

  /// Where coordinates are integers, borders and derivatives are decided by comparisons.
  static std::vector<T> some_whole(std::vector<T> flow) {
    for (size_t i = 0; i < flow.size(); i += 3) flow[i] = std::round(flow[i]);
    return flow;
  }
  WarpProblem problem() const {
    return {c.batch, c.channels, c.height, c.width, c.out_height, c.out_width, c.padding, 1};
  }
  Results<T> empty() const {
    return {std::vector<T>(grad_out.size(), T(7)), std::vector<T>(image.size(), T(7)),
            std::vector<T>(flow.size(), T(7)),
            std::vector<uint8_t>(static_cast<size_t>(out_pixels), 7)};
  }
  Results<T> of_cpu() const {
    Results<T> r = empty();
    warp<T>(problem(), image.data(), flow.data(), r.out.data(), r.valid.data());
    warp_gradient<T>(problem(), image.data(), flow.data(), grad_out.data(), r.grad_image.data(),
                     r.grad_flow.data());
    return r;
  }
  Results<T> of_device() const {
    namespace k = cuda::kernels;
    Results<T> r = empty();
    std::vector<uint64_t> workspace(
        static_cast<size_t>(k::warp_workspace_bytes<T>(problem()) / 8 + 1), ~uint64_t{0});
    EXPECT_EQ(
        k::warp<T>(problem(), image.data(), flow.data(), r.out.data(), r.valid.data(), nullptr), 0);
    EXPECT_EQ(k::warp_flow_gradient<T>(problem(), image.data(), flow.data(), grad_out.data(),
                                       r.grad_flow.data(), nullptr),
              0);
    EXPECT_EQ(k::warp_image_gradient<T>(problem(), flow.data(), grad_out.data(),
                                        r.grad_image.data(), workspace.data(), nullptr),
              0);
    EXPECT_EQ(workspace.back(), ~uint64_t{0});  // it ends where it should
    return r;
  }
};

template <class T>
void expect_same(const std::vector<T>& found, const std::vector<T>& expected, const char* what) {
  ASSERT_EQ(found.size(), expected.size());
  if (found.empty()) return;
  EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(T)), 0) << what;
}

/// Sums over some hundred pixels, rounded one by one on the CPU.
template <class T>
void expect_close(const std::vector<T>& found, const std::vector<T>& expected, T size = T(1)) {
  ASSERT_EQ(found.size(), expected.size());
  const T tolerance = 256 * std::numeric_limits<T>::epsilon() * size;
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], tolerance) << i;
}

template <class T>
void compare() {
  for (const WarpCase& c : kCases) {
    SCOPED_TRACE(c.text());
    const Warp<T> warp{c};
    const Results<T> expected = warp.of_cpu(), found = warp.of_device();
    expect_same(found.out, expected.out, "out");
    expect_same(found.valid, expected.valid, "valid");
    expect_same(found.grad_flow, expected.grad_flow, "gradient of the flow");
    expect_close(found.grad_image, expected.grad_image);
    for (const auto order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
      const emulator::ScopedOrder scope(order);
      expect_same(warp.of_device().grad_image, found.grad_image, "gradient of the image");
    }
  }
}

TEST(WarpKernels, TheCpusResults) {
  compare<float>();
  compare<double>();
}

template <class T>
void any_size() {
  const int most = std::numeric_limits<T>::max_exponent - 12, least = -most;
  for (const int exponent : {least, -40, 40, most}) {
    SCOPED_TRACE(exponent);
    Warp<T> warp{kCases[3]};
    for (T& grad : warp.grad_out) grad = std::ldexp(grad, exponent);
    const Results<T> expected = warp.of_cpu(), found = warp.of_device();
    expect_close(found.grad_image, expected.grad_image, std::ldexp(T(1), exponent));
  }
}

TEST(WarpKernels, GradientsOfAnySize) {
  any_size<float>();
  any_size<double>();
}

TEST(WarpKernels, SmallNumbersBesideLargeOnes) {
  Warp<double> warp{{1, 1, 3, 64, 3, 64, kReplicate}};
  warp.flow.assign(warp.flow.size(), 0.25);
  warp.grad_out[0] = 1e10;  // 2^-60 of it is 1e-8: the second integer has to make up for it
  const Results<double> expected = warp.of_cpu(), found = warp.of_device();
  for (size_t i = 128; i < 190; ++i)
    EXPECT_NEAR(found.grad_image[i], expected.grad_image[i], 1e-14) << i;
}

TEST(WarpKernels, AllAtOnePixel) {
  Warp<float> warp{{1, 1, 2, 2, 64, 64, kReplicate}};
  warp.flow.assign(warp.flow.size(), -1e6F);
  warp.grad_out.assign(warp.grad_out.size(), 1.0F);
  EXPECT_EQ(warp.of_device().grad_image, (std::vector<float>{4096, 0, 0, 0}));
}

TEST(WarpKernels, WhatIsNotFinite) {
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity()};
  for (const float value : bad) {
    Warp<float> warp{kCases[0]};
    warp.flow[11] = value;
    Results<float> expected = warp.of_cpu(), found = warp.of_device();
    for (size_t i = 0; i < found.out.size(); ++i)
      EXPECT_EQ(std::isnan(found.out[i]), std::isnan(expected.out[i])) << i;
    expect_same(found.valid, expected.valid, "valid");
    const auto item = found.grad_image.size() / 2;
    for (size_t i = 0; i < 2 * item; ++i) EXPECT_EQ(std::isnan(found.grad_image[i]), i < item);

    warp = Warp<float>{kCases[0]};
    warp.grad_out[static_cast<size_t>(warp.c.out_height * warp.c.out_width)] = value;
    found = warp.of_device();
    const auto plane = item / 3;  // the second
    for (size_t i = 0; i < 2 * item; ++i)
      EXPECT_EQ(std::isnan(found.grad_image[i]), i / plane == 1) << i;
  }
}

}  // namespace
}  // namespace mrfcore::test
