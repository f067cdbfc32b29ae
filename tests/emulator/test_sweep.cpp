// SPDX-License-Identifier: Apache-2.0
// CUDA's sweeps and gathers in the emulator against the CPU kernels: the same bits, arg-mins
// included, in every order of threads and blocks.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "cpu/kernels.hpp"
#include "emulator/emulator.hpp"
#include "emulator/rows.hpp"
#include "kernels.hpp"
#include "ops/dispatch.hpp"
#include "ops/plan.hpp"

namespace mrfcore::test {
namespace {

struct SweepCase {
  cpu::SweepRule rule;
  Shape shape;
  int potential;
  Weights weights;
  double damping;
  bool record;
  bool first;  ///< SGM: own unary at heads, sums not relative
};

Potential potential_of(int index, int64_t labels) {
  switch (index) {
    case 0:
      return Potential::potts();
    case 1:
      return Potential::sgm_penalty(0.5, 1.75);
    case 2:
      return Potential::truncated_linear(5);
    case 3:
      return Potential::truncated_quadratic(30);
    case 4:
      return Potential::huber(2);
    default:
      return Potential::table(Random(4).array<double>(labels * labels, 3.0, kFine), labels);
  }
}
constexpr int kPotentials = 6;

/// Volumes and tapes of one pair, rows of `stride` elements.
template <class T>
struct State {
  int64_t stride;
  std::vector<T> unary, sum, forward, backward, cavity, head_row;
  std::vector<unsigned char> argmin[2], minimum[2];
};

template <class T>
State<T> state_for(const SweepCase& setup, const std::vector<T>& unary, int64_t stride) {
  const int64_t labels = setup.shape.labels, pixels = setup.shape.pixels();
  Random random(11);
  const auto volume = [&](T padding) {
    return padded(random.array<T>(pixels * labels, 4.0, kFine), labels, stride, padding);
  };
  State<T> s;
  s.stride = stride;
  s.unary = padded(unary, labels, stride, cpu::kForbidden<T>);
  s.sum = volume(cpu::kForbidden<T>);
  s.forward = volume(T(0));
  s.backward = volume(T(0));
  s.cavity = volume(T(0));
  s.head_row =
      padded(std::vector<T>(static_cast<size_t>(labels)), labels, stride, cpu::kForbidden<T>);
  const size_t bytes = labels > cpu::kByteLabels ? 2 : 1;
  for (int way = 0; way < 2 && setup.record; ++way) {
    s.argmin[way].assign(static_cast<size_t>(pixels * labels) * bytes, 0xAB);
    s.minimum[way].assign(static_cast<size_t>(pixels) * bytes, 0xAB);
  }
  return s;
}

template <class T>
cpu::SweepArgs<T> arguments(const SweepCase& setup, const Instance<T>& instance, int pair,
                            const OwnedPlan<T>& plan, State<T>& s) {
  cpu::SweepArgs<T> a{};
  a.shape = {setup.shape.height, setup.shape.width, static_cast<int>(setup.shape.labels), s.stride,
             setup.shape.connectivity};
  a.rule = setup.rule;
  a.pair = pair;
  a.weights = {instance.edge_weights.empty() ? nullptr : instance.edge_weights.data(),
               instance.edge_weights.empty() ? instance.weight : T(1)};
  a.plan = &plan.get();
  a.unary = s.unary.data();
  a.sum = s.sum.data();
  a.forward = s.forward.data();
  a.backward = s.backward.data();
  a.cavity = setup.damping > 0.0 ? s.cavity.data() : s.backward.data();
  a.rho = T(0.375);
  a.damping = static_cast<T>(setup.damping);
  a.head_row = setup.first ? nullptr : s.head_row.data();
  a.relative = !setup.first;
  if (setup.record) {
    a.forward_tape = {s.argmin[0].data(), s.minimum[0].data()};
    a.backward_tape = {s.argmin[1].data(), s.minimum[1].data()};
  }
  a.threads = 1;
  return a;
}

/// On the CPU, item by item.
template <class T>
State<T> swept_by_cpu(const SweepCase& setup, const Instance<T>& instance, int pair) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  const T* uniform = instance.edge_weights.empty() ? &instance.weight : nullptr;
  const OwnedPlan<T> plan(instance.pairwise, setup.shape.labels, kernels.lanes,
                          MinConvolution::Auto, uniform);
  State<T> s = state_for(setup, instance.unary, round_up(setup.shape.labels, kernels.lanes));
  cpu::SweepArgs<T> a = arguments(setup, instance, pair, plan, s);
  const int64_t pixels = setup.shape.height * setup.shape.width;
  const int64_t bytes = setup.shape.labels > cpu::kByteLabels ? 2 : 1;
  for (int64_t b = 0; b < setup.shape.batch; ++b) {
    kernels.sweep_pair(a);
    for (T** volume : {&a.sum, &a.forward, &a.backward, &a.cavity}) *volume += pixels * s.stride;
    a.unary += pixels * s.stride;
    if (a.weights.per_edge != nullptr) a.weights.per_edge += instance.weights_size();
    for (cpu::ArgminTape* tape : {&a.forward_tape, &a.backward_tape}) {
      if (tape->argmin == nullptr) continue;
      tape->argmin = static_cast<char*>(tape->argmin) + pixels * setup.shape.labels * bytes;
      tape->minimum = static_cast<char*>(tape->minimum) + pixels * bytes;
    }
  }
  return s;
}

/// By the CUDA kernel, all items in one launch.
template <class T>
State<T> swept_by_cuda(const SweepCase& setup, const Instance<T>& instance, int pair) {
  const T* uniform = instance.edge_weights.empty() ? &instance.weight : nullptr;
  const OwnedPlan<T> plan(instance.pairwise, setup.shape.labels, 1, MinConvolution::Auto, uniform);
  State<T> s = state_for(setup, instance.unary, setup.shape.labels);
  const int64_t pixels = setup.shape.height * setup.shape.width;
  const cuda::Batch batch{setup.shape.batch, pixels * setup.shape.labels,
                          instance.edge_weights.empty() ? 0 : instance.weights_size(),
                          pixels * setup.shape.labels, pixels};
  EXPECT_EQ(cuda::sweep_pair(arguments(setup, instance, pair, plan, s), batch, nullptr), 0);
  return s;
}

template <class T>
void expect_same(const SweepCase& setup, const Instance<T>& instance, int pair) {
  SCOPED_TRACE(setup.shape.text() + ", rule " + std::to_string(static_cast<int>(setup.rule)) +
               ", potential " + std::to_string(setup.potential) + ", pair " + std::to_string(pair) +
               ", damping " + std::to_string(setup.damping));
  const State<T> cpu = swept_by_cpu(setup, instance, pair);
  const State<T> gpu = swept_by_cuda(setup, instance, pair);
  const auto dense = [&](const std::vector<T>& rows) {
    return unpadded(rows, setup.shape.labels, cpu.stride);
  };
  ASSERT_EQ(dense(cpu.sum), gpu.sum) << "sum";
  ASSERT_EQ(dense(cpu.forward), gpu.forward) << "forward";
  ASSERT_EQ(dense(cpu.backward), gpu.backward) << "backward";
  ASSERT_EQ(dense(cpu.cavity), gpu.cavity) << "cavity";
  for (int way = 0; way < 2; ++way) {
    ASSERT_EQ(cpu.argmin[way], gpu.argmin[way]) << "arg-mins, way " << way;
    ASSERT_EQ(cpu.minimum[way], gpu.minimum[way]) << "minima, way " << way;
  }
}

template <class T>
void check(const SweepCase& setup, double grain = kFine) {
  const Instance<T> instance = random_instance<T>(
      setup.shape, potential_of(setup.potential, setup.shape.labels), setup.weights, 7, grain);
  for (int pair = 0; pair < setup.shape.connectivity / 2; ++pair)
    ASSERT_NO_FATAL_FAILURE(expect_same(setup, instance, pair));
}

constexpr cpu::SweepRule kRules[] = {cpu::SweepRule::SGM, cpu::SweepRule::ISGMR,
                                     cpu::SweepRule::TRWP};

template <class T>
class CudaSweep : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaSweep, Reals);

TYPED_TEST(CudaSweep, GivesTheCpusBitsForEveryRuleAndPotential) {
  for (const cpu::SweepRule rule : kRules) {
    for (int potential = 0; potential < kPotentials; ++potential) {
      for (const bool record : {false, true}) {
        const Weights weights = potential % 2 == 0 ? Weights::PerEdge : Weights::Scalar;
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {7, 9, 13, 4}, potential, weights, 0.0, record, record}));
        ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
            {rule, {3, 5, 40, 4}, potential, Weights::PerEdge, 0.25, record, false}));
      }
    }
  }
}

TYPED_TEST(CudaSweep, GivesTheCpusBitsInAllDirectionsAndShapes) {
  for (const Shape& shape : {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16},
                             Shape{6, 11, 4, 16, 3}, Shape{11, 6, 33, 16}}) {
    for (const cpu::SweepRule rule : kRules)
      ASSERT_NO_FATAL_FAILURE(
          check<TypeParam>({rule, shape, 2, Weights::PerEdge, 0.0, true, true}));
  }
}

TYPED_TEST(CudaSweep, GivesTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 31, 32, 64, 65, 96, 128, 129, 256}) {
    for (const int potential : {0, 1, 2, 5}) {
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
          {cpu::SweepRule::TRWP, {2, 3, labels, 4}, potential, Weights::PerEdge, 0.0, true, true}));
    }
  }
}

/// Integers: ties everywhere, and the lowest label must win them.
TYPED_TEST(CudaSweep, BreaksTiesAsTheCpuDoes) {
  for (const cpu::SweepRule rule : kRules) {
    for (const int potential : {0, 2, 3}) {
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
          {rule, {6, 7, 37, 8}, potential, Weights::PerEdge, 0.0, true, true}, 1.0));
    }
  }
}

TEST(CudaSweepWide, KeepsSixteenBitArgmins) {
  check<float>({cpu::SweepRule::TRWP, {2, 3, 300, 4}, 2, Weights::PerEdge, 0.0, true, true});
}

TEST(CudaSweepWide, RefusesMoreLabelsThanAWarpHolds) {
  const SweepCase setup{cpu::SweepRule::TRWP, {1, 2, 513, 4}, 0, Weights::Scalar, 0.0, false, true};
  const auto instance = random_instance<float>(setup.shape, Potential::potts(), Weights::Scalar, 1);
  const OwnedPlan<float> plan(instance.pairwise, 513, 1, MinConvolution::Auto, nullptr);
  State<float> s = state_for(setup, instance.unary, 513);
  EXPECT_NE(cuda::sweep_pair(arguments(setup, instance, 0, plan, s), {1, 0, 0, 0, 0}, nullptr), 0);
}

TYPED_TEST(CudaSweep, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 5);
    for (const int potential : {2, 4, 5}) {
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
          {cpu::SweepRule::ISGMR, {9, 8, 40, 8, 2}, potential, Weights::PerEdge, 0.5, true, true}));
    }
  }
}

TYPED_TEST(CudaSweep, GathersWhatTheCpuGathers) {
  for (const int64_t labels : {1, 5, 32, 77}) {
    const Shape shape{3, 4, labels, 4, 2};
    const int64_t size = shape.pixels() * labels;
    Random random(3);
    std::vector<TypeParam> unary = random.array<TypeParam>(size, 4.0, 0.5);
    unary[0] = cpu::kForbidden<TypeParam>;
    const std::vector<TypeParam> first = random.array<TypeParam>(size, 4.0, 0.5),
                                 second = random.array<TypeParam>(size, 4.0, 0.5);
    const TypeParam* messages[] = {first.data(), second.data()};
    std::vector<TypeParam> sum(unary.size()), costs(unary.size());
    std::vector<int32_t> found(static_cast<size_t>(shape.pixels()), -1);
    cpu::GatherArgs<TypeParam> a{};
    a.shape = {3, 4, static_cast<int>(labels), labels, 4};
    a.unary = unary.data();
    a.messages = messages;
    a.count = 2;
    a.sum = sum.data();
    a.costs = costs.data();
    a.labels = found.data();
    ASSERT_EQ(cuda::gather(a, {2, 12 * labels, 0, 0, 0}, nullptr, nullptr), 0);
    for (int64_t i = 0; i < shape.pixels(); ++i) {
      int64_t best = 0;
      for (int64_t l = 0; l < labels; ++l) {
        const auto at = static_cast<size_t>(i * labels + l);
        const TypeParam expected = unary[at] + first[at] + second[at];
        ASSERT_EQ(sum[at], expected);
        if (at == 0) {
          ASSERT_TRUE(std::isinf(costs[at]));
        } else {
          ASSERT_EQ(costs[at], expected);
        }
        if (expected < sum[static_cast<size_t>(i * labels + best)]) best = l;
      }
      ASSERT_EQ(found[static_cast<size_t>(i)], best);
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
