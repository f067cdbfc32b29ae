// SPDX-License-Identifier: Apache-2.0
// CUDA's adjoint sweeps in the emulator against the CPU's: the same bits of all volumes and of the
// gradients of edge weights, for arg-mins and gradients that are arbitrary.
#include <gtest/gtest.h>

#include "emulator/adjoint_case.hpp"
#include "emulator/emulator.hpp"

namespace mrfcore::test {
namespace {

constexpr cpu::SweepRule kRules[] = {cpu::SweepRule::SGM, cpu::SweepRule::ISGMR,
                                     cpu::SweepRule::TRWP};

template <class T>
class CudaAdjoint : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaAdjoint, Reals);

TYPED_TEST(CudaAdjoint, GivesTheCpusBitsForEveryRule) {
  for (const cpu::SweepRule rule : kRules) {
    for (const double damping : {0.0, 0.25}) {
      for (const bool flag : {false, true}) {
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {6, 7, 13, 8, 2}, damping, flag, !flag, true}));
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {3, 5, 40, 4}, damping, !flag, flag, flag}));
      }
    }
  }
}

TYPED_TEST(CudaAdjoint, GivesTheCpusBitsInAllDirectionsAndShapes) {
  for (const Shape& shape : {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16},
                             Shape{6, 11, 4, 16, 2}, Shape{11, 6, 33, 16}}) {
    for (const cpu::SweepRule rule : kRules)
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({rule, shape, 0.0, false, true, true}));
  }
}

TYPED_TEST(CudaAdjoint, GivesTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 3, 31, 32, 64, 65, 96, 128, 129, 256}) {
    for (const cpu::SweepRule rule : kRules)
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({rule, {2, 3, labels, 4}, 0.0, true, true, true}));
  }
}

/// As constant rows and truncated potentials have them. Numbers of labels with a remainder by four
/// that is 1 and 3, in each number of labels per lane.
TYPED_TEST(CudaAdjoint, GivesTheCpusBitsWhereLabelsShareArgmins) {
  for (const Argmins argmins : {Argmins::Equal, Argmins::Truncated}) {
    for (const int64_t labels : {1, 3, 5, 31, 32, 33, 64, 96, 97, 128, 131, 255}) {
      for (const cpu::SweepRule rule : kRules) {
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {4, 3, labels, 4, 2}, 0.0, false, false, true, argmins}));
      }
    }
  }
}

TYPED_TEST(CudaAdjoint, SharedArgminsDoNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 7);
    for (const Argmins argmins : {Argmins::Equal, Argmins::Truncated}) {
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
          {cpu::SweepRule::TRWP, {4, 5, 97, 8}, 0.25, false, true, true, argmins}));
    }
  }
}

TYPED_TEST(CudaAdjoint, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 5);
    for (const cpu::SweepRule rule : kRules)
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({rule, {9, 8, 40, 8, 2}, 0.5, true, true, true}));
  }
}

TEST(CudaAdjointWide, ReadsSixteenBitArgmins) {
  for (const Argmins argmins : {Argmins::Any, Argmins::Equal, Argmins::Truncated}) {
    for (const int64_t labels : {300, 511})
      check<float>({cpu::SweepRule::TRWP, {2, 3, labels, 4}, 0.0, false, true, true, argmins});
  }
}

/// Items would add to the same numbers at the same time.
TEST(CudaAdjointWide, RefusesEdgeWeightsThatABatchShares) {
  const AdjointCase c{cpu::SweepRule::TRWP, {2, 3, 4, 4, 2}, 0.0, false, true, true};
  AdjointState<float> s = state_for<float>(c, 4);
  EXPECT_NE(cuda::adjoint_pair(arguments(c, 0, s), {2, 24, 0, 24, 6}, {}, nullptr), 0);
}

}  // namespace
}  // namespace mrfcore::test
