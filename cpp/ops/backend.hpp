// SPDX-License-Identifier: Apache-2.0
// What schedules need of the machine they run on: kernels, memory, numbers read off a state. A
// back-end serves one Item: a single one of a batch on the CPU, several side by side on a GPU,
// where every pointer is to device memory and nothing but `energies` and the bounds waits.
#pragma once

#include <vector>

#include "cpu/kernels.hpp"
#include "mrfcore/error.hpp"
#include "mrfcore/minimize.hpp"
#include "ops/buffer.hpp"
#include "ops/plan.hpp"

namespace mrfcore {

template <class T>
struct Item;

/// A grid and the one of half its size.
template <class T>
struct CoarseArgs {
  cpu::GridShape fine, coarse;
  const T* fine_unary;
  T* coarse_unary;
  const T* fine_weights;  ///< [pairs, H, W], or null
  T* coarse_weights;
  cpu::Control* control;
};

template <class T>
class Backend {
 public:
  /// arena: memory that zeroed() hands out before it allocates; null for none.
  explicit Backend(Arena* arena) : arena_(arena) {}
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual void sweep_pair(const cpu::SweepArgs<T>& args) = 0;
  virtual void adjoint_pair(const cpu::AdjointArgs<T>& args) = 0;
  virtual void gather(const cpu::GatherArgs<T>& args) = 0;
  virtual void trws_pass(const cpu::TrwsArgs<T>& args) = 0;
  virtual void trws_labels(const cpu::LabellingArgs<T>& args) = 0;
  virtual void mean_field_step(const cpu::MeanFieldArgs<T>& args) = 0;
  virtual void mean_field_adjoint(const cpu::MeanFieldAdjointArgs<T>& args) = 0;
  virtual void icm_sweep(const cpu::IcmArgs<T>& args) = 0;
  virtual void minimize_lines(const cpu::LineArgs<T>& args) = 0;

  /// Takes over the labels of `proposal` wherever that lowers the energy, one connected region of
  /// different labels at a time. Both [items, H, W].
  virtual void fuse(const Item<T>& item, int32_t* labels, const int32_t* proposal) = 0;
  /// A grid of half the size: every node and edge weight is the mean of those that it stands for,
  /// nodes counted twice (ops/coarse.hpp).
  virtual void coarsen(const CoarseArgs<T>& args) = 0;
  /// messages of the finer grid = those of the coarser one's nodes.
  virtual void prolong(const cpu::GridShape& fine, const void* coarse_messages, void* messages,
                       MessageDtype storage, cpu::Control* control) = 0;

  /// SGM: unary = (sum - min sum) * share, labels of the minima to `minima` unless null.
  virtual void feed_back(const Item<T>& item, const T* sum, T share, T* unary, void* minima) = 0;
  /// Its adjoint: overwrites grad_sum.
  virtual void feed_back_adjoint(const Item<T>& item, const T* grad_unary, T share,
                                 const void* minima, T* grad_sum) = 0;
  /// costs [H, W, L] moved so that every node's lowest is the energy of `labels` (min-marginals).
  virtual void level_costs(const Item<T>& item, const int32_t* labels, T* costs) = 0;
  /// to[i] += from[i]
  virtual void add(T* to, const T* from, int64_t count) = 0;

  /// E(labels) of every item (Eq 3.1), labels [items, H, W].
  virtual std::vector<double> energies(const Item<T>& item, const int32_t* labels) = 0;
  /// Lower bound of every item: exact minima of chains of theta, or of theta and messages (one
  /// volume per direction, kept as the item's options say), weight rho each (spec section 2).
  virtual std::vector<double> chain_bounds(const Item<T>& item, const void* const* messages) = 0;
  /// Sums of the rows [items, H], in order.
  virtual std::vector<double> row_sums(const Item<T>& item, const double* rows) = 0;

  /// The item's potential for sweeps whose weights are the item's times `scale`.
  virtual OwnedPlan<T> plan(const Item<T>& item, T scale) = 0;
  /// V times `factor`.
  virtual PotentialTables<T> tables(const Item<T>& item, T factor) = 0;

  virtual bool device_memory() const { return false; }
  virtual void clear(void* to, int64_t bytes) = 0;
  virtual void copy(void* to, const void* from, int64_t bytes) = 0;

  /// arena: in place of the back-end's own, or null.
  template <class U>
  Buffer<U> zeroed(int64_t count, Arena* arena = nullptr) {
    if (arena == nullptr) arena = arena_;
    if (!device_memory()) return Buffer<U>(count, arena);
    const int64_t bytes = count * static_cast<int64_t>(sizeof(U));
    void* piece = arena->take(bytes);
    if (piece == nullptr) {
      throw OutOfMemory("workspace: too small by " + std::to_string(bytes) +
                        " bytes; expected what workspace_bytes() says");
    }
    clear(piece, bytes);
    return Buffer<U>::borrowed(static_cast<U*>(piece), count);
  }
  template <class U>
  void copy_values(U* to, const U* from, int64_t count) {
    copy(to, from, count * static_cast<int64_t>(sizeof(U)));
  }

 protected:
  Arena* arena_;
};

}  // namespace mrfcore
