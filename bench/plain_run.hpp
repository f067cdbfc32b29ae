// SPDX-License-Identifier: Apache-2.0
// A plain loop as a solver that can be timed iteration by iteration.
#pragma once

#include <cstdint>
#include <vector>

#include "instance.hpp"

namespace mrfcore::bench {

/// State of a plain loop; its volumes are in memory before the clock starts.
class PlainRun {
 public:
  /// Throws std::invalid_argument where there is no plain loop of the solver.
  PlainRun(const Problem<float>& problem, Solver solver);
  Elapsed time_of_next_iteration();

  void iterate();
  /// Labels and costs [height, width, labels] after the iterations so far.
  void read(std::vector<int32_t>& labels, std::vector<float>& costs) const;

 private:
  std::size_t volumes(int count) const;

  PlainInstance instance_;
  Solver solver_;
  std::vector<float> messages_, fresh_;
};

}  // namespace mrfcore::bench
