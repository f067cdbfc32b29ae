// SPDX-License-Identifier: Apache-2.0
// CUDA's adjoint sweeps in the emulator against the CPU's: the same bits of all volumes and of the
// gradients of edge weights, for arg-mins and gradients that are arbitrary.
#include <gtest/gtest.h>

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

struct AdjointCase {
  cpu::SweepRule rule;
  Shape shape;
  double damping;
  bool table;  ///< V by a table, else by differences
  bool first;  ///< SGM: own unary at heads, sums not relative
  bool edges;  ///< gradients of edge weights
};

/// Everything an adjoint sweep reads and writes, rows of `stride` elements, zeros as padding.
template <class T>
struct AdjointState {
  int64_t stride;
  std::vector<T> sum, sum_before, forward, backward, cavity, cost, unary, per_edge;
  std::vector<T> table, table_t, differences;
  std::vector<unsigned char> argmin[2], minimum[2];
};

std::vector<unsigned char> random_labels(Random& random, int64_t count, int64_t labels) {
  const bool wide = labels > cpu::kByteLabels;
  std::vector<unsigned char> bytes(static_cast<size_t>(count) * (wide ? 2 : 1));
  for (int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<uint16_t>(random.uniform(static_cast<double>(labels), 1.0));
    if (wide) {
      std::memcpy(bytes.data() + 2 * i, &label, 2);
    } else {
      bytes[static_cast<size_t>(i)] = static_cast<unsigned char>(label);
    }
  }
  return bytes;
}

template <class T>
AdjointState<T> state_for(const AdjointCase& c, int64_t stride) {
  const int64_t labels = c.shape.labels, pixels = c.shape.pixels();
  Random random(21);
  const auto volume = [&] {
    std::vector<T> dense = random.array<T>(pixels * labels, 4.0, kFine);
    for (T& x : dense) x -= T(2);
    return padded(dense, labels, stride, T(0));
  };
  AdjointState<T> s;
  s.stride = stride;
  for (std::vector<T>* v :
       {&s.sum, &s.sum_before, &s.forward, &s.backward, &s.cavity, &s.cost, &s.unary})
    *v = volume();
  s.per_edge = random.array<T>(c.shape.connectivity / 2 * pixels, 2.0, kFine);
  s.differences = random.array<T>(labels, 3.0, kFine);
  const std::vector<T> table = random.array<T>(labels * labels, 3.0, kFine);
  std::vector<T> transposed(table.size());
  for (int64_t l = 0; l < labels; ++l) {
    for (int64_t m = 0; m < labels; ++m)
      transposed[static_cast<size_t>(l * labels + m)] = table[static_cast<size_t>(m * labels + l)];
  }
  s.table = padded(table, labels, stride, T(0));
  s.table_t = padded(transposed, labels, stride, T(0));
  for (int way = 0; way < 2; ++way) {
    s.argmin[way] = random_labels(random, pixels * labels, labels);
    s.minimum[way] = random_labels(random, pixels, labels);
  }
  return s;
}

template <class T>
cpu::AdjointArgs<T> arguments(const AdjointCase& c, int pair, AdjointState<T>& s) {
  cpu::AdjointArgs<T> a{};
  a.shape = {c.shape.height, c.shape.width, static_cast<int>(c.shape.labels), s.stride,
             c.shape.connectivity};
  a.rule = c.rule;
  a.pair = pair;
  a.weights = {nullptr, T(0.75)};
  a.sum = s.sum.data();
  a.sum_before = s.sum_before.data();
  a.forward = s.forward.data();
  a.backward = s.backward.data();
  a.cavity = c.damping > 0.0 ? s.cavity.data() : s.backward.data();
  a.rho = T(0.375);
  a.damping = static_cast<T>(c.damping);
  a.cost = s.cost.data();
  a.unary = s.unary.data();
  a.unary_head = c.first;
  a.relative = !c.first;
  a.forward_tape = {s.argmin[0].data(), s.minimum[0].data()};
  a.backward_tape = {s.argmin[1].data(), s.minimum[1].data()};
  a.gradient.weight_factor = T(0.5);
  a.gradient.bins = 1;
  if (c.edges) a.gradient.per_edge = s.per_edge.data();
  if (c.table) {
    a.gradient.table = s.table.data();
    a.gradient.table_t = s.table_t.data();
  } else {
    a.gradient.differences = s.differences.data();
    a.gradient.distinct = static_cast<int>(c.shape.labels);
  }
  a.threads = 1;
  return a;
}

template <class T>
AdjointState<T> undone_by_cpu(const AdjointCase& c, int pair) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  AdjointState<T> s = state_for<T>(c, round_up(c.shape.labels, kernels.lanes));
  cpu::AdjointArgs<T> a = arguments(c, pair, s);
  const int64_t pixels = c.shape.height * c.shape.width;
  const int64_t bytes = c.shape.labels > cpu::kByteLabels ? 2 : 1;
  for (int64_t b = 0; b < c.shape.batch; ++b) {
    kernels.adjoint_pair(a);
    for (T** v : {&a.sum, &a.sum_before, &a.forward, &a.backward, &a.cavity, &a.unary})
      *v += pixels * s.stride;
    a.cost += pixels * s.stride;
    if (c.edges) a.gradient.per_edge += c.shape.connectivity / 2 * pixels;
    for (cpu::ArgminTape* tape : {&a.forward_tape, &a.backward_tape}) {
      tape->argmin = static_cast<char*>(tape->argmin) + pixels * c.shape.labels * bytes;
      tape->minimum = static_cast<char*>(tape->minimum) + pixels * bytes;
    }
  }
  return s;
}

template <class T>
void expect_same(const AdjointCase& c, int pair) {
  SCOPED_TRACE(c.shape.text() + ", rule " + std::to_string(static_cast<int>(c.rule)) + ", pair " +
               std::to_string(pair) + ", damping " + std::to_string(c.damping));
  const AdjointState<T> cpu = undone_by_cpu<T>(c, pair);
  AdjointState<T> gpu = state_for<T>(c, c.shape.labels);
  const int64_t pixels = c.shape.height * c.shape.width;
  const cuda::Batch batch{c.shape.batch, pixels * c.shape.labels, c.shape.connectivity / 2 * pixels,
                          pixels * c.shape.labels, pixels};
  ASSERT_EQ(cuda::adjoint_pair(arguments(c, pair, gpu), batch, {}, nullptr), 0);
  const auto dense = [&](const std::vector<T>& rows) {
    return unpadded(rows, c.shape.labels, cpu.stride);
  };
  ASSERT_EQ(dense(cpu.sum), gpu.sum) << "sum";
  ASSERT_EQ(dense(cpu.sum_before), gpu.sum_before) << "sum before";
  ASSERT_EQ(dense(cpu.forward), gpu.forward) << "forward";
  ASSERT_EQ(dense(cpu.backward), gpu.backward) << "backward";
  ASSERT_EQ(dense(cpu.cavity), gpu.cavity) << "cavity";
  ASSERT_EQ(dense(cpu.unary), gpu.unary) << "unary";
  ASSERT_EQ(cpu.per_edge, gpu.per_edge) << "edge weights";
}

template <class T>
void check(const AdjointCase& c) {
  for (int pair = 0; pair < c.shape.connectivity / 2; ++pair)
    ASSERT_NO_FATAL_FAILURE(expect_same<T>(c, pair));
}

constexpr cpu::SweepRule kRules[] = {cpu::SweepRule::SGM, cpu::SweepRule::ISGMR,
                                     cpu::SweepRule::TRWP};

template <class T>
class CudaAdjoint : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaAdjoint, Reals);

TYPED_TEST(CudaAdjoint, GivesTheCpusBitsForEveryRule) {
  for (const cpu::SweepRule rule : kRules) {
    for (const double damping : {0.0, 0.25}) {
      for (const bool flag : {false, true}) {
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {6, 7, 13, 8, 2}, damping, flag, !flag, true}));
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({rule, {3, 5, 40, 4}, damping, !flag, flag, flag}));
      }
    }
  }
}

TYPED_TEST(CudaAdjoint, GivesTheCpusBitsInAllDirectionsAndShapes) {
  for (const Shape& shape : {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16},
                             Shape{6, 11, 4, 16, 2}, Shape{11, 6, 33, 16}}) {
    for (const cpu::SweepRule rule : kRules)
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({rule, shape, 0.0, false, true, true}));
  }
}

TYPED_TEST(CudaAdjoint, GivesTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 3, 31, 32, 64, 65, 96, 128, 129, 256}) {
    for (const cpu::SweepRule rule : kRules)
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({rule, {2, 3, labels, 4}, 0.0, true, true, true}));
  }
}

TYPED_TEST(CudaAdjoint, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 5);
    for (const cpu::SweepRule rule : kRules)
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({rule, {9, 8, 40, 8, 2}, 0.5, true, true, true}));
  }
}

TEST(CudaAdjointWide, ReadsSixteenBitArgmins) {
  check<float>({cpu::SweepRule::TRWP, {2, 3, 300, 4}, 0.0, false, true, true});
}

/// Items would add to the same numbers at the same time.
TEST(CudaAdjointWide, RefusesEdgeWeightsThatABatchShares) {
  const AdjointCase c{cpu::SweepRule::TRWP, {2, 3, 4, 4, 2}, 0.0, false, true, true};
  AdjointState<float> s = state_for<float>(c, 4);
  EXPECT_NE(cuda::adjoint_pair(arguments(c, 0, s), {2, 24, 0, 24, 6}, {}, nullptr), 0);
}

}  // namespace
}  // namespace mrfcore::test
