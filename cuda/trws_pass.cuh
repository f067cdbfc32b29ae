// SPDX-License-Identifier: Apache-2.0
// What a TRW-S pass needs to know, and the order of its bound's sums. Columns x count from the side
// where the pass begins, rows k from the first one it visits.
#pragma once

#include "core/directions.hpp"
#include "cpu/min_convolution_plan.hpp"
#include "kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {

template <class T>
struct TrwsParameters {
  cpu::GridShape shape;
  Batch batch;
  cpu::MinConvolutionPlan<T> plan;
  bool backward;
  int lead;  ///< nodes of the row before that must be done beyond a node's own column
  T gamma;
  cpu::EdgeWeightView<T> weights;
  const T* unary;
  T* messages[core::kMaxDirections];
  core::Direction directions[core::kMaxDirections];
  double* row_bound;  ///< or null
  int32_t* progress;  ///< [items][height + 1]: nodes done of row k; the first item's last: ticket
};

/// Sums of what was subtracted, in the CPU's order: nodes in groups of 16, messages of 4.
class TrwsBound {
 public:
  /// What a node's own sum lost, then what its messages did.
  __device__ __forceinline__ void begin(double constant) { node_ = constant; }
  __device__ __forceinline__ void add(double lowest) {
    messages_ += lowest;
    if (++message_count_ % 4 == 0) close(node_, messages_);
  }
  __device__ __forceinline__ void end() {
    if (message_count_ % 4 != 0) close(node_, messages_);
    message_count_ = 0;
    nodes_ += node_;
    if (++node_count_ % 16 == 0) close(total_, nodes_);
  }
  __device__ __forceinline__ double total() {
    close(total_, nodes_);
    return total_;
  }

 private:
  static __device__ __forceinline__ void close(double& to, double& group) {
    to += group;
    group = 0.0;
  }
  double total_ = 0.0, nodes_ = 0.0, node_ = 0.0, messages_ = 0.0;
  int node_count_ = 0, message_count_ = 0;
};

/// A pass beyond kMostLabels labels, progress cleared; cudaErrorInvalidValue where a row does not
/// fit shared memory.
template <class T>
int wide_trws_pass(const TrwsParameters<T>& p, Stream stream);

}  // namespace mrfcore::cuda
