// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "mrfcore/minimize.hpp"

namespace mrfcore {

/// A solver as a differentiable layer: unaries, weights and V in, costs out, gradients back.
/// Solvers: SGM, ISGMR, TRWP, BP, MeanField. Of Options: iterations, threads, rho, damping, head,
/// normalise_directions, min_convolution and interrupted count; the rest is ignored.
struct LayerOptions : Options {
  /// > 0 (ISGMR, TRWP, BP): messages are soft minima -t log sum exp(-x / t). 0: minima.
  double temperature = 0.0;
  /// Keep the state before every n-th iteration only and compute the n iterations again in the
  /// backward pass: less memory for one more forward pass. 1: keep what each iteration needs.
  int store_every = 1;
};

/// Gradients that backward() computes; null pointers are not wanted. All are overwritten.
template <class T>
struct Gradients {
  T* unary = nullptr;         ///< [batch, height, width, labels]
  T* edge_weights = nullptr;  ///< like Problem::edge_weights: one per item, or shared (summed)
  T* weight = nullptr;        ///< one number
  T* table = nullptr;         ///< [labels, labels], of V(l, m); any kind of potential
};

/// Bytes that forward() writes for backward(). Hard minima: about iterations * connectivity *
/// pixels * (labels + 1) bytes per item (twice that beyond 256 labels) [T:1636].
template <class T>
int64_t layer_tape_bytes(const Problem<T>& problem, const LayerOptions& options);

/// Bytes of working memory of forward() or backward(), for one item at a time.
template <class T>
int64_t layer_workspace_bytes(const Problem<T>& problem, const LayerOptions& options,
                              bool backward);

/// costs [batch, height, width, labels] of every item (Eq 3.7), the same bits as minimize()'s when
/// store_every is 1 and temperature 0. tape: layer_tape_bytes(), or null if there will be no
/// backward pass. workspace: layer_workspace_bytes(), or null to allocate here. The tape must
/// be aligned to 8 bytes. Throws std::invalid_argument on bad input and Interrupted as minimize()
/// does.
template <class T>
void layer_forward(const Problem<T>& problem, const LayerOptions& options, T* costs, void* tape,
                   void* workspace);

/// Gradients of a loss from grad_costs = d loss / d costs, [batch, height, width, labels] (spec
/// section 3). `problem`, `options` and `tape` are those of layer_forward(). The same bits for any
/// number of threads. The loss is piecewise smooth in hard layers: at ties of minima the lowest
/// label's side is taken.
template <class T>
void layer_backward(const Problem<T>& problem, const LayerOptions& options, const void* tape,
                    const T* grad_costs, const Gradients<T>& gradients, void* workspace);

}  // namespace mrfcore
