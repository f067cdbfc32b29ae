// SPDX-License-Identifier: Apache-2.0
// TRWP and loopy belief propagation, which is TRWP with rho = 1.
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Trwp : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Trwp, Reals);

TYPED_TEST(Trwp, EqualsThePlainSolver) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const plain::Grid grid = instance.grid();
    for (const int iterations : {1, 2, 5}) {
      SCOPED_TRACE("iterations " + std::to_string(iterations));
      expect_solution(instance, run(instance, options_for(Solver::TRWP, iterations)),
                      plain::trwp(grid, iterations, 2.0 / grid.connectivity));
    }
  });
}

TYPED_TEST(Trwp, TakesAnyRhoAndDamping) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    for (const double rho : {1.0 / 512, 0.375, 1.0}) {
      SCOPED_TRACE("rho " + std::to_string(rho));
      Options options = options_for(Solver::TRWP, 3);
      options.rho = rho;
      options.damping = 0.25;
      expect_solution(instance, run(instance, options), plain::trwp(instance.grid(), 3, rho, 0.25));
    }
  });
}

TYPED_TEST(Trwp, WithRhoOneIsBeliefPropagation) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const Outcome<TypeParam> bp = run(instance, options_for(Solver::BP, 3));
    expect_solution(instance, bp, plain::trwp(instance.grid(), 3, 1.0));
    Options options = options_for(Solver::TRWP, 3);
    options.rho = 1.0;
    EXPECT_EQ(run(instance, options).costs, bp.costs);
  });
}

/// The sum of messages is kept by differences and summed afresh now and then: neither may show.
TYPED_TEST(Trwp, StaysCloseToThePlainSolverForManyIterations) {
  const auto instance = random_instance<TypeParam>({9, 11, 6, 8}, Potential::truncated_linear(2.0),
                                                   Weights::PerEdge, 21);
  const Outcome<TypeParam> got = run(instance, options_for(Solver::TRWP, 60));
  expect_close(got.costs, plain::trwp(instance.grid(), 60, 0.25).costs, "costs",
               sizeof(TypeParam) == 4 ? 1e-3 : 1e-9);
}

TYPED_TEST(Trwp, BoundIsThatOfTheReparametrisedChains) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const plain::Grid grid = instance.grid();
    for (const Solver solver : {Solver::TRWP, Solver::ISGMR, Solver::BP}) {
      SCOPED_TRACE(solver_name(solver));
      Options options = options_for(solver, 3);
      options.lower_bound = true;
      const double expected =
          solver == Solver::ISGMR
              ? plain::isgmr(grid, 3).lower_bound
              : plain::trwp(grid, 3, solver == Solver::BP ? 1.0 : 2.0 / grid.connectivity)
                    .lower_bound;
      const double bound = run(instance, options).report().lower_bound;
      ASSERT_NEAR(bound, expected, kTolerance<TypeParam> * std::max(1.0, std::fabs(expected)) * 10);
    }
  });
}

}  // namespace
}  // namespace mrfcore::test
