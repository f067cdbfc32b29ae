// SPDX-License-Identifier: Apache-2.0
// Kernels of mean shift and of the pairwise margin loss in the emulator, against the CPU's to
// rounding (sums have another order) and against themselves, to the bit, in three orders of
// threads.
#include "mrfcore/mean_shift.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "emulator/emulator.hpp"
#include "emulator/points.hpp"
#include "mean_shift_kernels.hpp"
#include "ops/mean_shift.hpp"

namespace mrfcore::test {
namespace {

namespace kernels = cuda::kernels;

constexpr emulator::Order kOrders[] = {emulator::Order::kForward, emulator::Order::kReversed,
                                       emulator::Order::kShuffled};
constexpr MeanShiftKernel kForms[] = {MeanShiftKernel::Sphere, MeanShiftKernel::Gaussian,
                                      MeanShiftKernel::Flat};

template <class T>
kernels::PointLayout layout_of(const MeanShiftShape& shape) {
  const auto layout = mean_shift_layout<T>(shape);
  return {layout.batch, layout.dims, layout.points, layout.blocks, layout.stride};
}

template <class T>
std::vector<T> memory(int64_t size) {
  return std::vector<T>(static_cast<size_t>(size), std::numeric_limits<T>::quiet_NaN());
}

template <class T>
struct Loop {
  std::vector<T> out, grad_x;
  double grad_kappa = 0;
  bool operator==(const Loop&) const = default;
};

MeanShiftOptions options_of(MeanShiftKernel kernel) {
  MeanShiftOptions options;
  options.kernel = kernel;
  options.steps = 1;
  options.kappa = kernel == MeanShiftKernel::Sphere ? 5.0 : 0.4;
  options.step_size = 0.8;
  return options;
}

template <class T>
Loop<T> by_cpu(const std::vector<T>& x, const std::vector<T>& grad, const MeanShiftShape& shape,
               const MeanShiftOptions& options) {
  Loop<T> loop{memory<T>(std::ssize(x)), memory<T>(std::ssize(x))};
  auto tape = memory<T>(mean_shift_tape_size<T>(shape, options.steps));
  mean_shift_forward(x.data(), shape, options, loop.out.data(), tape.data());
  mean_shift_backward(shape, options, tape.data(), grad.data(), loop.grad_x.data(),
                      &loop.grad_kappa);
  return loop;
}

/// One loop forward and backward.
template <class T>
Loop<T> by_cuda(const std::vector<T>& x, const std::vector<T>& grad, const MeanShiftShape& shape,
                const MeanShiftOptions& options) {
  const kernels::PointLayout layout = layout_of<T>(shape);
  const bool sphere = options.kernel == MeanShiftKernel::Sphere;
  const T kappa = static_cast<T>(options.kappa), eta = static_cast<T>(options.step_size);
  auto offset = memory<T>(layout.batch * layout.dims);
  auto from = memory<T>(layout.rows_size()), to = from, gradient = from, pulled = from;
  auto parts = memory<T>(layout.splits() * layout.rows_size());
  auto part_sums = memory<T>(layout.splits() * layout.numbers());
  auto norm = memory<T>(layout.numbers()), length = norm, mass = norm, centre = norm;
  std::vector<double> sums(static_cast<size_t>(layout.splits() * layout.batch * layout.blocks));
  Loop<T> loop{memory<T>(std::ssize(x)), memory<T>(std::ssize(x))};
  const T* shift = sphere ? nullptr : offset.data();
  EXPECT_EQ(kernels::point_means(layout, x.data(), offset.data(), nullptr), 0);
  EXPECT_EQ(kernels::load_points(layout, x.data(), shift, from.data(), nullptr), 0);
  if (sphere) {
    const T* none = nullptr;
    EXPECT_EQ(kernels::normalise_points(layout, none, from.data(), norm.data(), nullptr), 0);
  }
  EXPECT_EQ(
      kernels::mean_shift_step<T>(layout,
                                  {options.kernel, eta, &kappa, from.data(), to.data(), mass.data(),
                                   length.data(), parts.data(), part_sums.data()},
                                  nullptr),
      0);
  EXPECT_EQ(kernels::unload_points(layout, to.data(), shift, loop.out.data(), nullptr), 0);
  const T* none = nullptr;
  EXPECT_EQ(kernels::load_points(layout, grad.data(), none, gradient.data(), nullptr), 0);
  EXPECT_EQ(
      kernels::mean_shift_step_back<T>(layout,
                                       {options.kernel, eta, &kappa, from.data(), to.data(),
                                        mass.data(), length.data(), gradient.data(), pulled.data(),
                                        centre.data(), parts.data(), part_sums.data(), sums.data()},
                                       nullptr),
      0);
  if (sphere) {
    EXPECT_EQ(kernels::through_norm(layout, from.data(), norm.data(), gradient.data(), nullptr), 0);
  }
  EXPECT_EQ(kernels::unload_points(layout, gradient.data(), none, loop.grad_x.data(), nullptr), 0);
  for (const double sum : sums) loop.grad_kappa += sum;
  return loop;
}

template <class T>
class CudaMeanShift : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaMeanShift, Reals);

/// Blocks of 64 points; 16, 32 or 64 dimensions of one, dimensions by 16 or 32; more than one
/// split.
const MeanShiftShape kShapes[] = {{1, 1, 1},   {2, 3, 5},    {1, 16, 64},  {2, 17, 65},
                                  {1, 33, 70}, {1, 64, 130}, {1, 129, 67}, {2, 2, 260}};

TYPED_TEST(CudaMeanShift, LoopsAreTheCpusToRounding) {
  const double tolerance = sizeof(TypeParam) == 4 ? 2e-6 : 5e-15;
  for (const MeanShiftKernel kernel : kForms) {
    for (const MeanShiftShape& shape : kShapes) {
      const int64_t size = shape.batch * shape.dims * shape.points;
      const auto x = normal_numbers<TypeParam>(size, 1), grad = normal_numbers<TypeParam>(size, 2);
      const MeanShiftOptions options = options_of(kernel);
      const auto expected = by_cpu(x, grad, shape, options);
      const auto found = by_cuda(x, grad, shape, options);
      const std::string name = describe(shape) + " form " + std::to_string(int(kernel));
      expect_close(found.out, expected.out, tolerance, name);
      expect_close(found.grad_x, expected.grad_x, 4 * tolerance, name);
      EXPECT_NEAR(found.grad_kappa, expected.grad_kappa,
                  20 * tolerance * (std::fabs(expected.grad_kappa) + 1))
          << name;
    }
  }
}

TYPED_TEST(CudaMeanShift, TheSameBitsInEveryOrderAndBatch) {
  for (const MeanShiftKernel kernel : kForms) {
    const MeanShiftShape both{2, 19, 150}, one{1, 19, 150};
    const auto x = normal_numbers<TypeParam>(2 * one.dims * one.points, 3);
    const auto grad = normal_numbers<TypeParam>(std::ssize(x), 4);
    const auto first = by_cuda(x, grad, both, options_of(kernel));
    for (const emulator::Order order : kOrders) {
      const emulator::ScopedOrder scope(order);
      EXPECT_TRUE(by_cuda(x, grad, both, options_of(kernel)) == first);
    }
    const std::vector<TypeParam> second_x(x.end() - std::ssize(x) / 2, x.end());
    const std::vector<TypeParam> second_grad(grad.end() - std::ssize(x) / 2, grad.end());
    const auto second = by_cuda(second_x, second_grad, one, options_of(kernel));
    EXPECT_TRUE(
        std::equal(second.out.begin(), second.out.end(), first.out.begin() + std::ssize(x) / 2));
    EXPECT_TRUE(std::equal(second.grad_x.begin(), second.grad_x.end(),
                           first.grad_x.begin() + std::ssize(x) / 2));
  }
}

/// Points that cannot be told apart, a zero vector, points whose mean vanishes.
TYPED_TEST(CudaMeanShift, DegeneratePoints) {
  const MeanShiftShape shape{1, 2, 6};
  const std::vector<TypeParam> x = {1, 1, 1, -1, -1, -1, 0, 0, 0, 0, 0, 0};
  const auto grad = normal_numbers<TypeParam>(12, 6);
  MeanShiftOptions options = options_of(MeanShiftKernel::Sphere);
  options.kappa = 0;
  const auto found = by_cuda(x, grad, shape, options);
  options.step_size = 1;
  const auto stays = by_cuda(x, grad, shape, options);
  EXPECT_EQ(stays.out, x);
  EXPECT_EQ(stays.grad_x, std::vector<TypeParam>(12, 0));
  EXPECT_EQ(found.out, x);
  const std::vector<TypeParam> zero(12, 0);
  options.kappa = 7;
  EXPECT_EQ(by_cuda(zero, grad, shape, options).out, zero);
  EXPECT_EQ(by_cuda(zero, grad, shape, options).grad_x, zero);
}

TYPED_TEST(CudaMeanShift, WhatIsNotFiniteDoesNotGoUnseen) {
  const MeanShiftShape shape{2, 5, 70};
  const int64_t size = shape.dims * shape.points;
  const auto grad = normal_numbers<TypeParam>(2 * size, 8);
  for (const MeanShiftKernel kernel : kForms) {
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
      auto x = normal_numbers<TypeParam>(2 * size, 7);
      x[3] = static_cast<TypeParam>(bad);
      const auto found = by_cuda(x, grad, shape, options_of(kernel));
      for (int64_t i = 0; i < 2 * size; ++i) {
        ASSERT_EQ(std::isnan(found.out[static_cast<size_t>(i)]), i < size) << i;
        ASSERT_EQ(std::isnan(found.grad_x[static_cast<size_t>(i)]), i < size) << i;
      }
    }
    for (const double kappa : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
      MeanShiftOptions options = options_of(kernel);
      options.kappa = kappa;
      const auto x = normal_numbers<TypeParam>(2 * size, 7);
      for (const TypeParam y : by_cuda(x, grad, shape, options).out) ASSERT_TRUE(std::isnan(y));
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
