// SPDX-License-Identifier: Apache-2.0
// What the adjoint of a mean-field step leaves to kernels of their own.
#pragma once

#include "kernels.hpp"

namespace mrfcore::cuda {

/// Adds d loss / d w to args.gradient.per_edge.
template <class T>
int mean_field_edges(const cpu::MeanFieldAdjointArgs<T>& args, const Batch& batch, Stream stream);

/// Adds d loss / d V(m, l) to args.gradient.values; pixels of all items are dealt to the bins.
template <class T>
int mean_field_table(const cpu::MeanFieldAdjointArgs<T>& args, const Batch& batch, Stream stream);

}  // namespace mrfcore::cuda
