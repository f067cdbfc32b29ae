// SPDX-License-Identifier: Apache-2.0
// The synthetic problems that every benchmark here solves, and what one iteration on them must
// cost.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mrfcore/minimize.hpp"
#include "mrfcore/problem.hpp"
#include "plain_loops.hpp"

namespace mrfcore::bench {

/// A grid of whole-number costs: a noisy slanted plane. The same numbers everywhere.
struct Instance {
  int64_t height;
  int64_t width;
  int64_t labels;
  std::vector<float> unary;

  Instance(int64_t height, int64_t width, int64_t labels);
  int64_t cells() const { return height * width * labels; }
  Problem<float> problem(const Potential& pairwise, float weight, int connectivity = 4) const;
};

/// "table" (asymmetric, no structure to exploit), "truncated_linear" (at 8), "linear"
/// (untruncated), "potts", "sgm_penalty", "truncated_quadratic" (at 64).
Potential make_potential(const std::string& name, int64_t labels);

/// The same problem for the plain loops; owns the tables, refers to the problem's unary.
class PlainInstance {
 public:
  explicit PlainInstance(const Problem<float>& problem);
  const PlainProblem& problem() const { return problem_; }

 private:
  std::vector<float> odd_table_, even_table_;
  PlainProblem problem_;
};

/// Bytes that one iteration moves between memory and core, per cell (pixel and label) in single
/// precision, when both sweeps of a direction pair run while their scanlines sit in cache:
/// TRWP and BP read and write the sum and two messages per pair, 12 D in all, 8 D with messages of
/// 16 bits. What no implementation can do without, not what ours happens to move.
int64_t counted_bytes_per_cell(Solver solver, int connectivity,
                               MessageDtype storage = MessageDtype::Full);

/// Scalar operations (+ * min) per cell of the min-convolutions of one iteration.
double convolution_operations_per_cell(const Potential& pairwise, int64_t labels, int connectivity);

/// What one iteration must compute per cell.
struct Work {
  double operations;     ///< scalar + and min
  double multiply_adds;  ///< scalar a * b + c
};

/// Message passing: the min-convolutions. Mean field: V times the neighbours' beliefs, twice where
/// V is asymmetric. ICM: a row of V per neighbour, and the minimum.
Work work_per_cell(Solver solver, const Potential& pairwise, int64_t labels, int connectivity);

/// The same for the plain loops, which sum the messages again for every pair of labels.
double plain_operations_per_cell(Solver solver, int64_t labels, int connectivity);

/// Seconds by the wall clock and by the processors' (all threads together). On an idle machine one
/// thread's are equal; on a busy one only the processors' tell what the work took.
struct Elapsed {
  double wall;
  double cpu;
};

class Stopwatch {
 public:
  Stopwatch();
  Elapsed elapsed() const;

 private:
  Elapsed start_;
};

/// Time of a whole call of minimize() for the labels alone.
Elapsed time_of(const Problem<float>& problem, Options options, int iterations,
                std::vector<int32_t>& labels);

}  // namespace mrfcore::bench
