// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Named {
  const char* name;
  Potential potential;
  double (*of_difference)(double);
};

class DifferencePotential : public testing::TestWithParam<Named> {};

TEST_P(DifferencePotential, MatchesItsFormulaBothWaysRound) {
  const Potential& v = GetParam().potential;
  for (int l = 0; l < 12; ++l) {
    for (int m = 0; m < 12; ++m) {
      EXPECT_DOUBLE_EQ(v(l, m), GetParam().of_difference(std::abs(l - m))) << l << ", " << m;
    }
  }
  EXPECT_TRUE(v.symmetric());
  EXPECT_EQ(v.labels(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    AllKinds, DifferencePotential,
    testing::Values(
        Named{"potts", Potential::potts(), [](double d) { return d > 0 ? 1.0 : 0.0; }},
        Named{"linear", Potential::truncated_linear(), [](double d) { return d; }},
        Named{"linear_cut", Potential::truncated_linear(2.5),
              [](double d) { return std::fmin(d, 2.5); }},
        Named{"linear_flat", Potential::truncated_linear(0.0), [](double) { return 0.0; }},
        Named{"quadratic", Potential::truncated_quadratic(), [](double d) { return d * d; }},
        Named{"quadratic_cut", Potential::truncated_quadratic(49.0),
              [](double d) { return std::fmin(d * d, 49.0); }},
        Named{"sgm", Potential::sgm_penalty(0.5, 3.0),
              [](double d) { return d == 0 ? 0.0 : (d == 1 ? 0.5 : 3.0); }},
        Named{"huber", Potential::huber(2.0),
              [](double d) { return d <= 2 ? d * d / 2 : 2 * (d - 1); }},
        Named{"cauchy", Potential::cauchy(3.0),
              [](double d) { return 4.5 * std::log1p(d * d / 9); }}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Potential, TableKeepsTheOrderOfItsArguments) {
  const Potential v = Potential::table({0, 1, 2, 3, 0, 5, 6, 7, 0}, 3);
  EXPECT_EQ(v(0, 2), 2.0);
  EXPECT_EQ(v(2, 0), 6.0);
  EXPECT_EQ(v.labels(), 3);
  EXPECT_FALSE(v.symmetric());
  EXPECT_TRUE(Potential::table({1, 4, 4, -2}, 2).symmetric());
}

TEST(Potential, RefusesParametersThatMakeNoSense) {
  using Bad = std::invalid_argument;
  for (const double t : {-1.0, kNaN, -kInf, 1e16}) {
    expect_error<Bad>([&] { Potential::truncated_linear(t); }, {"truncation", "[0, 1e12)", "got"});
    expect_error<Bad>([&] { Potential::truncated_quadratic(t); }, {"truncation", "infinity"});
  }
  expect_error<Bad>([] { Potential::sgm_penalty(-0.5, 1.0); }, {"p1", "-0.5"});
  expect_error<Bad>([] { Potential::sgm_penalty(2.0, 1.0); }, {"p2", ">= p1", "1.0"});
  expect_error<Bad>([] { Potential::sgm_penalty(1.0, kInf); }, {"p2", "finite", "inf"});
  for (const double x : {0.0, -1.0, kNaN, kInf}) {
    expect_error<Bad>([&] { Potential::huber(x); }, {"delta", "(0, 1e12)"});
    expect_error<Bad>([&] { Potential::cauchy(x); }, {"scale", "[1e-6, 1e6]"});
  }
}

TEST(Potential, RefusesTablesThatAreNotSquareOrNotFinite) {
  using Bad = std::invalid_argument;
  expect_error<Bad>([] { Potential::table({1, 2, 3}, 2); }, {"V", "[L, L]", "3 values", "L = 2"});
  expect_error<Bad>([] { Potential::table({}, 0); }, {"V", "L >= 1"});
  expect_error<Bad>([] { Potential::table({0, kNaN, 0, 0}, 2); }, {"V", "finite", "[0, 1]"});
  expect_error<Bad>([] { Potential::table({0, 0, kInf, 0}, 2); }, {"V", "finite", "[1, 0]"});
}

}  // namespace
}  // namespace mrfcore::test
