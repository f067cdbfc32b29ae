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
  /// Labels and costs [height, width, labels] after the iterations so far. TRW-S's labels are the
  /// arg-min of its costs here; ICM has no costs.
  void read(std::vector<int32_t>& labels, std::vector<float>& costs) const;

 private:
  PlainInstance instance_;
  Solver solver_;
  std::vector<float> messages_;  ///< [directions] volumes; of mean field the beliefs
  std::vector<float> other_;     ///< ISGMR: new messages; mean field: costs
  std::vector<int32_t> labels_;  ///< ICM
};

}  // namespace mrfcore::bench
