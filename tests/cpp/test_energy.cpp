// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Energy : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Energy, Reals);

std::vector<int32_t> random_labels(const Shape& shape, uint32_t seed) {
  Random random(seed);
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < shape.pixels(); ++i) {
    labels.push_back(static_cast<int32_t>(random.uniform(static_cast<double>(shape.labels), 1)));
  }
  return labels;
}

TYPED_TEST(Energy, EqualsThePlainSum) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const std::vector<int32_t> labels = random_labels(instance.shape, 77);
    const double expected = plain::energy(instance.grid(), labels);
    for (const int threads : {1, 3}) {
      const std::vector<double> got = energy(instance.problem(), labels.data(), threads);
      ASSERT_EQ(got.size(), 1u);
      ASSERT_NEAR(got[0], expected, 1e-12 * std::max(1.0, expected));
    }
  });
}

TYPED_TEST(Energy, OfABatchIsThatOfItsItems) {
  for (const bool shared : {false, true}) {
    const Shape shape{5, 6, 4, 16, 3};
    auto instance = random_instance<TypeParam>(shape, random_table(4, 6), Weights::PerEdge, 2);
    if (shared) instance.edge_weights.resize(static_cast<size_t>(instance.weights_size()));
    const std::vector<int32_t> labels = random_labels(shape, 3);
    const std::vector<double> got = energy(instance.problem(), labels.data());
    ASSERT_EQ(got.size(), 3u);
    for (int item = 0; item < 3; ++item) {
      const auto begin = labels.begin() + item * 30;
      EXPECT_NEAR(got[static_cast<size_t>(item)],
                  plain::energy(instance.grid(item), plain::Labels(begin, begin + 30)), 1e-9);
    }
  }
}

TYPED_TEST(Energy, IsSummedInDouble) {
  // 2^24 + 1 is where sums in float stop counting.
  Instance<TypeParam> instance{{64, 64, 1}, Potential::potts(), TypeParam(1), {}, {}};
  instance.unary.assign(64 * 64, TypeParam(4097));
  const std::vector<int32_t> labels(64 * 64, 0);
  EXPECT_EQ(energy(instance.problem(), labels.data())[0], 4096.0 * 4097.0);
}

TYPED_TEST(Energy, IgnoresWeightsOfEdgesThatLeaveTheImage) {
  for (const int connectivity : {4, 8, 16}) {
    auto instance = random_instance<TypeParam>({4, 5, 3, connectivity}, Potential::potts(),
                                               Weights::PerEdge, 8);
    const plain::Grid g = instance.grid();
    for (int pair = 0; pair < connectivity / 2; ++pair) {
      for (int i = 0; i < g.pixels(); ++i) {
        if (g.next(i, 2 * pair) >= 0) continue;
        instance.edge_weights[static_cast<size_t>(pair * g.pixels() + i)] =
            std::numeric_limits<TypeParam>::quiet_NaN();
      }
    }
    const std::vector<int32_t> labels = random_labels(instance.shape, 4);
    EXPECT_NEAR(energy(instance.problem(), labels.data())[0], plain::energy(g, labels), 1e-9);
    for (const Solver solver : kGridSolvers) {
      for (const TypeParam c : run(instance, options_for(solver, 2)).costs) {
        ASSERT_TRUE(std::isfinite(c)) << solver_name(solver);
      }
    }
  }
}

TYPED_TEST(Energy, OfAForbiddenLabelIsInfinite) {
  auto instance = random_instance<TypeParam>({2, 2, 3}, Potential::potts(), Weights::Scalar, 8);
  instance.unary[4] = std::numeric_limits<TypeParam>::infinity();
  const std::vector<int32_t> chosen = {0, 1, 0, 0}, avoided = {1, 0, 1, 1};
  EXPECT_EQ(energy(instance.problem(), chosen.data())[0], std::numeric_limits<double>::infinity());
  EXPECT_LT(energy(instance.problem(), avoided.data())[0], 100.0);
}

TYPED_TEST(Energy, RefusesLabelsOutOfRange) {
  const auto instance =
      random_instance<TypeParam>({2, 3, 4, 4, 2}, Potential::potts(), Weights::Scalar, 8);
  std::vector<int32_t> labels(12, 0);
  for (const int32_t bad : {4, -1}) {
    labels[10] = bad;
    expect_error<std::invalid_argument>([&] { energy(instance.problem(), labels.data()); },
                                        {"labels", "0..3", bad < 0 ? "-1" : "4", "[1, 1, 1]"});
  }
}

}  // namespace
}  // namespace mrfcore::test
