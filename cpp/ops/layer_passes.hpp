// SPDX-License-Identifier: Apache-2.0
// The two passes of a layer over an item: the order in which records are made and used. With
// store_every > 1 the forward pass keeps snapshots of the state, and the backward pass makes the
// records of one segment at a time.
#pragma once

#include "ops/adjoint.hpp"
#include "ops/tape.hpp"

namespace mrfcore {

/// Costs of the item, dense; what a backward pass needs to `tape` unless that is null.
template <class T>
void run_forward(Item<T>& item, const TapeLayout<T>& layout, T* costs, std::byte* tape);

/// Gradients of the pairwise term to `pairwise`, of the unaries, dense, to grad_unary unless null.
template <class T>
void run_backward(Item<T>& item, const TapeLayout<T>& layout, std::byte* tape,
                  const PairwiseAdjoint<T>& pairwise, const T* grad_costs, T* grad_unary);

/// Bytes that a pass takes from the arena, the item's padded unaries included.
template <class T>
int64_t layer_pass_bytes(const TapeLayout<T>& layout, const LayerOptions& options, bool backward);

}  // namespace mrfcore
