// SPDX-License-Identifier: Apache-2.0
// Batch items, made ready for the kernels.
#pragma once

#include "cpu/kernels.hpp"
#include "mrfcore/minimize.hpp"
#include "ops/backend.hpp"
#include "ops/control.hpp"

namespace mrfcore {

template <class T>
class Records;

/// What a differentiable layer adds to an item: soft minima, records for the backward pass.
template <class T>
struct LayerState {
  T temperature = T(0);
  const Records<T>* records = nullptr;  ///< of the present segment; null: nothing is kept
  int first_iteration = 0;              ///< of that segment
};

/// One batch item, or several that a GPU works on side by side.
template <class T>
struct Item {
  const Problem<T>& problem;
  const Options& options;
  Backend<T>& backend;
  int64_t index;      ///< of the first item
  int64_t items = 1;  ///< how many; memory is theirs one after the other
  int threads = 1;
  cpu::Control* control = nullptr;
  cpu::GridShape shape;  ///< of one item
  cpu::EdgeWeightView<T> weights;
  const T* unary;  ///< padded rows, forbidden labels finite: the caller's own memory where that is
                   ///< already so
  Buffer<T> padded;
  LayerState<T> layer;
  Arena* arena = nullptr;  ///< what schedules take their memory from; null: the back-end's

  int64_t volume() const { return items * shape.volume(); }
  int64_t pixels() const { return items * shape.pixels(); }
  int64_t cells() const { return pixels() * shape.labels; }

  template <class U>
  Buffer<U> zeroed(int64_t count) const {
    return backend.template zeroed<U>(count, arena);
  }
  /// Zeroed volume [items, H, W, stride].
  Buffer<T> new_volume() const { return zeroed<T>(volume()); }
  /// The same for messages on a grid of any size, kept as the options say.
  Buffer<std::byte> new_messages(const cpu::GridShape& grid) const {
    const int64_t element = message_bytes(options.message_dtype, sizeof(T));
    return zeroed<std::byte>(items * grid.volume() * element);
  }
  const T* raw_unary() const { return problem.unary + index * shape.pixels() * shape.labels; }
};

/// An item for the CPU. may_forbid: false promises that no unary is +inf.
template <class T>
Item<T> cpu_item(const Problem<T>& problem, const Options& options, const cpu::Kernels<T>& kernels,
                 Backend<T>& backend, int64_t index, int threads, cpu::Control* control,
                 bool may_forbid);

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
