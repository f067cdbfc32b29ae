// SPDX-License-Identifier: Apache-2.0
// Filter flow against sums over taps in double, on every instruction set and thread count.
#include "mrfcore/filter_flow.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace mrfcore::test {
namespace {

struct Case {
  int64_t batch, channels, height, width, side;
  bool softmax;
  FlowPadding padding;
};

const std::vector<Case> kCases = {
    {2, 3, 6, 37, 3, false, FlowPadding::Zeros},
    {1, 5, 9, 300, 4, true, FlowPadding::Replicate},
    {1, 1, 7, 33, 5, true, FlowPadding::Reflect},
    {1, 2, 18, 40, 17, false, FlowPadding::Reflect},
    {1, 4, 5, 64, 7, false, FlowPadding::Replicate},
    {1, 0, 4, 20, 3, true, FlowPadding::Zeros},
    {2, 1, 1, 1, 2, false, FlowPadding::Replicate},
};

std::vector<double> numbers(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> distribution(-2, 2);
  std::vector<double> v(static_cast<size_t>(count));
  for (double& x : v) x = distribution(generator);
  return v;
}

int64_t source(int64_t i, int64_t size, FlowPadding padding) {
  if (padding == FlowPadding::Zeros) return i < 0 || i >= size ? -1 : i;
  if (padding == FlowPadding::Replicate) return std::clamp<int64_t>(i, 0, size - 1);
  return i < 0 ? -i : (i >= size ? 2 * size - 2 - i : i);
}

/// All results of a case, by loops over pixels and taps.
struct Plain {
  Case c;
  std::vector<double> image, filters, grad_out, grad_flow;
  std::vector<double> weights, out, flow, spread, grad_image, grad_filters;

  explicit Plain(const Case& given) : c(given) {
    const int64_t n = c.batch * c.height * c.width;
    image = numbers(n * c.channels, 1);
    filters = numbers(n * c.side * c.side, 2);
    grad_out = numbers(n * c.channels, 3);
    grad_flow = numbers(n * 2, 4);
    // What float and double both hold exactly.
    for (auto* v : {&image, &filters, &grad_out, &grad_flow}) {
      for (double& x : *v) x = static_cast<float>(x);
    }
    weigh();
    out.assign(image.size(), 0);
    flow.assign(grad_flow.size(), 0);
    grad_image.assign(image.size(), 0);
    grad_filters.assign(filters.size(), 0);
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t y = 0; y < c.height; ++y) {
        for (int64_t x = 0; x < c.width; ++x) pixel(b, y, x);
      }
    }
  }

  size_t at(int64_t planes, int64_t b, int64_t p, int64_t y, int64_t x) const {
    return static_cast<size_t>(((b * planes + p) * c.height + y) * c.width + x);
  }

  void weigh() {
    weights = filters;
    if (!c.softmax) return;
    const int64_t taps = c.side * c.side, plane = c.height * c.width;
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t i = 0; i < plane; ++i) {
        double total = 0;
        for (int64_t p = 0; p < taps; ++p) {
          total += std::exp(filters[static_cast<size_t>((b * taps + p) * plane + i)]);
        }
        for (int64_t p = 0; p < taps; ++p) {
          const auto k = static_cast<size_t>((b * taps + p) * plane + i);
          weights[k] = std::exp(filters[k]) / total;
        }
      }
    }
  }

  void pixel(int64_t b, int64_t y, int64_t x) {
    const int64_t taps = c.side * c.side, before = (c.side - 1) / 2;
    double mean = 0;
    for (int64_t p = 0; p < taps; ++p) {
      const int64_t u = p / c.side - before, v = p % c.side - before;
      const int64_t sy = source(y + u, c.height, c.padding);
      const int64_t sx = source(x + v, c.width, c.padding);
      const size_t tap = at(taps, b, p, y, x);
      const double w = weights[tap];
      double grad = grad_flow[at(2, b, 0, y, x)] * static_cast<double>(v) +
                    grad_flow[at(2, b, 1, y, x)] * static_cast<double>(u);
      flow[at(2, b, 0, y, x)] += w * static_cast<double>(v);
      flow[at(2, b, 1, y, x)] += w * static_cast<double>(u);
      for (int64_t ch = 0; ch < c.channels && sy >= 0 && sx >= 0; ++ch) {
        const size_t here = at(c.channels, b, ch, y, x), there = at(c.channels, b, ch, sy, sx);
        out[here] += w * image[there];
        grad_image[there] += w * grad_out[here];
        grad += grad_out[here] * image[there];
      }
      grad_filters[tap] = grad;
      mean += w * grad;
    }
    for (int64_t p = 0; p < taps && c.softmax; ++p) {
      const size_t tap = at(taps, b, p, y, x);
      grad_filters[tap] = weights[tap] * (grad_filters[tap] - mean);
    }
  }
};

template <class T>
std::vector<T> as(const std::vector<double>& v) {
  return {v.begin(), v.end()};
}

template <class T>
struct Found {
  std::vector<T> out, flow, grad_image, grad_filters;
};

template <class T>
Found<T> solve(const Plain& plain, int threads) {
  const Case& c = plain.c;
  const auto image = as<T>(plain.image), filters = as<T>(plain.filters);
  const auto grad_out = as<T>(plain.grad_out), grad_flow = as<T>(plain.grad_flow);
  Found<T> f{std::vector<T>(image.size()), std::vector<T>(grad_flow.size()),
             std::vector<T>(image.size()), std::vector<T>(filters.size())};
  std::vector<T> peak(grad_flow.size() / 2), scale(peak.size());
  FilterFlowProblem p{c.batch,
                      c.channels,
                      c.height,
                      c.width,
                      c.side,
                      filters.data(),
                      sizeof(T) == 8 ? FilterType::Float64 : FilterType::Float32,
                      c.softmax,
                      c.padding,
                      threads};
  filter_flow<T>(p, image.data(), f.out.data(), f.flow.data(), {peak.data(), scale.data()});
  filter_flow_transpose<T>(p, grad_out.data(), {peak.data(), scale.data()}, f.grad_image.data());
  filter_flow_filter_gradient<T>(p, image.data(), {peak.data(), scale.data()},
                                 {f.out.data(), grad_out.data(), f.flow.data(), grad_flow.data()},
                                 f.grad_filters.data());
  return f;
}

template <class T>
void expect_near(const std::vector<T>& got, const std::vector<double>& expected, const char* what) {
  double largest = 1;
  for (const double x : expected) largest = std::max(largest, std::abs(x));
  const double tolerance = largest * (sizeof(T) == 8 ? 1e-13 : 1e-5);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(got[i]), expected[i], tolerance) << what << " " << i;
  }
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
void check_all() {
  for (size_t i = 0; i < kCases.size(); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    const Plain plain(kCases[i]);
    const Found<T> first = solve<T>(plain, 1);
    expect_near(first.out, plain.out, "out");
    expect_near(first.flow, plain.flow, "flow");
    expect_near(first.grad_image, plain.grad_image, "gradient of the image");
    expect_near(first.grad_filters, plain.grad_filters, "gradient of the filters");
    for (const char* isa : {"baseline", "avx2", "avx512"}) {
      setenv("MRFCORE_CPU_ISA", isa, 1);
      try {
        const Found<T> again = solve<T>(plain, 3);
        EXPECT_TRUE(same(again.out, first.out)) << isa;
        EXPECT_TRUE(same(again.flow, first.flow)) << isa;
        EXPECT_TRUE(same(again.grad_image, first.grad_image)) << isa;
        EXPECT_TRUE(same(again.grad_filters, first.grad_filters)) << isa;
      } catch (const std::invalid_argument&) {  // not on this machine
      }
      unsetenv("MRFCORE_CPU_ISA");
    }
  }
}

TEST(FilterFlow, FloatEqualsTheSumsAndItsOwnBitsEverywhere) { check_all<float>(); }
TEST(FilterFlow, DoubleEqualsTheSumsAndItsOwnBitsEverywhere) { check_all<double>(); }

void expect_error(const FilterFlowProblem& problem, const std::string& part) {
  const float image[4] = {};
  float out[4];
  try {
    filter_flow<float>(problem, image, out);
    FAIL() << "no error; expected one with " << part;
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(FilterFlow, NamesWhatDoesNotFit) {
  const float filters[36] = {};
  const FilterFlowProblem good{1, 1, 2, 2, 3, filters};
  const auto with = [&](auto change) {
    FilterFlowProblem p = good;
    change(p);
    return p;
  };
  expect_error(with([](auto& p) { p.side = 32; }), "side is 32, expected 1..31");
  expect_error(with([](auto& p) { p.side = 0; }), "side is 0");
  expect_error(with([](auto& p) { p.height = 0; }), "height is 0");
  expect_error(with([](auto& p) { p.batch = -1; }), "batch is -1");
  expect_error(with([](auto& p) { p.filters = nullptr; }), "filters has no data");
  expect_error(with([](auto& p) { p.type = FilterType::Float64; }), "type");
  expect_error(with([](auto& p) { p.softmax = true; }), "statistics.peak has no data");
  expect_error(with([](auto& p) { p.threads = -1; }), "threads");
  expect_error(with([](auto& p) {
                 p.side = 5;
                 p.padding = FlowPadding::Reflect;
               }),
               "side is 5");
}

TEST(FilterFlow, NaNLogitsStayAndForbiddenOnesWeighNothing) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float image[2] = {3, 5};
  std::vector<float> all(8, -kInfinity);
  all[0] = 0;              // tap (0, 0) of the left pixel
  all[3] = std::nanf("");  // tap (0, 1) of the right one
  float out[2], peak[2], scale[2];
  FilterFlowProblem p{1, 1, 1, 2, 2, all.data(), FilterType::Float32, true};
  filter_flow<float>(p, image, out, nullptr, {peak, scale});
  EXPECT_EQ(out[0], 3);
  EXPECT_TRUE(std::isnan(out[1]));
}

}  // namespace
}  // namespace mrfcore::test
