// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Trws : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Trws, Reals);

TYPED_TEST(Trws, EqualsThePlainSolver) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const plain::Grid grid = instance.grid();
    for (const int iterations : {1, 2, 5}) {
      SCOPED_TRACE("iterations " + std::to_string(iterations));
      Options options = options_for(Solver::TRWS, iterations);
      options.lower_bound = true;
      const Outcome<TypeParam> got = run(instance, options);
      const plain::Solution expected = plain::trws(grid, iterations);
      expect_solution(instance, got, expected);
      ASSERT_NEAR(got.report().lower_bound, expected.lower_bound,
                  10 * kTolerance<TypeParam> * std::max(1.0, std::fabs(expected.lower_bound)));
    }
  });
}

/// The rows' pipeline must keep the order of the sequential loop, whatever the number of threads.
TYPED_TEST(Trws, ThreadsDoNotChangeABit) {
  // More cells than those below which a solve stays on one thread; long, short and few rows.
  constexpr int64_t kSizes[][2] = {{16, 18}, {3, 90}, {90, 3}};
  for (const int connectivity : {4, 8, 16}) {
    for (const auto& [height, width] : kSizes) {
      const Shape shape{height, width, 64, connectivity};
      SCOPED_TRACE(shape.text());
      const auto instance =
          random_instance<TypeParam>(shape, Potential::truncated_linear(2.0), Weights::PerEdge, 4);
      Options options = options_for(Solver::TRWS, 2);
      options.lower_bound = true;
      const Outcome<TypeParam> one = run(instance, options);
      for (const int threads : {2, 3}) {
        options.threads = threads;
        const Outcome<TypeParam> more = run(instance, options);
        EXPECT_EQ(more.labels, one.labels) << threads;
        EXPECT_EQ(more.costs, one.costs) << threads;
        EXPECT_EQ(more.report().lower_bound, one.report().lower_bound) << threads;
      }
    }
  }
}

TYPED_TEST(Trws, BoundNeverFalls) {
  for (const int connectivity : {4, 8, 16}) {
    const auto instance = random_instance<TypeParam>({12, 10, 5, connectivity}, random_table(5, 2),
                                                     Weights::PerEdge, 31);
    Options options = options_for(Solver::TRWS, 25);
    options.trace = options.lower_bound = true;
    const std::vector<double> bounds = run(instance, options).report().trace_bound;
    ASSERT_EQ(bounds.size(), 25u);
    for (size_t k = 1; k < bounds.size(); ++k) {
      EXPECT_GE(bounds[k], bounds[k - 1] - kTolerance<TypeParam> * std::fabs(bounds[k]))
          << "iteration " << k + 1;
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
