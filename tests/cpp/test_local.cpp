// SPDX-License-Identifier: Apache-2.0
// Local updates: mean field and iterated conditional modes.
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Local : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Local, Reals);

TYPED_TEST(Local, MeanFieldEqualsThePlainSolver) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const plain::Grid grid = instance.grid();
    for (const bool normalise : {false, true}) {
      SCOPED_TRACE(normalise ? "divided by the directions" : "textbook");
      Options options = options_for(Solver::MeanField, 3);
      options.normalise_directions = normalise;
      const double share = normalise ? 1.0 / grid.connectivity : 1.0;
      expect_solution(instance, run(instance, options), plain::mean_field(grid, 3, share));
    }
  });
}

/// Nodes of one colour share no edge: checkerboard, 2 x 2 and 3 x 3 blocks for 4, 8, 16 neighbours.
int colour(const plain::Grid& g, int i) {
  const int y = i / g.width, x = i % g.width;
  if (g.connectivity == 4) return (y + x) % 2;
  const int block = g.connectivity == 8 ? 2 : 3;
  return y % block * block + x % block;
}

/// Eq 2.29-2.32, colour after colour; a label that is among the best stays.
plain::Labels plain_icm(const plain::Grid& g, int iterations, plain::Labels x) {
  for (int step = 0; step < 9 * iterations; ++step) {
    for (int i = 0; i < g.pixels(); ++i) {
      if (colour(g, i) != step % 9) continue;
      int& label = x[static_cast<size_t>(i)];
      int best = label;
      for (int l = g.labels - 1; l >= 0; --l) {
        const double cost = plain::conditioned_cost(g, x, i, l);
        const double lowest = plain::conditioned_cost(g, x, i, best);
        if (cost < lowest || (cost == lowest && best != label)) best = l;
      }
      label = best;
    }
  }
  return x;
}

TYPED_TEST(Local, IcmEqualsThePlainSolver) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const plain::Grid g = instance.grid();
    for (const int iterations : {1, 3}) {
      const plain::Labels x = plain_icm(g, iterations, plain::arg_min(g, g.unary));
      plain::Vector costs;
      for (int i = 0; i < g.pixels(); ++i) {
        for (int l = 0; l < g.labels; ++l) costs.push_back(plain::conditioned_cost(g, x, i, l));
      }
      expect_solution(instance, run(instance, options_for(Solver::ICM, iterations)), {x, costs});
    }
  });
}

TYPED_TEST(Local, IcmStartsFromGivenLabelsOfEachItem) {
  const Shape shape{6, 8, 5, 8, 2};
  const auto instance = random_instance<TypeParam>(shape, Potential::potts(), Weights::PerEdge, 17);
  std::vector<int32_t> start;
  Random random(5);
  for (int64_t i = 0; i < shape.pixels(); ++i) {
    start.push_back(static_cast<int32_t>(random.uniform(5, 1)));
  }
  Options options = options_for(Solver::ICM, 1);
  options.init_labels = start.data();
  const Outcome<TypeParam> got = run(instance, options);
  for (int item = 0; item < 2; ++item) {
    const auto begin = start.cbegin() + item * 48, found = got.labels.cbegin() + item * 48;
    EXPECT_EQ(plain_icm(instance.grid(item), 1, plain::Labels(begin, begin + 48)),
              std::vector<int>(found, found + 48));
  }
  options.iterations = 0;
  EXPECT_EQ(run(instance, options).labels, start);
}

TYPED_TEST(Local, IcmNeverRaisesTheEnergyAndEndsInALocalMinimum) {
  for (const int connectivity : {4, 8, 16}) {
    const auto instance = random_instance<TypeParam>({14, 11, 6, connectivity}, random_table(6, 3),
                                                     Weights::PerEdge, 23);
    Options options = options_for(Solver::ICM, 40);
    options.trace = true;
    const Outcome<TypeParam> got = run(instance, options);
    const std::vector<double>& energies = got.report().trace_energy;
    for (size_t k = 1; k < energies.size(); ++k) ASSERT_LE(energies[k], energies[k - 1]);
    const plain::Grid g = instance.grid();
    for (int i = 0; i < g.pixels(); ++i) {
      const double now =
          plain::conditioned_cost(g, got.labels, i, got.labels[static_cast<size_t>(i)]);
      for (int l = 0; l < g.labels; ++l) {
        ASSERT_LE(now, plain::conditioned_cost(g, got.labels, i, l) + 1e-5);
      }
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
