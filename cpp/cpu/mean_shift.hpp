// SPDX-License-Identifier: Apache-2.0
//
// What ops/mean_shift.cpp calls: one table of functions per instruction set. Arguments are checked
// by the caller; kernels do not throw.
//
// Points are kept as rows [batch, padded, stride], padded to blocks of kMeanShiftBlock points and
// to 64 bytes; what is padded is zero.
#pragma once

#include <cstdint>

#include "cpu/control.hpp"
#include "mrfcore/mean_shift.hpp"

namespace mrfcore::cpu {

inline constexpr int64_t kMeanShiftBlock = 64;

struct MeanShiftLayout {
  MeanShiftKernel kernel;
  int64_t batch, dims, points;
  int64_t blocks;  ///< ceil(points / kMeanShiftBlock)
  int64_t stride;  ///< elements of a row
  int threads;
  Control* control;

  int64_t padded() const { return blocks * kMeanShiftBlock; }
  int64_t rows_size() const { return batch * padded() * stride; }
};

/// One loop forward: from -> to. All arrays as in the layout; [batch, padded] where there is no D.
template <class T>
struct MeanShiftStep {
  T kappa, step_size;
  const T* from;
  T* to;       ///< overwritten
  T* mass;     ///< d, overwritten
  T* length;   ///< |Y|, overwritten; sphere: 0 where Y vanishes and the point stays; else 1
  T* columns;  ///< scratch, rows_size()
};

/// One loop backward: gradient with respect to `to` in, with respect to `from` out, in place.
template <class T>
struct MeanShiftStepBack {
  T kappa, step_size;
  const T* from;
  const T* to;
  const T* mass;
  const T* length;
  T* gradient;
  T* pulled;           ///< scratch, rows_size(): u
  T* columns;          ///< scratch, rows_size()
  T* pulled_columns;   ///< scratch, rows_size()
  T* centre;           ///< scratch [batch, padded]: c
  T* row_sum;          ///< scratch [batch, padded]
  double* kappa_sums;  ///< [batch, blocks], added to
};

template <class T>
struct MeanShiftKernels {
  /// x [batch, dims, points] minus offset [batch, dims] -> rows. On the sphere normalised, norms
  /// [batch, padded] to `length`.
  void (*load)(const MeanShiftLayout& layout, const T* x, const T* offset, T* rows, T* length);
  void (*step)(const MeanShiftLayout& layout, const MeanShiftStep<T>& args);
  void (*step_back)(const MeanShiftLayout& layout, const MeanShiftStepBack<T>& args);
  /// Rows plus offset -> out [batch, dims, points].
  void (*unload)(const MeanShiftLayout& layout, const T* rows, const T* offset, T* out);
  /// Gradient of load(), in place: through the normalisation.
  void (*through_norm)(const MeanShiftLayout& layout, const T* rows, const T* length, T* gradient);
};

namespace baseline {
template <class T>
const MeanShiftKernels<T>& mean_shift_kernels();
}
namespace avx2 {
template <class T>
const MeanShiftKernels<T>& mean_shift_kernels();
}
namespace avx512 {
template <class T>
const MeanShiftKernels<T>& mean_shift_kernels();
}

}  // namespace mrfcore::cpu
