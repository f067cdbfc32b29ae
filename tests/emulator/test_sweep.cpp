// SPDX-License-Identifier: Apache-2.0
// CUDA's sweeps and gathers in the emulator against the CPU kernels: the same bits, arg-mins
// included, in every order of threads and blocks.
#include <gtest/gtest.h>

#include <vector>

#include "emulator/emulator.hpp"
#include "emulator/sweep_case.hpp"

namespace mrfcore::test {
namespace {

template <class T>
class CudaSweep : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaSweep, Reals);

TYPED_TEST(CudaSweep, GivesTheCpusBitsForEveryRuleAndPotential) {
  for (const cpu::SweepRule rule : kSweepRules) {
    for (int potential = 0; potential < kSweepPotentials; ++potential) {
      for (const bool record : {false, true}) {
        const Weights weights = potential % 2 == 0 ? Weights::PerEdge : Weights::Scalar;
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {7, 9, 13, 4}, potential, weights, 0.0, record, record}));
        ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
            {rule, {3, 5, 40, 4}, potential, Weights::PerEdge, 0.25, record, false}));
      }
    }
  }
}

TYPED_TEST(CudaSweep, GivesTheCpusBitsInAllDirectionsAndShapes) {
  for (const Shape& shape : {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16},
                             Shape{6, 11, 4, 16, 3}, Shape{11, 6, 33, 16}}) {
    for (const cpu::SweepRule rule : kSweepRules)
      ASSERT_NO_FATAL_FAILURE(
          check<TypeParam>({rule, shape, 2, Weights::PerEdge, 0.0, true, true}));
  }
}

TYPED_TEST(CudaSweep, GivesTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 31, 32, 64, 65, 96, 128, 129, 256}) {
    for (const int potential : {0, 1, 2, 5}) {
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
          {cpu::SweepRule::TRWP, {2, 3, labels, 4}, potential, Weights::PerEdge, 0.0, true, true}));
    }
  }
}

/// Integers: ties everywhere, and the lowest label must win them.
TYPED_TEST(CudaSweep, BreaksTiesAsTheCpuDoes) {
  for (const cpu::SweepRule rule : kSweepRules) {
    for (const int potential : {0, 2, 3}) {
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
          {rule, {6, 7, 37, 8}, potential, Weights::PerEdge, 0.0, true, true}, 1.0));
    }
  }
}

TEST(CudaSweepWide, KeepsSixteenBitArgmins) {
  check<float>({cpu::SweepRule::TRWP, {2, 3, 300, 4}, 2, Weights::PerEdge, 0.0, true, true});
}

TYPED_TEST(CudaSweep, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 5);
    for (const int potential : {2, 4, 5}) {
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
          {cpu::SweepRule::ISGMR, {9, 8, 40, 8, 2}, potential, Weights::PerEdge, 0.5, true, true}));
    }
  }
}

TYPED_TEST(CudaSweep, GathersWhatTheCpuGathers) {
  for (const int64_t labels : {1, 5, 32, 77}) {
    const Shape shape{3, 4, labels, 4, 2};
    const int64_t size = shape.pixels() * labels;
    Random random(3);
    std::vector<TypeParam> unary = random.array<TypeParam>(size, 4.0, 0.5);
    unary[0] = cpu::kForbidden<TypeParam>;
    const std::vector<TypeParam> first = random.array<TypeParam>(size, 4.0, 0.5),
                                 second = random.array<TypeParam>(size, 4.0, 0.5);
    const void* messages[] = {first.data(), second.data()};
    std::vector<TypeParam> sum(unary.size()), costs(unary.size());
    std::vector<int32_t> found(static_cast<size_t>(shape.pixels()), -1);
    cpu::GatherArgs<TypeParam> a{};
    a.shape = {3, 4, static_cast<int>(labels), labels, 4};
    a.unary = unary.data();
    a.messages = messages;
    a.count = 2;
    a.sum = sum.data();
    a.costs = costs.data();
    a.labels = found.data();
    ASSERT_EQ(cuda::gather(a, {2, 12 * labels, 0, 0, 0}, nullptr, nullptr), 0);
    for (int64_t i = 0; i < shape.pixels(); ++i) {
      int64_t best = 0;
      for (int64_t l = 0; l < labels; ++l) {
        const auto at = static_cast<size_t>(i * labels + l);
        const TypeParam expected = unary[at] + first[at] + second[at];
        ASSERT_EQ(sum[at], expected);
        if (at == 0) {
          ASSERT_TRUE(std::isinf(costs[at]));
        } else {
          ASSERT_EQ(costs[at], expected);
        }
        if (expected < sum[static_cast<size_t>(i * labels + best)]) best = l;
      }
      ASSERT_EQ(found[static_cast<size_t>(i)], best);
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
