// SPDX-License-Identifier: Apache-2.0
// CUDA's soft sweeps and their adjoints in the emulator against the CPU's: the same bits (the
// emulator's logarithm is the CPU's), and adjoints against finite differences of the sweep.
#include <gtest/gtest.h>

#include <functional>

#include "core/directions.hpp"
#include "emulator/emulator.hpp"
#include "emulator/pair_state.hpp"

namespace mrfcore::test {
namespace {

constexpr cpu::SweepRule kSoftRules[] = {cpu::SweepRule::ISGMR, cpu::SweepRule::TRWP};

template <class T>
cpu::MinConvolutionPlan<T> soft_plan(const PairCase& c, const PairState<T>& s) {
  cpu::MinConvolutionPlan<T> plan{};
  plan.kind = cpu::MinConvolutionKind::SoftTable;
  plan.labels = static_cast<int>(c.shape.labels);
  plan.stride = s.stride;
  plan.table = s.table.data();
  plan.table_t = s.table_t.data();
  plan.unit_weight = !c.edges;
  plan.temperature = static_cast<T>(c.temperature);
  return plan;
}

template <class T>
cpu::SweepArgs<T> sweep_arguments(const PairCase& c, int pair,
                                  const cpu::MinConvolutionPlan<T>& plan, PairState<T>& s) {
  cpu::SweepArgs<T> a{};
  a.shape = {c.shape.height, c.shape.width, static_cast<int>(c.shape.labels), s.stride,
             c.shape.connectivity};
  a.rule = c.rule;
  a.pair = pair;
  a.weights = {c.edges ? s.edge_weights.data() : nullptr, T(0.75)};
  a.plan = &plan;
  a.sum = s.sum.data();
  a.forward = s.forward.data();
  a.backward = s.backward.data();
  a.cavity = c.damping > 0.0 ? s.cavity.data() : s.backward.data();
  a.rho = T(0.375);
  a.damping = static_cast<T>(c.damping);
  a.threads = 1;
  return a;
}

template <class T>
PairState<T> swept_by_cpu(const PairCase& c, int pair) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  PairState<T> s(c, round_up(c.shape.labels, kernels.lanes));
  const cpu::MinConvolutionPlan<T> plan = soft_plan(c, s);
  cpu::SweepArgs<T> a = sweep_arguments(c, pair, plan, s);
  for (int64_t b = 0; b < c.shape.batch; ++b) {
    kernels.sweep_pair(a);
    const int64_t volume = c.item_pixels() * s.stride;
    for (T** v : {&a.sum, &a.cavity}) *v += volume;
    for (void** v : {&a.forward, &a.backward}) *v = static_cast<T*>(*v) + volume;
    if (c.edges) a.weights.per_edge += c.item_edges();
  }
  return s;
}

template <class T>
void sweep_by_cuda(const PairCase& c, int pair, PairState<T>& s) {
  const cpu::MinConvolutionPlan<T> plan = soft_plan(c, s);
  ASSERT_EQ(cuda::sweep_pair(sweep_arguments(c, pair, plan, s), c.batch(), nullptr), 0);
}

template <class T>
void expect_same(const PairCase& c, const PairState<T>& cpu, const PairState<T>& gpu) {
  const auto dense = [&](const std::vector<T>& rows) {
    return unpadded(rows, c.shape.labels, cpu.stride);
  };
  ASSERT_EQ(dense(cpu.sum), gpu.sum) << "sum";
  ASSERT_EQ(dense(cpu.sum_before), gpu.sum_before) << "sum before";
  ASSERT_EQ(dense(cpu.forward), gpu.forward) << "forward";
  ASSERT_EQ(dense(cpu.backward), gpu.backward) << "backward";
  ASSERT_EQ(dense(cpu.cavity), gpu.cavity) << "cavity";
  ASSERT_EQ(dense(cpu.state), gpu.state) << "state";
  ASSERT_EQ(cpu.per_edge, gpu.per_edge) << "edge weights";
}

template <class T>
void check(const PairCase& c) {
  for (int pair = 0; pair < c.shape.connectivity / 2; ++pair) {
    SCOPED_TRACE(c.text() + ", pair " + std::to_string(pair));
    PairState<T> gpu(c, c.shape.labels);
    ASSERT_NO_FATAL_FAILURE(sweep_by_cuda(c, pair, gpu));
    ASSERT_NO_FATAL_FAILURE(expect_same(c, swept_by_cpu<T>(c, pair), gpu));

    PairState<T> undone(c, c.shape.labels);
    ASSERT_EQ(cuda::adjoint_pair(adjoint_arguments(c, pair, undone), c.batch(), {}, nullptr), 0);
    ASSERT_NO_FATAL_FAILURE(expect_same(c, undone_by_cpu<T>(c, pair, nullptr), undone));
  }
}

template <class T>
class CudaSoft : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaSoft, Reals);

TYPED_TEST(CudaSoft, GivesTheCpusBitsForEveryRuleAndTemperature) {
  for (const cpu::SweepRule rule : kSoftRules) {
    for (const double temperature : {0.01, 0.5, 20.0}) {
      for (const bool flag : {false, true}) {
        const double damping = flag ? 0.25 : 0.0;
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {5, 6, 13, 8, 2}, temperature, damping, flag, !flag, flag}));
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {3, 4, 40, 4}, temperature, damping, !flag, flag, true}));
      }
    }
  }
}

TYPED_TEST(CudaSoft, GivesTheCpusBitsInAllDirectionsAndShapes) {
  for (const Shape& shape : {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16},
                             Shape{6, 11, 4, 16, 2}, Shape{11, 6, 33, 16}}) {
    for (const cpu::SweepRule rule : kSoftRules)
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({rule, shape, 0.5, 0.0, true, false}));
  }
}

TYPED_TEST(CudaSoft, GivesTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 3, 15, 16, 17, 31, 32, 64, 65, 100, 256, 300, 512, 700}) {
    ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
        {cpu::SweepRule::TRWP, {1, 3, labels, 2}, 0.5, 0.0, true, false, labels > 2}));
  }
}

TYPED_TEST(CudaSoft, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 5);
    for (const cpu::SweepRule rule : kSoftRules)
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({rule, {4, 5, 70, 8, 2}, 0.5, 0.5, true, false}));
  }
}

/// Coefficients of a linear loss of what an iteration of one pair leaves, and the loss. ISGMR's sum
/// is gathered after all pairs, here from the one.
struct Loss {
  std::vector<double> sum, forward, backward;

  explicit Loss(const PairState<double>& s)
      : sum(s.cost), forward(s.before[0]), backward(s.before[1]) {}
  double operator()(const PairCase& c, int pair, PairState<double> s) const {
    const PairState<double> start = s;
    sweep_by_cuda(c, pair, s);
    double loss = 0.0;
    for (size_t i = 0; i < s.sum.size(); ++i) {
      if (c.rule == cpu::SweepRule::ISGMR)
        s.sum[i] += s.forward[i] - start.forward[i] + s.backward[i] - start.backward[i];
      loss += sum[i] * s.sum[i] + forward[i] * s.forward[i] + backward[i] * s.backward[i];
    }
    return loss;
  }
};

/// Scanlines' heads receive no message: zeros, whose gradients mean nothing.
bool is_head(const PairCase& c, int direction, size_t element) {
  const auto d = core::direction(direction);
  const int64_t pixel =
      static_cast<int64_t>(element) / c.shape.labels % (c.shape.height * c.shape.width);
  const int64_t y = pixel / c.shape.width - d.dy, x = pixel % c.shape.width - d.dx;
  return y < 0 || y >= c.shape.height || x < 0 || x >= c.shape.width;
}

struct FiniteDifferences {
  PairCase c;
  int pair;
  PairState<double> start;
  Loss loss;

  FiniteDifferences(const PairCase& setup, int which)
      : c(setup), pair(which), start(setup, setup.shape.labels), loss(start) {
    for (size_t i = 0; i < start.forward.size(); ++i) {
      if (is_head(c, 2 * pair, i)) start.forward[i] = 0.0;
      if (is_head(c, 2 * pair + 1, i)) start.backward[i] = 0.0;
    }
  }
  double of(const std::function<void(PairState<double>&, double)>& move) const {
    constexpr double kStep = 1e-5;
    PairState<double> up = start, down = start;
    move(up, kStep);
    move(down, -kStep);
    return (loss(c, pair, up) - loss(c, pair, down)) / (2 * kStep);
  }
  /// The adjoint's state after it has run.
  PairState<double> undone(LeftBehind<double>& left_behind, std::vector<double>& values) const {
    PairState<double> swept = start, s = start;
    sweep_by_cuda(c, pair, swept);
    s.before[0] = start.forward;
    s.before[1] = start.backward;
    s.after[0] = swept.forward;
    s.after[1] = swept.backward;
    s.state = swept.sum;
    s.sum = s.sum_before = loss.sum;
    s.forward = loss.forward;
    s.backward = loss.backward;
    s.per_edge.assign(s.per_edge.size(), 0.0);
    cpu::AdjointArgs<double> a = adjoint_arguments(c, pair, s);
    a.gradient.weight_factor = 0.75;  // the scale
    EXPECT_EQ(cuda::adjoint_pair(a, c.batch(), left_behind.get(), nullptr), 0);
    EXPECT_EQ(cuda::table_gradient(a, c.batch(), left_behind.get(), values.data(), 1, nullptr), 0);
    return s;
  }
};

void expect_finite_differences(const PairCase& c, int pair) {
  SCOPED_TRACE(c.text() + ", pair " + std::to_string(pair));
  const FiniteDifferences numeric(c, pair);
  const int64_t labels = c.shape.labels;
  LeftBehind<double> left_behind(c);
  std::vector<double> values(static_cast<size_t>(labels * labels));
  const PairState<double> s = numeric.undone(left_behind, values);
  constexpr double kNear = 2e-8;
  const std::vector<double>& of_sum = c.rule == cpu::SweepRule::TRWP ? s.sum : s.sum_before;
  for (size_t i = 0; i < s.sum.size(); ++i) {
    ASSERT_NEAR(of_sum[i], numeric.of([i](auto& at, double by) { at.sum[i] += by; }), kNear);
    if (!is_head(c, 2 * pair, i)) {
      ASSERT_NEAR(s.forward[i], numeric.of([i](auto& at, double by) { at.forward[i] += by; }),
                  kNear);
    }
    if (!is_head(c, 2 * pair + 1, i)) {
      ASSERT_NEAR(s.backward[i], numeric.of([i](auto& at, double by) { at.backward[i] += by; }),
                  kNear);
    }
  }
  for (size_t i = 0; i < s.per_edge.size(); ++i) {
    const double expected = numeric.of([i](auto& at, double by) { at.edge_weights[i] += by; });
    ASSERT_NEAR(s.per_edge[i], expected, kNear);
  }
  for (int64_t i = 0; i < labels * labels; ++i) {
    const double expected = numeric.of([&](PairState<double>& at, double by) {
      at.table[static_cast<size_t>(i)] += by;
      at.table_t[static_cast<size_t>(i % labels * labels + i / labels)] += by;
    });
    ASSERT_NEAR(values[static_cast<size_t>(i)], expected, kNear) << "table at " << i;
  }
}

TEST(CudaSoftGradients, AreThoseOfFiniteDifferences) {
  for (const cpu::SweepRule rule : kSoftRules) {
    for (const double damping : {0.0, 0.25}) {
      for (const int pair : {0, 3})
        expect_finite_differences({rule, {3, 4, 3, 8}, 0.75, damping, true, false}, pair);
    }
  }
}

TEST(CudaSoftRefuses, WhatItCannotDo) {
  const auto sweep = [](const PairCase& c, bool record) {
    PairState<float> s(c, c.shape.labels);
    const cpu::MinConvolutionPlan<float> plan = soft_plan(c, s);
    cpu::SweepArgs<float> a = sweep_arguments(c, 0, plan, s);
    if (record) a.forward_tape = {s.argmin[0].data(), s.minimum[0].data()};
    return cuda::sweep_pair(a, c.batch(), nullptr);
  };
  EXPECT_EQ(sweep({cpu::SweepRule::TRWP, {1, 2, 4, 2}, 0.5}, false), 0);
  EXPECT_NE(sweep({cpu::SweepRule::TRWP, {1, 2, 4, 2}, 0.5}, true), 0);
  EXPECT_NE(sweep({cpu::SweepRule::SGM, {1, 2, 4, 2}, 0.5}, false), 0);
  EXPECT_NE(sweep({cpu::SweepRule::TRWP, {1, 2, 1025, 2}, 0.5}, false), 0);

  const auto undo = [](const PairCase& c, bool table) {
    PairState<float> s(c, c.shape.labels);
    cpu::AdjointArgs<float> a = adjoint_arguments(c, 0, s);
    if (!table) a.gradient.table = nullptr;
    return cuda::adjoint_pair(a, c.batch(), {}, nullptr);
  };
  EXPECT_EQ(undo({cpu::SweepRule::TRWP, {1, 2, 4, 2}, 0.5}, true), 0);
  EXPECT_NE(undo({cpu::SweepRule::TRWP, {1, 2, 4, 2}, 0.5}, false), 0);
  EXPECT_NE(undo({cpu::SweepRule::SGM, {1, 2, 4, 2}, 0.5}, true), 0);
  EXPECT_NE(undo({cpu::SweepRule::TRWP, {1, 2, 1025, 2}, 0.5}, true), 0);
}

}  // namespace
}  // namespace mrfcore::test
