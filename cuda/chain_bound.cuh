// SPDX-License-Identifier: Apache-2.0
// What the exact minimum of a scanline needs to know.
#pragma once

#include "core/scanline.hpp"
#include "cpu/min_convolution_plan.hpp"
#include "device.cuh"
#include "kernels.hpp"

namespace mrfcore::cuda {

template <class T>
struct BoundParameters {
  cpu::GridShape shape;
  core::PairGeometry geometry;
  Batch batch;
  cpu::MinConvolutionPlan<double> plan;
  double scale, rho;
  const T* per_edge;  ///< of this pair
  const T* unary;
  const T* messages[core::kMaxDirections];
  int directions;  ///< 0: no messages
  int pair;
  double* minimum;

  /// Of the edge that `owner` has with the next node of its scanline.
  __device__ __forceinline__ double weight(int64_t item, int64_t owner) const {
    if (per_edge == nullptr) return scale;
    return scale * static_cast<double>(__ldg(per_edge + item * batch.edge_weights + owner));
  }
};

/// Beyond kMostLabels<double> labels; cudaErrorInvalidValue where a row does not fit shared memory.
template <class T>
int wide_chain_bound(const BoundParameters<T>& p, Stream stream);

}  // namespace mrfcore::cuda
