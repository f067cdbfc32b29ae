// SPDX-License-Identifier: Apache-2.0
#include "plain_run.hpp"

#include <stdexcept>
#include <utility>

namespace mrfcore::bench {

PlainRun::PlainRun(const Problem<float>& problem, Solver solver)
    : instance_(problem), solver_(solver), messages_(volumes(problem.connectivity)) {
  switch (solver) {
    case Solver::SGM:
    case Solver::TRWP:
    case Solver::BP:
      break;
    case Solver::ISGMR:
      fresh_.resize(messages_.size());
      break;
    default:
      throw std::invalid_argument("solver: there is no plain loop of it");
  }
}

std::size_t PlainRun::volumes(int count) const {
  return static_cast<std::size_t>(count) * instance_.problem().volume();
}

void PlainRun::iterate() {
  const PlainProblem& p = instance_.problem();
  switch (solver_) {
    case Solver::TRWP:
      return plain_trwp_iteration(p, 2.0f / static_cast<float>(p.directions), messages_.data());
    case Solver::BP:  // TRWP at rho 1
      return plain_trwp_iteration(p, 1.0f, messages_.data());
    case Solver::ISGMR:
      plain_isgmr_iteration(p, messages_.data(), fresh_.data());
      return std::swap(messages_, fresh_);
    default:
      return plain_sgm(p, messages_.data());
  }
}

Elapsed PlainRun::time_of_next_iteration() {
  const Stopwatch watch;
  iterate();
  return watch.elapsed();
}

void PlainRun::read(std::vector<int32_t>& labels, std::vector<float>& costs) const {
  const PlainProblem& p = instance_.problem();
  const float* unary = solver_ == Solver::SGM ? nullptr : p.unary;  // SGM's paths contain it
  labels.resize(p.height * p.width);
  costs.assign(p.volume(), 0.0f);
  plain_labels(p, unary, messages_.data(), labels.data());
  for (std::size_t i = 0; i < p.volume(); ++i) {
    costs[i] = unary != nullptr ? unary[i] : 0.0f;
    for (std::size_t d = 0; d < static_cast<std::size_t>(p.directions); ++d) {
      costs[i] += messages_[d * p.volume() + i];
    }
  }
}

}  // namespace mrfcore::bench
