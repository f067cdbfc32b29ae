// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mrfcore {

struct PairwiseMarginOptions {
  double alpha = 0.5;       ///< similarities of different groups above it cost; in [0, 1]
  double neg_weight = 1.0;  ///< of those costs, >= 0
  int threads = 0;          ///< 0: MRFCORE_NUM_THREADS, else OpenMP's default
};

/// Pairwise max-margin loss of an embedding (Eq 5.2) and its gradient in one pass. With
/// s_ij = (1 + x_i . x_j / |x_i| |x_j|) / 2 (Eq 5.1), for every item
///   loss = sum over i != j of w_i w_j * (1 - s_ij               where the labels are equal,
///                                        neg_weight [s_ij - alpha]_+   where they differ).
/// Equal labels by group sums, O(N D); different ones in blocks, N^2 D / 2 multiplications and as
/// many again where a block has costs and the gradient is wanted; memory O(N D).
/// x, grad: [batch, dims, points] (grad may be null); labels, weights: [batch, points], points of
/// weight 0 count for nothing; loss: [batch]. The same bits for any number of threads. A zero
/// vector has s = 1/2 with all others and no gradient. Throws std::invalid_argument.
template <class T>
void pairwise_margin_loss(const T* x, const int64_t* labels, const T* weights, int64_t batch,
                          int64_t dims, int64_t points, const PairwiseMarginOptions& options,
                          double* loss, T* grad);

}  // namespace mrfcore
