// SPDX-License-Identifier: Apache-2.0
// Embeddings on the GPU: recurrent mean shift and the pairwise margin loss. Conventions are those
// of kernels.hpp: device pointers, launches on `stream`, nothing allocated or waited for, a
// cudaError_t returned. Points are rows as on the CPU (cpp/cpu/mean_shift.hpp): [batch, padded,
// stride], zero where they are padded, so that a tape reads the same on both.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels.hpp"
#include "mrfcore/mean_shift.hpp"

namespace mrfcore::cuda::kernels {

inline constexpr int64_t kPointBlock = 64;  ///< points that a thread block owns

struct PointLayout {
  int64_t batch, dims, points;
  int64_t blocks;  ///< ceil(points / kPointBlock)
  int64_t stride;  ///< elements of a row, whole multiples of 64 bytes

  int64_t padded() const { return blocks * kPointBlock; }
  int64_t numbers() const { return batch * padded(); }
  int64_t rows_size() const { return numbers() * stride; }
  /// Few points alone do not fill a GPU: sums over the others are made in so many parts, which are
  /// then added in order. By the number of points only: the same bits on any GPU, in any batch.
  int64_t splits() const {
    constexpr int64_t kEnough = 512, kMost = 4;
    return std::clamp(kEnough / blocks, int64_t{1}, std::min(kMost, blocks));
  }
};

// --- Points in and out (point_rows.cu) -----------------------------------------------------------

/// to[item, d] = mean over points of x [batch, dims, points], in double.
template <class T>
int point_means(const PointLayout& layout, const T* x, T* to, Stream stream);
/// x minus offset [batch, dims] (null: nothing) -> rows.
template <class T>
int load_points(const PointLayout& layout, const T* x, const T* offset, T* rows, Stream stream);
/// Rows plus offset -> out [batch, dims, points].
template <class T>
int unload_points(const PointLayout& layout, const T* rows, const T* offset, T* out, Stream stream);
/// Rows to unit length, and what they had to length [batch, padded]; 0, and a row of zeros, where
/// they have no direction or, unless weights [batch, points] is null, no weight. NaN where a row is
/// not finite.
template <class T>
int normalise_points(const PointLayout& layout, const T* weights, T* rows, T* length,
                     Stream stream);
/// g <- (g - x (x . g)) / length: gradient through x = y / |y|; none where length is 0.
template <class T>
int through_norm(const PointLayout& layout, const T* rows, const T* length, T* gradient,
                 Stream stream);

// --- Mean shift (mean_shift.cu, mean_shift_adjoint.cu) -------------------------------------------

/// One loop forward, as cpu::MeanShiftStep. A kappa that is negative or not finite makes all NaN.
template <class T>
struct MeanShiftStep {
  MeanShiftKernel kernel;
  T step_size;
  const T* kappa;  ///< one number
  const T* from;
  T* to;
  T* mass;        ///< [batch, padded]
  T* length;      ///< [batch, padded]
  T* parts;       ///< scratch [splits, rows_size()]
  T* mass_parts;  ///< scratch [splits, batch, padded]
};
template <class T>
int mean_shift_step(const PointLayout& layout, const MeanShiftStep<T>& args, Stream stream);

/// One loop backward, as cpu::MeanShiftStepBack.
template <class T>
struct MeanShiftStepBack {
  MeanShiftKernel kernel;
  T step_size;
  const T* kappa;
  const T* from;
  const T* to;
  const T* mass;
  const T* length;
  T* gradient;         ///< with respect to `to` in, to `from` out
  T* pulled;           ///< scratch, rows_size()
  T* centre;           ///< scratch [batch, padded]
  T* parts;            ///< scratch [splits, rows_size()]
  T* row_sums;         ///< scratch [splits, batch, padded]
  double* kappa_sums;  ///< [splits, batch, blocks], added to
};
template <class T>
int mean_shift_step_back(const PointLayout& layout, const MeanShiftStepBack<T>& args,
                         Stream stream);

// --- Pairwise margin loss (pairwise_margin.cu) ---------------------------------------------------

/// Sums over all ordered pairs of different points, as mrfcore::pairwise_margin_loss() has them.
template <class T>
struct PairwiseMargin {
  T alpha, neg_weight;
  const T* rows;          ///< unit vectors
  const int64_t* labels;  ///< [batch, points]
  const T* weights;       ///< [batch, points]; negative or not finite: the loss is NaN
  double* loss;           ///< [batch, blocks, splits], one item's side by side
  T* gradient;            ///< like rows, with respect to them; null: not wanted
  T* parts;               ///< scratch [splits, rows_size()], with the gradient only
};
template <class T>
int pairwise_margin(const PointLayout& layout, const PairwiseMargin<T>& args, Stream stream);

}  // namespace mrfcore::cuda::kernels
