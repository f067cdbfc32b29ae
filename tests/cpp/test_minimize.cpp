// SPDX-License-Identifier: Apache-2.0
// minimize() around the solvers: the same bits whatever runs beside what, stopping, and memory.
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Minimize : public testing::Test {
 protected:
  static void expect_same_bits(const Outcome<T>& got, const Outcome<T>& expected) {
    EXPECT_EQ(got.labels, expected.labels);
    EXPECT_EQ(got.costs, expected.costs);
    ASSERT_EQ(got.reports.size(), expected.reports.size());
    for (size_t i = 0; i < got.reports.size(); ++i) {
      EXPECT_EQ(got.reports[i].energy, expected.reports[i].energy);
      EXPECT_EQ(got.reports[i].lower_bound, expected.reports[i].lower_bound);
      EXPECT_EQ(got.reports[i].iterations, expected.reports[i].iterations);
    }
  }
  static Options bounded(Solver solver, int iterations) {
    Options options = options_for(solver, iterations);
    options.lower_bound = true;
    return options;
  }
};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Minimize, Reals);

// ------------------------------------------------------------------ same bits

TYPED_TEST(Minimize, ThreadsDoNotChangeABit) {
  // Enough cells for more than one thread, enough columns for several strips.
  const auto instance =
      random_instance<TypeParam>({36, 70, 7, 8}, random_table(7, 5), Weights::PerEdge, 12);
  for (const Solver solver : kGridSolvers) {
    SCOPED_TRACE(solver_name(solver));
    Options options = this->bounded(solver, 2);
    const auto one = run(instance, options);
    for (const int threads : {2, 4}) {
      options.threads = threads;
      this->expect_same_bits(run(instance, options), one);
    }
  }
}

TYPED_TEST(Minimize, InstructionSetsDoNotChangeABit) {
  for (const auto& [connectivity, labels] : {std::pair{4, 9}, std::pair{8, 16}, std::pair{16, 3}}) {
    const auto instance = random_instance<TypeParam>({7, 12, labels, connectivity},
                                                     random_table(labels, 5), Weights::PerEdge, 12);
    for (const Solver solver : kGridSolvers) {
      SCOPED_TRACE(std::string(solver_name(solver)) + ", " + instance.shape.text());
      const ScopedEnv baseline("MRFCORE_CPU_ISA", "baseline");
      const auto expected = run(instance, this->bounded(solver, 3));
      for (const std::string& isa : usable_isas()) {
        SCOPED_TRACE(isa);
        const ScopedEnv env("MRFCORE_CPU_ISA", isa);
        this->expect_same_bits(run(instance, this->bounded(solver, 3)), expected);
      }
    }
  }
}

TYPED_TEST(Minimize, ABatchIsItsItemsOneByOne) {
  for (const bool shared_weights : {false, true}) {
    auto batch = random_instance<TypeParam>({6, 7, 5, 8, 5}, Potential::truncated_linear(2.0),
                                            Weights::PerEdge, 14);
    if (shared_weights) batch.edge_weights.resize(static_cast<size_t>(batch.weights_size()));
    for (const Solver solver : kGridSolvers) {
      for (const int threads : {1, 3}) {  // items one after the other, and side by side
        SCOPED_TRACE(std::string(solver_name(solver)) + ", threads " + std::to_string(threads));
        Options options = this->bounded(solver, 3);
        options.threads = threads;
        const auto together = run(batch, options);
        for (int64_t item = 0; item < 5; ++item) {
          Instance<TypeParam> single = batch;
          single.shape.batch = 1;
          const auto u = batch.unary.begin() + item * 6 * 7 * 5;
          single.unary.assign(u, u + 6 * 7 * 5);
          if (!shared_weights) {
            const auto w = batch.edge_weights.begin() + item * batch.weights_size();
            single.edge_weights.assign(w, w + batch.weights_size());
          }
          const auto alone = run(single, this->bounded(solver, 3));
          const auto at = static_cast<size_t>(item);
          EXPECT_TRUE(std::equal(alone.labels.begin(), alone.labels.end(),
                                 together.labels.begin() + item * 42));
          EXPECT_TRUE(std::equal(alone.costs.begin(), alone.costs.end(),
                                 together.costs.begin() + item * 210));
          EXPECT_EQ(alone.report().energy, together.reports[at].energy);
          EXPECT_EQ(alone.report().lower_bound, together.reports[at].lower_bound);
        }
      }
    }
  }
}

TYPED_TEST(Minimize, ConstantEdgeWeightsEqualTheScalar) {
  for (int index = 0; index < kPotentials; ++index) {
    auto scalar =
        random_instance<TypeParam>({8, 9, 6, 16}, some_potential(index, 6), Weights::Scalar, 15);
    auto per_edge = scalar;
    per_edge.edge_weights.assign(static_cast<size_t>(scalar.weights_size()), scalar.weight);
    for (const Solver solver : kGridSolvers) {
      SCOPED_TRACE(std::string(solver_name(solver)) + ", " + potential_name(scalar.pairwise));
      const auto a = run(scalar, this->bounded(solver, 3));
      const auto b = run(per_edge, this->bounded(solver, 3));
      EXPECT_EQ(a.labels, b.labels);
      if (solver == Solver::MeanField) {  // sums instead of minima: the scalar is in the table
        expect_close(a.costs, {b.costs.begin(), b.costs.end()}, "costs");
      } else {
        EXPECT_EQ(a.costs, b.costs);
      }
      EXPECT_NEAR(a.report().energy, b.report().energy, 1e-9);
      EXPECT_NEAR(a.report().lower_bound, b.report().lower_bound, 1e-3);
    }
  }
}

TYPED_TEST(Minimize, FastAndGeneralPathsAgree) {
  for (int index = 0; index < kPotentials; ++index) {
    const auto instance = random_instance<TypeParam>({8, 9, 17, 8}, some_potential(index, 17),
                                                     Weights::PerEdge, 15, 1.0);
    for (const Solver solver : {Solver::SGM, Solver::ISGMR, Solver::TRWP, Solver::TRWS}) {
      SCOPED_TRACE(std::string(solver_name(solver)) + ", " + potential_name(instance.pairwise));
      Options options = options_for(solver, 2);
      const auto fast = run(instance, options);
      options.min_convolution = MinConvolution::General;
      const auto general = run(instance, options);
      expect_close(fast.costs, {general.costs.begin(), general.costs.end()}, "costs");
    }
  }
}

// ------------------------------------------------------------------ iterations and stopping

TYPED_TEST(Minimize, WithoutIterationsTheUnaryDecides) {
  const auto instance =
      random_instance<TypeParam>({5, 4, 3, 4, 2}, Potential::potts(), Weights::Scalar, 16, 1.0);
  for (const Solver solver : kGridSolvers) {
    SCOPED_TRACE(solver_name(solver));
    const auto got = run(instance, options_for(solver, 0));
    EXPECT_EQ(got.costs, instance.unary);
    for (int item = 0; item < 2; ++item) {
      const plain::Grid g = instance.grid(item);
      const auto x = got.labels.begin() + item * 20;
      EXPECT_EQ(plain::arg_min(g, g.unary), std::vector<int>(x, x + 20));
      EXPECT_EQ(got.reports[static_cast<size_t>(item)].iterations, 0);
    }
  }
}

TYPED_TEST(Minimize, TraceHoldsEnergyBoundAndTimeOfEachIteration) {
  const auto instance = random_instance<TypeParam>({7, 8, 4, 4}, Potential::truncated_linear(2.0),
                                                   Weights::PerEdge, 17);
  for (const Solver solver : kGridSolvers) {
    SCOPED_TRACE(solver_name(solver));
    Options options = this->bounded(solver, 5);
    options.trace = true;
    const ItemReport traced = run(instance, options).report();
    ASSERT_EQ(traced.trace_energy.size(), 5u);
    ASSERT_EQ(traced.trace_bound.size(), 5u);
    ASSERT_EQ(traced.trace_seconds.size(), 5u);
    EXPECT_TRUE(std::is_sorted(traced.trace_seconds.begin(), traced.trace_seconds.end()));
    for (int k = 1; k <= 5; ++k) {  // as if it had been stopped there
      const ItemReport stopped = run(instance, this->bounded(solver, k)).report();
      EXPECT_EQ(traced.trace_energy[static_cast<size_t>(k - 1)], stopped.energy);
      EXPECT_EQ(traced.trace_bound[static_cast<size_t>(k - 1)], stopped.lower_bound);
    }
  }
}

TYPED_TEST(Minimize, StopsByTolerance) {
  const auto instance = random_instance<TypeParam>({12, 12, 4, 4}, Potential::truncated_linear(2.0),
                                                   Weights::PerEdge, 18);
  Options options = options_for(Solver::TRWP, 60);
  options.trace = true;
  const std::vector<double> energies = run(instance, options).report().trace_energy;
  options.tolerance = 0.002;
  const ItemReport stopped = run(instance, options).report();
  size_t first = 1;
  while (std::fabs(energies[first] - energies[first - 1]) > 0.002 * energies[first - 1]) ++first;
  EXPECT_EQ(stopped.iterations, static_cast<int>(first + 1));
  EXPECT_LT(stopped.iterations, 60);
  EXPECT_EQ(stopped.energy, energies[first]);
  options.tolerance = 1e9;  // two energies make a difference
  EXPECT_EQ(run(instance, options).report().iterations, 2);
}

TYPED_TEST(Minimize, StopsByGap) {
  const auto instance = random_instance<TypeParam>({12, 12, 4, 4}, Potential::truncated_linear(2.0),
                                                   Weights::PerEdge, 18);
  for (const Solver solver : {Solver::TRWP, Solver::TRWS}) {
    Options options = options_for(solver, 200);
    options.gap_tolerance = 0.008;
    const ItemReport stopped = run(instance, options).report();
    EXPECT_LT(stopped.iterations, 200);
    EXPECT_LE(stopped.energy - stopped.lower_bound, 0.008 * stopped.energy);
    options.iterations = stopped.iterations - 1;
    ASSERT_GT(options.iterations, 0);
    const ItemReport before = run(instance, options).report();
    EXPECT_GT(before.energy - before.lower_bound, 0.008 * before.energy);
  }
}

TYPED_TEST(Minimize, KeepsTheBestLabelling) {
  // Undamped ISGMR wanders on a grid with strong edges.
  auto instance = random_instance<TypeParam>({10, 10, 5, 4}, Potential::truncated_linear(),
                                             Weights::Scalar, 23);
  instance.weight = TypeParam(6);
  Options options = options_for(Solver::ISGMR, 15);
  options.trace = true;
  const auto last = run(instance, options);
  const std::vector<double>& energies = last.report().trace_energy;
  const auto lowest = std::min_element(energies.begin(), energies.end());
  ASSERT_LT(*lowest, energies.back()) << "the instance should get worse in the end";
  options.keep_best = true;
  const auto best = run(instance, options);
  EXPECT_EQ(best.report().energy, *lowest);
  EXPECT_EQ(best.report().iterations, 15);
  const auto stopped =
      run(instance, options_for(Solver::ISGMR, static_cast<int>(lowest - energies.begin()) + 1));
  EXPECT_EQ(best.labels, stopped.labels);
}

// ------------------------------------------------------------------ special unaries

TYPED_TEST(Minimize, ForbiddenLabelsAreNotChosen) {
  constexpr TypeParam kInf = std::numeric_limits<TypeParam>::infinity();
  for (const int connectivity : {4, 16}) {
    for (const int64_t labels : {3, 16}) {
      auto instance = random_instance<TypeParam>(
          {6, 7, labels, connectivity}, Potential::truncated_linear(), Weights::Scalar, 20);
      // Each pixel keeps one or two labels that its neighbours would not suggest.
      for (size_t i = 0; i < instance.unary.size(); ++i) {
        const size_t pixel = i / static_cast<size_t>(labels), l = i % static_cast<size_t>(labels);
        if (l != pixel * 7 % static_cast<size_t>(labels) && l != 0) instance.unary[i] = kInf;
        if (l == 0 && pixel % 2 == 0 && pixel * 7 % static_cast<size_t>(labels) != 0) {
          instance.unary[i] = kInf;
        }
      }
      for (const Solver solver : kGridSolvers) {
        SCOPED_TRACE(std::string(solver_name(solver)) + ", " + instance.shape.text());
        const auto got = run(instance, this->bounded(solver, 4));
        EXPECT_TRUE(std::isfinite(got.report().energy));
        EXPECT_LE(got.report().lower_bound, got.report().energy * (1 + 1e-6));
      }
    }
  }
}

TYPED_TEST(Minimize, APixelWithoutLabelsSpoilsNoOther) {
  constexpr TypeParam kInf = std::numeric_limits<TypeParam>::infinity();
  auto instance = random_instance<TypeParam>({5, 5, 3, 8}, Potential::potts(), Weights::Scalar, 22);
  for (size_t i = 0; i < instance.unary.size(); ++i) {
    // The centre has no label; all others want their own strongly.
    const size_t pixel = i / 3, l = i % 3;
    instance.unary[i] = pixel == 12 ? kInf : (l == pixel % 3 ? TypeParam(0) : TypeParam(50));
  }
  for (const Solver solver : kGridSolvers) {
    SCOPED_TRACE(solver_name(solver));
    const auto got = run(instance, this->bounded(solver, 3));
    EXPECT_EQ(got.report().energy, std::numeric_limits<double>::infinity());
    for (size_t i = 0; i < got.labels.size(); ++i) {
      const auto wanted = static_cast<int32_t>(i % 3);
      EXPECT_TRUE(got.labels[i] == wanted || i == 12) << "pixel " << i << ": " << got.labels[i];
      EXPECT_TRUE(got.labels[i] >= 0 && got.labels[i] < 3);
    }
  }
}

TYPED_TEST(Minimize, WithoutEdgesTheUnaryDecides) {
  auto instance =
      random_instance<TypeParam>({6, 5, 7, 8}, Potential::truncated_linear(), Weights::Scalar, 24);
  instance.weight = TypeParam(0);
  const plain::Grid g = instance.grid();
  for (const Solver solver : kGridSolvers) {
    EXPECT_EQ(run(instance, options_for(solver, 3)).labels, plain::arg_min(g, g.unary))
        << solver_name(solver);
  }
}

TYPED_TEST(Minimize, ConstantsPerPixelChangeTheEnergyAlone) {
  const auto instance = random_instance<TypeParam>({6, 5, 4, 8}, Potential::truncated_linear(2.0),
                                                   Weights::PerEdge, 25, 1.0);
  auto shifted = instance;
  double total = 0.0;
  for (size_t i = 0; i < shifted.unary.size(); ++i) {
    const auto constant = static_cast<TypeParam>(i / 4 % 5 * 16);
    shifted.unary[i] += constant;
    if (i % 4 == 0) total += static_cast<double>(constant);
  }
  for (const Solver solver : kGridSolvers) {
    SCOPED_TRACE(solver_name(solver));
    const auto a = run(instance, this->bounded(solver, 3));
    const auto b = run(shifted, this->bounded(solver, 3));
    EXPECT_EQ(a.labels, b.labels);
    EXPECT_NEAR(b.report().energy - a.report().energy, total, 1e-9);
    EXPECT_NEAR(b.report().lower_bound - a.report().lower_bound, total, 1e-3);
  }
}

}  // namespace
}  // namespace mrfcore::test
