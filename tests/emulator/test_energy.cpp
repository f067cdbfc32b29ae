// SPDX-License-Identifier: Apache-2.0
// Energies, the check of edge weights, and SGM's way from costs to unaries, in the emulator:
// against the CPU's bits and plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "core/directions.hpp"
#include "emulator/emulator.hpp"
#include "kernels.hpp"
#include "ops/sgm_scale.hpp"

namespace mrfcore::test {
namespace {

constexpr emulator::Order kOrders[] = {emulator::Order::kForward, emulator::Order::kReversed,
                                       emulator::Order::kShuffled};

template <class T>
class CudaEnergy : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaEnergy, Reals);

cpu::GridShape dense(const Shape& s) {
  return {s.height, s.width, static_cast<int>(s.labels), s.labels, s.connectivity};
}

/// Batches with weights for each item, weights for all, or a scalar.
template <class T>
cuda::Batch batch_of(const Instance<T>& instance, bool shared_weights = false) {
  const Shape& s = instance.shape;
  return {s.batch, s.height * s.width * s.labels,
          instance.edge_weights.empty() || shared_weights ? 0 : instance.weights_size(),
          s.height * s.width * s.labels, s.height * s.width};
}

std::vector<int32_t> random_labelling(const Shape& shape, uint32_t seed) {
  std::vector<int32_t> labels;
  Random random(seed);
  for (int64_t i = 0; i < shape.pixels(); ++i)
    labels.push_back(static_cast<int32_t>(random.uniform(static_cast<double>(shape.labels), 1.0)));
  return labels;
}

template <class T>
std::vector<double> energies(const Instance<T>& instance, const std::vector<int32_t>& labels,
                             bool by_differences, bool shared_weights = false) {
  const Shape& s = instance.shape;
  std::vector<double> differences, table;
  for (int64_t l = 0; l < s.labels; ++l) {
    differences.push_back(instance.pairwise(l, 0));
    for (int64_t m = 0; m < s.labels; ++m) table.push_back(instance.pairwise(l, m));
  }
  std::vector<double> rows(static_cast<size_t>(s.batch * s.height));
  std::vector<double> found(static_cast<size_t>(s.batch), -1.0);
  cuda::EnergyArgs<T> a{};
  a.shape = dense(s);
  a.weights = {instance.edge_weights.empty() ? nullptr : instance.edge_weights.data(),
               instance.edge_weights.empty() ? instance.weight : T(1)};
  (by_differences ? a.differences : a.table) = by_differences ? differences.data() : table.data();
  a.unary = instance.unary.data();
  a.labels = labels.data();
  a.rows = rows.data();
  a.energy = found.data();
  EXPECT_EQ(cuda::energy(a, batch_of(instance, shared_weights), nullptr), 0);
  return found;
}

TYPED_TEST(CudaEnergy, HasTheCpusBits) {
  const Shape shapes[] = {{1, 1, 3, 16},     {1, 7, 5, 16, 2}, {7, 1, 5, 8},    {9, 33, 4, 16, 2},
                          {3, 128, 2, 4, 2}, {5, 129, 31, 8},  {4, 300, 65, 4}, {6, 5, 300, 16}};
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    for (const Shape& shape : shapes) {
      SCOPED_TRACE(shape.text());
      for (const bool table : {false, true}) {
        for (const Weights weights : {Weights::Scalar, Weights::PerEdge}) {
          const Potential v = table ? random_table(shape.labels, 4) : Potential::cauchy(1.3);
          Instance<TypeParam> instance = random_instance<TypeParam>(shape, v, weights, 3);
          for (TypeParam& u : instance.unary) u *= TypeParam(1.1);  // sums that round
          const std::vector<int32_t> labels = random_labelling(shape, 8);
          ASSERT_EQ(energies(instance, labels, !table),
                    mrfcore::energy(instance.problem(), labels.data(), 1));
        }
      }
    }
  }
}

TYPED_TEST(CudaEnergy, SharesWeightsAmongItems) {
  const Shape shape{5, 6, 4, 8, 2};
  auto instance = random_instance<TypeParam>(shape, Potential::potts(), Weights::PerEdge, 3);
  instance.edge_weights.resize(static_cast<size_t>(instance.weights_size()));
  const std::vector<int32_t> labels = random_labelling(shape, 8);
  EXPECT_EQ(energies(instance, labels, true, true),
            mrfcore::energy(instance.problem(), labels.data(), 1));
}

TYPED_TEST(CudaEnergy, TellsForbiddenLabelsNaNsAndLabelsThatDoNotExist) {
  const Shape shape{4, 5, 3, 4, 4};
  auto instance = random_instance<TypeParam>(shape, Potential::potts(), Weights::Scalar, 3);
  std::vector<int32_t> labels(static_cast<size_t>(shape.pixels()), 1);
  const size_t item = 20;
  instance.unary[(0 * item + 7) * 3 + 1] = cpu::kForbidden<TypeParam>;
  instance.unary[(1 * item + 7) * 3 + 2] = cpu::kForbidden<TypeParam>;  // not the label taken
  instance.unary[(2 * item + 7) * 3 + 1] = std::numeric_limits<TypeParam>::quiet_NaN();
  labels[3 * item + 19] = 3;
  std::vector<double> found = energies(instance, labels, true);
  EXPECT_EQ(found[0], std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isfinite(found[1]));
  EXPECT_TRUE(std::isnan(found[2]));
  EXPECT_TRUE(std::isnan(found[3]));
  labels[3 * item + 19] = -1;
  EXPECT_TRUE(std::isnan(energies(instance, labels, true)[3]));
}

/// Every entry of every pair is bad once: flagged exactly where an edge is.
TYPED_TEST(CudaEnergy, ChecksTheWeightsOfEdgesThatExist) {
  const Shape shape{3, 4, 2, 16, 2};
  const TypeParam bad[] = {TypeParam(-1e-6), TypeParam(1e12),
                           std::numeric_limits<TypeParam>::quiet_NaN(),
                           std::numeric_limits<TypeParam>::infinity()};
  auto instance = random_instance<TypeParam>(shape, Potential::potts(), Weights::PerEdge, 3);
  const cuda::Batch batch = batch_of(instance);
  for (int64_t i = 0; i < 2 * instance.weights_size(); ++i) {
    const int64_t item = i / instance.weights_size(), at = i % instance.weights_size();
    const core::Direction d = core::direction(2 * static_cast<int>(at / 12));
    const int64_t y = at % 12 / 4 + d.dy, x = at % 4 + d.dx;
    const bool edge = y < 3 && x >= 0 && x < 4;
    std::swap(instance.edge_weights[static_cast<size_t>(i)], instance.edge_weights[0]);
    std::vector<TypeParam> weights = instance.edge_weights;
    weights[static_cast<size_t>(i)] = bad[i % 4];
    std::vector<int32_t> flags = {8, 8};
    ASSERT_EQ(cuda::check_weights(weights.data(), dense(shape), batch, flags.data(), nullptr), 0);
    const int32_t flagged = edge ? 8 | cuda::kBadWeight : 8;
    ASSERT_EQ(flags,
              (item == 0 ? std::vector<int32_t>{flagged, 8} : std::vector<int32_t>{8, flagged}))
        << i;
    if (item > 0) continue;
    cuda::Batch shared = batch;
    shared.edge_weights = 0;
    flags = {8, 8};
    ASSERT_EQ(cuda::check_weights(weights.data(), dense(shape), shared, flags.data(), nullptr), 0);
    ASSERT_EQ(flags, (std::vector<int32_t>{flagged, flagged})) << "shared, " << i;
  }
}

/// SgmSchedule::feed_back, said plainly.
template <class T>
void expect_fed_back(const Shape& shape, T share, bool keep_minima) {
  SCOPED_TRACE(shape.text());
  const auto labels = static_cast<size_t>(shape.labels);
  const auto pixels = static_cast<size_t>(shape.pixels());
  std::vector<T> sum = Random(2).array<T>(shape.pixels() * shape.labels, 40.0, 0.5);
  sum[0] = cpu::kForbidden<T> * T(4);
  if (labels > 1) sum[labels - 1] = cpu::kForbidden<T> / T(100);  // beyond the limit, if shared
  std::fill_n(sum.end() - static_cast<int64_t>(labels), labels, cpu::kForbidden<T>);
  std::vector<T> unary(sum.size());
  const bool wide = shape.labels > cpu::kByteLabels;
  std::vector<uint8_t> minima(pixels * (wide ? 2 : 1));
  ASSERT_EQ(cuda::feed_back(dense(shape), sum.data(), share, unary.data(),
                            keep_minima ? minima.data() : nullptr,
                            {shape.batch, shape.height * shape.width * shape.labels, 0, 0,
                             shape.height * shape.width},
                            nullptr),
            0);
  const T forbidden = cpu::kForbidden<T> / T(64), limit = forbidden / T(64);
  for (size_t i = 0; i < pixels; ++i) {
    const T* row = sum.data() + i * labels;
    const T* lowest = std::min_element(row, row + labels);
    for (size_t l = 0; l < labels; ++l) {
      const T expected =
          row[l] < forbidden ? std::min((row[l] - *lowest) * share, limit) : cpu::kForbidden<T>;
      ASSERT_EQ(unary[i * labels + l], expected) << i << ", " << l;
    }
    if (!keep_minima) continue;
    const auto kept = wide ? minima[2 * i] | minima[2 * i + 1] << 8 : minima[i];
    ASSERT_EQ(kept, lowest - row);
  }
}

TYPED_TEST(CudaEnergy, FeedsBackAsSgmDoes) {
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    for (const int64_t labels : {1, 2, 31, 32, 33, 256, 300}) {
      const Shape shape{3, 5, labels, 4, 2};
      for (const int done : {1, 40})
        ASSERT_NO_FATAL_FAILURE(
            expect_fed_back<TypeParam>(shape, sgm_share<TypeParam>(done, 8), labels != 33));
    }
  }
}

/// Against the derivative written as a matrix: d unary(l') / d sum(l) = share ([l = l'] - [l =
/// best]).
TYPED_TEST(CudaEnergy, UndoesFeedingBack) {
  for (const int64_t labels : {1, 3, 32, 65, 300}) {
    const int64_t pixels = 7;
    const std::vector<TypeParam> grad = Random(5).array<TypeParam>(2 * pixels * labels, 3.0, kFine);
    std::vector<uint8_t> bytes;
    std::vector<uint16_t> words;
    for (int64_t i = 0; i < 2 * pixels; ++i) {
      words.push_back(static_cast<uint16_t>(i * 37 % labels));
      bytes.push_back(static_cast<uint8_t>(words.back()));
    }
    const void* minima = bytes.data();
    if (labels > cpu::kByteLabels) minima = words.data();
    const TypeParam share = TypeParam(0.3);
    std::vector<TypeParam> found(grad.size());
    ASSERT_EQ(cuda::feed_back_adjoint({1, pixels, static_cast<int>(labels), labels, 4}, grad.data(),
                                      share, minima, found.data(),
                                      {2, pixels * labels, 0, 0, pixels}, nullptr),
              0);
    for (int64_t i = 0; i < 2 * pixels; ++i) {
      double total = 0.0;
      for (int64_t l = 0; l < labels; ++l)
        total += static_cast<double>(grad[static_cast<size_t>(i * labels + l)]) * 0.3;
      for (int64_t l = 0; l < labels; ++l) {
        const auto at = static_cast<size_t>(i * labels + l);
        const bool lowest = l == words[static_cast<size_t>(i)];
        ASSERT_NEAR(static_cast<double>(found[at]),
                    0.3 * static_cast<double>(grad[at]) - (lowest ? total : 0.0),
                    kTolerance<TypeParam> * (1.0 + total));
      }
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
