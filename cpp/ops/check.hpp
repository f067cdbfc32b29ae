// SPDX-License-Identifier: Apache-2.0
// Argument checks shared by the ops. Messages name the argument, what it was and what was expected.
#pragma once

#include "mrfcore/layer.hpp"

namespace mrfcore {

/// Sizes, connectivity, table size, a common weight: all that can be told without looking at
/// arrays.
template <class T>
void check_shape(const Problem<T>& problem);

/// check_shape(), and edge weights. Does not look at the unaries' values.
template <class T>
void check_problem(const Problem<T>& problem);

/// No NaN, no -inf among the unaries. Returns whether there is a +inf.
template <class T>
bool check_unary_values(const Problem<T>& problem, int threads);

void check_labels(const char* name, const int32_t* labels, int64_t batch, int64_t height,
                  int64_t width, int64_t label_count);

template <class T>
void check_options(const Problem<T>& problem, const Options& options);

/// Options::message_dtype. Float16 must hold the largest message, w (max V - min V) at most (Eq
/// 3.5), and have bits left for smaller ones; the rest would be cut off or rounded away.
template <class T>
void check_message_dtype(const Problem<T>& problem, const Options& options);

/// check_shape(), check_options(), and what a layer wants beyond.
template <class T>
void check_layer(const Problem<T>& problem, const LayerOptions& options);

/// What layer_backward() is asked for.
template <class T>
void check_gradients(const Problem<T>& problem, const void* tape, const T* grad_costs,
                     const Gradients<T>& gradients);

}  // namespace mrfcore
