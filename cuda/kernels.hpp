// SPDX-License-Identifier: Apache-2.0
// What the CUDA back-end computes: the argument blocks of cpp/cpu/kernels.hpp with pointers to
// device memory, and what a batch adds. Volumes are dense, [H, W, L] (stride == labels): a warp
// needs no padding. Unaries hold kForbidden where a label is forbidden.
//
// Functions launch on `stream` and return at once; they neither allocate nor synchronise, so they
// can be captured into a graph. The returned code is a cudaError_t, 0 for success.
#pragma once

#include <cstdint>

#include "cpu/kernels.hpp"

namespace mrfcore::cuda {

/// Items of a batch are swept side by side. Strides are elements from one item to the next; 0
/// shares.
struct Batch {
  int64_t count;
  int64_t volume;  ///< unaries, sums, messages
  int64_t edge_weights;
  int64_t tape_argmin;   ///< indices
  int64_t tape_minimum;  ///< indices
};

/// A stream as the caller's runtime knows it (cudaStream_t).
using Stream = void*;

/// Most labels of a row held by a warp.
template <class T>
inline constexpr int kMostLabels = sizeof(T) == 4 ? 512 : 256;

/// One direction pair both ways. Of SweepArgs, `threads` and `control` are not used.
template <class T>
int sweep_pair(const cpu::SweepArgs<T>& args, const Batch& batch, Stream stream);

/// The adjoint of a hard sweep. Of the pairwise gradients only `per_edge` is computed; with a batch
/// of more than one it must have a stride (refused otherwise: items would add to the same numbers).
/// table, table_t: [L, L]; differences: [L].
template <class T>
int adjoint_pair(const cpu::AdjointArgs<T>& args, const Batch& batch, Stream stream);

/// sum, costs and labels of theta and messages, as GatherArgs says; `messages` is a host array.
template <class T>
int gather(const cpu::GatherArgs<T>& args, const Batch& batch, Stream stream);

/// to = from with +inf replaced by kForbidden; may be the same memory.
template <class T>
int finite_unary(const T* from, T* to, int64_t size, Stream stream);

}  // namespace mrfcore::cuda
