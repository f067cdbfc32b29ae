// SPDX-License-Identifier: Apache-2.0
// Gradients are the same bits whatever is asked for beside them, and however they are computed.
#include <gtest/gtest.h>

#include "layers.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class LayerBits : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(LayerBits, Reals);

template <class T>
void expect_same_bits(const Pass<T>& got, const Pass<T>& expected) {
  EXPECT_EQ(got.costs, expected.costs);
  EXPECT_EQ(got.gradient.unary, expected.gradient.unary);
  EXPECT_EQ(got.gradient.edge_weights, expected.gradient.edge_weights);
  EXPECT_EQ(got.gradient.weight, expected.gradient.weight);
  EXPECT_EQ(got.gradient.table, expected.gradient.table);
}

TYPED_TEST(LayerBits, ThreadsDoNotChangeABit) {
  // Enough cells for more than one thread, enough scanlines for several strips and bins.
  for (const auto& [connectivity, weights] :
       {std::pair{8, Weights::PerEdge}, {4, Weights::Scalar}}) {
    const auto instance =
        generic_instance<TypeParam>({36, 66, 7, connectivity}, generic_table(7, 5), weights, 12);
    for (LayerSetup setup : layer_setups()) {
      setup.options.iterations = std::min(setup.options.iterations, setup.smooth() ? 1 : 2);
      SCOPED_TRACE(setup.name + ", " + instance.shape.text());
      const auto one = forward_and_back(instance, setup.options);
      for (const int threads : {2, 3, 7}) {
        setup.options.threads = threads;
        expect_same_bits(forward_and_back(instance, setup.options), one);
      }
    }
  }
}

template <class T>
void expect_same_bits_on_every_isa(const Instance<T>& instance, const LayerSetup& setup) {
  SCOPED_TRACE(setup.name + ", " + instance.shape.text());
  const ScopedEnv baseline("MRFCORE_CPU_ISA", "baseline");
  const auto expected = forward_and_back(instance, setup.options);
  for (const std::string& isa : usable_isas()) {
    SCOPED_TRACE(isa);
    const ScopedEnv env("MRFCORE_CPU_ISA", isa);
    expect_same_bits(forward_and_back(instance, setup.options), expected);
  }
}

TYPED_TEST(LayerBits, InstructionSetsDoNotChangeABit) {
  for (const Shape& shape : {Shape{7, 12, 9, 4}, Shape{9, 41, 16, 8}, Shape{41, 9, 3, 16}}) {
    for (const Weights weights : {Weights::PerEdge, Weights::Scalar}) {
      const auto instance =
          generic_instance<TypeParam>(shape, generic_table(shape.labels, 5), weights, 12);
      for (const LayerSetup& setup : layer_setups()) expect_same_bits_on_every_isa(instance, setup);
    }
  }
}

/// Sums over all edges go strip by strip, and long scanlines of wide rows make narrow strips.
TYPED_TEST(LayerBits, InstructionSetsDoNotChangeABitOfSumsOverLongScanlines) {
  const auto instance =
      generic_instance<TypeParam>({700, 40, 3, 4}, generic_table(3, 5), Weights::Scalar, 12);
  for (const LayerSetup& setup : layer_setups()) {
    if (setup.options.iterations < 3) expect_same_bits_on_every_isa(instance, setup);
  }
}

/// Hard layers: as long as no arg-min changes. Soft ones: sums of messages are rounded elsewhere.
TYPED_TEST(LayerBits, StoringLessDoesNotChangeAGradient) {
  for (const Weights weights : {Weights::PerEdge, Weights::Scalar}) {
    const auto instance =
        generic_instance<TypeParam>({6, 7, 5, 8, 2}, generic_table(5, 6), weights, 13);
    for (LayerSetup setup : layer_setups()) {
      setup.options.iterations = 5;
      SCOPED_TRACE(setup.name);
      const auto all = forward_and_back(instance, setup.options);
      for (const int store_every : {2, 3, 4, 5, 9}) {
        setup.options.store_every = store_every;
        const auto some = forward_and_back(instance, setup.options);
        if (setup.options.temperature == 0.0) {
          EXPECT_EQ(some.gradient, all.gradient);
        } else {
          const auto near = [](const std::vector<TypeParam>& a, const std::vector<TypeParam>& b) {
            expect_close(a, {b.begin(), b.end()}, "gradient", 20 * kTolerance<TypeParam>);
          };
          near(some.gradient.unary, all.gradient.unary);
          near(some.gradient.edge_weights, all.gradient.edge_weights);
          near(some.gradient.weight, all.gradient.weight);
          near(some.gradient.table, all.gradient.table);
        }
      }
    }
  }
}

TYPED_TEST(LayerBits, AskingForFewerGradientsDoesNotChangeTheOthers) {
  for (const Weights weights : {Weights::PerEdge, Weights::Scalar}) {
    for (const bool learned : {true, false}) {
      const Potential pairwise = learned ? generic_table(5, 6) : Potential::truncated_linear(2.0);
      const auto instance = generic_instance<TypeParam>({6, 7, 5, 8, 2}, pairwise, weights, 13);
      for (const LayerSetup& setup : layer_setups()) {
        SCOPED_TRACE(setup.name);
        const auto all = forward_and_back(instance, setup.options).gradient;
        for (int subset = 0; subset < 8; ++subset) {
          const Wanted wanted{(subset & 1) != 0, (subset & 2) != 0, (subset & 4) != 0};
          Gradient<TypeParam> expected = all;
          if (!wanted.unary) expected.unary.clear();
          if (!wanted.table) expected.table.clear();
          if (!wanted.weights) expected.edge_weights.clear(), expected.weight.clear();
          EXPECT_EQ(forward_and_back(instance, setup.options, wanted).gradient, expected);
        }
      }
    }
  }
}

TYPED_TEST(LayerBits, WorkspaceOfTheLayerOrOfTheCaller) {
  const auto instance =
      generic_instance<TypeParam>({6, 7, 5, 4}, generic_table(5, 6), Weights::PerEdge, 14);
  const Problem<TypeParam> problem = instance.problem();
  const std::vector<TypeParam> upstream = upstream_for(instance);
  for (LayerSetup setup : layer_setups()) {
    for (const int store_every : {1, 2}) {
      SCOPED_TRACE(setup.name);
      setup.options.store_every = store_every;
      const auto expected = forward_and_back(instance, setup.options);
      Memory tape(layer_tape_bytes(problem, setup.options));
      auto gradient = unwritten_gradient(instance);
      const auto costs = forward_costs(instance, setup.options, tape.data());
      layer_backward(problem, setup.options, tape.data(), upstream.data(), view(gradient), nullptr);
      expect_same_bits({costs, gradient}, expected);
    }
  }
}

TYPED_TEST(LayerBits, BackwardMayRunAgain) {
  const auto instance =
      generic_instance<TypeParam>({6, 7, 5, 4}, generic_table(5, 6), Weights::PerEdge, 14);
  const Problem<TypeParam> problem = instance.problem();
  const std::vector<TypeParam> upstream = upstream_for(instance);
  for (LayerSetup setup : layer_setups()) {
    for (const int store_every : {1, 2}) {
      SCOPED_TRACE(setup.name);
      setup.options.store_every = store_every;
      Memory tape(layer_tape_bytes(problem, setup.options));
      forward_costs(instance, setup.options, tape.data());
      auto once = unwritten_gradient(instance), twice = once;
      layer_backward(problem, setup.options, tape.data(), upstream.data(), view(once), nullptr);
      layer_backward(problem, setup.options, tape.data(), upstream.data(), view(twice), nullptr);
      EXPECT_EQ(once, twice);
    }
  }
}

// ------------------------------------------------------------------ batches

template <class T>
Instance<T> item_of(const Instance<T>& batch, int64_t item) {
  Instance<T> single = batch;
  single.shape.batch = 1;
  const auto size = static_cast<int64_t>(batch.unary.size()) / batch.shape.batch;
  const auto u = batch.unary.begin() + item * size;
  single.unary.assign(u, u + size);
  if (static_cast<int64_t>(batch.edge_weights.size()) > batch.weights_size()) {
    const auto w = batch.edge_weights.begin() + item * batch.weights_size();
    single.edge_weights.assign(w, w + batch.weights_size());
  }
  return single;
}

template <class T>
Gradient<T> item_gradient(const Instance<T>& batch, const LayerOptions& options, int64_t item) {
  const Instance<T> single = item_of(batch, item);
  const Problem<T> problem = single.problem();
  const std::vector<T> upstream = upstream_for(batch);
  Memory tape(layer_tape_bytes(problem, options));
  forward_costs(single, options, tape.data());
  Gradient<T> gradient = unwritten_gradient(single);
  layer_backward(problem, options, tape.data(),
                 upstream.data() + item * static_cast<int64_t>(single.unary.size()), view(gradient),
                 nullptr);
  return gradient;
}

/// What items share has the sum of their gradients.
TYPED_TEST(LayerBits, ABatchIsItsItemsOneByOne) {
  constexpr int64_t kItems = 3;
  enum class Kind { Own, Shared, Scalar };
  for (const Kind kind : {Kind::Own, Kind::Shared, Kind::Scalar}) {
    auto batch =
        generic_instance<TypeParam>({5, 4, 6, 8, kItems}, generic_table(6, 7),
                                    kind == Kind::Scalar ? Weights::Scalar : Weights::PerEdge, 15);
    if (kind == Kind::Shared) batch.edge_weights.resize(static_cast<size_t>(batch.weights_size()));
    for (const LayerSetup& setup : layer_setups()) {
      SCOPED_TRACE(setup.name);
      const auto got = forward_and_back(batch, setup.options).gradient;
      std::vector<TypeParam> unary, edge_weights;
      std::vector<double> shared(batch.edge_weights.size()), weight(got.weight.size()), table(36);
      const auto add = [](std::vector<double>& to, const std::vector<TypeParam>& from) {
        for (size_t i = 0; i < from.size(); ++i) to[i] += static_cast<double>(from[i]);
      };
      for (int64_t item = 0; item < kItems; ++item) {
        const auto own = item_gradient(batch, setup.options, item);
        unary.insert(unary.end(), own.unary.begin(), own.unary.end());
        edge_weights.insert(edge_weights.end(), own.edge_weights.begin(), own.edge_weights.end());
        if (kind == Kind::Shared) add(shared, own.edge_weights);
        add(weight, own.weight);
        add(table, own.table);
      }
      EXPECT_EQ(got.unary, unary);
      if (kind == Kind::Shared) {
        expect_close(got.edge_weights, shared, "edge weights");
      } else {
        EXPECT_EQ(got.edge_weights, edge_weights);
      }
      expect_close(got.weight, weight, "weight");
      expect_close(got.table, table, "table");
    }
  }
}

TYPED_TEST(LayerBits, WhatLiesBetweenTheWeightsOfItemsIsLeftAlone) {
  constexpr int64_t kGap = 5;
  constexpr auto kMark = TypeParam(-123);
  const auto packed =
      generic_instance<TypeParam>({4, 5, 3, 8, 2}, generic_table(3, 7), Weights::PerEdge, 16);
  const int64_t size = packed.weights_size();
  auto weights = packed.edge_weights;
  weights.insert(weights.begin() + size, kGap, std::numeric_limits<TypeParam>::quiet_NaN());
  Problem<TypeParam> problem = packed.problem();
  problem.edge_weights = weights.data();
  problem.edge_weights_batch_stride = size + kGap;
  for (const LayerSetup& setup : layer_setups()) {
    SCOPED_TRACE(setup.name);
    const auto expected = forward_and_back(packed, setup.options).gradient.edge_weights;
    Memory tape(layer_tape_bytes(problem, setup.options));
    std::vector<TypeParam> costs(packed.unary.size()), got(weights.size(), kMark);
    layer_forward(problem, setup.options, costs.data(), tape.data(), nullptr);
    layer_backward(problem, setup.options, tape.data(), upstream_for(packed).data(),
                   Gradients<TypeParam>{nullptr, got.data(), nullptr, nullptr}, nullptr);
    const auto gap = got.begin() + size;
    EXPECT_EQ(std::vector<TypeParam>(gap, gap + kGap), std::vector<TypeParam>(kGap, kMark));
    got.erase(gap, gap + kGap);
    EXPECT_EQ(got, expected);
  }
}

}  // namespace
}  // namespace mrfcore::test
