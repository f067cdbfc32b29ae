// SPDX-License-Identifier: Apache-2.0
#include "ops/schedule.hpp"

#include "ops/coarse.hpp"

namespace mrfcore {

template <class T>
void Schedule<T>::gather(const T* unary, const void* const* messages, int count, T* sum, T* costs,
                         int32_t* labels) {
  item_.backend.gather({item_.shape, unary, messages, count, sum, costs, labels, item_.threads,
                        item_.control, item_.options.message_dtype});
}

double trwp_rho(const Options& options, int connectivity) {
  if (options.solver == Solver::BP) return 1.0;
  return options.rho != 0.0 ? options.rho : 2.0 / connectivity;
}

namespace {

/// Does TRWP start from coarser grids, and polish its labels, if nothing is said? Small problems
/// are solved before a message has far to go.
bool has_a_coarser_grid(int64_t height, int64_t width) {
  return !coarser_shapes({height, width, 1, 1, 4}, 1).empty();
}

}  // namespace

int polish_labellings(const Options& o, int64_t height, int64_t width) {
  const bool has_messages =
      o.solver == Solver::TRWP || o.solver == Solver::BP || o.solver == Solver::ISGMR;
  if (!has_messages) return 0;
  return o.polish.value_or(o.solver == Solver::TRWP && has_a_coarser_grid(height, width) ? 4 : 0);
}

int coarse_grids(const Options& o, int64_t height, int64_t width) {
  if (o.solver != Solver::TRWP && o.solver != Solver::BP) return 0;
  if (!has_a_coarser_grid(height, width)) return 0;
  return o.coarse.value_or(o.solver == Solver::TRWP ? 3 : 0);
}

bool cavity_apart(const Options& o) {
  return o.solver == Solver::ISGMR && (o.damping > 0.0 || o.message_dtype != MessageDtype::Full);
}

int default_iterations(const Options& options, int64_t height, int64_t width) {
  const bool ahead = options.solver == Solver::TRWP && coarse_grids(options, height, width) > 0;
  return ahead ? 10 : 50;
}

int64_t message_volumes(const Options& options, int connectivity) {
  switch (options.solver) {
    case Solver::ISGMR:
    case Solver::TRWP:
    case Solver::BP:
    case Solver::Chain:
    case Solver::TRWS:
      return connectivity;
    default:
      return 0;
  }
}

int64_t schedule_volumes(const Options& options, int connectivity) {
  const int64_t messages = message_volumes(options, connectivity);
  switch (options.solver) {
    case Solver::ISGMR:
      return messages + 1 + (cavity_apart(options) ? 1 : 0);
    case Solver::TRWP:
    case Solver::BP:
    case Solver::Chain:
      return messages + 1;
    case Solver::SGM:  // sum, next iteration's unary
    case Solver::MeanField:
      return 2;
    default:
      return messages;
  }
}

template <class T>
std::unique_ptr<Schedule<T>> make_schedule(Item<T>& item) {
  switch (item.options.solver) {
    case Solver::TRWS:
      return make_trws(item);
    case Solver::MeanField:
    case Solver::ICM:
      return make_local(item);
    default:
      return make_message_passing(item);
  }
}

template std::unique_ptr<Schedule<float>> make_schedule<float>(Item<float>&);
template std::unique_ptr<Schedule<double>> make_schedule<double>(Item<double>&);
template class Schedule<float>;
template class Schedule<double>;

}  // namespace mrfcore
