// SPDX-License-Identifier: Apache-2.0
// The pairwise margin loss in the emulator against the CPU's, to rounding, and against itself, to
// the bit, in three orders of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "emulator/emulator.hpp"
#include "emulator/points.hpp"
#include "mean_shift_kernels.hpp"
#include "mrfcore/pairwise_margin.hpp"
#include "ops/mean_shift.hpp"

namespace mrfcore::test {
namespace {

namespace kernels = cuda::kernels;

constexpr emulator::Order kOrders[] = {emulator::Order::kForward, emulator::Order::kReversed,
                                       emulator::Order::kShuffled};

template <class T>
struct Case {
  MeanShiftShape shape;
  std::vector<T> x, weights;
  std::vector<int64_t> labels;

  explicit Case(const MeanShiftShape& of, int64_t groups = 4)
      : shape(of),
        x(normal_numbers<T>(of.batch * of.dims * of.points, 1)),
        weights(normal_numbers<T>(of.batch * of.points, 2)) {
    for (size_t i = 0; i < weights.size(); ++i) {
      weights[i] = i % 7 == 3 ? T(0) : std::fabs(weights[i]);
      labels.push_back((static_cast<int64_t>(i) * 5 % groups - 2) << 40);
    }
  }
};

template <class T>
struct Found {
  std::vector<double> loss;
  std::vector<T> grad;
  bool operator==(const Found&) const = default;
};

constexpr PairwiseMarginOptions kOptions{.alpha = 0.45, .neg_weight = 1.5, .threads = 1};

template <class T>
Found<T> by_cpu(const Case<T>& c) {
  const MeanShiftShape& s = c.shape;
  Found<T> found{std::vector<double>(static_cast<size_t>(s.batch)), c.x};
  pairwise_margin_loss(c.x.data(), c.labels.data(), c.weights.data(), s.batch, s.dims, s.points,
                       kOptions, found.loss.data(), found.grad.data());
  return found;
}

template <class T>
Found<T> by_cuda(const Case<T>& c, bool with_gradient = true) {
  const auto of = mean_shift_layout<T>(c.shape);
  const kernels::PointLayout layout{of.batch, of.dims, of.points, of.blocks, of.stride};
  constexpr T kPoison = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> rows(static_cast<size_t>(layout.rows_size()), kPoison), gradient(rows);
  std::vector<T> length(static_cast<size_t>(layout.numbers()), kPoison);
  std::vector<T> parts(static_cast<size_t>(layout.splits() * layout.rows_size()), kPoison);
  const int64_t sums = layout.blocks * layout.splits();
  std::vector<double> loss(static_cast<size_t>(layout.batch * sums), std::nan(""));
  const T* none = nullptr;
  EXPECT_EQ(kernels::load_points(layout, c.x.data(), none, rows.data(), nullptr), 0);
  EXPECT_EQ(
      kernels::normalise_points(layout, c.weights.data(), rows.data(), length.data(), nullptr), 0);
  EXPECT_EQ(kernels::pairwise_margin<T>(
                layout,
                {static_cast<T>(kOptions.alpha), static_cast<T>(kOptions.neg_weight), rows.data(),
                 c.labels.data(), c.weights.data(), loss.data(),
                 with_gradient ? gradient.data() : nullptr, with_gradient ? parts.data() : nullptr},
                nullptr),
            0);
  Found<T> found{std::vector<double>(static_cast<size_t>(layout.batch)), c.x};
  EXPECT_EQ(cuda::sum_rows(loss.data(), sums, layout.batch, found.loss.data(), nullptr), 0);
  if (!with_gradient) return found;
  EXPECT_EQ(kernels::through_norm(layout, rows.data(), length.data(), gradient.data(), nullptr), 0);
  EXPECT_EQ(kernels::unload_points(layout, gradient.data(), none, found.grad.data(), nullptr), 0);
  return found;
}

template <class T>
class CudaPairwiseMargin : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaPairwiseMargin, Reals);

TYPED_TEST(CudaPairwiseMargin, LossAndGradientAreTheCpusToRounding) {
  const double tolerance = sizeof(TypeParam) == 4 ? 1e-6 : 5e-15;
  for (const MeanShiftShape& shape :
       {MeanShiftShape{1, 1, 1}, {2, 3, 5}, {2, 17, 65}, {1, 33, 130}, {1, 129, 67}, {1, 2, 260}}) {
    const Case<TypeParam> c(shape);
    const auto expected = by_cpu(c), found = by_cuda(c);
    expect_close(found.loss, expected.loss, tolerance, describe(shape));
    expect_close(found.grad, expected.grad, 4 * tolerance, describe(shape));
    EXPECT_EQ(by_cuda(c, false).loss, found.loss);
  }
}

TYPED_TEST(CudaPairwiseMargin, TheSameBitsInEveryOrder) {
  const Case<TypeParam> c({2, 19, 150});
  const auto first = by_cuda(c);
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    EXPECT_TRUE(by_cuda(c) == first);
  }
}

/// Duplicates, zero vectors, and points without weight, which may hold anything.
TYPED_TEST(CudaPairwiseMargin, DegeneratePoints) {
  Case<TypeParam> c({1, 3, 80});
  for (int64_t p = 0; p < 80; ++p) {
    for (int64_t d = 0; d < 3; ++d) {
      TypeParam& x = c.x[static_cast<size_t>(d * 80 + p)];
      if (p % 10 == 0) x = TypeParam(0);
      if (p % 10 == 1) x = TypeParam(d + 1);
    }
  }
  const auto expected = by_cpu(c);
  const auto found = by_cuda(c);
  expect_close(found.loss, expected.loss, 1e-6, "loss");
  expect_close(found.grad, expected.grad, 1e-6, "gradient");
  for (size_t p = 0; p < 80; p += 10) EXPECT_EQ(found.grad[p], TypeParam(0));
  for (size_t p = 3; p < 80; p += 7) c.x[p] = std::numeric_limits<TypeParam>::quiet_NaN();
  EXPECT_TRUE(by_cuda(c) == found);
  c.weights.assign(80, TypeParam(0));
  EXPECT_EQ(by_cuda(c).loss[0], 0.0);
  EXPECT_EQ(by_cuda(c).grad, std::vector<TypeParam>(240, TypeParam(0)));
}

TYPED_TEST(CudaPairwiseMargin, WhatIsNotFiniteDoesNotGoUnseen) {
  const auto unseen = [](const auto& change) {
    Case<TypeParam> c({2, 3, 70});
    change(c);
    const auto found = by_cuda(c);
    return !std::isnan(found.loss[0]) || !std::isfinite(found.loss[1]);
  };
  constexpr TypeParam kNan = std::numeric_limits<TypeParam>::quiet_NaN();
  constexpr TypeParam kInf = std::numeric_limits<TypeParam>::infinity();
  for (const TypeParam bad : {kNan, kInf, -kInf}) {
    EXPECT_FALSE(unseen([&](auto& c) { c.x[75] = bad; })) << bad;
    EXPECT_FALSE(unseen([&](auto& c) { c.weights[5] = bad; })) << bad;
  }
  EXPECT_FALSE(unseen([&](auto& c) { c.weights[5] = -1; }));
}

}  // namespace
}  // namespace mrfcore::test
