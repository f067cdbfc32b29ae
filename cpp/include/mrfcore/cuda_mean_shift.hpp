// SPDX-License-Identifier: Apache-2.0
// Embeddings on a GPU: recurrent mean shift and the pairwise margin loss. Arrays are in device
// memory, aligned to 16 bytes. Calls enqueue work on the queue's stream and return: they neither
// allocate nor wait, and may be captured in a graph. Nobody looks at values: of an item with a
// point that is not finite, or whose norm is not, results are NaN.
//
// Sums have an order of their own, by the sizes alone: the same bits on every GPU, in any batch,
// and those of the CPU but for rounding.
//
// Throws std::invalid_argument, naming the argument, when sizes or options do not fit, OutOfMemory
// when the workspace is too small, CudaError when a launch fails.
#pragma once

#include <cstdint>

#include "mrfcore/cuda.hpp"
#include "mrfcore/mean_shift.hpp"
#include "mrfcore/pairwise_margin.hpp"

namespace mrfcore::cuda {

/// Working memory of the two functions below, O(N D): up to 6 times x, 4 of them partial sums,
/// which let up to 8192 points fill the GPU.
template <class T>
int64_t mean_shift_forward_workspace_bytes(const MeanShiftShape& shape,
                                           const MeanShiftOptions& options, bool tape);
template <class T>
int64_t mean_shift_backward_workspace_bytes(const MeanShiftShape& shape,
                                            const MeanShiftOptions& options);

/// mrfcore::mean_shift_forward(). kappa: one number on the device, in place of options.kappa; one
/// that is negative or not finite makes all results NaN. tape: mean_shift_tape_size() elements in
/// the same places as the CPU's, aligned to 16 bytes, or null.
template <class T>
void mean_shift_forward(const T* x, const MeanShiftShape& shape, const MeanShiftOptions& options,
                        const T* kappa, T* out, T* tape, const Queue& queue);

/// mrfcore::mean_shift_backward(). grad_kappa: one number on the device.
template <class T>
void mean_shift_backward(const MeanShiftShape& shape, const MeanShiftOptions& options,
                         const T* kappa, const T* tape, const T* grad_out, T* grad_x,
                         double* grad_kappa, const Queue& queue);

/// Working memory of pairwise_margin_loss(), O(N D).
template <class T>
int64_t pairwise_margin_workspace_bytes(int64_t batch, int64_t dims, int64_t points, bool gradient);

/// mrfcore::pairwise_margin_loss(). Weights that are negative or not finite make the loss NaN;
/// points of weight 0 may hold anything. Costs of pairs are computed in T: a loss of equal labels
/// is exact to rounding of the similarities, some 1e-7 of the weight of its pairs in float.
template <class T>
void pairwise_margin_loss(const T* x, const int64_t* labels, const T* weights, int64_t batch,
                          int64_t dims, int64_t points, const PairwiseMarginOptions& options,
                          double* loss, T* grad, const Queue& queue);

}  // namespace mrfcore::cuda
