// SPDX-License-Identifier: Apache-2.0
// What mean shift on the CPU and on a GPU share: checks, and where things are on a tape.
#pragma once

#include <cstdint>

#include "cpu/mean_shift.hpp"

namespace mrfcore {

/// Throw std::invalid_argument.
void check_mean_shift_shape(const MeanShiftShape& shape, int steps);
/// of_kappa: false where it is on a GPU.
template <class T>
void check_mean_shift(const MeanShiftShape& shape, const MeanShiftOptions& options, bool of_kappa);

/// Sizes; nothing else is set.
template <class T>
cpu::MeanShiftLayout mean_shift_layout(const MeanShiftShape& shape) {
  constexpr int64_t kRow = 64 / static_cast<int64_t>(sizeof(T));
  cpu::MeanShiftLayout layout{};
  layout.batch = shape.batch;
  layout.dims = shape.dims;
  layout.points = shape.points;
  layout.blocks = (shape.points + cpu::kMeanShiftBlock - 1) / cpu::kMeanShiftBlock;
  layout.stride = (shape.dims + kRow - 1) / kRow * kRow;
  return layout;
}

/// Where things are on a tape, or in working memory that keeps two states only.
template <class T>
struct MeanShiftRecords {
  MeanShiftRecords(const cpu::MeanShiftLayout& layout, int steps, bool every, T* memory)
      : states(memory),
        kept(every ? steps + 1 : 2),
        rows(layout.rows_size()),
        numbers(layout.batch * layout.padded()),
        lengths(states + kept * rows),
        masses(lengths + kept * numbers) {}

  int64_t size() const { return kept * (rows + numbers) + (kept - 1) * numbers; }
  T* state(int t) const { return states + t % kept * rows; }
  /// Of state t before it was normalised.
  T* length(int t) const { return lengths + t % kept * numbers; }
  /// Of the loop from t to t + 1.
  T* mass(int t) const { return masses + t % (kept - 1) * numbers; }

  T* states;
  int64_t kept, rows, numbers;
  T* lengths;
  T* masses;
};

}  // namespace mrfcore
