// SPDX-License-Identifier: Apache-2.0
// The adjoint of a schedule: undoes its iterations, last first.
#pragma once

#include <memory>
#include <vector>

#include "ops/item.hpp"
#include "ops/tape.hpp"

namespace mrfcore {

/// V as the adjoint kernels want it, and the sums that gradients of weight and table go to.
template <class T>
class PairwiseAdjoint {
 public:
  virtual ~PairwiseAdjoint() = default;
  /// For one item (or group of items, by its first).
  virtual cpu::PairwiseGradient<T> for_item(int64_t index) const = 0;
  virtual const PotentialTables<T>& tables() const = 0;
};

/// Per-edge gradients are added to the caller's array, which the constructor clears.
template <class T>
class CpuPairwiseAdjoint final : public PairwiseAdjoint<T> {
 public:
  CpuPairwiseAdjoint(const Problem<T>& problem, int64_t stride, const Gradients<T>& wanted,
                     bool needs_table);

  cpu::PairwiseGradient<T> for_item(int64_t index) const override;
  const PotentialTables<T>& tables() const override { return tables_; }
  /// Writes the gradients of the scalar weight and of the table.
  void finish(const Gradients<T>& wanted);

 private:
  static int64_t bins(int64_t labels, bool table);

  const Problem<T>& problem_;
  const Gradients<T>& wanted_;
  int64_t bins_;
  PotentialTables<T> tables_;
  std::vector<T> differences_;
  mutable std::vector<double> weight_;
  mutable Buffer<double> values_;
};

/// Of differences from `distinct` - 1 on all are the same.
template <class T>
int count_distinct(const std::vector<T>& differences);

template <class T>
class Adjoint {
 public:
  Adjoint(Item<T>& item, const cpu::PairwiseGradient<T>& gradient)
      : item_(item), gradient_(gradient) {}
  virtual ~Adjoint() = default;
  Adjoint(const Adjoint&) = delete;
  Adjoint& operator=(const Adjoint&) = delete;

  /// Takes d loss / d costs [H, W, L].
  virtual void start(const T* grad_costs) = 0;
  /// Undoes iteration k of the item, whose records are at `records`, index `record`. before: soft
  /// messages before it, one volume per direction (null otherwise).
  virtual void unwind(int k, const Records<T>& records, int record, T* const* before) = 0;
  /// Writes d loss / d unary [H, W, L].
  virtual void finish(T* grad_unary) = 0;

 protected:
  void pad(const T* dense, T* padded) const;
  void unpad(const T* padded, T* dense) const;

  Item<T>& item_;
  cpu::PairwiseGradient<T> gradient_;
};

template <class T>
std::unique_ptr<Adjoint<T>> make_adjoint(Item<T>& item, const PairwiseAdjoint<T>& pairwise);

/// Volumes of [H, W, padded L] that an adjoint holds.
int64_t adjoint_volumes(const LayerOptions& options, int connectivity);

}  // namespace mrfcore
