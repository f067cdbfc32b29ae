// SPDX-License-Identifier: Apache-2.0
// Rows of more labels than a warp holds: sweeps and adjoints of a block per scanline in the
// emulator against the CPU's, to the bit. They work for any number of labels, so most tests have
// few.
#include <gtest/gtest.h>

#include "emulator/adjoint_case.hpp"
#include "emulator/emulator.hpp"
#include "emulator/sweep_case.hpp"
#include "wide_kernels.cuh"

namespace mrfcore::test {
namespace {

template <class T>
void check_sweep(const SweepCase& c, double grain = kFine) {
  check<T>(c, grain, &cuda::wide_sweep_pair<T>);
}
template <class T>
void check_adjoint(const AdjointCase& c) {
  check<T>(c, &cuda::wide_adjoint_pair<T>);
}

template <class T>
class CudaWide : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaWide, Reals);

TYPED_TEST(CudaWide, SweepsWithTheCpusBitsForEveryRuleAndPotential) {
  for (const cpu::SweepRule rule : kSweepRules) {
    for (int potential = 0; potential < kSweepPotentials; ++potential) {
      for (const bool record : {false, true}) {
        const Weights weights = potential % 2 == 0 ? Weights::PerEdge : Weights::Scalar;
        ASSERT_NO_FATAL_FAILURE(check_sweep<TypeParam>(
            {rule, {2, 3, 13, 4, 2}, potential, weights, 0.0, record, record}));
        ASSERT_NO_FATAL_FAILURE(check_sweep<TypeParam>(
            {rule, {2, 3, 300, 4}, potential, Weights::PerEdge, 0.25, record, false}));
      }
    }
  }
}

TYPED_TEST(CudaWide, SweepsWithTheCpusBitsInAllDirectionsAndShapes) {
  for (const Shape& shape :
       {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16}, Shape{4, 6, 4, 16, 2}}) {
    for (const cpu::SweepRule rule : kSweepRules)
      ASSERT_NO_FATAL_FAILURE(
          check_sweep<TypeParam>({rule, shape, 2, Weights::PerEdge, 0.0, true, true}));
  }
}

TYPED_TEST(CudaWide, SweepsWithTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 31, 33, 255, 256, 257, 700}) {
    for (const int potential : {0, 1, 2, 3}) {
      ASSERT_NO_FATAL_FAILURE(check_sweep<TypeParam>(
          {cpu::SweepRule::TRWP, {1, 3, labels, 4}, potential, Weights::PerEdge, 0.0, true, true}));
    }
  }
}

/// Integers: ties everywhere, and the lowest label must win them.
TYPED_TEST(CudaWide, BreaksTiesAsTheCpuDoes) {
  for (const cpu::SweepRule rule : kSweepRules) {
    for (const int potential : {0, 2, 3}) {
      ASSERT_NO_FATAL_FAILURE(check_sweep<TypeParam>(
          {rule, {3, 4, 290, 4}, potential, Weights::PerEdge, 0.0, true, true}, 1.0));
    }
  }
}

TYPED_TEST(CudaWide, UndoesSweepsWithTheCpusBits) {
  for (const cpu::SweepRule rule : kSweepRules) {
    for (const double damping : {0.0, 0.25}) {
      for (const bool flag : {false, true}) {
        ASSERT_NO_FATAL_FAILURE(
            check_adjoint<TypeParam>({rule, {3, 3, 13, 8, 2}, damping, flag, !flag, true}));
        ASSERT_NO_FATAL_FAILURE(
            check_adjoint<TypeParam>({rule, {2, 3, 40, 4}, damping, !flag, flag, flag}));
      }
    }
  }
}

TYPED_TEST(CudaWide, UndoesSweepsWithTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 3, 33, 257, 600}) {
    for (const cpu::SweepRule rule : kSweepRules)
      ASSERT_NO_FATAL_FAILURE(
          check_adjoint<TypeParam>({rule, {1, 3, labels, 4}, 0.0, true, true, true}));
  }
}

TYPED_TEST(CudaWide, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 5);
    for (const cpu::SweepRule rule : kSweepRules) {
      for (const int potential : {0, 1, 2, 5}) {
        ASSERT_NO_FATAL_FAILURE(check_sweep<TypeParam>(
            {rule, {2, 3, 280, 4}, potential, Weights::PerEdge, 0.5, true, false}));
      }
      ASSERT_NO_FATAL_FAILURE(
          check_adjoint<TypeParam>({rule, {2, 3, 280, 4}, 0.5, true, true, true}));
    }
  }
}

/// The public functions find their way here, and shared memory beyond 48 KiB is asked for.
TYPED_TEST(CudaWide, IsWhereRowsBeyondAWarpGo) {
  const int64_t labels = sizeof(TypeParam) == 4 ? 5000 : 2600;
  check<TypeParam>({cpu::SweepRule::TRWP, {1, 3, labels, 4}, 2, Weights::PerEdge, 0.0, true, true});
  check<TypeParam>({cpu::SweepRule::SGM, {1, 3, labels, 4}, 1, Weights::Scalar, 0.0, true, true});
  check<TypeParam>(AdjointCase{cpu::SweepRule::TRWP, {1, 2, 600, 4}, 0.0, false, true, true});
}

TEST(CudaWideRefuses, RowsThatDoNotFitSharedMemory) {
  cpu::MinConvolutionPlan<float> plan{};
  plan.labels = 65535;
  cpu::SweepArgs<float> sweep{};
  sweep.shape = {1, 2, 65535, 65535, 4};
  sweep.plan = &plan;
  EXPECT_EQ(cuda::sweep_pair(sweep, {1, 0, 0, 0, 0}, nullptr), cudaErrorInvalidValue);
  cpu::AdjointArgs<float> adjoint{};
  adjoint.shape = sweep.shape;
  EXPECT_EQ(cuda::adjoint_pair(adjoint, {1, 0, 0, 0, 0}, {}, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace mrfcore::test
