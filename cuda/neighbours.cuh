// SPDX-License-Identifier: Apache-2.0
// The neighbours of a pixel. Directions are looked up in a kernel's parameters: indexed at run
// time, a table within a function would be built on every thread's stack.
#pragma once

#include <cstdint>

#include "core/directions.hpp"
#include "cpu/kernels.hpp"
#include "device.cuh"

namespace mrfcore::cuda {

struct Neighbourhood {
  int64_t height, width;
  int count;  ///< connectivity
  core::Direction direction[core::kMaxDirections];

  explicit Neighbourhood(const cpu::GridShape& shape)
      : height(shape.height), width(shape.width), count(shape.connectivity), direction{} {
    for (int r = 0; r < count; ++r) direction[r] = core::direction(r);
  }

  MRF_CORE int64_t offset(int r) const { return direction[r].dy * width + direction[r].dx; }
  __device__ __forceinline__ bool inside(int r, int64_t y, int64_t x) const {
    const int64_t ny = y + direction[r].dy, nx = x + direction[r].dx;
    return ny >= 0 && ny < height && nx >= 0 && nx < width;
  }
  /// Of the edge to the neighbour in direction r, which is inside: the one that comes first in the
  /// pair's even direction owns it.
  template <class T>
  __device__ __forceinline__ T weight(const cpu::EdgeWeightView<T>& weights, int r,
                                      int64_t pixel) const {
    if (weights.per_edge == nullptr) return weights.scale;
    const int64_t owner = core::is_backward(r) ? pixel + offset(r) : pixel;
    return weights.scale * __ldg(weights.per_edge + core::pair_of(r) * (height * width) + owner);
  }
};

/// The weights of one item of a batch.
template <class T>
__device__ __forceinline__ cpu::EdgeWeightView<T> of_item(const cpu::EdgeWeightView<T>& weights,
                                                          int64_t item, int64_t stride) {
  return {weights.per_edge == nullptr ? nullptr : weights.per_edge + item * stride, weights.scale};
}

}  // namespace mrfcore::cuda
