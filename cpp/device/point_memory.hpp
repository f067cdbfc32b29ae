// SPDX-License-Identifier: Apache-2.0
// Working memory of operators on points, counted and handed out by the same lines.
#pragma once

#include <cstdint>

#include "device/parts.hpp"
#include "device/workspace.hpp"
#include "mrfcore/cuda.hpp"
#include "ops/mean_shift.hpp"

namespace mrfcore::cuda {

/// Pieces aligned to 64 bytes, from the beginning of a workspace; without one they are counted.
class Pieces {
 public:
  Pieces() = default;
  explicit Pieces(const Queue& queue) : base_(static_cast<std::byte*>(queue.workspace)) {}

  template <class T>
  T* take(int64_t count) {
    constexpr int64_t kAlignment = 64;
    T* piece = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + bytes_);
    bytes_ += (count * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    return piece;
  }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* base_ = nullptr;
  int64_t bytes_ = 0;
};

template <class T>
kernels::PointLayout point_layout(const MeanShiftShape& shape) {
  static_assert(kernels::kPointBlock == cpu::kMeanShiftBlock, "a tape reads the same on both");
  const cpu::MeanShiftLayout layout = mean_shift_layout<T>(shape);
  return {layout.batch, layout.dims, layout.points, layout.blocks, layout.stride};
}

}  // namespace mrfcore::cuda
