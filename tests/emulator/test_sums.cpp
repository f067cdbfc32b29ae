// SPDX-License-Identifier: Apache-2.0
// Sums in a fixed order, memory and tables, in the emulator: against loops that say what is meant.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "emulator/emulator.hpp"
#include "kernels.hpp"
#include "ops/plan.hpp"

namespace mrfcore::test {
namespace {

constexpr emulator::Order kOrders[] = {emulator::Order::kForward, emulator::Order::kReversed,
                                       emulator::Order::kShuffled};

/// Numbers of both signs whose sum rounds differently in another order.
template <class T>
std::vector<T> rough(int64_t size, uint32_t seed) {
  std::vector<T> values = Random(seed).array<T>(size, 2.0, 1e-6);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = (values[i] - T(0.9)) * std::exp2(static_cast<T>(i % 13));
  return values;
}

template <class T>
class CudaSums : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaSums, Reals);

TEST(CudaSumRows, AddsFromLeftToRight) {
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    for (const int64_t count : {0, 1, 31, 32, 33, 100, 1000}) {
      const std::vector<double> from = rough<double>(3 * count, 5);
      std::vector<double> to(3, -1.0), expected(3, 0.0);
      for (int64_t i = 0; i < 3 * count; ++i)
        expected[static_cast<size_t>(i / count)] += from[static_cast<size_t>(i)];
      ASSERT_EQ(cuda::sum_rows(from.data(), count, 3, to.data(), nullptr), 0);
      ASSERT_EQ(to, expected) << count;
    }
  }
}

TYPED_TEST(CudaSums, AddsItemsAndBinsInOrder) {
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    for (const int64_t size : {1, 255, 256, 700}) {
      for (const int64_t terms : {1, 3, 9}) {
        const std::vector<TypeParam> items = rough<TypeParam>(size * terms, 6);
        const std::vector<double> bins = rough<double>(size * terms, 7);
        const auto columns = static_cast<size_t>(size);
        std::vector<TypeParam> of_items(columns), of_bins(columns);
        ASSERT_EQ(cuda::sum_items(items.data(), size, terms, of_items.data(), nullptr), 0);
        ASSERT_EQ(cuda::sum_bins(bins.data(), size, terms, of_bins.data(), nullptr), 0);
        for (size_t i = 0; i < columns; ++i) {
          double item_sum = 0.0, bin_sum = 0.0;
          for (size_t k = 0; k < static_cast<size_t>(terms); ++k) {
            item_sum += static_cast<double>(items[k * columns + i]);
            bin_sum += bins[k * columns + i];
          }
          ASSERT_EQ(of_items[i], static_cast<TypeParam>(item_sum));
          ASSERT_EQ(of_bins[i], static_cast<TypeParam>(bin_sum));
        }
      }
    }
  }
}

TYPED_TEST(CudaSums, AddsEverythingTheSameWayInEveryOrder) {
  for (const int64_t size : {0, 1, 5, 256, 1000, 1024 * 256 + 77}) {
    const std::vector<TypeParam> from = rough<TypeParam>(size, 8);
    double expected = 0.0, magnitude = 1.0;
    for (const TypeParam x : from) {
      expected += static_cast<double>(x);
      magnitude += std::fabs(static_cast<double>(x));
    }
    std::vector<TypeParam> sums;
    for (const emulator::Order order : kOrders) {
      const emulator::ScopedOrder scope(order);
      std::vector<double> scratch(cuda::kSumScratch, std::numeric_limits<double>::quiet_NaN());
      sums.push_back(TypeParam(-1));
      ASSERT_EQ(cuda::sum_all(from.data(), size, scratch.data(), &sums.back(), nullptr), 0);
      ASSERT_EQ(sums.back(), sums.front());
    }
    const double rounding = static_cast<double>(std::numeric_limits<TypeParam>::epsilon());
    ASSERT_NEAR(static_cast<double>(sums.front()), expected,
                1e-13 * magnitude + rounding * std::fabs(expected));
  }
}

TYPED_TEST(CudaSums, WritesValuesFromTheHostInChunks) {
  for (const int64_t count : {0, 1, 504, 505, 1008, 1009, 5000}) {
    const std::vector<TypeParam> host = rough<TypeParam>(count, 9);
    std::vector<TypeParam> to(host.size() + 1, TypeParam(-5));
    ASSERT_EQ(cuda::write_values(host.data(), count, to.data(), nullptr), 0);
    ASSERT_EQ(to.back(), TypeParam(-5)) << "written beyond the end";
    to.pop_back();
    ASSERT_EQ(to, host);
  }
  const std::vector<int32_t> labels = {3, -1, 7};
  std::vector<int32_t> to(3);
  ASSERT_EQ(cuda::write_values(labels.data(), 3, to.data(), nullptr), 0);
  EXPECT_EQ(to, labels);
}

TYPED_TEST(CudaSums, ClearsCopiesAndFills) {
  std::vector<TypeParam> memory(700, TypeParam(3));
  ASSERT_EQ(cuda::clear(memory.data() + 1, 500 * sizeof(TypeParam), nullptr), 0);
  EXPECT_EQ(memory[0], TypeParam(3));
  EXPECT_EQ(memory[1], TypeParam(0));
  EXPECT_EQ(memory[500], TypeParam(0));
  EXPECT_EQ(memory[501], TypeParam(3));
  std::vector<TypeParam> copied(memory.size(), TypeParam(-1));
  ASSERT_EQ(cuda::copy(copied.data(), memory.data(), 699 * sizeof(TypeParam), nullptr), 0);
  EXPECT_EQ(copied[698], TypeParam(3));
  EXPECT_EQ(copied[699], TypeParam(-1));
  EXPECT_EQ(copied[200], TypeParam(0));
  const TypeParam value = TypeParam(0.1);
  ASSERT_EQ(cuda::fill(&value, 699, memory.data(), nullptr), 0);
  EXPECT_EQ(memory[698], value);
  EXPECT_EQ(memory[699], TypeParam(3));
}

/// As PotentialTables makes them on the CPU.
TYPED_TEST(CudaSums, FillsTablesAsTheCpuDoes) {
  for (const int64_t labels : {1, 2, 31, 33, 300}) {
    for (const bool by_differences : {false, true}) {
      const Potential potential = by_differences ? Potential::huber(2.5) : random_table(labels, 3);
      std::vector<TypeParam> values, differences;
      for (int64_t l = 0; l < labels; ++l) {
        differences.push_back(static_cast<TypeParam>(potential(l, 0)));
        for (int64_t m = 0; m < labels; ++m)
          values.push_back(static_cast<TypeParam>(potential(l, m)));
      }
      const TypeParam factor = TypeParam(0.7);
      const PotentialTables<TypeParam> expected(potential, labels, labels, factor);
      std::vector<TypeParam> table(values.size()), transposed(values.size());
      ASSERT_EQ(
          cuda::fill_tables(by_differences ? differences.data() : nullptr,
                            by_differences ? nullptr : values.data(), static_cast<int>(labels),
                            factor, table.data(), transposed.data(), nullptr),
          0);
      for (size_t i = 0; i < table.size(); ++i) {
        ASSERT_EQ(table[i], expected.forward()[i]);
        ASSERT_EQ(transposed[i], expected.backward()[i]);
      }
      ASSERT_EQ(cuda::fill_tables<TypeParam>(differences.data(), nullptr, 1, factor, table.data(),
                                             nullptr, nullptr),
                0);
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
