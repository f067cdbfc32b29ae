// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Sgm : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Sgm, Reals);

Options sgm_options(int iterations, SGMHead head) {
  Options options = options_for(Solver::SGM, iterations);
  options.head = head;
  return options;
}

TYPED_TEST(Sgm, EqualsThePlainSolver) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const plain::Grid grid = instance.grid();
    for (const int iterations : {1, 3}) {
      for (const SGMHead head : {SGMHead::Unary, SGMHead::Zero}) {
        SCOPED_TRACE("iterations " + std::to_string(iterations) +
                     (head == SGMHead::Zero ? ", head zero" : ", head unary"));
        expect_solution(instance, run(instance, sgm_options(iterations, head)),
                        plain::sgm(grid, iterations, head == SGMHead::Zero));
      }
    }
  });
}

TYPED_TEST(Sgm, IsExactOnIntegerCostsAndTiesGoToTheLowestLabel) {
  for (const int connectivity : {4, 8, 16}) {
    const Shape shape{9, 14, 6, connectivity};
    const auto instance = random_instance<TypeParam>(shape, Potential::truncated_linear(3.0),
                                                     Weights::PerEdge, 5, 1.0);
    const Outcome<TypeParam> got = run(instance, sgm_options(2, SGMHead::Unary));
    const plain::Solution expected = plain::sgm(instance.grid(), 2);
    EXPECT_EQ(got.labels, expected.labels);
    EXPECT_EQ(got.costs, std::vector<TypeParam>(expected.costs.begin(), expected.costs.end()));
  }
}

TYPED_TEST(Sgm, ManyIterationsDoNotOverflow) {
  const auto instance =
      random_instance<TypeParam>({8, 9, 5, 16}, Potential::huber(1.0), Weights::Scalar, 6);
  const Outcome<TypeParam> got = run(instance, sgm_options(300, SGMHead::Unary));
  for (const TypeParam c : got.costs) ASSERT_TRUE(std::isfinite(c));
}

TYPED_TEST(Sgm, BoundIsThatOfTheChainsWithoutMessages) {
  const auto instance =
      random_instance<TypeParam>({6, 7, 4, 8}, random_table(4, 8), Weights::PerEdge, 9);
  Options options = sgm_options(1, SGMHead::Unary);
  options.lower_bound = true;
  EXPECT_NEAR(run(instance, options).report().lower_bound,
              plain::sgm(instance.grid(), 1).lower_bound, 1e-9);
}

}  // namespace
}  // namespace mrfcore::test
