// SPDX-License-Identifier: Apache-2.0
// Problems for the tests of local updates (mean field, ICM): dense for CUDA, padded for the CPU.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "../cpp/instances.hpp"
#include "cpu/kernels.hpp"
#include "emulator/emulator.hpp"
#include "emulator/rows.hpp"
#include "kernels.hpp"
#include "ops/dispatch.hpp"
#include "ops/plan.hpp"

namespace mrfcore::test {

/// Weights of one item, V and its transpose in rows of `stride`.
template <class T>
struct LocalProblem {
  Shape shape;
  int64_t stride;
  bool symmetric;
  PotentialTables<T> tables;
  std::vector<T> unary;
  const std::vector<T>& edge_weights;
  T weight;

  LocalProblem(const Instance<T>& instance, int64_t row_stride)
      : shape(instance.shape),
        stride(row_stride),
        symmetric(instance.pairwise.symmetric()),
        tables(instance.pairwise, shape.labels, stride, T(1)),
        unary(padded(instance.unary, shape.labels, stride, cpu::kForbidden<T>)),
        edge_weights(instance.edge_weights),
        weight(instance.weight) {}

  int64_t item_pixels() const { return shape.height * shape.width; }
  int64_t item_volume() const { return item_pixels() * stride; }
  int64_t item_weights() const { return shape.connectivity / 2 * item_pixels(); }
  /// One set of weights for all items, if there are not as many as items.
  int64_t weights_stride() const {
    return static_cast<int64_t>(edge_weights.size()) > item_weights() ? item_weights() : 0;
  }
  cpu::GridShape grid() const {
    return {shape.height, shape.width, static_cast<int>(shape.labels), stride, shape.connectivity};
  }
  cpu::EdgeWeightView<T> weights(int64_t item) const {
    if (edge_weights.empty()) return {nullptr, weight};
    return {edge_weights.data() + item * weights_stride(), T(0.7)};
  }
  cuda::Batch batch() const {
    return {shape.batch, item_volume(), weights_stride(), item_volume(), item_pixels()};
  }
};

inline constexpr emulator::Order kOrders[] = {emulator::Order::kForward, emulator::Order::kReversed,
                                              emulator::Order::kShuffled};

/// Ragged sizes, all connectivities, numbers of labels around those of a warp.
inline const std::vector<Shape>& local_shapes() {
  static const std::vector<Shape> shapes = {
      {1, 1, 3, 16}, {1, 9, 5, 16, 2},  {9, 1, 5, 16},  {5, 7, 1, 4},     {5, 7, 2, 8, 2},
      {4, 33, 4, 4}, {7, 6, 31, 16, 2}, {3, 5, 32, 8},  {5, 3, 33, 4, 2}, {2, 5, 64, 8},
      {3, 4, 65, 4}, {3, 3, 100, 16},   {2, 3, 129, 4}, {2, 2, 300, 4, 2}};
  return shapes;
}

/// Scalar weights, weights of each item, weights for all items.
template <class T>
Instance<T> local_instance(const Shape& shape, bool table, int weights, double grain = kFine) {
  const Potential v =
      table ? random_table(shape.labels, 4, grain) : Potential::truncated_linear(3.0);
  auto instance =
      random_instance<T>(shape, v, weights == 0 ? Weights::Scalar : Weights::PerEdge, 3, grain);
  if (weights == 2) instance.edge_weights.resize(static_cast<size_t>(instance.weights_size()));
  return instance;
}

}  // namespace mrfcore::test
