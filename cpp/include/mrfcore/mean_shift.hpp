// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace mrfcore {

/// Weight K_ij of point i in the mean that moves point j.
enum class MeanShiftKernel {
  Sphere,    ///< exp(kappa x_i . x_j) of unit vectors (Eq C.4), which are normalised every loop
  Gaussian,  ///< exp(-kappa |x_i - x_j|^2 / 2); bandwidth b: kappa = 1 / b^2
  Flat,      ///< 1 where kappa |x_i - x_j|^2 <= 1: the mean shift of Epanechnikov's (Eq C.3)
};

struct MeanShiftOptions {
  MeanShiftKernel kernel = MeanShiftKernel::Sphere;
  int steps = 5;                        ///< T >= 0
  double kappa = 36.0;                  ///< finite, >= 0 (Sphere) or > 0
  double step_size = 1.0;               ///< eta in (0, 1]
  int threads = 0;                      ///< 0: MRFCORE_NUM_THREADS, else OpenMP's default
  std::function<bool()> interrupted{};  ///< asked now and then; true: throw Interrupted
};

struct MeanShiftShape {
  int64_t batch, dims, points;
};

/// Elements of type T that forward() writes for backward(): the states before every loop and the
/// last one, and two numbers per point and loop; O(steps N D), never N^2.
template <class T>
int64_t mean_shift_tape_size(const MeanShiftShape& shape, int steps);

/// Recurrent (blurring) mean shift: `steps` times, for all points at once (Eq C.5),
///   Y_j = (1 - eta) x_j + eta sum_i K_ij x_i / sum_i K_ij,
/// on the sphere x_j = Y_j / |Y_j|; there the input is normalised first. A point whose Y vanishes
/// stays where it is and has no gradient. x, out: [batch, dims, points]; tape: null if there will
/// be no backward pass. 1.5 N^2 D multiplications a loop; memory O(N D). The same bits for any
/// number of threads. Throws std::invalid_argument on bad input and Interrupted.
template <class T>
void mean_shift_forward(const T* x, const MeanShiftShape& shape, const MeanShiftOptions& options,
                        T* out, T* tape);

/// Gradients of a loss from grad_out = d loss / d out: grad_x [batch, dims, points], grad_kappa one
/// number; null: not wanted. 3.5 N^2 D multiplications a loop: K is computed again.
template <class T>
void mean_shift_backward(const MeanShiftShape& shape, const MeanShiftOptions& options,
                         const T* tape, const T* grad_out, T* grad_x, double* grad_kappa);

}  // namespace mrfcore
