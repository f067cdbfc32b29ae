// SPDX-License-Identifier: Apache-2.0
// Chains, where dynamic programming is exact: the chain solver itself, and the others on chains.
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Chain : public testing::Test {
 protected:
  /// visit(instance) for chains lying and standing.
  template <class Visit>
  void for_each_chain(const Visit& visit) {
    uint32_t seed = 40;
    for (const int64_t length : {1, 2, 3, 8, 29}) {
      for (int index = 0; index < kPotentials; ++index, ++seed) {
        for (const bool lying : {true, false}) {
          const Shape shape{lying ? 1 : length, lying ? length : 1, 2 + seed % 9};
          const Potential pairwise = some_potential(index, shape.labels);
          SCOPED_TRACE(shape.text() + ", " + potential_name(pairwise));
          visit(random_instance<T>(shape, pairwise, Weights::PerEdge, seed));
          if (this->HasFatalFailure()) return;
        }
      }
    }
  }
};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Chain, Reals);

TYPED_TEST(Chain, GivesTheOptimumAndTheMinMarginals) {
  this->for_each_chain([](const Instance<TypeParam>& instance) {
    const plain::Grid g = instance.grid();
    const plain::Vector marginals = plain::min_marginals(g);
    const Outcome<TypeParam> got = run(instance, options_for(Solver::Chain, 50));
    expect_solution(instance, got, {plain::arg_min(g, marginals), marginals});
    EXPECT_NEAR(got.report().energy, *std::min_element(marginals.begin(), marginals.end()), 1e-9);
    EXPECT_EQ(got.report().iterations, 1);
  });
}

TYPED_TEST(Chain, PlainMinMarginalsAreThoseOfAllLabellings) {
  const auto instance =
      random_instance<TypeParam>({1, 6, 4}, random_table(4, 1), Weights::PerEdge, 3);
  const plain::Vector marginals = plain::min_marginals(instance.grid());
  EXPECT_NEAR(*std::min_element(marginals.begin(), marginals.end()),
              plain::optimum(instance.grid()), 1e-12);
}

TYPED_TEST(Chain, BacktracksThroughTies) {
  // Both constant labellings are optimal at every node; picking node by node could mix them.
  Instance<TypeParam> instance{{1, 9, 2}, Potential::potts(), TypeParam(1), {}, {}};
  instance.unary.assign(18, TypeParam(0));
  instance.unary[0] = instance.unary[17] = TypeParam(5);  // ends want 1 and 0
  instance.weight = TypeParam(3);
  const Outcome<TypeParam> got = run(instance, options_for(Solver::Chain, 1));
  EXPECT_EQ(got.report().energy, plain::optimum(instance.grid()));
}

TYPED_TEST(Chain, OtherSolversReachTheOptimum) {
  this->for_each_chain([](const Instance<TypeParam>& instance) {
    const plain::Vector marginals = plain::min_marginals(instance.grid());
    const double optimum = *std::min_element(marginals.begin(), marginals.end());
    struct {
      Solver solver;
      int iterations;
    } const kExact[] = {
        {Solver::ISGMR, 1}, {Solver::BP, 1}, {Solver::TRWS, 1}, {Solver::TRWP, 400}};
    for (const auto& [solver, iterations] : kExact) {
      SCOPED_TRACE(solver_name(solver));
      EXPECT_NEAR(run(instance, options_for(solver, iterations)).report().energy, optimum, 1e-9);
    }
  });
}

TYPED_TEST(Chain, RefusesGrids) {
  const auto instance =
      random_instance<TypeParam>({2, 3, 2}, Potential::potts(), Weights::Scalar, 1);
  expect_error<std::invalid_argument>([&] { run(instance, options_for(Solver::Chain, 1)); },
                                      {"chain", "H = 1 or W = 1", "[2, 3]"});
}

}  // namespace
}  // namespace mrfcore::test
