// SPDX-License-Identifier: Apache-2.0
// Gradients of the layers against central differences of their costs, in double.
#include <gtest/gtest.h>

#include "layers.hpp"

namespace mrfcore::test {
namespace {

void expect_gradient(const std::vector<double>& got, const std::vector<double>& expected,
                     const char* what) {
  expect_close(got, expected, what, 2e-6);
}

std::vector<double> unit(size_t size, size_t at) {
  std::vector<double> v(size, 0.0);
  v[at] = 1.0;
  return v;
}

/// Every single entry of every gradient.
void expect_every_entry(const Instance<double>& instance, const LayerSetup& setup,
                        const Wanted& wanted = {}) {
  const Gradient<double> got = forward_and_back(instance, setup.options, wanted).gradient;
  const auto differences = [&](size_t count, auto move) {
    std::vector<double> all;
    for (size_t i = 0; i < count; ++i) {
      const Move one = [&](Instance<double>& moved, double step) { move(moved, i, step); };
      all.push_back(difference(instance, setup.options, one, step_for(setup)));
    }
    return all;
  };
  const auto unary = [](Instance<double>& moved, size_t i, double step) { moved.unary[i] += step; };
  const auto edge = [](Instance<double>& moved, size_t i, double step) {
    moved.edge_weights[i] += step;
  };
  const auto weight = [](Instance<double>& moved, size_t, double step) { moved.weight += step; };
  const size_t entries = got.table.size();
  const auto table = [&](Instance<double>& moved, size_t i, double step) {
    move_table(moved, unit(entries, i), step);
  };
  expect_gradient(got.unary, differences(got.unary.size(), unary), "unary");
  expect_gradient(got.edge_weights, differences(got.edge_weights.size(), edge), "edge weights");
  expect_gradient(got.weight, differences(got.weight.size(), weight), "weight");
  expect_gradient(got.table, differences(entries, table), "table");
}

/// The derivative along random directions: two forward passes, whatever the size.
void expect_directions(const Instance<double>& instance, const LayerSetup& setup) {
  const Gradient<double> got = forward_and_back(instance, setup.options).gradient;
  const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    double total = 0.0;
    for (size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
    return total;
  };
  const auto along = [](const std::vector<double>& x) {
    return generic_array<double>(static_cast<int64_t>(x.size()), -1.0, 1.0, 77);
  };
  const auto add = [](std::vector<double>& x, const std::vector<double>& d, double step) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += step * d[i];
  };
  const auto expect = [&](const std::vector<double>& gradient, const char* what, const Move& move) {
    const std::vector<double> d = along(gradient);
    const double expected = difference(instance, setup.options, move, 0x1p-27);
    const double scale = std::sqrt(dot(gradient, gradient) * dot(d, d)) +
                         std::sqrt(static_cast<double>(instance.unary.size()));  // costs round, too
    EXPECT_NEAR(dot(gradient, d), expected, 1e-6 * scale) << what;
  };
  expect(got.unary, "unary",
         [&](auto& moved, double step) { add(moved.unary, along(got.unary), step); });
  expect(got.table, "table",
         [&](auto& moved, double step) { move_table(moved, along(got.table), step); });
  if (!got.edge_weights.empty()) {
    expect(got.edge_weights, "edge weights", [&](auto& moved, double step) {
      add(moved.edge_weights, along(got.edge_weights), step);
    });
  } else {
    expect(got.weight, "weight",
           [&](auto& moved, double step) { moved.weight += step * along(got.weight)[0]; });
  }
}

TEST(LayerGradients, OfEveryOptionAreThoseOfDifferences) {
  uint32_t seed = 1;
  for (const LayerSetup& setup : layer_setups()) {
    for (const int connectivity : {4, 8, 16}) {
      for (const Weights weights : {Weights::PerEdge, Weights::Scalar}) {
        const Shape shape{3, 4, 3, connectivity};
        SCOPED_TRACE(setup.name + ", " + shape.text());
        expect_every_entry(generic_instance<double>(shape, generic_table(3, seed), weights, seed),
                           setup);
        ++seed;
      }
    }
  }
}

TEST(LayerGradients, OfEveryPotentialAreThoseOfDifferences) {
  uint32_t seed = 201;
  for (const LayerSetup& setup : layer_setups()) {
    // A scanline that starts from zero messages has ties under most potentials: kinks along V.
    const bool ties = setup.options.head == SGMHead::Zero;
    for (int index = 0; index < kPotentials; ++index, ++seed) {
      const Shape shape{3, 3, 5, 4};
      const Potential pairwise = some_potential(index, 5);
      SCOPED_TRACE(setup.name + ", " + potential_name(pairwise) + " " + std::to_string(index));
      const Weights weights = index % 2 == 0 ? Weights::PerEdge : Weights::Scalar;
      expect_every_entry(generic_instance<double>(shape, pairwise, weights, seed), setup,
                         {true, true, !ties});
    }
  }
}

TEST(LayerGradients, OfRaggedImagesAreThoseOfDifferences) {
  uint32_t seed = 401;
  for (const LayerSetup& setup : layer_setups()) {
    for (const auto& [height, width, labels] :
         {std::tuple{1, 1, 3}, {1, 5, 2}, {5, 1, 3}, {2, 2, 1}, {2, 3, 4}}) {
      for (const int connectivity : {4, 16}) {
        const Shape shape{height, width, labels, connectivity, 2};
        SCOPED_TRACE(setup.name + ", " + shape.text());
        expect_every_entry(
            generic_instance<double>(shape, generic_table(labels, seed), Weights::PerEdge, seed),
            setup);
        ++seed;
      }
    }
  }
}

/// Several vectors of labels, several strips of scanlines, and arg-mins of one byte and of two.
TEST(LayerGradients, OfLargerProblemsAreThoseOfDifferencesAlongDirections) {
  uint32_t seed = 601;
  for (const LayerSetup& setup : layer_setups()) {
    for (const Shape& shape : {Shape{9, 17, 33, 8}, Shape{70, 5, 6, 16}, Shape{2, 3, 256, 4},
                               Shape{2, 3, 257, 4}, Shape{3, 2, 300, 8}}) {
      for (const Weights weights : {Weights::PerEdge, Weights::Scalar}) {
        SCOPED_TRACE(setup.name + ", " + shape.text());
        const auto table = generic_table(shape.labels, seed);
        expect_directions(generic_instance<double>(shape, table, weights, seed), setup);
        ++seed;
      }
    }
  }
}

/// The fast min-convolutions change with the truncation and the number of labels.
TEST(LayerGradients, OfFastMinConvolutionsAreThoseOfDifferencesAlongDirections) {
  const auto linear = [](double t) { return Potential::truncated_linear(t); };
  const auto quadratic = [](double t) { return Potential::truncated_quadratic(t); };
  const Potential potentials[] = {linear(0.5),
                                  linear(7),
                                  linear(Potential::kNoTruncation),
                                  quadratic(2),
                                  quadratic(250),
                                  Potential::huber(0.25),
                                  quadratic(Potential::kNoTruncation),
                                  Potential::cauchy(30)};
  uint32_t seed = 801;
  for (const LayerSetup& setup : layer_setups()) {
    if (setup.smooth()) continue;  // their sums go over the whole table
    if (setup.options.head == SGMHead::Zero) continue;
    for (const Potential& pairwise : potentials) {
      for (const int64_t labels : {23, 290}) {
        const Shape shape{3, 4, labels, 4};
        SCOPED_TRACE(setup.name + ", " + potential_name(pairwise) + " " +
                     std::to_string(pairwise.a()) + ", " + shape.text());
        const Weights weights = seed % 2 == 0 ? Weights::PerEdge : Weights::Scalar;
        auto instance = generic_instance<double>(shape, pairwise, weights, seed++);
        // Slopes that meet those of the potential: not all minima are at the label itself.
        for (double& u : instance.unary) u *= 8.0;
        expect_directions(instance, setup);
      }
    }
  }
}

/// (A table of that size would take 32 GiB.)
TEST(LayerGradients, GoUpToTheLargestLabelOfTwoBytes) {
  constexpr size_t kLast = 65534;
  for (const Solver solver : {Solver::SGM, Solver::ISGMR, Solver::TRWP, Solver::BP}) {
    SCOPED_TRACE(solver_name(solver));
    auto instance =
        generic_instance<double>({1, 2, 65535, 4}, Potential::potts(), Weights::Scalar, 9);
    // The last label is the best: of every message it is the label of the minimum taken off, and
    // the arg-min of all labels but those that cost little more.
    for (const size_t pixel : {0, 1}) instance.unary[pixel * (kLast + 1) + kLast] = -0.5;
    const LayerOptions options = layer_options(solver, 1);
    const auto got = forward_and_back(instance, options, {true, true, false}).gradient;
    const Move last = [](auto& moved, double step) { moved.unary[kLast] += step; };
    const Move weight = [](auto& moved, double step) { moved.weight += step; };
    EXPECT_NEAR(got.unary[kLast], difference(instance, options, last, 0x1p-26), 1e-3);
    EXPECT_NEAR(got.weight[0], difference(instance, options, weight, 0x1p-26), 1e-3);
    EXPECT_GT(std::fabs(got.unary[kLast]), 1.0) << "the other pixel's costs should depend on it";
    EXPECT_GT(std::fabs(got.weight[0]), 1.0);
  }
}

}  // namespace
}  // namespace mrfcore::test
