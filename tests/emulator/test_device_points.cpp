// SPDX-License-Identifier: Apache-2.0
// mrfcore/cuda_mean_shift.hpp through the emulated library, as a program would use a GPU: several
// loops and their tape against the CPU's, and what is refused. (tests/python does the rest.)
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "emulator/points.hpp"
#include "mrfcore/cuda_mean_shift.hpp"
#include "mrfcore/error.hpp"

namespace mrfcore::test {
namespace {

const bool kNamed = setenv("MRFCORE_CUDA_LIBRARY", MRF_EMULATED_LIBRARY, 1) == 0;

struct Work {
  std::vector<double> memory;
  explicit Work(int64_t bytes)
      : memory(static_cast<size_t>(bytes + 7) / 8, std::numeric_limits<double>::quiet_NaN()) {}
  cuda::Queue queue() {
    return {0, nullptr, memory.data(), static_cast<int64_t>(memory.size() * sizeof(double))};
  }
};

void expect_refused(const std::string& name, const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << name << " was not refused";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
  }
}

MeanShiftOptions options_of(MeanShiftKernel kernel, int steps) {
  MeanShiftOptions options;
  options.kernel = kernel;
  options.steps = steps;
  options.kappa = 0.9;
  options.step_size = 0.7;
  return options;
}

constexpr MeanShiftShape kShape{2, 5, 70};
constexpr int64_t kSize = 2 * 5 * 70;

TEST(DevicePoints, LoopsAndTapeAreTheCpusToRounding) {
  ASSERT_TRUE(kNamed);
  const auto x = normal_numbers<double>(kSize, 1), grad = normal_numbers<double>(kSize, 2);
  for (const MeanShiftKernel kernel :
       {MeanShiftKernel::Sphere, MeanShiftKernel::Gaussian, MeanShiftKernel::Flat}) {
    for (const int steps : {0, 1, 4}) {
      const MeanShiftOptions options = options_of(kernel, steps);
      const std::string name = std::to_string(steps) + " loops";
      std::vector<double> out(x), grad_x(x), expected(x), expected_grad(x);
      std::vector<double> tape(static_cast<size_t>(mean_shift_tape_size<double>(kShape, steps))),
          expected_tape(tape);
      double grad_kappa = std::nan(""), expected_kappa = 0;
      mean_shift_forward(x.data(), kShape, options, expected.data(), expected_tape.data());
      mean_shift_backward(kShape, options, expected_tape.data(), grad.data(), expected_grad.data(),
                          &expected_kappa);
      for (double* const record : {static_cast<double*>(nullptr), tape.data()}) {
        Work work(
            cuda::mean_shift_forward_workspace_bytes<double>(kShape, options, record != nullptr));
        cuda::mean_shift_forward(x.data(), kShape, options, &options.kappa, out.data(), record,
                                 work.queue());
        expect_close(out, expected, 1e-13, name);
      }
      Work work(cuda::mean_shift_backward_workspace_bytes<double>(kShape, options));
      cuda::mean_shift_backward(kShape, options, &options.kappa, tape.data(), grad.data(),
                                grad_x.data(), &grad_kappa, work.queue());
      expect_close(grad_x, expected_grad, 1e-12, name);
      EXPECT_NEAR(grad_kappa, expected_kappa, 1e-11) << name;
      if (kernel == MeanShiftKernel::Sphere && steps > 0)
        expect_close(tape, expected_tape, 1e-13, name);
    }
  }
}

TEST(DevicePoints, MarginLossIsTheCpusToRounding) {
  const auto x = normal_numbers<double>(kSize, 3);
  const std::vector<double> weights(140, 0.5);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 140; ++i) labels.push_back(i % 3);
  std::vector<double> loss(2), expected_loss(2), grad(x), expected_grad(x);
  const PairwiseMarginOptions options;
  Work work(cuda::pairwise_margin_workspace_bytes<double>(2, 5, 70, true));
  cuda::pairwise_margin_loss(x.data(), labels.data(), weights.data(), 2, 5, 70, options,
                             loss.data(), grad.data(), work.queue());
  pairwise_margin_loss(x.data(), labels.data(), weights.data(), 2, 5, 70, options,
                       expected_loss.data(), expected_grad.data());
  expect_close(loss, expected_loss, 1e-14, "loss");
  expect_close(grad, expected_grad, 1e-13, "gradient");
}

TEST(DevicePoints, BadArgumentsAreNamed) {
  std::vector<float> x(kSize, 1.0F), out(x);
  const float kappa = 1;
  Work work(cuda::mean_shift_forward_workspace_bytes<float>(
      kShape, options_of(MeanShiftKernel::Sphere, 2), false));
  const auto forward = [&](const MeanShiftShape& shape,
                           const std::function<void(MeanShiftOptions&)>& change, const float* from,
                           const float* width, float* to) {
    return [&, shape, change, from, width, to] {
      MeanShiftOptions options = options_of(MeanShiftKernel::Sphere, 2);
      change(options);
      cuda::mean_shift_forward<float>(from, shape, options, width, to, nullptr, work.queue());
    };
  };
  using O = MeanShiftOptions;
  const auto as_it_is = [](O&) {};
  expect_refused("x", forward({0, 5, 70}, as_it_is, x.data(), &kappa, out.data()));
  expect_refused("steps",
                 forward(kShape, [](O& o) { o.steps = -1; }, x.data(), &kappa, out.data()));
  expect_refused("step_size",
                 forward(kShape, [](O& o) { o.step_size = 1.5; }, x.data(), &kappa, out.data()));
  expect_refused("x has no data", forward(kShape, as_it_is, nullptr, &kappa, out.data()));
  expect_refused("kappa has no data", forward(kShape, as_it_is, x.data(), nullptr, out.data()));
  expect_refused("out has no data", forward(kShape, as_it_is, x.data(), &kappa, nullptr));
  expect_refused("tape begins 4 bytes after", [&] {
    alignas(16) static float tape[8];
    cuda::mean_shift_forward<float>(x.data(), kShape, options_of(MeanShiftKernel::Sphere, 2),
                                    &kappa, out.data(), tape + 1, work.queue());
  });
  work.memory.pop_back();
  EXPECT_THROW(forward(kShape, as_it_is, x.data(), &kappa, out.data())(), OutOfMemory);
  expect_refused("alpha", [&] {
    double loss = 0;
    const int64_t label = 0;
    cuda::pairwise_margin_loss<float>(x.data(), &label, x.data(), 1, 1, 1, {.alpha = 2}, &loss,
                                      nullptr, work.queue());
  });
}

}  // namespace
}  // namespace mrfcore::test
