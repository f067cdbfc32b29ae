// SPDX-License-Identifier: Apache-2.0
// Points for tests of mean shift and of the pairwise margin loss, and how close results must be.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "mrfcore/mean_shift.hpp"

namespace mrfcore::test {

template <class T>
std::vector<T> normal_numbers(int64_t size, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<T> numbers(static_cast<size_t>(size));
  for (T& x : numbers) x = static_cast<T>(normal(engine));
  return numbers;
}

inline std::string describe(const MeanShiftShape& shape) {
  return std::to_string(shape.batch) + " x " + std::to_string(shape.dims) + " x " +
         std::to_string(shape.points);
}

/// Differences relative to the largest number expected, or to 1 where all are smaller.
template <class T>
void expect_close(const std::vector<T>& found, const std::vector<T>& expected, double tolerance,
                  const std::string& name) {
  ASSERT_EQ(found.size(), expected.size());
  double largest = 1.0, worst = 0.0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double off = std::fabs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
    worst = off <= worst ? worst : off;  // NaN stays
  }
  EXPECT_LE(worst, tolerance * largest) << name;
}

}  // namespace mrfcore::test
