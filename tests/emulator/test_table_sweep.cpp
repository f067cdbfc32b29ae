// SPDX-License-Identifier: Apache-2.0
// CUDA's sweeps by tables of V in the emulator against the CPU's: the same bits, arg-mins included,
// whether a warp has one scanline or several.
#include <gtest/gtest.h>

#include <vector>

#include "emulator/emulator.hpp"
#include "emulator/sweep_case.hpp"
#include "table_kernels.cuh"

namespace mrfcore::test {
namespace {

constexpr int kTable = kSweepPotentials - 1;

template <class T, cuda::TableSharing Sharing>
int swept(const cpu::SweepArgs<T>& args, const cuda::Batch& batch, cuda::Stream stream) {
  return cuda::table_sweep_pair(args, batch, Sharing, stream);
}
template <class T>
constexpr SweepPair<T> kAlone = &swept<T, cuda::TableSharing::kAlone>;
template <class T>
constexpr SweepPair<T> kSideBySide = &swept<T, cuda::TableSharing::kSideBySide>;

template <class T>
void check_both(const SweepCase& setup, double grain = kFine) {
  for (const SweepPair<T> sweep_pair : {kAlone<T>, kSideBySide<T>})
    ASSERT_NO_FATAL_FAILURE(check<T>(setup, grain, sweep_pair));
}

template <class T>
class CudaTableSweep : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaTableSweep, Reals);

/// Every width of rows, with and without arg-mins; by scalar weights V holds them already.
TYPED_TEST(CudaTableSweep, GivesTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 3, 31, 32, 33, 64, 65, 96, 97, 128, 129, 256}) {
    for (const bool record : {false, true}) {
      for (const Weights weights : {Weights::PerEdge, Weights::Scalar}) {
        ASSERT_NO_FATAL_FAILURE(check_both<TypeParam>(
            {cpu::SweepRule::TRWP, {5, 3, labels, 4}, kTable, weights, 0.0, record, true}));
      }
    }
  }
}

TEST(CudaTableSweepWide, GivesTheCpusBitsForSixteenLabelsALane) {
  for (const int64_t labels : {257, 300, 512}) {
    for (const bool record : {false, true}) {
      ASSERT_NO_FATAL_FAILURE(check_both<float>(
          {cpu::SweepRule::TRWP, {2, 3, labels, 4}, kTable, Weights::PerEdge, 0.0, record, true}));
    }
  }
}

TYPED_TEST(CudaTableSweep, GivesTheCpusBitsForEveryRule) {
  for (const cpu::SweepRule rule : kSweepRules) {
    for (const bool record : {false, true}) {
      for (const bool first : {false, true}) {
        ASSERT_NO_FATAL_FAILURE(check_both<TypeParam>(
            {rule, {7, 9, 13, 4}, kTable, Weights::Scalar, 0.0, record, first}));
        ASSERT_NO_FATAL_FAILURE(check_both<TypeParam>(
            {rule, {3, 5, 40, 4, 2}, kTable, Weights::PerEdge, 0.25, record, first}));
      }
    }
  }
}

/// Scanlines of a warp begin and end at different nodes, have none at all, or are too few for it.
TYPED_TEST(CudaTableSweep, GivesTheCpusBitsInAllDirectionsAndShapes) {
  for (const Shape& shape : {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16},
                             Shape{6, 11, 4, 16, 3}, Shape{11, 6, 33, 16}, Shape{18, 2, 7, 16}}) {
    for (const cpu::SweepRule rule : kSweepRules)
      ASSERT_NO_FATAL_FAILURE(
          check_both<TypeParam>({rule, shape, kTable, Weights::PerEdge, 0.0, true, true}));
  }
}

/// Path costs of integers: ties within tiles of labels and across them, and the lowest must win.
TYPED_TEST(CudaTableSweep, BreaksTiesAsTheCpuDoes) {
  for (const Weights weights : {Weights::PerEdge, Weights::Scalar}) {
    for (const int64_t labels : {37, 70, 130}) {
      ASSERT_NO_FATAL_FAILURE(check_both<TypeParam>(
          {cpu::SweepRule::SGM, {6, 5, labels, 8}, kIntegerTable, weights, 0.0, true, true}, 1.0));
    }
  }
}

TYPED_TEST(CudaTableSweep, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 5);
    for (const cpu::SweepRule rule : kSweepRules) {
      for (const int64_t labels : {40, 130}) {
        ASSERT_NO_FATAL_FAILURE(check_both<TypeParam>(
            {rule, {5, 6, labels, 8, 2}, kTable, Weights::PerEdge, 0.5, true, true}));
      }
    }
  }
}

/// Forbidden labels are the worst of all, and where there are no others, still labels.
TYPED_TEST(CudaTableSweep, TreatsForbiddenLabelsAsTheCpuDoes) {
  for (const int64_t labels : {3, 37, 130}) {
    const SweepCase setup{
        cpu::SweepRule::SGM, {4, 6, labels, 8}, kTable, Weights::PerEdge, 0.0, true, true};
    Instance<TypeParam> instance = random_instance<TypeParam>(
        setup.shape, sweep_potential(kTable, labels), setup.weights, 7, kFine);
    for (size_t i = 0; i < instance.unary.size(); ++i) {
      const bool whole_row = i / static_cast<size_t>(labels) == 9;
      if (whole_row || i % 3 == 0) instance.unary[i] = cpu::kForbidden<TypeParam>;
    }
    for (int pair = 0; pair < 4; ++pair) {
      for (const SweepPair<TypeParam> sweep_pair : {kAlone<TypeParam>, kSideBySide<TypeParam>})
        ASSERT_NO_FATAL_FAILURE(expect_same(setup, instance, pair, sweep_pair));
    }
  }
}

/// Few scanlines spread over the multiprocessors; many share what is read of V.
TEST(CudaTableSharing, GoesByTheNumberOfScanlines) {
  const emulator::Device before = emulator::device();
  emulator::Device device = before;
  device.multiprocessors = 2;
  emulator::set_device(device);
  EXPECT_EQ(cuda::table_sharing(63), cuda::TableSharing::kAlone);
  EXPECT_EQ(cuda::table_sharing(64), cuda::TableSharing::kSideBySide);
  // 70 rows and 3 columns: both kernels.
  EXPECT_NO_FATAL_FAILURE(check<float>(
      {cpu::SweepRule::TRWP, {70, 3, 5, 4}, kTable, Weights::PerEdge, 0.0, true, true}));
  emulator::set_device(before);
}

}  // namespace
}  // namespace mrfcore::test
