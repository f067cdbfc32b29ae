// SPDX-License-Identifier: Apache-2.0
// A solver is a schedule: what one iteration does, and how labels, costs and a bound are read off
// the state.
#pragma once

#include <limits>
#include <memory>

#include "ops/item.hpp"

namespace mrfcore {

template <class T>
class Schedule {
 public:
  explicit Schedule(Item<T>& item) : item_(item) {}
  virtual ~Schedule() = default;
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;

  virtual void iterate() = 0;
  /// Present labelling; costs too unless null. Must not change the state.
  virtual void read(int32_t* labels, T* costs) = 0;
  /// A lower bound on the energy from the present state: chains of the reparametrised problem (spec
  /// section 2).
  virtual double lower_bound() { return chain_bound(nullptr); }
  /// The schedule is exact after this many iterations.
  virtual int enough_iterations() const { return std::numeric_limits<int>::max(); }

 protected:
  double chain_bound(const T* const* messages);
  /// arg-min over labels of theta + messages (Eq 3.7, 3.8).
  void gather(const T* unary, const T* const* messages, int count, T* sum, T* costs,
              int32_t* labels);

  Item<T>& item_;

 private:
  std::unique_ptr<OwnedPlan<double>> bound_plan_;
  Buffer<double> bound_weights_;
};

template <class T>
std::unique_ptr<Schedule<T>> make_message_passing(Item<T>& item);  ///< SGM, ISGMR, TRWP, BP, Chain
template <class T>
std::unique_ptr<Schedule<T>> make_trws(Item<T>& item);
template <class T>
std::unique_ptr<Schedule<T>> make_local(Item<T>& item);  ///< MeanField, ICM

/// Volumes of [H, W, padded L] that a solver holds.
int64_t schedule_volumes(const Options& options, int connectivity);

}  // namespace mrfcore
