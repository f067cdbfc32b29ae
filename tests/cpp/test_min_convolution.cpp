// SPDX-License-Identifier: Apache-2.0
// The min-convolution of every potential against the double loop, through the public interface: on
// a grid of two columns, one ISGMR iteration with a zero unary in the second column leaves min_m
// theta(m) + w V(m, l), less its minimum, as the second column's costs; a zero unary in the first
// column shows the transposed direction. Rows are independent (V(l, l) = 0 <= V, or vertical
// weights are zero), and their number decides how many rows one call convolves.
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

constexpr int64_t kLabelCounts[] = {1, 2, 3, 15, 16, 17, 31, 33, 64, 96, 255, 256, 257};
constexpr double kGrain = 1.0 / 64;

enum Side { kFirst, kSecond };  // the column whose unary is given

/// Rows of two pixels; the unary of one column is random, of the other zero.
template <class T>
Instance<T> two_columns(int64_t rows, int64_t labels, const Potential& pairwise, Weights weights,
                        Side side, double grain) {
  const Shape shape{rows, 2, labels};
  Instance<T> instance = random_instance<T>(shape, pairwise, weights, 7u, grain);
  for (int64_t y = 0; y < rows; ++y) {
    const int64_t other = (2 * y + (side == kFirst ? 1 : 0)) * labels;
    std::fill_n(instance.unary.begin() + other, labels, T(0));
    if (weights == Weights::PerEdge) instance.edge_weights[static_cast<size_t>(2 * y)] *= T(y % 3);
  }
  if (weights == Weights::PerEdge) {  // no vertical edges; horizontal ones include weight 0
    std::fill_n(instance.edge_weights.begin() + 2 * rows, 2 * rows, T(0));
  }
  return instance;
}

/// What the costs of the column without unary should be.
template <class T>
std::vector<double> expected_costs(const Instance<T>& instance, Side side) {
  const plain::Grid g = instance.grid();
  std::vector<double> costs(g.unary.size(), 0.0);
  for (int y = 0; y < g.height; ++y) {
    const int from = 2 * y + (side == kFirst ? 0 : 1), to = from ^ 1;
    const plain::Vector h(g.unary.begin() + from * g.labels,
                          g.unary.begin() + (from + 1) * g.labels);
    plain::store_message(g, plain::convolve(g, from, side == kFirst ? 0 : 1, h), 0.0, to, costs);
  }
  return costs;
}

/// The costs of the column without unary, zero elsewhere.
template <class T>
std::vector<T> convolved(const Instance<T>& instance, Side side, MinConvolution path) {
  Options options = options_for(Solver::ISGMR, 1);
  options.min_convolution = path;
  std::vector<T> costs = run(instance, options).costs;
  const int64_t labels = instance.shape.labels;
  for (int64_t y = 0; y < instance.shape.height; ++y) {
    std::fill_n(costs.begin() + (2 * y + (side == kFirst ? 0 : 1)) * labels, labels, T(0));
  }
  return costs;
}

/// Zero diagonal, nothing negative, asymmetric: rows stay independent.
Potential zero_diagonal_table(int64_t labels, double grain) {
  std::vector<double> values = Random(3).array<double>(labels * labels, 4.0, grain);
  for (int64_t l = 0; l < labels; ++l) values[static_cast<size_t>(l * labels + l)] = 0.0;
  return Potential::table(values, labels);
}

struct Case {
  const char* name;
  Potential (*make)(int64_t labels);
  bool integer;  ///< V(l, m) is an integer: then the convolution of integers is exact
};

const Case kCases[] = {
    {"potts", [](int64_t) { return Potential::potts(); }, true},
    {"sgm", [](int64_t) { return Potential::sgm_penalty(1, 3); }, true},
    {"linear", [](int64_t) { return Potential::truncated_linear(); }, true},
    {"linear_1", [](int64_t) { return Potential::truncated_linear(1); }, true},
    {"linear_3_half", [](int64_t) { return Potential::truncated_linear(3.5); }, false},
    {"linear_16", [](int64_t) { return Potential::truncated_linear(16); }, true},
    {"linear_but_one",
     [](int64_t n) {
       return Potential::truncated_linear(n > 1 ? static_cast<double>(n) - 1.5 : 0.0);
     },
     false},
    {"linear_flat", [](int64_t) { return Potential::truncated_linear(0); }, true},
    {"quadratic", [](int64_t) { return Potential::truncated_quadratic(); }, true},
    {"quadratic_9", [](int64_t) { return Potential::truncated_quadratic(9); }, true},
    {"quadratic_10", [](int64_t) { return Potential::truncated_quadratic(10); }, true},
    {"quadratic_band_128", [](int64_t) { return Potential::truncated_quadratic(129 * 129); }, true},
    {"quadratic_band_129", [](int64_t) { return Potential::truncated_quadratic(130 * 130); }, true},
    {"quadratic_half", [](int64_t) { return Potential::truncated_quadratic(0.5); }, false},
    {"huber", [](int64_t) { return Potential::huber(4.5); }, false},
    {"cauchy", [](int64_t) { return Potential::cauchy(2.5); }, false},
    {"table", [](int64_t n) { return zero_diagonal_table(n, 1.0); }, true},
};

template <class T>
class MinConvolutionOf : public testing::Test {
 protected:
  /// Everything about one potential and label count.
  void check(const Case& c, int64_t labels) {
    const Potential pairwise = c.make(labels);
    for (const Weights weights : {Weights::Scalar, Weights::PerEdge}) {
      for (const Side side : {kFirst, kSecond}) {
        SCOPED_TRACE(std::string(weights == Weights::Scalar ? "scalar" : "per-edge") +
                     " weights, " + (side == kFirst ? "forward" : "backward"));
        const int64_t rows = 1 + labels % 7;  // groups of 4 and what is left over
        check_rounding(two_columns<T>(rows, labels, pairwise, weights, side, kGrain), side);
        if (c.integer) {
          check_exact(two_columns<T>(rows, labels, pairwise, weights, side, 1.0), side);
        }
      }
    }
  }

 private:
  void check_rounding(const Instance<T>& instance, Side side) {
    const std::vector<double> expected = expected_costs(instance, side);
    constexpr double kEpsilons = 16 * std::numeric_limits<T>::epsilon();
    for (const MinConvolution path : {MinConvolution::Auto, MinConvolution::General}) {
      const char* name = path == MinConvolution::Auto ? "fast path" : "general path";
      expect_close(convolved(instance, side, path), expected, name, kEpsilons);
    }
  }
  void check_exact(const Instance<T>& instance, Side side) {
    const std::vector<double> expected = expected_costs(instance, side);
    const std::vector<T> exact(expected.begin(), expected.end());
    EXPECT_EQ(convolved(instance, side, MinConvolution::Auto), exact);
    EXPECT_EQ(convolved(instance, side, MinConvolution::General), exact);
  }
};

using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(MinConvolutionOf, Reals);

TYPED_TEST(MinConvolutionOf, EveryPotentialEqualsTheDoubleLoop) {
  for (const Case& c : kCases) {
    for (const int64_t labels : kLabelCounts) {
      SCOPED_TRACE(std::string(c.name) + ", L = " + std::to_string(labels));
      this->check(c, labels);
      if (this->HasFatalFailure()) return;
    }
  }
}

TYPED_TEST(MinConvolutionOf, EveryInstructionSetGivesTheSameBits) {
  using T = TypeParam;
  const std::vector<std::string> isas = usable_isas();
  for (const Case& c : kCases) {
    for (const int64_t labels : {1, 5, 16, 31, 96, 257}) {
      SCOPED_TRACE(std::string(c.name) + ", L = " + std::to_string(labels));
      const Instance<T> instance =
          two_columns<T>(5, labels, c.make(labels), Weights::PerEdge, kFirst, kGrain);
      std::vector<T> first;
      for (const std::string& isa : isas) {
        const ScopedEnv env("MRFCORE_CPU_ISA", isa);
        const std::vector<T> costs = convolved(instance, kFirst, MinConvolution::Auto);
        if (first.empty()) first = costs;
        EXPECT_EQ(costs, first) << isa << " differs from " << isas.front();
      }
    }
  }
}

TYPED_TEST(MinConvolutionOf, ForbiddenLabelsAreNeverTheMinimum) {
  using T = TypeParam;
  for (const Case& c : kCases) {
    for (const int64_t labels : {2, 3, 17, 257}) {
      SCOPED_TRACE(std::string(c.name) + ", L = " + std::to_string(labels));
      Instance<T> instance =
          two_columns<T>(2, labels, c.make(labels), Weights::Scalar, kFirst, kGrain);
      for (size_t i = 0; i < instance.unary.size(); ++i) {
        const int64_t pixel = static_cast<int64_t>(i) / labels;
        const bool allowed = static_cast<int64_t>(i) % labels == labels / 2;
        if (pixel % 2 == 0 && !allowed) instance.unary[i] = std::numeric_limits<T>::infinity();
      }
      expect_close(convolved(instance, kFirst, MinConvolution::Auto),
                   expected_costs(instance, kFirst), "costs", 1e-5);
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
