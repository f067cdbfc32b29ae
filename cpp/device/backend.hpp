// SPDX-License-Identifier: Apache-2.0
// Several items side by side on a GPU.
#pragma once

#include <memory>

#include "device/potential.hpp"
#include "mrfcore/cuda.hpp"
#include "ops/item.hpp"

namespace mrfcore::cuda {

/// All memory comes from the arena; nothing is allocated, and only `energies`, `chain_bounds` and
/// `row_sums` wait for the device.
template <class T>
class DeviceBackend final : public Backend<T> {
 public:
  /// items: of the problem from `first` on. own_weights: every item gets weights of its own, where
  /// gradients are to be told apart.
  DeviceBackend(const Functions& functions, Stream stream, Arena* arena, const Problem<T>& problem,
                const DeviceInputs<T>& inputs, int64_t first, int64_t items, bool own_weights);

  /// The group of items, with finite unaries. Checks unaries, weights and table on the device.
  Item<T> item(const Problem<T>& problem, const Options& options, cpu::Control* control);

  const DevicePotential<T>& potential() const { return potential_; }
  const Functions& functions() const { return functions_; }
  Stream stream() const { return stream_; }
  void check(int code, const char* operation) const { cuda::check(functions_, code, operation); }

  void sweep_pair(const cpu::SweepArgs<T>& args) override;
  void adjoint_pair(const cpu::AdjointArgs<T>& args) override;
  void gather(const cpu::GatherArgs<T>& args) override;
  void trws_pass(const cpu::TrwsArgs<T>& args) override;
  void trws_labels(const cpu::LabellingArgs<T>& args) override;
  void mean_field_step(const cpu::MeanFieldArgs<T>& args) override;
  void mean_field_adjoint(const cpu::MeanFieldAdjointArgs<T>& args) override;
  void icm_sweep(const cpu::IcmArgs<T>& args) override;
  void minimize_lines(const cpu::LineArgs<T>& args) override;
  void fuse(const Item<T>& item, int32_t* labels, const int32_t* proposal) override;
  void coarsen(const CoarseArgs<T>& args) override;
  void prolong(const cpu::GridShape& fine, const void* coarse_messages, void* messages,
               MessageDtype storage, cpu::Control* control) override;

  void feed_back(const Item<T>& item, const T* sum, T share, T* unary, void* minima) override;
  void feed_back_adjoint(const Item<T>& item, const T* grad_unary, T share, const void* minima,
                         T* grad_sum) override;
  void level_costs(const Item<T>& item, const int32_t* labels, T* costs) override;
  void add(T* to, const T* from, int64_t count) override;

  std::vector<double> energies(const Item<T>& item, const int32_t* labels) override;
  std::vector<double> chain_bounds(const Item<T>& item, const void* const* messages) override;
  std::vector<double> row_sums(const Item<T>& item, const double* rows) override;

  OwnedPlan<T> plan(const Item<T>& item, T scale) override;
  PotentialTables<T> tables(const Item<T>& item, T factor) override;

  void clear(void* to, int64_t bytes) override;
  void copy(void* to, const void* from, int64_t bytes) override;

  /// A callable that hands out zeroed memory, for DevicePotential.
  auto memory() {
    return [this]<class U>(int64_t count) { return this->template zeroed<U>(count); };
  }

 protected:
  bool device_memory() const override { return true; }

 private:
  /// Numbers that the host reads in one go.
  struct Report {
    double* energy;  ///< [items]
    int32_t* bad;    ///< [items]
  };
  /// Kernels that hold a row of labels on the chip refuse rows that are too long.
  void check_row(int code, const char* operation, const cpu::GridShape& shape) const;
  /// Strides of a grid, the items' own or a coarser one.
  Batch batch_for(const cpu::GridShape& shape) const;
  void set_weights(const Problem<T>& problem, const DeviceInputs<T>& inputs, bool own_weights);
  void evaluate(const Item<T>& item, const int32_t* labels);
  std::vector<double> read(const double* sums, int64_t count);
  void throw_if_bad(const int32_t* bad) const;
  const DevicePotential<double>& exact_potential(const Item<T>& item);

  const Functions& functions_;
  const Solvers<T>& solvers_;
  Stream stream_;
  Batch batch_;
  int64_t first_;
  Buffer<std::byte> report_memory_;
  Report report_;
  const T* table_;
  DevicePotential<T> potential_;
  cpu::EdgeWeightView<T> weights_;
  Buffer<T> weights_memory_;

  PotentialTables<T> plan_tables_, tables_;
  T tables_factor_ = T(0);
  std::unique_ptr<DevicePotential<double>> exact_;
  PotentialTables<double> exact_tables_;
  Buffer<double> rows_, minima_, bounds_, changes_;
  Buffer<int32_t> progress_;
  Buffer<T> left_behind_[4];
};

/// Scanlines of the pair that has most.
int64_t most_scanlines(const cpu::GridShape& shape);

/// Bytes of device memory that a back-end takes itself, beside the schedule's volumes.
/// needs_tables: V is taken as tables whatever the solver (soft minima, a table on the device).
template <class T>
int64_t backend_bytes(const Problem<T>& problem, const Options& options, int64_t items,
                      bool needs_tables);

}  // namespace mrfcore::cuda
