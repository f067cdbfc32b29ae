// SPDX-License-Identifier: Apache-2.0
// Recurrent mean shift against plain loops (Eq C.5), differences, threads and instruction sets.
#include "mrfcore/mean_shift.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

template <class T>
std::vector<T> normal_numbers(int64_t size, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<T> numbers(static_cast<size_t>(size));
  for (T& x : numbers) x = static_cast<T>(normal(engine));
  return numbers;
}

template <class T>
struct Pass {
  std::vector<T> out, grad_x;
  double grad_kappa = 0;
};

template <class T>
Pass<T> forward_and_back(const std::vector<T>& x, const MeanShiftShape& shape,
                         const MeanShiftOptions& options) {
  Pass<T> pass{std::vector<T>(x.size()), std::vector<T>(x.size())};
  std::vector<T> tape(static_cast<size_t>(mean_shift_tape_size<T>(shape, options.steps)), T(7));
  const auto grad = normal_numbers<T>(static_cast<int64_t>(x.size()), 5);
  mean_shift_forward(x.data(), shape, options, pass.out.data(), tape.data());
  mean_shift_backward(shape, options, tape.data(), grad.data(), pass.grad_x.data(),
                      &pass.grad_kappa);
  return pass;
}

/// What forward_and_back() differentiates.
double loss(const std::vector<double>& x, const MeanShiftShape& shape,
            const MeanShiftOptions& options) {
  std::vector<double> out(x.size());
  mean_shift_forward<double>(x.data(), shape, options, out.data(), nullptr);
  const auto grad = normal_numbers<double>(static_cast<int64_t>(x.size()), 5);
  double sum = 0;
  for (size_t n = 0; n < out.size(); ++n) sum += out[n] * grad[n];
  return sum;
}

void normalise(std::vector<double>& x, int64_t dims, int64_t points) {
  for (int64_t j = 0; j < points; ++j) {
    double square = 0;
    for (int64_t d = 0; d < dims; ++d)
      square += std::pow(x[static_cast<size_t>(d * points + j)], 2);
    for (int64_t d = 0; d < dims; ++d) x[static_cast<size_t>(d * points + j)] /= std::sqrt(square);
  }
}

double weight_of(MeanShiftKernel kernel, double kappa, double product, double square) {
  switch (kernel) {
    case MeanShiftKernel::Sphere:
      return std::exp(kappa * product);
    case MeanShiftKernel::Gaussian:
      return std::exp(-kappa * square / 2);
    case MeanShiftKernel::Flat:
      return kappa * square <= 1 ? 1 : 0;
  }
  return 0;
}

/// One item, Eq C.5 as printed.
std::vector<double> plain_mean_shift(std::vector<double> x, int64_t dims, int64_t points,
                                     const MeanShiftOptions& options) {
  const bool sphere = options.kernel == MeanShiftKernel::Sphere;
  const auto at = [points](int64_t d, int64_t j) { return static_cast<size_t>(d * points + j); };
  if (sphere) normalise(x, dims, points);
  for (int t = 0; t < options.steps; ++t) {
    std::vector<double> next(x.size());
    for (int64_t j = 0; j < points; ++j) {
      double mass = 0;
      std::vector<double> sum(static_cast<size_t>(dims));
      for (int64_t i = 0; i < points; ++i) {
        double product = 0, square = 0;
        for (int64_t d = 0; d < dims; ++d) {
          product += x[at(d, i)] * x[at(d, j)];
          square += std::pow(x[at(d, i)] - x[at(d, j)], 2);
        }
        const double k = weight_of(options.kernel, options.kappa, product, square);
        mass += k;
        for (int64_t d = 0; d < dims; ++d) sum[static_cast<size_t>(d)] += k * x[at(d, i)];
      }
      for (int64_t d = 0; d < dims; ++d) {
        next[at(d, j)] = (1 - options.step_size) * x[at(d, j)] +
                         options.step_size * sum[static_cast<size_t>(d)] / mass;
      }
    }
    x = next;
    if (sphere) normalise(x, dims, points);
  }
  return x;
}

constexpr MeanShiftKernel kKernels[] = {MeanShiftKernel::Sphere, MeanShiftKernel::Gaussian,
                                        MeanShiftKernel::Flat};

MeanShiftOptions options_of(MeanShiftKernel kernel, int steps, double step_size = 0.8) {
  MeanShiftOptions options;
  options.kernel = kernel;
  options.steps = steps;
  options.kappa = kernel == MeanShiftKernel::Sphere ? 6.0 : 0.7;
  options.step_size = step_size;
  options.threads = 1;
  return options;
}

TEST(MeanShift, IsThePlainLoops) {
  for (const MeanShiftKernel kernel : kKernels) {
    for (const MeanShiftShape shape :
         {MeanShiftShape{1, 3, 7}, {1, 9, 64}, {1, 2, 65}, {1, 33, 200}, {1, 1, 1}}) {
      const auto x = normal_numbers<double>(shape.dims * shape.points, 1);
      const auto options = options_of(kernel, 3);
      std::vector<double> out(x.size());
      mean_shift_forward<double>(x.data(), shape, options, out.data(), nullptr);
      const auto plain = plain_mean_shift(x, shape.dims, shape.points, options);
      for (size_t n = 0; n < x.size(); ++n) ASSERT_NEAR(out[n], plain[n], 1e-11);
    }
  }
}

TEST(MeanShift, GradientsAreDifferences) {
  constexpr double kStep = 1e-6;
  const MeanShiftShape shape{2, 3, 9};
  for (const MeanShiftKernel kernel : kKernels) {
    for (const double step_size : {1.0, 0.5}) {
      auto options = options_of(kernel, 2, step_size);
      auto x = normal_numbers<double>(shape.batch * shape.dims * shape.points, 3);
      const auto pass = forward_and_back(x, shape, options);
      for (size_t n = 0; n < x.size(); ++n) {
        const double before = x[n];
        x[n] = before + kStep;
        const double up = loss(x, shape, options);
        x[n] = before - kStep;
        const double down = loss(x, shape, options);
        x[n] = before;
        EXPECT_NEAR(pass.grad_x[n], (up - down) / (2 * kStep), 1e-7);
      }
      const double kappa = options.kappa;
      options.kappa = kappa + kStep;
      const double up = loss(x, shape, options);
      options.kappa = kappa - kStep;
      const double down = loss(x, shape, options);
      EXPECT_NEAR(pass.grad_kappa, (up - down) / (2 * kStep), 1e-7);
    }
  }
}

template <class T>
void expect_same_bits(const Pass<T>& got, const Pass<T>& expected) {
  EXPECT_EQ(got.out, expected.out);
  EXPECT_EQ(got.grad_x, expected.grad_x);
  EXPECT_EQ(got.grad_kappa, expected.grad_kappa);
}

template <class T>
void expect_same_bits_everywhere() {
  for (const MeanShiftKernel kernel : kKernels) {
    for (const MeanShiftShape shape : {MeanShiftShape{2, 5, 330}, {1, 21, 129}, {3, 64, 64}}) {
      const auto x = normal_numbers<T>(shape.batch * shape.dims * shape.points, 2);
      auto options = options_of(kernel, 2);
      const ScopedEnv baseline("MRFCORE_CPU_ISA", "baseline");
      const auto expected = forward_and_back(x, shape, options);
      for (const std::string& isa : usable_isas()) {
        const ScopedEnv env("MRFCORE_CPU_ISA", isa);
        for (const int threads : {1, 3}) {
          options.threads = threads;
          expect_same_bits(forward_and_back(x, shape, options), expected);
        }
      }
    }
  }
}

TEST(MeanShift, SameBitsInFloat) { expect_same_bits_everywhere<float>(); }
TEST(MeanShift, SameBitsInDouble) { expect_same_bits_everywhere<double>(); }

TEST(MeanShift, TheTapeChangesNothing) {
  const MeanShiftShape shape{1, 6, 100};
  const auto x = normal_numbers<float>(600, 4);
  for (const int steps : {0, 1, 2, 3}) {
    const auto options = options_of(MeanShiftKernel::Sphere, steps);
    std::vector<float> out(x.size());
    mean_shift_forward<float>(x.data(), shape, options, out.data(), nullptr);
    EXPECT_EQ(out, forward_and_back(x, shape, options).out);
  }
}

TEST(MeanShift, AnInterruptEndsIt) {
  const MeanShiftShape shape{1, 64, 6000};
  const auto x = normal_numbers<float>(shape.dims * shape.points, 4);
  auto options = options_of(MeanShiftKernel::Sphere, 1000);
  options.interrupted = [] { return true; };
  std::vector<float> out(x.size());
  EXPECT_THROW(mean_shift_forward<float>(x.data(), shape, options, out.data(), nullptr),
               Interrupted);
}

void expect_refused(const MeanShiftShape& shape, const MeanShiftOptions& options, float value,
                    const std::string& words) {
  const std::vector<float> x(12, value);
  std::vector<float> out(12);
  try {
    mean_shift_forward<float>(x.data(), shape, options, out.data(), nullptr);
    ADD_FAILURE() << "accepted: " << words;
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST(MeanShift, ErrorsNameTheArgument) {
  const MeanShiftShape shape{1, 3, 4};
  const auto good = options_of(MeanShiftKernel::Gaussian, 1);
  expect_refused({1, 0, 4}, good, 1, "x has shape [1, 0, 4]");
  expect_refused(shape, options_of(MeanShiftKernel::Sphere, -1), 1, "steps is -1");
  expect_refused(shape, options_of(MeanShiftKernel::Sphere, 1, 0), 1, "step_size is 0");
  auto options = good;
  options.kappa = 0;
  expect_refused(shape, options, 1, "kappa is 0");
  options.kappa = std::nan("");
  expect_refused(shape, options, 1, "kappa is");
  expect_refused(shape, good, std::nanf(""), "x is nan at [0, 0, 0]");
  expect_refused(shape, good, 1e30F, "expected finite numbers below 1e16");
}

}  // namespace
}  // namespace mrfcore::test
