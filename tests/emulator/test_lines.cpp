// SPDX-License-Identifier: Apache-2.0
// Minimisation of whole rows and columns in the emulator against the CPU's: the same labels. And
// the kernels around it: what a change of labels changes, grids of half the size.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "emulator/local.hpp"
#include "emulator/potentials.hpp"
#include "ops/cpu_backend.hpp"

namespace mrfcore::test {
namespace {

constexpr int kRounds = 2;

template <class T>
std::vector<int32_t> some_labels(const Shape& shape, int64_t step) {
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < shape.pixels(); ++i)
    labels.push_back(static_cast<int32_t>(i * step % shape.labels));
  return labels;
}

/// The potential as one machine's sweeps have it: on a GPU shifts take the place of the envelope,
/// and weights are never in a table.
template <class T>
OwnedPlan<T> plan_for(const Instance<T>& instance, int64_t lanes) {
  return OwnedPlan<T>(instance.pairwise, instance.shape.labels, lanes, MinConvolution::Auto,
                      nullptr);
}

template <class T>
cpu::LineArgs<T> arguments(const LocalProblem<T>& p, const OwnedPlan<T>& plan, int pair,
                           int64_t item, int32_t* labels, T* states) {
  cpu::LineArgs<T> a{};
  a.shape = p.grid();
  a.pair = pair;
  a.weights = p.weights(item);
  a.plan = &plan.get();
  a.table = p.tables.forward();
  a.table_t = p.tables.backward();
  a.unary = p.unary.data() + item * p.item_volume();
  a.labels = labels + item * p.item_pixels();
  a.states = states;
  a.threads = 1;
  return a;
}

template <class T>
std::vector<int32_t> by_cpu(const Instance<T>& instance) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  const LocalProblem<T> p(instance, round_up(instance.shape.labels, kernels.lanes));
  const OwnedPlan<T> plan = plan_for(instance, kernels.lanes);
  std::vector<int32_t> labels = some_labels<T>(instance.shape, 7);
  for (int64_t item = 0; item < instance.shape.batch; ++item) {
    for (int k = 0; k < 2 * kRounds; ++k)
      kernels.minimize_lines(arguments<T>(p, plan, k % 2, item, labels.data(), nullptr));
  }
  return labels;
}

template <class T>
std::vector<int32_t> by_cuda(const Instance<T>& instance) {
  const LocalProblem<T> p(instance, instance.shape.labels);
  const OwnedPlan<T> plan = plan_for(instance, 1);
  std::vector<int32_t> labels = some_labels<T>(instance.shape, 7);
  std::vector<T> states(p.unary.size(), T(-1));
  for (int k = 0; k < 2 * kRounds; ++k) {
    EXPECT_EQ(cuda::minimize_lines(arguments<T>(p, plan, k % 2, 0, labels.data(), states.data()),
                                   p.batch(), nullptr),
              0);
  }
  return labels;
}

template <class T>
void expect_same(const Instance<T>& instance) {
  SCOPED_TRACE(instance.shape.text() + ", " + potential_name(instance.pairwise) + ", " +
               std::to_string(instance.edge_weights.size()) + " weights");
  ASSERT_EQ(by_cuda(instance), by_cpu(instance));
}

template <class T>
class CudaLines : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaLines, Reals);

TYPED_TEST(CudaLines, MoveAsOnTheCpu) {
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    for (const Shape& shape : local_shapes()) {
      for (const int weights : {0, 1, 2})
        ASSERT_NO_FATAL_FAILURE(
            expect_same(local_instance<TypeParam>(shape, weights != 0, weights)));
    }
  }
}

TYPED_TEST(CudaLines, TakeEveryPotential) {
  for (int potential = 0; potential < kHardPotentials; ++potential) {
    for (const int64_t labels : {13, 40, 300}) {
      const Shape shape{4, 5, labels, 8, 2};
      ASSERT_NO_FATAL_FAILURE(expect_same(random_instance<TypeParam>(
          shape, hard_potential(potential, labels), Weights::PerEdge, 3)));
    }
  }
}

/// Beyond what a warp holds.
TYPED_TEST(CudaLines, TakeManyLabels) {
  for (const int connectivity : {4, 16})
    ASSERT_NO_FATAL_FAILURE(
        expect_same(local_instance<TypeParam>({3, 4, 600, connectivity, 2}, true, 1)));
}

/// Integers: ties everywhere, of which the present label wins, else the lowest.
TYPED_TEST(CudaLines, BreakTiesAsOnTheCpu) {
  for (const Shape& shape : {Shape{9, 11, 7, 4, 2}, Shape{9, 11, 5, 8}, Shape{9, 11, 40, 16}})
    ASSERT_NO_FATAL_FAILURE(expect_same(local_instance<TypeParam>(shape, false, 1, 1.0)));
}

TYPED_TEST(CudaLines, AvoidForbiddenLabels) {
  auto instance = local_instance<TypeParam>({6, 7, 33, 8, 2}, true, 1);
  for (size_t i = 0; i < instance.unary.size(); i += 3)
    instance.unary[i] = cpu::kForbidden<TypeParam>;
  ASSERT_NO_FATAL_FAILURE(expect_same(instance));
}

/// The energy moves by the sum of what changes, for the GPU's numbers as for the real ones.
TYPED_TEST(CudaLines, ChangesAddUpToTheEnergysChange) {
  for (const int connectivity : {4, 8, 16}) {
    const auto instance = local_instance<TypeParam>({6, 8, 5, connectivity, 2}, true, 1);
    const Shape& s = instance.shape;
    const LocalProblem<TypeParam> p(instance, s.labels);
    const PotentialTables<double> exact(instance.pairwise, s.labels, s.labels, 1.0);
    const std::vector<int32_t> from = some_labels<TypeParam>(s, 3),
                               to = some_labels<TypeParam>(s, 7);
    std::vector<double> change(from.size(), -1.0);
    cpu::EdgeWeightView<TypeParam> weights = p.weights(0);
    weights.scale = TypeParam(1);
    ASSERT_EQ(
        cuda::label_changes<TypeParam>({p.grid(), weights, nullptr, exact.forward(), p.unary.data(),
                                        from.data(), to.data(), change.data()},
                                       p.batch(), nullptr),
        0);
    const std::vector<double> before = energy(instance.problem(), from.data());
    const std::vector<double> after = energy(instance.problem(), to.data());
    for (size_t item = 0; item < 2; ++item) {
      const auto begin = change.begin() + static_cast<int64_t>(item) * p.item_pixels();
      const double sum = std::accumulate(begin, begin + p.item_pixels(), 0.0);
      EXPECT_NEAR(sum, after[item] - before[item], 1e-9);
    }
  }
}

/// Odd sizes, where a node of the coarser grid stands for one, two or four.
TYPED_TEST(CudaLines, CoarserGridsAreTheCpus) {
  using T = TypeParam;
  for (const Shape& s : {Shape{5, 7, 3, 16, 2}, Shape{6, 4, 33, 4}, Shape{1, 5, 2, 8}}) {
    auto instance = local_instance<T>(s, false, 1);
    instance.unary[1] = cpu::kForbidden<T>;
    const LocalProblem<T> p(instance, s.labels);
    cpu::GridShape coarse = p.grid();
    coarse.height = (s.height + 1) / 2;
    coarse.width = (s.width + 1) / 2;
    const int64_t pairs = s.connectivity / 2;
    cuda::Batch batch = p.batch();
    batch.volume = coarse.volume();
    batch.edge_weights = pairs * coarse.pixels();
    const auto count = [&](int64_t of_item) { return static_cast<size_t>(s.batch * of_item); };
    std::vector<T> unary(count(coarse.volume())), weights(count(batch.edge_weights)),
        fine_messages(count(p.item_volume()));
    std::vector<T> expected_unary = unary, expected_weights = weights,
                   expected_messages = fine_messages;
    ASSERT_EQ(cuda::coarsen<T>({p.grid(), coarse, p.unary.data(), unary.data(),
                                instance.edge_weights.data(), weights.data()},
                               p.batch(), batch, nullptr),
              0);
    ASSERT_EQ(cuda::prolong<T>(p.grid(), unary.data(), fine_messages.data(), s.batch, nullptr), 0);
    CpuBackend<T> backend(kernels_for<T>(Isa::Baseline), 1);
    for (int64_t item = 0; item < s.batch; ++item) {
      T* coarse_unary = expected_unary.data() + item * coarse.volume();
      backend.coarsen({p.grid(), coarse, p.unary.data() + item * p.item_volume(), coarse_unary,
                       instance.edge_weights.data() + item * p.weights_stride(),
                       expected_weights.data() + item * batch.edge_weights, nullptr});
      backend.prolong(p.grid(), coarse_unary, expected_messages.data() + item * p.item_volume(),
                      MessageDtype::Full, nullptr);
    }
    EXPECT_EQ(unary, expected_unary);
    EXPECT_EQ(weights, expected_weights);
    EXPECT_EQ(fine_messages, expected_messages);
  }
}

}  // namespace
}  // namespace mrfcore::test
