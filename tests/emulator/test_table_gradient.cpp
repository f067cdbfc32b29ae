// SPDX-License-Identifier: Apache-2.0
// CUDA's gradients of V from what its adjoints leave behind, against those that the CPU's adjoint
// adds up: the same products, added in another order.
#include <gtest/gtest.h>

#include <cmath>

#include "emulator/emulator.hpp"
#include "emulator/pair_state.hpp"

namespace mrfcore::test {
namespace {

constexpr double kWasThere = 0.25;  ///< bins are added to

template <class T>
std::vector<double> bins_of_cuda(const PairCase& c, int pair, int64_t count) {
  PairState<T> s(c, c.shape.labels);
  LeftBehind<T> left_behind(c);
  const cpu::AdjointArgs<T> a = adjoint_arguments(c, pair, s);
  std::vector<double> bins(static_cast<size_t>(count * c.shape.labels * c.shape.labels), kWasThere);
  EXPECT_EQ(cuda::adjoint_pair(a, c.batch(), left_behind.get(), nullptr), 0);
  EXPECT_EQ(cuda::table_gradient(a, c.batch(), left_behind.get(), bins.data(), count, nullptr), 0);
  return bins;
}

template <class T>
void check(const PairCase& c, int64_t count) {
  const auto size = static_cast<size_t>(c.shape.labels * c.shape.labels);
  for (int pair = 0; pair < c.shape.connectivity / 2; ++pair) {
    SCOPED_TRACE(c.text() + ", pair " + std::to_string(pair) + ", bins " + std::to_string(count));
    std::vector<double> expected(size, 0.0);
    undone_by_cpu<T>(c, pair, expected.data());
    const std::vector<double> bins = bins_of_cuda<T>(c, pair, count);
    double largest = 1.0;
    for (const double e : expected) largest = std::max(largest, std::fabs(e));
    for (size_t i = 0; i < size; ++i) {
      double sum = 0.0;
      for (int64_t b = 0; b < count; ++b)
        sum += bins[static_cast<size_t>(b) * size + i] - kWasThere;
      ASSERT_NEAR(sum, expected[i], 1e-12 * largest) << "element " << i;
    }
  }
}

template <class T>
class CudaTableGradient : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaTableGradient, Reals);

TYPED_TEST(CudaTableGradient, IsTheCpusForEveryRule) {
  for (const cpu::SweepRule rule :
       {cpu::SweepRule::SGM, cpu::SweepRule::ISGMR, cpu::SweepRule::TRWP}) {
    for (const double temperature : {0.0, 0.5}) {
      if (rule == cpu::SweepRule::SGM && temperature > 0.0) continue;
      for (const bool flag : {false, true}) {
        const double damping = flag ? 0.25 : 0.0;
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {5, 7, 13, 8, 2}, temperature, damping, flag, !flag, flag}, 3));
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {3, 5, 40, 4}, temperature, damping, !flag, false}, 1));
      }
    }
  }
}

TYPED_TEST(CudaTableGradient, IsTheCpusInAllDirectionsAndShapes) {
  for (const Shape& shape : {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16, 3}, Shape{7, 1, 5, 16},
                             Shape{6, 11, 4, 16, 2}, Shape{11, 6, 33, 16}}) {
    for (const double temperature : {0.0, 0.5})
      ASSERT_NO_FATAL_FAILURE(
          check<TypeParam>({cpu::SweepRule::TRWP, shape, temperature, 0.0, true, false}, 64));
  }
}

TYPED_TEST(CudaTableGradient, IsTheCpusForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 3, 16, 17, 31, 32, 33, 64, 65, 100, 256}) {
    for (const double temperature : {0.0, 0.5})
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
          {cpu::SweepRule::TRWP, {2, 3, labels, 4, 2}, temperature, 0.0, true, false}, 2));
  }
}

/// Longer than a warp's steps, so that every warp and slot has several messages.
TYPED_TEST(CudaTableGradient, IsTheCpusForLongRows) {
  for (const int64_t labels : {5, 64})
    ASSERT_NO_FATAL_FAILURE(
        check<TypeParam>({cpu::SweepRule::TRWP, {2, 211, labels, 4, 2}, 0.0, 0.0, true, false}, 2));
  ASSERT_NO_FATAL_FAILURE(
      check<TypeParam>({cpu::SweepRule::TRWP, {2, 211, 5, 4, 2}, 0.5, 0.0, true, false}, 2));
}

/// More rows than a tile holds, arg-mins of 16 bits.
TEST(CudaTableGradientWide, IsTheCpus) {
  check<float>({cpu::SweepRule::TRWP, {1, 3, 300, 2}, 0.0, 0.0, true, false}, 2);
  check<float>({cpu::SweepRule::TRWP, {1, 3, 400, 2}, 0.0, 0.0, true, false}, 2);
  check<float>({cpu::SweepRule::TRWP, {1, 3, 400, 2}, 0.5, 0.0, true, false}, 1);
}

class ScopedSharedMemory {
 public:
  explicit ScopedSharedMemory(size_t bytes) : before_(emulator::device()) {
    emulator::Device device = before_;
    device.shared_per_block_optin = bytes;
    emulator::set_device(device);
  }
  ~ScopedSharedMemory() { emulator::set_device(before_); }

 private:
  emulator::Device before_;
};

/// The most that a block has on sm_86, sm_89 and sm_120.
TYPED_TEST(CudaTableGradient, FitsTheSmallestGpu) {
  const ScopedSharedMemory scope(size_t{99} << 10);
  for (const int64_t labels : {3, 64, 192, 384, 400}) {
    ASSERT_NO_FATAL_FAILURE(
        check<TypeParam>({cpu::SweepRule::TRWP, {1, 2, labels, 2}, 0.0, 0.0, true, false}, 1));
  }
}

TEST(CudaTableGradientRefuses, GpusWithoutTheMemoryAndLeavesNoError) {
  const PairCase c{cpu::SweepRule::TRWP, {2, 3, 4, 4}, 0.0};
  PairState<float> s(c, 4);
  LeftBehind<float> left_behind(c);
  std::vector<double> bins(16);
  const cpu::AdjointArgs<float> a = adjoint_arguments(c, 0, s);
  {
    const ScopedSharedMemory scope(size_t{64} << 10);
    EXPECT_NE(cuda::table_gradient(a, c.batch(), left_behind.get(), bins.data(), 1, nullptr), 0);
  }
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
}

TYPED_TEST(CudaTableGradient, HasTheSameBitsInAnyOrderOfThreads) {
  for (const double temperature : {0.0, 0.5}) {
    const PairCase c{cpu::SweepRule::ISGMR, {9, 8, 40, 8, 2}, temperature, 0.0, true, false};
    const std::vector<double> expected = bins_of_cuda<TypeParam>(c, 3, 5);
    for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
      const emulator::ScopedOrder scope(order, 5);
      ASSERT_EQ(bins_of_cuda<TypeParam>(c, 3, 5), expected);
    }
  }
}

TEST(CudaTableGradientRefuses, WhatItWasNotLeft) {
  for (const double temperature : {0.0, 0.5}) {
    const PairCase c{cpu::SweepRule::TRWP, {2, 3, 4, 4}, temperature};
    PairState<float> s(c, 4);
    LeftBehind<float> left_behind(c);
    std::vector<double> bins(16);
    const cpu::AdjointArgs<float> a = adjoint_arguments(c, 0, s);
    cuda::MessageGradients<float> kept = left_behind.get();
    ASSERT_EQ(cuda::adjoint_pair(a, c.batch(), kept, nullptr), 0);
    EXPECT_EQ(cuda::table_gradient(a, c.batch(), kept, bins.data(), 1, nullptr), 0);
    EXPECT_NE(cuda::table_gradient(a, c.batch(), kept, bins.data(), 0, nullptr), 0);
    kept.backward_sender = nullptr;
    EXPECT_EQ(cuda::table_gradient(a, c.batch(), kept, bins.data(), 1, nullptr) != 0,
              temperature > 0.0);
    kept.forward = nullptr;
    EXPECT_NE(cuda::table_gradient(a, c.batch(), kept, bins.data(), 1, nullptr), 0);
  }
}

}  // namespace
}  // namespace mrfcore::test
