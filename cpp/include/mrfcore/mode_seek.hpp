// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace mrfcore {

enum class ModeKernel {
  Flat,      ///< 1 where |x - y| <= bandwidth
  Gaussian,  ///< exp(-|x - y|^2 / (2 bandwidth^2)), 0 beyond 6 bandwidths (1.5e-8)
};

struct ModeSeekOptions {
  ModeKernel kernel = ModeKernel::Flat;
  double bandwidth = 1.0;               ///< 1e-150 .. 1e150
  int max_iterations = 300;             ///< >= 0
  double tolerance = 1e-3;              ///< >= 0; stop after a move of at most this many bandwidths
  int threads = 0;                      ///< 0: MRFCORE_NUM_THREADS, else OpenMP's default
  std::function<bool()> interrupted{};  ///< asked now and then; true: throw Interrupted
};

/// Classic mean shift: every seed climbs the density of the points, which stay where they are, to a
/// mode, by moving to the weighted mean of the points around it (Fukunaga & Hostetler; Comaniciu &
/// Meer). points [count, dims], seeds, modes [seeds, dims]; mass [seeds]: sum of weights around the
/// last place left, 0 where a seed has no point around it and stays; iterations [seeds]: moves
/// before the last. Points around a place are looked up in a grid over up to 3 dimensions. The same
/// bits for any number of threads. Throws std::invalid_argument and Interrupted.
void seek_modes(const double* points, int64_t count, int64_t dims, const double* seeds,
                int64_t num_seeds, const ModeSeekOptions& options, double* modes, double* mass,
                int32_t* iterations);

}  // namespace mrfcore
