// SPDX-License-Identifier: Apache-2.0
// ICM in the emulator against the CPU's: the same labels sweep by sweep, the same costs.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "emulator/local.hpp"

namespace mrfcore::test {
namespace {

constexpr int kSweeps = 3;

template <class T>
struct Found {
  std::vector<int32_t> labels;
  std::vector<T> costs;
};

template <class T>
cpu::IcmArgs<T> arguments(const LocalProblem<T>& p, int64_t item, int32_t* labels, T* costs) {
  cpu::IcmArgs<T> a{};
  a.shape = p.grid();
  a.weights = p.weights(item);
  a.table = p.tables.forward();
  a.table_t = p.tables.backward();
  a.unary = p.unary.data() + item * p.item_volume();
  a.labels = labels + item * p.item_pixels();
  a.costs = costs == nullptr ? nullptr : costs + item * p.item_pixels() * p.shape.labels;
  a.threads = 1;
  return a;
}

template <class T>
Found<T> start(const Instance<T>& instance) {
  const Shape& s = instance.shape;
  Found<T> f;
  for (int64_t i = 0; i < s.pixels(); ++i)
    f.labels.push_back(static_cast<int32_t>(i * 7 % s.labels));
  f.costs.assign(instance.unary.size(), T(-1));
  return f;
}

template <class T>
Found<T> by_cpu(const Instance<T>& instance) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  const LocalProblem<T> p(instance, round_up(instance.shape.labels, kernels.lanes));
  Found<T> f = start(instance);
  for (int64_t item = 0; item < instance.shape.batch; ++item) {
    for (int sweep = 0; sweep < kSweeps; ++sweep)
      kernels.icm_sweep(arguments<T>(p, item, f.labels.data(), nullptr));
    kernels.icm_sweep(arguments<T>(p, item, f.labels.data(), f.costs.data()));
  }
  return f;
}

template <class T>
Found<T> by_cuda(const Instance<T>& instance) {
  const LocalProblem<T> p(instance, instance.shape.labels);
  Found<T> f = start(instance);
  for (int sweep = 0; sweep < kSweeps; ++sweep)
    EXPECT_EQ(cuda::icm_sweep(arguments<T>(p, 0, f.labels.data(), nullptr), p.batch(), nullptr), 0);
  EXPECT_EQ(
      cuda::icm_sweep(arguments<T>(p, 0, f.labels.data(), f.costs.data()), p.batch(), nullptr), 0);
  return f;
}

template <class T>
void expect_same(const Instance<T>& instance) {
  SCOPED_TRACE(instance.shape.text() + ", " + potential_name(instance.pairwise) + ", " +
               std::to_string(instance.edge_weights.size()) + " weights");
  const Found<T> cpu = by_cpu(instance), gpu = by_cuda(instance);
  ASSERT_EQ(gpu.labels, cpu.labels);
  ASSERT_EQ(gpu.costs, cpu.costs);
}

template <class T>
class CudaIcm : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaIcm, Reals);

TYPED_TEST(CudaIcm, MovesAsTheCpuDoes) {
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    for (const Shape& shape : local_shapes()) {
      for (const int weights : {0, 1, 2})
        ASSERT_NO_FATAL_FAILURE(
            expect_same(local_instance<TypeParam>(shape, weights != 0, weights)));
    }
  }
}

/// Integers: ties everywhere, of which the present label wins, else the lowest.
TYPED_TEST(CudaIcm, BreaksTiesAsTheCpuDoes) {
  for (const Shape& shape : {Shape{9, 11, 7, 4, 2}, Shape{9, 11, 5, 8}, Shape{9, 11, 40, 16}})
    ASSERT_NO_FATAL_FAILURE(expect_same(local_instance<TypeParam>(shape, false, 1, 1.0)));
}

TYPED_TEST(CudaIcm, AvoidsForbiddenLabels) {
  auto instance = local_instance<TypeParam>({6, 7, 33, 8, 2}, true, 1);
  for (size_t i = 0; i < instance.unary.size(); i += 3)
    instance.unary[i] = cpu::kForbidden<TypeParam>;
  // Two pixels where nothing is allowed.
  for (size_t l = 0; l < 33; ++l)
    instance.unary[l] = instance.unary[instance.unary.size() - 1 - l] = cpu::kForbidden<TypeParam>;
  ASSERT_NO_FATAL_FAILURE(expect_same(instance));
}

/// Those of the caller that do not exist count as the nearest that does, and are gone afterwards.
TYPED_TEST(CudaIcm, LooksNowhereForLabelsThatDoNotExist) {
  const auto instance = local_instance<TypeParam>({6, 7, 33, 16, 2}, true, 1);
  const LocalProblem<TypeParam> p(instance, 33);
  std::vector<int32_t> labels, expected;
  for (int32_t i = 0; i < static_cast<int32_t>(instance.shape.pixels()); ++i) {
    labels.push_back(i % 3 == 0 ? -1 - i * 1000 : (i % 3 == 1 ? 33 + i * 1000 : i % 33));
    expected.push_back(i % 3 == 0 ? 0 : (i % 3 == 1 ? 32 : i % 33));
  }
  for (std::vector<int32_t>* of : {&labels, &expected}) {
    ASSERT_EQ(cuda::icm_sweep(arguments<TypeParam>(p, 0, of->data(), nullptr), p.batch(), nullptr),
              0);
  }
  EXPECT_EQ(labels, expected);
}

}  // namespace
}  // namespace mrfcore::test
