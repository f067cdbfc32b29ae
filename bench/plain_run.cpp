// SPDX-License-Identifier: Apache-2.0
#include "plain_run.hpp"

#include <stdexcept>
#include <utility>

namespace mrfcore::bench {

PlainRun::PlainRun(const Problem<float>& problem, Solver solver)
    : instance_(problem), solver_(solver) {
  const PlainProblem& p = instance_.problem();
  switch (solver) {
    case Solver::MeanField:
      messages_.resize(p.volume());
      other_.assign(p.unary, p.unary + p.volume());
      break;
    case Solver::ICM:
      labels_.resize(p.height * p.width);
      plain_labels(p, p.unary, nullptr, labels_.data());
      break;
    case Solver::Chain:
      throw std::invalid_argument("solver: there is no plain loop of it");
    default:
      messages_.resize(static_cast<std::size_t>(p.directions) * p.volume());
      if (solver == Solver::ISGMR) other_.resize(messages_.size());
  }
}

void PlainRun::iterate() {
  const PlainProblem& p = instance_.problem();
  switch (solver_) {
    case Solver::TRWP:
      return plain_trwp_iteration(p, 2.0f / static_cast<float>(p.directions), messages_.data());
    case Solver::BP:  // TRWP at rho 1
      return plain_trwp_iteration(p, 1.0f, messages_.data());
    case Solver::ISGMR:
      plain_isgmr_iteration(p, messages_.data(), other_.data());
      return std::swap(messages_, other_);
    case Solver::TRWS:
      return plain_trws_iteration(p, messages_.data());
    case Solver::MeanField:
      return plain_mean_field_iteration(p, other_.data(), messages_.data());
    case Solver::ICM:
      return plain_icm_iteration(p, labels_.data());
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
  labels.resize(p.height * p.width);
  if (solver_ == Solver::ICM) {
    labels = labels_;
    return costs.clear();
  }
  if (solver_ == Solver::MeanField) {
    costs = other_;
    return plain_labels(p, costs.data(), nullptr, labels.data());
  }
  const float* unary = solver_ == Solver::SGM ? nullptr : p.unary;  // SGM's paths contain it
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
