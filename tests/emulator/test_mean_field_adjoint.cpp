// SPDX-License-Identifier: Apache-2.0
// The adjoint of mean field in the emulator against the CPU's: the same bits of the gradients of
// costs, unaries and edge weights; that of V, added up in another order, within rounding.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "emulator/local.hpp"

namespace mrfcore::test {
namespace {

/// Everything an adjoint step reads and writes.
template <class T>
struct State {
  std::vector<T> beliefs, grad_costs, grad_before, grad_unary, per_edge;
  std::vector<double> values;  ///< [bins][L][L]
  int64_t bins;
};

template <class T>
State<T> start(const LocalProblem<T>& p, int64_t bins) {
  Random random(9);
  const int64_t labels = p.shape.labels, size = p.shape.pixels() * labels;
  State<T> s;
  // Any numbers will do for beliefs; gradients have both signs.
  const std::vector<T> beliefs = random.array<T>(size, 1.0, kFine);
  std::vector<T> grad_costs = random.array<T>(size, 4.0, kFine);
  for (T& g : grad_costs) g -= T(2);
  s.beliefs = padded(beliefs, labels, p.stride, T(0));
  s.grad_costs = padded(grad_costs, labels, p.stride, T(0));
  s.grad_before.assign(s.beliefs.size(), T(77));
  s.grad_unary = padded(random.array<T>(size, 1.0, kFine), labels, p.stride, T(0));
  s.per_edge = random.array<T>(p.item_weights() * p.shape.batch, 2.0, kFine);
  s.values.assign(static_cast<size_t>(bins * labels * labels), 0.5);
  s.bins = bins;
  return s;
}

template <class T>
cpu::MeanFieldAdjointArgs<T> arguments(const LocalProblem<T>& p, int64_t item, State<T>& s) {
  const int64_t at = item * p.item_volume();
  cpu::MeanFieldAdjointArgs<T> a{};
  a.shape = p.grid();
  a.weights = p.weights(item);
  a.scale = T(1) / T(3);
  a.table = p.tables.forward();
  a.table_t = p.tables.backward();
  a.beliefs = s.beliefs.data() + at;
  a.grad_costs = s.grad_costs.data() + at;
  a.grad_before = s.grad_before.data() + at;
  a.grad_unary = s.grad_unary.data() + at;
  a.gradient.per_edge = s.per_edge.data() + item * p.item_weights();
  a.gradient.values = s.values.data();
  a.gradient.bins = s.bins;
  a.threads = 1;
  return a;
}

/// Gradients have a set of numbers per item even if weights do not.
template <class T>
cuda::Batch batch_of(const LocalProblem<T>& p) {
  cuda::Batch batch = p.batch();
  if (p.shape.batch > 1) batch.edge_weights = p.item_weights();
  return batch;
}

template <class T>
void expect_same_table(const State<T>& cpu, const State<T>& gpu, int64_t labels) {
  std::vector<double> expected(static_cast<size_t>(labels * labels),
                               -0.5 * static_cast<double>(cpu.bins)),
      found(expected.size(), -0.5 * static_cast<double>(gpu.bins));
  for (size_t i = 0; i < cpu.values.size(); ++i) expected[i % expected.size()] += cpu.values[i];
  for (size_t i = 0; i < gpu.values.size(); ++i) found[i % found.size()] += gpu.values[i];
  expect_close(found, expected, "table", kTolerance<T>);
}

template <class T>
void expect_same(const Instance<T>& instance, int64_t bins) {
  SCOPED_TRACE(instance.shape.text() + ", " + potential_name(instance.pairwise) + ", " +
               std::to_string(instance.edge_weights.size()) + " weights");
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  const int64_t labels = instance.shape.labels;
  const LocalProblem<T> padded_problem(instance, round_up(labels, kernels.lanes));
  const LocalProblem<T> dense_problem(instance, labels);
  State<T> cpu = start(padded_problem, 1), gpu = start(dense_problem, bins);
  for (int64_t item = 0; item < instance.shape.batch; ++item)
    kernels.mean_field_adjoint(arguments(padded_problem, item, cpu));
  ASSERT_EQ(
      cuda::mean_field_adjoint(arguments(dense_problem, 0, gpu), batch_of(dense_problem), nullptr),
      0);
  ASSERT_EQ(gpu.grad_before, unpadded(cpu.grad_before, labels, padded_problem.stride));
  ASSERT_EQ(gpu.grad_unary, unpadded(cpu.grad_unary, labels, padded_problem.stride));
  ASSERT_EQ(gpu.per_edge, cpu.per_edge);
  ASSERT_NO_FATAL_FAILURE(expect_same_table(cpu, gpu, labels));
}

template <class T>
class CudaMeanFieldAdjoint : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaMeanFieldAdjoint, Reals);

TYPED_TEST(CudaMeanFieldAdjoint, HasTheCpusBits) {
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    for (const Shape& shape : local_shapes()) {
      for (const bool table : {false, true}) {
        // A stride of weights serves the gradients, too: items with weights in common come alone.
        const int weights = table || shape.batch > 1 ? 1 : 0;
        const int64_t bins = table ? 1 : 5;
        ASSERT_NO_FATAL_FAILURE(
            expect_same(local_instance<TypeParam>(shape, table, weights), bins));
      }
    }
  }
}

/// Bins depend on sizes alone; the same bits in every order of blocks.
TYPED_TEST(CudaMeanFieldAdjoint, DealsPixelsToBinsByTheirNumber) {
  const auto instance = local_instance<TypeParam>({7, 9, 33, 8, 3}, true, 1);
  const LocalProblem<TypeParam> p(instance, 33);
  for (const int64_t bins : {1, 2, 7, 300}) {
    std::vector<double> first;
    for (const emulator::Order order : kOrders) {
      const emulator::ScopedOrder scope(order);
      State<TypeParam> s = start(p, bins);
      ASSERT_EQ(cuda::mean_field_adjoint(arguments(p, 0, s), batch_of(p), nullptr), 0);
      if (first.empty()) first = s.values;
      ASSERT_EQ(s.values, first);
    }
    ASSERT_NO_FATAL_FAILURE(expect_same(instance, bins));
  }
}

TYPED_TEST(CudaMeanFieldAdjoint, LeavesOutWhatIsNotWanted) {
  const auto instance = local_instance<TypeParam>({4, 5, 6, 4}, true, 1);
  const LocalProblem<TypeParam> p(instance, 6);
  State<TypeParam> all = start(p, 2), some = start(p, 2);
  ASSERT_EQ(cuda::mean_field_adjoint(arguments(p, 0, all), batch_of(p), nullptr), 0);
  auto a = arguments(p, 0, some);
  a.gradient = {};
  ASSERT_EQ(cuda::mean_field_adjoint(a, batch_of(p), nullptr), 0);
  EXPECT_EQ(some.grad_before, all.grad_before);
  EXPECT_EQ(some.grad_unary, all.grad_unary);
}

TYPED_TEST(CudaMeanFieldAdjoint, RefusesItemsThatAddToTheSameNumbers) {
  const auto instance = local_instance<TypeParam>({4, 5, 6, 4, 2}, true, 2);
  const LocalProblem<TypeParam> p(instance, 6);
  State<TypeParam> s = start(p, 1);
  EXPECT_NE(cuda::mean_field_adjoint(arguments(p, 0, s), p.batch(), nullptr), 0);
}

}  // namespace
}  // namespace mrfcore::test
