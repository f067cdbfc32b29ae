// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Isgmr : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Isgmr, Reals);

TYPED_TEST(Isgmr, EqualsThePlainSolver) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const plain::Grid grid = instance.grid();
    for (const int iterations : {1, 2, 5}) {
      SCOPED_TRACE("iterations " + std::to_string(iterations));
      expect_solution(instance, run(instance, options_for(Solver::ISGMR, iterations)),
                      plain::isgmr(grid, iterations));
    }
  });
}

TYPED_TEST(Isgmr, DampedEqualsThePlainSolver) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    Options options = options_for(Solver::ISGMR, 4);
    options.damping = 0.375;
    expect_solution(instance, run(instance, options), plain::isgmr(instance.grid(), 4, 0.375));
  });
}

TYPED_TEST(Isgmr, IsExactOnIntegerCostsAndTiesGoToTheLowestLabel) {
  for (const int connectivity : {4, 8, 16}) {
    const Shape shape{9, 14, 6, connectivity};
    const auto instance = random_instance<TypeParam>(shape, Potential::truncated_quadratic(7.0),
                                                     Weights::PerEdge, 5, 1.0);
    const Outcome<TypeParam> got = run(instance, options_for(Solver::ISGMR, 3));
    const plain::Solution expected = plain::isgmr(instance.grid(), 3);
    EXPECT_EQ(got.labels, expected.labels);
    EXPECT_EQ(got.costs, std::vector<TypeParam>(expected.costs.begin(), expected.costs.end()));
  }
}

/// All directions read the last iteration's messages, so x and y play the same part.
TYPED_TEST(Isgmr, TransposingTheImageTransposesTheResult) {
  const int64_t height = 7, width = 12, labels = 5;
  const auto upright = random_instance<TypeParam>(
      {height, width, labels}, Potential::truncated_linear(2.0), Weights::Scalar, 3, 1.0);
  auto lying = upright;
  lying.shape = {width, height, labels};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      std::copy_n(upright.unary.begin() + (y * width + x) * labels, labels,
                  lying.unary.begin() + (x * height + y) * labels);
    }
  }
  const auto a = run(upright, options_for(Solver::ISGMR, 4));
  const auto b = run(lying, options_for(Solver::ISGMR, 4));
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      EXPECT_EQ(a.labels[static_cast<size_t>(y * width + x)],
                b.labels[static_cast<size_t>(x * height + y)]);
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
