// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "ops/item.hpp"

namespace mrfcore {

/// One item on the CPU, with the kernels of one instruction set.
template <class T>
class CpuBackend final : public Backend<T> {
 public:
  CpuBackend(const cpu::Kernels<T>& kernels, int threads, Arena* arena = nullptr)
      : Backend<T>(arena), kernels_(kernels), threads_(threads) {}

  void sweep_pair(const cpu::SweepArgs<T>& args) override { kernels_.sweep_pair(args); }
  void adjoint_pair(const cpu::AdjointArgs<T>& args) override { kernels_.adjoint_pair(args); }
  void gather(const cpu::GatherArgs<T>& args) override { kernels_.gather(args); }
  void trws_pass(const cpu::TrwsArgs<T>& args) override { kernels_.trws_pass(args); }
  void trws_labels(const cpu::LabellingArgs<T>& args) override { kernels_.trws_labels(args); }
  void mean_field_step(const cpu::MeanFieldArgs<T>& args) override {
    kernels_.mean_field_step(args);
  }
  void mean_field_adjoint(const cpu::MeanFieldAdjointArgs<T>& args) override {
    kernels_.mean_field_adjoint(args);
  }
  void icm_sweep(const cpu::IcmArgs<T>& args) override { kernels_.icm_sweep(args); }
  void minimize_lines(const cpu::LineArgs<T>& args) override { kernels_.minimize_lines(args); }

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

 private:
  void make_bound_plan(const Item<T>& item);

  const cpu::Kernels<T>& kernels_;
  int threads_;
  std::unique_ptr<OwnedPlan<double>> bound_plan_;
  Buffer<double> bound_weights_;
};

}  // namespace mrfcore
