// SPDX-License-Identifier: Apache-2.0
// What the functions of kernels.hpp do beyond kMostLabels labels: a block holds a row in shared
// memory. For any number of labels that fits; cudaErrorInvalidValue beyond.
#pragma once

#include "kernels.hpp"

namespace mrfcore::cuda {

template <class T>
int wide_sweep_pair(const cpu::SweepArgs<T>& args, const Batch& batch, Stream stream);

/// By arg-mins; not for soft minima.
template <class T>
int wide_adjoint_pair(const cpu::AdjointArgs<T>& args, const Batch& batch,
                      const MessageGradients<T>& left_behind, Stream stream);

}  // namespace mrfcore::cuda
