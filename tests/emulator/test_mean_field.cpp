// SPDX-License-Identifier: Apache-2.0
// Mean field in the emulator against the CPU's: the same bits of beliefs and costs, step by step.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "emulator/local.hpp"

namespace mrfcore::test {
namespace {

constexpr int kSteps = 3;

template <class T>
struct State {
  std::vector<T> costs, beliefs;
};

template <class T>
cpu::MeanFieldArgs<T> arguments(const LocalProblem<T>& p, int64_t item, State<T>& s) {
  cpu::MeanFieldArgs<T> a{};
  a.shape = p.grid();
  a.weights = p.weights(item);
  a.scale = T(1) / T(3);
  a.table = p.tables.forward();
  a.table_t = p.tables.backward();
  a.symmetric = p.symmetric;
  a.unary = p.unary.data() + item * p.item_volume();
  a.costs = s.costs.data() + item * p.item_volume();
  a.beliefs = s.beliefs.data() + item * p.item_volume();
  a.threads = 1;
  return a;
}

template <class T>
State<T> start(const LocalProblem<T>& p) {
  return {p.unary, std::vector<T>(p.unary.size(), T(-1))};
}

template <class T>
void expect_same(const Instance<T>& instance) {
  SCOPED_TRACE(instance.shape.text() + ", " + potential_name(instance.pairwise) + ", " +
               std::to_string(instance.edge_weights.size()) + " weights");
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  const int64_t labels = instance.shape.labels;
  const LocalProblem<T> padded_problem(instance, round_up(labels, kernels.lanes));
  const LocalProblem<T> dense_problem(instance, labels);
  State<T> cpu = start(padded_problem), gpu = start(dense_problem);
  for (int step = 0; step < kSteps; ++step) {
    for (int64_t item = 0; item < instance.shape.batch; ++item)
      kernels.mean_field_step(arguments(padded_problem, item, cpu));
    ASSERT_EQ(
        cuda::mean_field_step(arguments(dense_problem, 0, gpu), dense_problem.batch(), nullptr), 0);
    ASSERT_EQ(gpu.beliefs, unpadded(cpu.beliefs, labels, padded_problem.stride)) << step;
    ASSERT_EQ(gpu.costs, unpadded(cpu.costs, labels, padded_problem.stride)) << step;
  }
}

template <class T>
class CudaMeanField : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaMeanField, Reals);

TYPED_TEST(CudaMeanField, HasTheCpusBits) {
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    for (const Shape& shape : local_shapes()) {
      for (const int weights : {0, 1, 2}) {
        for (const bool table : {false, true})
          ASSERT_NO_FATAL_FAILURE(expect_same(local_instance<TypeParam>(shape, table, weights)));
      }
    }
  }
}

TYPED_TEST(CudaMeanField, GivesForbiddenLabelsNoBelief) {
  auto instance = local_instance<TypeParam>({6, 7, 33, 8, 2}, true, 1);
  for (size_t i = 0; i < instance.unary.size(); i += 3)
    instance.unary[i] = cpu::kForbidden<TypeParam>;
  ASSERT_NO_FATAL_FAILURE(expect_same(instance));
}

/// Edges of weight zero pass nothing on.
TYPED_TEST(CudaMeanField, SkipsEdgesWithoutWeight) {
  auto instance = local_instance<TypeParam>({6, 7, 5, 16, 2}, true, 1);
  for (size_t i = 0; i < instance.edge_weights.size(); i += 2)
    instance.edge_weights[i] = TypeParam(0);
  ASSERT_NO_FATAL_FAILURE(expect_same(instance));
}

}  // namespace
}  // namespace mrfcore::test
