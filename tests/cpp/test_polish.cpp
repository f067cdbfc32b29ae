// SPDX-License-Identifier: Apache-2.0
// Options::polish and ::coarse: what happens to labels after the last iteration, and to messages
// before the first.
#include <gtest/gtest.h>

#include "cpu/kernels.hpp"
#include "instances.hpp"
#include "ops/dispatch.hpp"
#include "ops/fusion.hpp"
#include "ops/plan.hpp"
#include "plain_polish.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Polish : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Polish, Reals);

constexpr Solver kPolished[] = {Solver::TRWP, Solver::BP, Solver::ISGMR};

/// One and the same message-passing state, so labels may be compared one by one.
TYPED_TEST(Polish, EqualsThePlainOne) {
  for_each_instance<TypeParam>([](const Instance<TypeParam>& instance) {
    const plain::Grid g = instance.grid();
    const plain::Messages messages = plain::trwp_messages(g, 2, 2.0 / g.connectivity);
    const plain::Labels raw = plain::finish(g, messages).labels;
    for (const int labellings : {0, 1, 4}) {
      SCOPED_TRACE("polish " + std::to_string(labellings));
      Options options = options_for(Solver::TRWP, 2);
      options.polish = labellings;
      const plain::Labels expected =
          labellings == 0 ? raw : plain::polish(g, messages, labellings, raw);
      const Outcome<TypeParam> got = run(instance, options);
      ASSERT_EQ(got.labels, expected);
      const double energy = plain::energy(g, expected);
      ASSERT_NEAR(got.report().energy, energy, 1e-9 * std::max(1.0, std::fabs(energy)));
    }
  });
}

/// Whole numbers: ties everywhere, and energies that may be compared to the last digit.
TYPED_TEST(Polish, NeverRaisesTheEnergy) {
  uint32_t seed = 1;
  for (const int connectivity : {4, 8, 16}) {
    for (int potential = 0; potential < kPotentials; ++potential, ++seed) {
      const Shape shape{9, 11, 6, connectivity, 2};
      const Potential v = potential == 7 ? random_table(6, 3, 1.0) : some_potential(potential, 6);
      const auto instance = random_instance<TypeParam>(
          shape, v, seed % 2 == 0 ? Weights::Scalar : Weights::PerEdge, seed, 1.0);
      for (const Solver solver : kPolished) {
        Options options = options_for(solver, 2);
        const std::vector<ItemReport> before = run(instance, options).reports;
        for (const int labellings : {1, 2, 3, 4}) {
          options.polish = labellings;
          const std::vector<ItemReport> after = run(instance, options).reports;
          for (size_t i = 0; i < after.size(); ++i)
            EXPECT_LE(after[i].energy, before[i].energy + 1e-9) << solver_name(solver);
        }
      }
    }
  }
}

TYPED_TEST(Polish, KeepsToAllowedLabels) {
  auto instance = random_instance<TypeParam>({8, 9, 5, 8}, Potential::truncated_linear(2.0),
                                             Weights::PerEdge, 4);
  Random random(6);
  for (size_t i = 0; i < instance.unary.size(); ++i) {
    if (i % 5 != 2 && random.uniform(1.0, 0.25) > 0.3)
      instance.unary[i] = std::numeric_limits<TypeParam>::infinity();
  }
  Options options = options_for(Solver::TRWP, 3);
  options.polish = 4;
  EXPECT_TRUE(std::isfinite(run(instance, options).report().energy));
}

/// Batches, threads and instruction sets: the same labels, with coarser grids before.
TYPED_TEST(Polish, GivesTheSameBits) {
  const Shape shape{37, 45, 7, 8, 3};
  const auto instance =
      random_instance<TypeParam>(shape, Potential::truncated_quadratic(9.0), Weights::PerEdge, 8);
  Options options = options_for(Solver::TRWP, 3);
  options.polish = 4;
  options.coarse = 3;
  const Outcome<TypeParam> expected = run(instance, options);
  for (const std::string& isa : usable_isas()) {
    const ScopedEnv env("MRFCORE_CPU_ISA", isa);
    for (const int threads : {1, 2, 5}) {
      options.threads = threads;
      const Outcome<TypeParam> got = run(instance, options);
      EXPECT_EQ(got.labels, expected.labels) << isa << ", " << threads << " threads";
      EXPECT_EQ(got.costs, expected.costs) << isa << ", " << threads << " threads";
    }
  }
  for (int64_t item = 0; item < shape.batch; ++item) {
    Problem<TypeParam> one = instance.problem();
    one.batch = 1;
    one.unary += item * one.pixels() * one.labels;
    one.edge_weights += item * one.edge_weights_batch_stride;
    std::vector<int32_t> labels(static_cast<size_t>(one.pixels()));
    minimize(one, options, Outputs<TypeParam>{labels.data(), nullptr});
    const auto begin = expected.labels.begin() + item * one.pixels();
    EXPECT_EQ(labels, std::vector<int32_t>(begin, begin + one.pixels())) << "item " << item;
  }
}

TYPED_TEST(Polish, KeepsTheBestLabellingSeen) {
  const auto instance = random_instance<TypeParam>({12, 13, 6, 4}, Potential::truncated_linear(2.0),
                                                   Weights::PerEdge, 12);
  Options options = options_for(Solver::ISGMR, 9);
  options.keep_best = true;
  options.trace = true;
  options.polish = 2;
  const ItemReport report = run(instance, options).report();
  for (const double energy : report.trace_energy) EXPECT_LE(report.energy, energy + 1e-9);
}

/// Rows, then columns, until nothing changes: no node has a better label then, no line better
/// labels, and the energy never rose on the way.
TYPED_TEST(Polish, LinesEndInALocalMinimum) {
  using T = TypeParam;
  for (const int connectivity : {4, 8, 16}) {
    const auto instance =
        random_instance<T>({7, 9, 4, connectivity}, random_table(4, 5), Weights::PerEdge, 31);
    const plain::Grid g = instance.grid();
    const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
    const Shape& s = instance.shape;
    ASSERT_EQ(s.labels % kernels.lanes, 0);  // rows need no padding
    const OwnedPlan<T> plan(instance.pairwise, s.labels, kernels.lanes, MinConvolution::Auto,
                            nullptr);
    const PotentialTables<T> tables(instance.pairwise, s.labels, s.labels, T(1));
    plain::Labels x(static_cast<size_t>(s.pixels()), 1), before;
    double energy = plain::energy(g, x);
    while (x != before) {
      before = x;
      for (const int pair : {0, 1}) {
        kernels.minimize_lines({{s.height, s.width, 4, 4, connectivity},
                                pair,
                                {instance.edge_weights.data(), T(1)},
                                &plan.get(),
                                tables.forward(),
                                tables.backward(),
                                instance.unary.data(),
                                x.data(),
                                nullptr,
                                1,
                                nullptr});
        const double now = plain::energy(g, x);
        EXPECT_LE(now, energy + 1e-4);
        energy = now;
      }
    }
    for (int i = 0; i < g.pixels(); ++i) {
      const double present = plain::conditioned_cost(g, x, i, x[static_cast<size_t>(i)]);
      for (int l = 0; l < g.labels; ++l)
        EXPECT_LE(present, plain::conditioned_cost(g, x, i, l) + 1e-4);
    }
    for (int y = 0; y < g.height; ++y) {
      plain::Labels better = x;
      plain::minimize_line(g, y * g.width, 0, better);
      EXPECT_GE(plain::energy(g, better), energy - 1e-4) << "row " << y;
    }
  }
}

/// Against all ways to choose region by region.
TEST(Fusion, TakesTheBestOfAllCombinations) {
  const auto instance =
      random_instance<double>({5, 6, 3, 8}, random_table(3, 2), Weights::PerEdge, 3);
  const plain::Grid g = instance.grid();
  const cpu::GridShape shape{5, 6, 3, 4, 8};
  Random random(9);
  for (int attempt = 0; attempt < 40; ++attempt) {
    plain::Labels a, b;
    for (int i = 0; i < g.pixels(); ++i) {
      a.push_back(static_cast<int>(random.uniform(3, 1)));
      b.push_back(random.uniform(1, 0.125) < 0.2 ? static_cast<int>(random.uniform(3, 1))
                                                 : a.back());
    }
    // What changes if this pixel alone does, with edges inside a region at its first pixel.
    std::vector<double> change(static_cast<size_t>(g.pixels()));
    double best = plain::energy(g, a);
    std::vector<std::set<int>> regions;
    std::set<int> seen;
    for (int i = 0; i < g.pixels(); ++i) {
      if (a[static_cast<size_t>(i)] == b[static_cast<size_t>(i)] || seen.count(i) > 0) continue;
      regions.push_back(plain::region_of(g, a, b, i));
      seen.insert(regions.back().begin(), regions.back().end());
      plain::Labels x = a;
      for (const int j : regions.back()) x[static_cast<size_t>(j)] = b[static_cast<size_t>(j)];
      change[static_cast<size_t>(i)] = plain::energy(g, x) - plain::energy(g, a);
    }
    for (size_t choice = 0; choice < size_t{1} << regions.size(); ++choice) {
      plain::Labels x = a;
      for (size_t k = 0; k < regions.size(); ++k) {
        for (const int j : regions[k])
          if ((choice >> k & 1) != 0) x[static_cast<size_t>(j)] = b[static_cast<size_t>(j)];
      }
      best = std::min(best, plain::energy(g, x));
    }
    plain::Labels fused = a;
    EXPECT_EQ(fuse_regions(shape, b.data(), change.data(), fused.data()),
              plain::energy(g, a) > best + 1e-12);
    EXPECT_NEAR(plain::energy(g, fused), best, 1e-9);
  }
}

/// Where labels are smooth and noisy, few iterations reach further from coarser grids.
TYPED_TEST(Polish, CoarserGridsLeaveABoundAndHelp) {
  const Shape shape{40, 52, 8};
  auto instance =
      random_instance<TypeParam>(shape, Potential::truncated_linear(3.0), Weights::Scalar, 2);
  for (size_t i = 0; i < instance.unary.size(); ++i) {  // two halves, noisy
    const bool right = i / 8 % 52 >= 26;
    instance.unary[i] +=
        static_cast<TypeParam>(std::abs(static_cast<int>(i % 8) - (right ? 6 : 1)));
  }
  instance.weight = TypeParam(4);
  Options options = options_for(Solver::TRWP, 2);
  options.lower_bound = true;
  const ItemReport without = run(instance, options).report();
  options.coarse = 3;
  const ItemReport with = run(instance, options).report();
  EXPECT_LT(with.energy, without.energy);
  options.iterations = 400;
  options.polish = 4;
  const double best = run(instance, options).report().energy;
  EXPECT_LE(with.lower_bound, best + 1e-6);
  EXPECT_GE(with.energy, best - 1e-6);
}

TYPED_TEST(Polish, SmallImagesHaveNoCoarserGrid) {
  const auto instance =
      random_instance<TypeParam>({30, 90, 4}, Potential::potts(), Weights::PerEdge, 2);
  Options options = options_for(Solver::TRWP, 2);
  const Outcome<TypeParam> expected = run(instance, options);
  options.coarse = 5;
  EXPECT_EQ(run(instance, options).costs, expected.costs);
}

TEST(PolishOptions, AreChecked) {
  const auto instance = random_instance<float>({3, 3, 2}, Potential::potts(), Weights::Scalar, 1);
  Options options = options_for(Solver::TRWP, 1);
  options.polish = 5;
  expect_error<std::invalid_argument>([&] { run(instance, options); },
                                      {"polish", "0 to 4", "got 5"});
  options.polish = -1;
  expect_error<std::invalid_argument>([&] { run(instance, options); }, {"polish", "got -1"});
  options.polish = 0;
  options.coarse = 17;
  expect_error<std::invalid_argument>([&] { run(instance, options); },
                                      {"coarse", "0 to 16", "got 17"});
}

}  // namespace
}  // namespace mrfcore::test
