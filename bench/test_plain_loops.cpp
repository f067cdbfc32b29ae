// SPDX-License-Identifier: Apache-2.0
// The yardstick computes what the library computes: otherwise comparing their times means nothing.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "instance.hpp"
#include "plain_run.hpp"

namespace mrfcore::bench {
namespace {

struct Solved {
  std::vector<int32_t> labels;
  std::vector<float> costs;
  double energy;
};

Solved solve(const Problem<float>& problem, Solver solver, int iterations) {
  Options options;
  options.solver = solver;
  options.iterations = iterations;
  options.polish = options.coarse = 0;
  const auto pixels = static_cast<std::size_t>(problem.pixels());
  Solved s{std::vector<int32_t>(pixels),
           std::vector<float>(pixels * static_cast<std::size_t>(problem.labels)), 0.0};
  s.energy = minimize(problem, options, {s.labels.data(), s.costs.data()})[0].energy;
  return s;
}

/// The plain loop's labels and costs after the same number of iterations.
Solved solve_plainly(const Problem<float>& problem, Solver solver, int iterations) {
  PlainRun run(problem, solver);
  for (int k = 0; k < iterations; ++k) run.iterate();
  Solved s;
  run.read(s.labels, s.costs);
  s.energy = energy(problem, s.labels.data())[0];
  return s;
}

class PlainLoops : public testing::TestWithParam<std::tuple<Solver, int, std::string>> {};

TEST_P(PlainLoops, AgreeWithTheLibrary) {
  const auto [solver, connectivity, potential] = GetParam();
  const Instance instance(9, 13, 11);
  const auto problem =
      instance.problem(make_potential(potential, instance.labels), 3.0f, connectivity);
  const int iterations = solver == Solver::SGM ? 1 : 3;
  const Solved ours = solve(problem, solver, iterations);
  const Solved plain = solve_plainly(problem, solver, iterations);
  // Whole-number messages and sums are exact; others are sums in another order.
  const bool exact = solver == Solver::SGM || solver == Solver::ISGMR || solver == Solver::ICM;
  for (std::size_t i = 0; i < plain.costs.size(); ++i) {
    ASSERT_NEAR(ours.costs[i], plain.costs[i], exact ? 0.0f : 1e-2f) << "cell " << i;
  }
  if (exact) {
    EXPECT_EQ(ours.labels, plain.labels);
  }
  if (solver != Solver::TRWS) {  // whose labels follow from those of the nodes before
    EXPECT_NEAR(ours.energy, plain.energy, 1e-3 * std::abs(ours.energy));
  }
}

std::string name_of(Solver solver) {
  switch (solver) {
    case Solver::SGM:
      return "SGM";
    case Solver::ISGMR:
      return "ISGMR";
    case Solver::TRWP:
      return "TRWP";
    case Solver::BP:
      return "BP";
    case Solver::TRWS:
      return "TRWS";
    case Solver::MeanField:
      return "MeanField";
    default:
      return "ICM";
  }
}

INSTANTIATE_TEST_SUITE_P(Every, PlainLoops,
                         testing::Combine(testing::Values(Solver::TRWP, Solver::ISGMR, Solver::SGM,
                                                          Solver::BP, Solver::TRWS,
                                                          Solver::MeanField, Solver::ICM),
                                          testing::Values(4, 8, 16),
                                          testing::Values("table", "truncated_linear", "linear")),
                         [](const auto& info) {
                           return name_of(std::get<0>(info.param)) +
                                  std::to_string(std::get<1>(info.param)) + "_" +
                                  std::get<2>(info.param);
                         });

TEST(PlainLoopsOperations, CountWhatTheLoopsDo) {
  // 4 directions, 10 labels: 40 pairs per cell, each theta + 4 messages, rho, -, w, +, min.
  EXPECT_EQ(plain_operations_per_cell(Solver::TRWP, 10, 4), 40 * 9);
  EXPECT_EQ(convolution_operations_per_cell(make_potential("table", 10), 10, 4), 80);
  // Distances up to 8 in the doublings 1, 2, 4.
  EXPECT_EQ(convolution_operations_per_cell(make_potential("truncated_linear", 10), 10, 4), 44);
  // 64 is reached at 8 labels: shifts 1..7 to both sides.
  EXPECT_EQ(convolution_operations_per_cell(make_potential("truncated_quadratic", 10), 10, 4),
            4 * (3 * 7 + 3));
}

TEST(WorkPerCell, OfMeanFieldIsOneProductWhereVIsSymmetric) {
  EXPECT_EQ(work_per_cell(Solver::MeanField, make_potential("potts", 10), 10, 8).multiply_adds, 10);
  EXPECT_EQ(work_per_cell(Solver::MeanField, make_potential("table", 10), 10, 8).multiply_adds, 20);
  EXPECT_EQ(work_per_cell(Solver::TRWP, make_potential("table", 10), 10, 4).operations, 80);
}

}  // namespace
}  // namespace mrfcore::bench
