// SPDX-License-Identifier: Apache-2.0
// CUDA's exact minima of scanlines in the emulator against the CPU's: the same bits.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "core/scanline.hpp"
#include "cpu/kernels.hpp"
#include "emulator/emulator.hpp"
#include "emulator/potentials.hpp"
#include "emulator/rows.hpp"
#include "kernels.hpp"
#include "ops/dispatch.hpp"
#include "ops/plan.hpp"

namespace mrfcore::test {
namespace {

constexpr double kUntouched = -123.0;

template <class T>
struct Bound {
  Instance<T> instance;
  std::vector<std::vector<T>> messages;  ///< dense; none: no messages

  Bound(const Shape& shape, int potential, Weights weights, bool with_messages)
      : instance(random_instance<T>(shape, hard_potential(potential, shape.labels), weights, 7)) {
    instance.unary[0] = cpu::kForbidden<T>;
    if (shape.labels > 1) instance.unary[instance.unary.size() - 2] = cpu::kForbidden<T>;
    Random random(11);
    for (int r = 0; with_messages && r < shape.connectivity; ++r)
      messages.push_back(random.array<T>(shape.pixels() * shape.labels, 4.0, kFine));
  }

  const Shape& shape() const { return instance.shape; }
  double rho() const { return 1.0 / (shape().connectivity / 2); }
  int64_t pixels() const { return shape().height * shape().width; }
  int64_t lines(int pair) const {
    return core::scanlines(core::pair_geometry(pair, shape().height, shape().width));
  }
  OwnedPlan<double> plan(int64_t lanes) const {
    const double scale = static_cast<double>(instance.weight);
    return {instance.pairwise, shape().labels, lanes, MinConvolution::Auto,
            instance.edge_weights.empty() ? &scale : nullptr};
  }
};

/// On the CPU, item by item.
template <class T>
std::vector<double> minima_by_cpu(const Bound<T>& b, int pair) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  const int64_t labels = b.shape().labels, stride = round_up(labels, kernels.lanes);
  const int64_t lanes = std::max<int64_t>(1, kernels.lanes * static_cast<int64_t>(sizeof(T)) / 8);
  const OwnedPlan<double> plan = b.plan(lanes);
  const std::vector<double> weights(b.instance.edge_weights.begin(), b.instance.edge_weights.end());
  const std::vector<T> unary = padded(b.instance.unary, labels, stride, cpu::kForbidden<T>);
  std::vector<std::vector<T>> messages;
  for (const auto& m : b.messages) messages.push_back(padded(m, labels, stride, T(0)));
  std::vector<double> minima(static_cast<size_t>(b.lines(pair) * b.shape().batch));
  for (int64_t item = 0; item < b.shape().batch; ++item) {
    std::vector<const void*> volumes;
    for (const auto& m : messages) volumes.push_back(m.data() + item * b.pixels() * stride);
    kernels.chain_bound(
        {{b.shape().height, b.shape().width, static_cast<int>(labels), stride,
          b.shape().connectivity},
         pair,
         {weights.empty() ? nullptr : weights.data() + item * b.instance.weights_size(),
          weights.empty() ? static_cast<double>(b.instance.weight) : 1.0},
         &plan.get(),
         unary.data() + item * b.pixels() * stride,
         volumes.empty() ? nullptr : volumes.data(),
         b.rho(),
         minima.data() + item * b.lines(pair),
         1,
         nullptr});
  }
  return minima;
}

template <class T>
std::vector<double> minima_by_cuda(const Bound<T>& b, int pair) {
  const OwnedPlan<double> plan = b.plan(1);
  const bool shared_weights = b.instance.edge_weights.empty();
  std::vector<double> minima(static_cast<size_t>(b.lines(pair) * b.shape().batch), kUntouched);
  std::vector<const void*> volumes;
  for (const auto& m : b.messages) volumes.push_back(m.data());
  const int64_t labels = b.shape().labels;
  const cuda::ChainBoundArgs<T> args{
      {b.shape().height, b.shape().width, static_cast<int>(labels), labels, b.shape().connectivity},
      pair,
      {shared_weights ? nullptr : b.instance.edge_weights.data(),
       shared_weights ? b.instance.weight : T(1)},
      &plan.get(),
      b.instance.unary.data(),
      volumes.empty() ? nullptr : volumes.data(),
      b.rho(),
      minima.data()};
  const cuda::Batch batch{b.shape().batch, b.pixels() * labels,
                          shared_weights ? 0 : b.instance.weights_size(), 0, 0};
  EXPECT_EQ(cuda::chain_bound(args, batch, nullptr), 0);
  return minima;
}

template <class T>
void check(const Shape& shape, int potential, Weights weights, bool messages) {
  const Bound<T> bound(shape, potential, weights, messages);
  for (int pair = 0; pair < shape.connectivity / 2; ++pair) {
    SCOPED_TRACE(shape.text() + ", potential " + std::to_string(potential) + ", pair " +
                 std::to_string(pair));
    ASSERT_EQ(minima_by_cpu(bound, pair), minima_by_cuda(bound, pair));
  }
}

template <class T>
class CudaChainBound : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaChainBound, Reals);

TYPED_TEST(CudaChainBound, GivesTheCpusBitsForEveryPotential) {
  for (int potential = 0; potential < kHardPotentials; ++potential) {
    for (const Weights weights : {Weights::Scalar, Weights::PerEdge}) {
      for (const bool messages : {false, true}) {
        ASSERT_NO_FATAL_FAILURE(check<TypeParam>({5, 7, 13, 8, 2}, potential, weights, messages));
        ASSERT_NO_FATAL_FAILURE(check<TypeParam>({3, 4, 40, 4}, potential, weights, messages));
      }
    }
  }
}

TYPED_TEST(CudaChainBound, GivesTheCpusBitsInAllDirectionsAndShapes) {
  for (const Shape& shape : {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16},
                             Shape{6, 11, 4, 16, 3}, Shape{11, 6, 33, 16}}) {
    ASSERT_NO_FATAL_FAILURE(check<TypeParam>(shape, 2, Weights::PerEdge, true));
  }
}

TYPED_TEST(CudaChainBound, GivesTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 3, 31, 32, 64, 65, 96, 128, 129, 256}) {
    for (const int potential : {0, 1, 2, 4})
      ASSERT_NO_FATAL_FAILURE(
          check<TypeParam>({2, 3, labels, 4}, potential, Weights::PerEdge, true));
  }
}

TYPED_TEST(CudaChainBound, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 5);
    for (const int potential : {2, 3, 4})
      ASSERT_NO_FATAL_FAILURE(
          check<TypeParam>({7, 8, 40, 16, 2}, potential, Weights::PerEdge, true));
  }
}

/// Rows beyond a warp, in shared memory; in the end more than 48 KiB of it.
TYPED_TEST(CudaChainBound, GivesTheCpusBitsForRowsBeyondAWarp) {
  for (const emulator::Order order : {emulator::Order::kForward, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 5);
    for (int potential = 0; potential < kHardPotentials; ++potential) {
      ASSERT_NO_FATAL_FAILURE(
          check<TypeParam>({2, 3, 290, 8, 2}, potential, Weights::PerEdge, true));
    }
    ASSERT_NO_FATAL_FAILURE(check<TypeParam>({1, 1, 300, 4}, 2, Weights::PerEdge, false));
  }
  ASSERT_NO_FATAL_FAILURE(check<TypeParam>({1, 3, 4000, 4}, 2, Weights::Scalar, true));
}

TEST(CudaChainBoundAlone, RefusesRowsThatDoNotFitSharedMemory) {
  cpu::MinConvolutionPlan<double> plan{};
  cuda::ChainBoundArgs<float> args{};
  args.shape = {1, 2, 65535, 65535, 4};
  args.plan = &plan;
  EXPECT_EQ(cuda::chain_bound(args, {1, 0, 0, 0, 0}, nullptr), cudaErrorInvalidValue);
}

/// A chain's exact minimum by all labellings of three nodes.
TEST(CudaChainBoundAlone, IsTheMinimumOverAllLabellings) {
  const Bound<double> b({1, 3, 4, 4}, 4, Weights::PerEdge, false);
  const auto cost = [&](int64_t node, int64_t l) {
    return b.rho() * b.instance.unary[static_cast<size_t>(node * 4 + l)];
  };
  double least = 1e300;
  for (int64_t l = 0; l < 64; ++l) {
    const int64_t at[] = {l % 4, l / 4 % 4, l / 16};
    double energy = cost(0, at[0]) + cost(1, at[1]) + cost(2, at[2]);
    for (size_t e = 0; e < 2; ++e)
      energy += b.instance.edge_weights[e] * b.instance.pairwise(at[e], at[e + 1]);
    least = std::min(least, energy);
  }
  EXPECT_NEAR(minima_by_cuda(b, 0)[0], least, 1e-9);
}

}  // namespace
}  // namespace mrfcore::test
