// SPDX-License-Identifier: Apache-2.0
// Layers: their costs are those of minimize(), and what holds for soft minima and odd unaries.
#include <gtest/gtest.h>

#include "layers.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class Layer : public testing::Test {
 protected:
  static constexpr T kInf = std::numeric_limits<T>::infinity();

  static void expect_finite(const std::vector<T>& values, const char* what) {
    for (size_t i = 0; i < values.size(); ++i)
      ASSERT_TRUE(std::isfinite(values[i])) << what << " at " << i << ": " << values[i];
  }
  static void expect_finite_gradients(const Pass<T>& pass) {
    for (const T cost : pass.costs) ASSERT_FALSE(std::isnan(cost));
    expect_finite(pass.gradient.unary, "unary");
    expect_finite(pass.gradient.edge_weights, "edge weights");
    expect_finite(pass.gradient.weight, "weight");
    expect_finite(pass.gradient.table, "table");
  }
};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Layer, Reals);

// ------------------------------------------------------------------ the bits of minimize()

template <class T>
void expect_bits_of_minimize(const Instance<T>& instance, const LayerOptions& options) {
  const Outcome<T> expected = run(instance, options);
  const Problem<T> problem = instance.problem();
  Memory tape(layer_tape_bytes(problem, options), 8);
  const std::vector<T> with_tape = forward_costs(instance, options, tape.data());
  tape.expect_guard_untouched();
  ASSERT_EQ(with_tape, expected.costs);
  ASSERT_EQ(forward_costs(instance, options), expected.costs) << "without a tape";
  for (int64_t i = 0; i < instance.shape.pixels(); ++i) {
    const auto row = with_tape.begin() + i * instance.shape.labels;
    ASSERT_EQ(std::min_element(row, row + instance.shape.labels) - row,
              expected.labels[static_cast<size_t>(i)]);
  }
}

TYPED_TEST(Layer, CostsAreThoseOfMinimizeToTheBit) {
  constexpr int64_t kSizes[][2] = {{1, 1}, {1, 11}, {11, 1}, {3, 5}, {17, 9}};
  uint32_t seed = 1;
  for (const LayerSetup& setup : layer_setups()) {
    if (setup.options.temperature > 0.0) continue;
    for (const auto& [height, width] : kSizes) {
      for (const int connectivity : {4, 8, 16}) {
        for (const int64_t labels : {1, 2, 5, 17, 33}) {
          const Shape shape{height, width, labels, connectivity};
          SCOPED_TRACE(setup.name + ", " + shape.text());
          const Weights weights = seed % 2 == 0 ? Weights::Scalar : Weights::PerEdge;
          const auto index = static_cast<int>(seed++);
          expect_bits_of_minimize(random_instance<TypeParam>(shape, some_potential(index, labels),
                                                             weights, seed, seed % 3 ? kFine : 1.0),
                                  setup.options);
          if (this->HasFatalFailure()) return;
        }
      }
    }
  }
}

/// Around the largest count whose arg-mins fit a byte; every way through a min-convolution.
TYPED_TEST(Layer, CostsOfManyLabelsAreThoseOfMinimizeToTheBit) {
  uint32_t seed = 1;
  for (const LayerSetup& setup : layer_setups()) {
    if (setup.options.temperature > 0.0) continue;
    for (const int64_t labels : {255, 256, 257, 300}) {
      for (int index = 0; index < kPotentials; ++index) {
        const Shape shape{3, 4, labels, 8};
        SCOPED_TRACE(setup.name + ", " + shape.text() + ", potential " + std::to_string(index));
        expect_bits_of_minimize(random_instance<TypeParam>(shape, some_potential(index, labels),
                                                           Weights::PerEdge, ++seed),
                                setup.options);
        if (this->HasFatalFailure()) return;
      }
    }
  }
}

TYPED_TEST(Layer, WithoutIterationsTheCostsAreTheUnaries) {
  for (const Solver solver : kLayerSolvers) {
    for (const int store_every : {1, 3}) {
      SCOPED_TRACE(solver_name(solver));
      const auto instance =
          generic_instance<TypeParam>({3, 4, 5, 8, 2}, generic_table(5, 2), Weights::PerEdge, 3);
      LayerOptions options = layer_options(solver, 0);
      options.store_every = store_every;
      const auto pass = forward_and_back(instance, options);
      EXPECT_EQ(pass.costs, instance.unary);
      EXPECT_EQ(pass.gradient.unary, upstream_for(instance));
      EXPECT_EQ(pass.gradient.edge_weights,
                std::vector<TypeParam>(instance.edge_weights.size(), TypeParam(0)));
      EXPECT_EQ(pass.gradient.table, std::vector<TypeParam>(25, TypeParam(0)));
    }
  }
}

// ------------------------------------------------------------------ soft minima

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(a[i] - b[i]));
  return largest;
}

TEST(SoftLayer, ApproachesTheHardOneAsItCools) {
  for (const Solver solver : kSoftSolvers) {
    SCOPED_TRACE(solver_name(solver));
    const auto instance =
        generic_instance<double>({4, 5, 6, 8}, generic_table(6, 4), Weights::PerEdge, 5);
    LayerOptions options = layer_options(solver, 2);
    const auto hard = forward_and_back(instance, options);
    std::vector<double> costs, unary, table;  // distances
    for (const double temperature : {0.1, 0.01, 1e-6}) {
      options.temperature = temperature;
      const auto soft = forward_and_back(instance, options);
      costs.push_back(largest_difference(soft.costs, hard.costs));
      unary.push_back(largest_difference(soft.gradient.unary, hard.gradient.unary));
      table.push_back(largest_difference(soft.gradient.table, hard.gradient.table));
    }
    for (const auto& distances : {costs, unary, table}) {
      EXPECT_GT(distances[0], distances[1]);
      EXPECT_GT(distances[1], distances[2]);
    }
    // A soft minimum over L values lies at most t log L below the hard one, a message as far off.
    EXPECT_LT(costs[2], 1e-6 * std::log(6.0) * 1000);
    EXPECT_LT(unary[2], 1e-6);
    EXPECT_LT(table[2], 1e-6);
  }
}

// ------------------------------------------------------------------ extreme unaries

/// What is added to all labels of a pixel ends up in its costs alone (taken off its messages).
TYPED_TEST(Layer, GradientsOfAPixelAddUpToThoseOfItsCosts) {
  // Close to the largest unaries that are not refused: their costs must not pass for forbidden.
  const TypeParam largest = sizeof(TypeParam) == 4 ? TypeParam(9e25) : TypeParam(9e195);
  for (const TypeParam scale : {TypeParam(1e-30), TypeParam(1), TypeParam(1e6), largest}) {
    for (const LayerSetup& setup : layer_setups()) {
      for (const int index : {0, 1, 2, 3, 7}) {
        SCOPED_TRACE(setup.name + ", scale " + std::to_string(scale));
        const Potential pairwise = some_potential(index, 5);
        auto instance = generic_instance<TypeParam>({4, 5, 5, 8}, pairwise, Weights::PerEdge, 6);
        for (TypeParam& u : instance.unary) u = (u / TypeParam(2) - TypeParam(1)) * scale;
        const auto pass = forward_and_back(instance, setup.options);
        ASSERT_NO_FATAL_FAILURE(this->expect_finite_gradients(pass));
        this->expect_finite(pass.costs, "costs");
        const std::vector<TypeParam> upstream = upstream_for(instance);
        // Every path of SGM contains the unary; iterated, minima are taken off unaries, too.
        const bool sgm = setup.options.solver == Solver::SGM;
        const double factor = sgm ? (setup.options.iterations == 1 ? 8.0 : 0.0) : 1.0;
        if (sgm && setup.options.head == SGMHead::Zero) continue;  // heads leave some out
        double size = 1.0;
        for (const TypeParam g : pass.gradient.unary) size = std::max<double>(size, std::fabs(g));
        for (size_t i = 0; i < 20; ++i) {
          double got = 0.0, expected = 0.0;
          for (size_t l = 5 * i; l < 5 * i + 5; ++l) {
            got += static_cast<double>(pass.gradient.unary[l]);
            expected += factor * static_cast<double>(upstream[l]);
          }
          ASSERT_NEAR(got, expected, kTolerance<TypeParam> * 10 * size) << "pixel " << i;
        }
      }
    }
  }
}

TYPED_TEST(Layer, ForbiddenLabelsSpoilNoGradient) {
  for (const bool whole_pixel : {false, true}) {
    for (const LayerSetup& setup : layer_setups()) {
      SCOPED_TRACE(setup.name);
      auto instance =
          generic_instance<TypeParam>({4, 5, 3, 8}, generic_table(3, 8), Weights::PerEdge, 7);
      for (size_t i = 0; i < instance.unary.size(); i += 7) instance.unary[i] = this->kInf;
      for (size_t l = 0; whole_pixel && l < 3; ++l) instance.unary[3 * 12 + l] = this->kInf;
      const auto pass = forward_and_back(instance, setup.options);
      ASSERT_NO_FATAL_FAILURE(this->expect_finite_gradients(pass));
      if (whole_pixel) continue;
      for (int64_t i = 0; i < 20; ++i) {
        const auto row = pass.costs.begin() + 3 * i;
        const auto best = static_cast<size_t>(std::min_element(row, row + 3) - pass.costs.begin());
        EXPECT_NE(best % 7, 0u) << "a forbidden label has the lowest cost";
      }
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
