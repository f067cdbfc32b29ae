// SPDX-License-Identifier: Apache-2.0
#include "ops/schedule.hpp"

#include <algorithm>

#include "core/scanline.hpp"

namespace mrfcore {

template <class T>
void Schedule<T>::gather(const T* unary, const T* const* messages, int count, T* sum, T* costs,
                         int32_t* labels) {
  item_.kernels.gather(
      {item_.shape, unary, messages, count, sum, costs, labels, item_.threads, item_.control});
}

template <class T>
double Schedule<T>::chain_bound(const T* const* messages) {
  const cpu::EdgeWeightView<T>& w = item_.weights;
  const double scale = static_cast<double>(w.scale);
  if (!bound_plan_) {
    const int64_t lanes =
        std::max<int64_t>(1, item_.kernels.lanes * static_cast<int64_t>(sizeof(T)) / 8);
    bound_plan_ = std::make_unique<OwnedPlan<double>>(item_.problem.pairwise, item_.problem.labels,
                                                      lanes, item_.options.min_convolution,
                                                      w.per_edge == nullptr ? &scale : nullptr);
    if (w.per_edge != nullptr) {
      bound_weights_ = Buffer<double>(item_.problem.pairs() * item_.shape.pixels());
      for (int64_t i = 0; i < bound_weights_.size(); ++i) {
        bound_weights_.data()[i] = static_cast<double>(w.per_edge[i]);
      }
    }
  }
  // Every node lies on one scanline of each pair. Pairs without an edge in this image are left out,
  // so that the bound of a chain is its exact minimum.
  const cpu::GridShape& shape = item_.shape;
  const double rho = 1.0 / core::pairs_inside(shape.connectivity, shape.height, shape.width);
  double bound = 0.0;
  for (int pair = 0; pair < static_cast<int>(item_.problem.pairs()); ++pair) {
    if (!core::pair_inside(pair, shape.height, shape.width)) continue;
    const core::PairGeometry g = core::pair_geometry(pair, shape.height, shape.width);
    Buffer<double> minima(g.slots() * g.step);
    item_.kernels.chain_bound({item_.shape,
                               pair,
                               {bound_weights_.data(), scale},
                               &bound_plan_->get(),
                               item_.unary,
                               messages,
                               rho,
                               minima.data(),
                               item_.threads,
                               item_.control});
    for (int64_t i = 0; i < minima.size(); ++i) bound += minima.data()[i];
  }
  return bound;
}

double trwp_rho(const Options& options, int connectivity) {
  if (options.solver == Solver::BP) return 1.0;
  return options.rho != 0.0 ? options.rho : 2.0 / connectivity;
}

int64_t schedule_volumes(const Options& options, int connectivity) {
  switch (options.solver) {
    case Solver::SGM:
      return 2;  // sum, next iteration's unary
    case Solver::ISGMR:
      return connectivity + 1 + (options.damping > 0.0 ? 1 : 0);
    case Solver::TRWP:
    case Solver::BP:
    case Solver::Chain:
      return connectivity + 1;
    case Solver::TRWS:
      return connectivity;
    case Solver::MeanField:
      return 2;
    case Solver::ICM:
      return 0;
  }
  return 0;
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
