// SPDX-License-Identifier: Apache-2.0
// Lower bounds and energies against the optimum of 3 x 3 grids, found by trying all labellings.
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Bound : public testing::Test {
 protected:
  static double slack(double optimum) {
    return (sizeof(T) == 4 ? 1e-6 : 1e-12) * std::max(1.0, std::fabs(optimum));
  }
  static Outcome<T> traced(const Instance<T>& instance, Solver solver, int iterations) {
    Options options = options_for(solver, iterations);
    options.trace = options.lower_bound = true;
    return run(instance, options);
  }
};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Bound, Reals);

TYPED_TEST(Bound, IsBelowAndEnergyAboveTheOptimumAfterEveryIteration) {
  uint32_t seed = 100;
  for (const int connectivity : {4, 8, 16}) {
    for (int index = 0; index < kPotentials; ++index, ++seed) {
      const Potential pairwise = some_potential(index, 3);
      const auto instance = random_instance<TypeParam>(
          {3, 3, 3, connectivity}, pairwise, seed % 2 ? Weights::Scalar : Weights::PerEdge, seed);
      const double optimum = plain::optimum(instance.grid());
      for (const Solver solver : kGridSolvers) {
        SCOPED_TRACE(std::string(solver_name(solver)) + ", " + potential_name(pairwise) + ", " +
                     instance.shape.text());
        const auto got = this->traced(instance, solver, 6);
        ASSERT_EQ(got.report().trace_bound.size(), 6u);
        for (size_t k = 0; k < 6; ++k) {
          EXPECT_LE(got.report().trace_bound[k], optimum + this->slack(optimum));
          EXPECT_GE(got.report().trace_energy[k], optimum - this->slack(optimum));
        }
      }
    }
  }
}

TYPED_TEST(Bound, BeforeAnyIterationIsThatOfTheBareChains) {
  const auto instance =
      random_instance<TypeParam>({4, 5, 3, 8}, random_table(3, 4), Weights::PerEdge, 6);
  const plain::Grid g = instance.grid();
  for (const Solver solver : kGridSolvers) {
    Options options = options_for(solver, 0);
    options.lower_bound = true;
    EXPECT_NEAR(run(instance, options).report().lower_bound,
                plain::chain_bound(g, plain::no_messages(g)), 1e-9)
        << solver_name(solver);
  }
}

/// Two labels and an attractive Potts model: the relaxation is tight, its maximum is the optimum.
TYPED_TEST(Bound, ReachesTheOptimumOfTwoLabelPotts) {
  for (const uint32_t seed : {1u, 2u, 3u}) {
    const auto instance =
        random_instance<TypeParam>({3, 3, 2, 4}, Potential::potts(), Weights::PerEdge, seed);
    const double optimum = plain::optimum(instance.grid());
    for (const Solver solver : {Solver::TRWS, Solver::TRWP}) {
      SCOPED_TRACE(solver_name(solver));
      const auto got = this->traced(instance, solver, 300);
      EXPECT_NEAR(got.report().lower_bound, optimum, 1e-3 * optimum);
      EXPECT_NEAR(got.report().energy, optimum, 1e-9 * optimum);
    }
  }
}

TYPED_TEST(Bound, IsTheBestOfTheTrace) {
  const auto instance = random_instance<TypeParam>({6, 6, 4, 8}, Potential::truncated_linear(2.0),
                                                   Weights::PerEdge, 3);
  for (const Solver solver : {Solver::TRWP, Solver::ISGMR, Solver::BP, Solver::TRWS}) {
    const auto got = this->traced(instance, solver, 12);
    const std::vector<double>& bounds = got.report().trace_bound;
    EXPECT_EQ(got.report().lower_bound, *std::max_element(bounds.begin(), bounds.end()))
        << solver_name(solver);
  }
}

TYPED_TEST(Bound, IsNotANumberUnlessAskedFor) {
  const auto instance =
      random_instance<TypeParam>({3, 3, 2, 4}, Potential::potts(), Weights::Scalar, 1);
  for (const Solver solver : kGridSolvers) {
    Options options = options_for(solver, 2);
    EXPECT_TRUE(std::isnan(run(instance, options).report().lower_bound)) << solver_name(solver);
    options.trace = true;
    EXPECT_TRUE(std::isnan(run(instance, options).report().trace_bound.at(1)));
  }
}

}  // namespace
}  // namespace mrfcore::test
