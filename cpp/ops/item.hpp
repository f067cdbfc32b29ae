// SPDX-License-Identifier: Apache-2.0
// One batch item, made ready for the kernels.
#pragma once

#include <memory>

#include "cpu/kernels.hpp"
#include "mrfcore/minimize.hpp"
#include "ops/buffer.hpp"
#include "ops/control.hpp"
#include "ops/plan.hpp"

namespace mrfcore {

template <class T>
class Records;

/// What a differentiable layer adds to an item: soft minima, records for the backward pass, memory
/// of the caller.
template <class T>
struct LayerState {
  T temperature = T(0);
  const Records<T>* records = nullptr;  ///< of the present segment; null: nothing is kept
  int first_iteration = 0;              ///< of that segment
  Arena* arena = nullptr;
};

template <class T>
struct Item {
  const Problem<T>& problem;
  const Options& options;
  const cpu::Kernels<T>& kernels;
  int64_t index;
  int threads;
  cpu::Control* control;
  cpu::GridShape shape;
  cpu::EdgeWeightView<T> weights;
  const T* unary;  ///< padded rows, forbidden labels finite: the caller's own memory where that is
                   ///< already so
  Buffer<T> padded;
  LayerState<T> layer;

  /// may_forbid: false promises that no unary is +inf.
  Item(const Problem<T>& p, const Options& o, const cpu::Kernels<T>& k, int64_t item,
       int thread_count, cpu::Control* c, bool may_forbid, LayerState<T> layer_state = {});

  /// Zeroed volume [H, W, stride].
  Buffer<T> new_volume() const { return Buffer<T>(shape.volume(), layer.arena); }

  const T* raw_unary() const { return problem.unary + index * problem.pixels() * problem.labels; }
  /// Plan for this item's potential and weights, times `scale`.
  OwnedPlan<T> plan(T scale = T(1)) const;
};

/// What the scan of an item's unaries found.
struct UnaryScan {
  bool bad = false;        ///< NaN, -inf, or too large in magnitude to compute with
  bool forbidden = false;  ///< +inf
  int64_t where = -1;      ///< index of the first bad value
};

template <class T>
UnaryScan scan_unary(const T* unary, int64_t size, int threads);

/// E(labels) of one item in double (Eq 3.1); forbidden labels count as the infinity they are.
template <class T>
double item_energy(const Problem<T>& problem, int64_t item, const int32_t* labels, int threads);

template <class T>
cpu::EdgeWeightView<T> item_weights(const Problem<T>& problem, int64_t item) {
  if (problem.edge_weights == nullptr) return {nullptr, problem.weight};
  return {problem.edge_weights + item * problem.edge_weights_batch_stride, T(1)};
}

}  // namespace mrfcore
