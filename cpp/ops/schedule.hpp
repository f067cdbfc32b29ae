// SPDX-License-Identifier: Apache-2.0
// A solver is a schedule: what one iteration does, and how labels, costs and a bound are read off
// the state.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "ops/item.hpp"

namespace mrfcore {

template <class T>
class Schedule {
 public:
  explicit Schedule(Item<T>& item) : item_(item) {}
  virtual ~Schedule() = default;
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;

  /// Before the first iteration of minimize(); layers start from zero.
  virtual void start() {}
  virtual void iterate() = 0;
  /// No iteration will follow: gives back what only they need.
  virtual void end() {}
  /// Present labelling; costs too unless null. Must not change the state.
  virtual void read(int32_t* labels, T* costs) = 0;
  /// Lowers the energy of a labelling that read() gave, by Options::polish; may end the state.
  virtual void polish(int32_t* /*labels*/) {}
  /// A lower bound on every item's energy from the present state: chains of the reparametrised
  /// problem (spec section 2).
  virtual std::vector<double> lower_bounds() { return item_.backend.chain_bounds(item_, nullptr); }
  /// The schedule is exact after this many iterations.
  virtual int enough_iterations() const { return std::numeric_limits<int>::max(); }
  /// Solvers of layers: the state after `done` iterations, to TapeLayout::snapshot_volumes()
  /// volumes `apart` elements from one to the next, and back. Saving leaves the state that
  /// restoring would give, to the bit.
  virtual void save(T* /*to*/, int64_t /*apart*/) {}
  virtual void restore(const T* /*from*/, int64_t /*apart*/, int /*done*/) {}

 protected:
  /// Where iteration `done` (0-based) keeps its records, relative to the segment; -1 for nowhere.
  int record_index(int done) const {
    return item_.layer.records == nullptr ? -1 : done - item_.layer.first_iteration;
  }
  /// arg-min over labels of theta + messages (Eq 3.7, 3.8).
  void gather(const T* unary, const void* const* messages, int count, T* sum, T* costs,
              int32_t* labels);

  Item<T>& item_;
};

/// The schedule of the item's solver.
template <class T>
std::unique_ptr<Schedule<T>> make_schedule(Item<T>& item);
template <class T>
std::unique_ptr<Schedule<T>> make_message_passing(Item<T>& item);  ///< SGM, ISGMR, TRWP, BP, Chain
template <class T>
std::unique_ptr<Schedule<T>> make_trws(Item<T>& item);
template <class T>
std::unique_ptr<Schedule<T>> make_local(Item<T>& item);  ///< MeanField, ICM

/// rho of TRWP and BP (Eq 3.10) as given, or one tree per edge and D / 2 per node [T:1050].
double trwp_rho(const Options& options, int connectivity);

/// Options::polish and ::coarse as given, or a solver's default for an image of this size; 0 where
/// it has none.
int polish_labellings(const Options& options, int64_t height, int64_t width);
int coarse_grids(const Options& options, int64_t height, int64_t width);

/// Do ISGMR's cavities (Eq 3.9) need a volume of their own? Else they lie where messages will.
bool cavity_apart(const Options& options);

/// Volumes of [H, W, padded L] that a solver holds, and how many of them are messages.
int64_t schedule_volumes(const Options& options, int connectivity);
int64_t message_volumes(const Options& options, int connectivity);

}  // namespace mrfcore
