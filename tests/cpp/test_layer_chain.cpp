// SPDX-License-Identifier: Apache-2.0
// On chains the costs of belief propagation are the energies of the best labellings (soft: free
// energies over all labellings) with one label given, up to a constant per pixel. Hence their
// gradients are the indicators of those labellings, or expectations of them, which trying all
// labellings gives exactly.
#include <gtest/gtest.h>

#include "layers.hpp"

namespace mrfcore::test {
namespace {

/// d energy / d input, or a mixture of such.
struct Indicator {
  std::vector<double> unary, edge_weights, table;

  explicit Indicator(const plain::Grid& g)
      : unary(g.unary.size()), edge_weights(g.weights.size()), table(g.table.size()) {}

  /// The energy's own, linear in all its inputs (Eq 3.1).
  void add(const plain::Grid& g, const plain::Labels& x, double share) {
    for (int i = 0; i < g.pixels(); ++i) {
      const int own = x[static_cast<size_t>(i)];
      unary[g.cell(i, own)] += share;
      for (int r = 0; r < g.connectivity; r += 2) {
        const int j = g.next(i, r);
        if (j < 0) continue;
        const auto edge = static_cast<size_t>(r / 2 * g.pixels() + i);
        const auto entry = static_cast<size_t>(own * g.labels + x[static_cast<size_t>(j)]);
        edge_weights[edge] += share * g.table[entry];
        table[entry] += share * g.weights[edge];
      }
    }
  }
};

template <class Visit>
void for_each_labelling(const plain::Grid& g, const Visit& visit) {
  plain::Labels x(static_cast<size_t>(g.pixels()), 0);
  for (;;) {
    visit(x, plain::energy(g, x));
    size_t i = 0;
    while (i < x.size() && ++x[i] == g.labels) x[i++] = 0;
    if (i == x.size()) return;
  }
}

/// Gradient of what the costs of pixel i, label l measure: the lowest energy with x_i = l, or, at
/// a temperature, -t log sum exp(-energy / t).
Indicator marginal_gradient(const plain::Grid& g, int i, int l, double temperature) {
  double lowest = std::numeric_limits<double>::infinity();
  plain::Labels best;
  const auto here = [&](const plain::Labels& x) { return x[static_cast<size_t>(i)] == l; };
  for_each_labelling(g, [&](const plain::Labels& x, double energy) {
    if (!here(x) || energy >= lowest) return;
    lowest = energy;
    best = x;
  });
  Indicator gradient(g);
  if (temperature == 0.0) {
    gradient.add(g, best, 1.0);
    return gradient;
  }
  double total = 0.0;
  const auto share = [&](double energy) { return std::exp((lowest - energy) / temperature); };
  for_each_labelling(g, [&](const plain::Labels& x, double energy) {
    if (here(x)) total += share(energy);
  });
  for_each_labelling(g, [&](const plain::Labels& x, double energy) {
    if (here(x)) gradient.add(g, x, share(energy) / total);
  });
  return gradient;
}

/// Gradient of the difference of two costs of pixel i, which no constant disturbs.
Gradient<double> difference_gradient(const Instance<double>& instance, const LayerOptions& options,
                                     int i, int above, int below) {
  const Problem<double> problem = instance.problem();
  Memory tape(layer_tape_bytes(problem, options));
  forward_costs(instance, options, tape.data());
  std::vector<double> upstream(instance.unary.size(), 0.0);
  const auto at = [&](int l) { return static_cast<size_t>(i * instance.shape.labels + l); };
  upstream[at(above)] += 1.0;
  upstream[at(below)] -= 1.0;
  Gradient<double> got = unwritten_gradient(instance);
  layer_backward(problem, options, tape.data(), upstream.data(), view(got), nullptr);
  return got;
}

void expect_marginals(const Instance<double>& instance, const LayerOptions& options,
                      double extra_unaries) {
  const plain::Grid g = instance.grid();
  const double tolerance = options.temperature > 0.0 ? 1e-9 : 1e-13;
  for (int i = 0; i < g.pixels(); ++i) {
    const Indicator zero = marginal_gradient(g, i, 0, options.temperature);
    for (int l = 1; l < g.labels; ++l) {
      SCOPED_TRACE("pixel " + std::to_string(i) + ", label " + std::to_string(l));
      Indicator expected = marginal_gradient(g, i, l, options.temperature);
      const auto subtract = [](std::vector<double>& a, const std::vector<double>& b) {
        for (size_t k = 0; k < a.size(); ++k) a[k] -= b[k];
      };
      subtract(expected.unary, zero.unary);
      subtract(expected.edge_weights, zero.edge_weights);
      subtract(expected.table, zero.table);
      expected.unary[g.cell(i, l)] += extra_unaries;
      expected.unary[g.cell(i, 0)] -= extra_unaries;
      const Gradient<double> got = difference_gradient(instance, options, i, l, 0);
      expect_close(got.unary, expected.unary, "unary", tolerance);
      expect_close(got.table, expected.table, "table", tolerance);
      if (!instance.edge_weights.empty()) {
        expect_close(got.edge_weights, expected.edge_weights, "edge weights", tolerance);
        continue;
      }
      double total = 0.0;
      for (const double e : expected.edge_weights) total += e;
      expect_close(got.weight, {total}, "weight", tolerance);
    }
  }
}

/// visit(instance): chains lying and standing, weights of both kinds, symmetric V and not.
template <class Visit>
void for_each_chain(const Visit& visit) {
  uint32_t seed = 50;
  for (const auto& [length, labels] : {std::pair{2, 4}, {5, 3}, {7, 2}}) {
    for (const bool lying : {true, false}) {
      for (const Weights weights : {Weights::PerEdge, Weights::Scalar}) {
        for (const int index : {0, 2, 3, 7}) {
          const Shape shape{lying ? 1 : length, lying ? length : 1, labels};
          const Potential pairwise =
              index == 7 ? generic_table(labels, seed) : some_potential(index, labels);
          SCOPED_TRACE(shape.text() + ", " + potential_name(pairwise));
          visit(generic_instance<double>(shape, pairwise, weights, seed++));
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

/// One iteration is exact, and further ones change nothing.
TEST(LayerOnChains, GradientsAreTheIndicatorsOfTheBestLabellings) {
  for_each_chain([](const Instance<double>& instance) {
    for (const Solver solver : {Solver::BP, Solver::TRWP, Solver::ISGMR}) {
      for (const int iterations : {1, 3}) {
        for (const int store_every : {1, 2}) {
          SCOPED_TRACE(solver_name(solver));
          LayerOptions options = layer_options(solver, iterations);
          options.rho = 1.0;
          options.store_every = store_every;
          expect_marginals(instance, options, 0.0);
        }
      }
    }
  });
}

/// The paths along and against the chain both contain the pixel's own unary, and so do the two
/// that have the pixel to themselves.
TEST(LayerOnChains, SgmCountsThePixelsOwnUnaryFourTimes) {
  for_each_chain([](const Instance<double>& instance) {
    expect_marginals(instance, layer_options(Solver::SGM, 1), 3.0);
  });
}

TEST(LayerOnChains, SoftGradientsAreExpectationsOverAllLabellings) {
  for_each_chain([](const Instance<double>& instance) {
    for (const Solver solver : kSoftSolvers) {
      for (const double temperature : {0.05, 0.4, 5.0}) {
        SCOPED_TRACE(std::string(solver_name(solver)) + ", " + std::to_string(temperature));
        LayerOptions options = layer_options(solver, 2);
        options.rho = 1.0;
        options.temperature = temperature;
        expect_marginals(instance, options, 0.0);
      }
    }
  });
}

}  // namespace
}  // namespace mrfcore::test
