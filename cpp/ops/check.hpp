// SPDX-License-Identifier: Apache-2.0
// Argument checks shared by the ops. Messages name the argument, what it was and what was expected.
#pragma once

#include "mrfcore/minimize.hpp"

namespace mrfcore {

/// Sizes, connectivity, table size, weights. Does not look at the unaries' values.
template <class T>
void check_problem(const Problem<T>& problem);

/// No NaN, no -inf among the unaries. Returns whether there is a +inf.
template <class T>
bool check_unary_values(const Problem<T>& problem, int threads);

void check_labels(const char* name, const int32_t* labels, int64_t batch, int64_t height,
                  int64_t width, int64_t label_count);

template <class T>
void check_options(const Problem<T>& problem, const Options& options);

}  // namespace mrfcore
