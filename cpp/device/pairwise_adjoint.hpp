// SPDX-License-Identifier: Apache-2.0
// Gradients of the pairwise term on the device: sums over edges, items and pixels in fixed orders.
#pragma once

#include "device/backend.hpp"
#include "ops/adjoint.hpp"

namespace mrfcore::cuda {

/// The gradient of a scalar weight is the sum of the gradients of all edges; items that share
/// weights have a copy each until the end.
template <class T>
class DevicePairwiseAdjoint final : public PairwiseAdjoint<T> {
 public:
  DevicePairwiseAdjoint(DeviceBackend<T>& backend, const Problem<T>& problem,
                        const Gradients<T>& wanted, bool needs_table);

  cpu::PairwiseGradient<T> for_item(int64_t) const override { return gradient_; }
  const PotentialTables<T>& tables() const override { return tables_; }
  /// Enqueues the sums that become the gradients.
  void finish();

 private:
  DeviceBackend<T>& backend_;
  const Problem<T>& problem_;
  const Gradients<T>& wanted_;
  PotentialTables<T> tables_;
  Buffer<T> per_edge_;
  Buffer<double> bins_, scratch_;
  cpu::PairwiseGradient<T> gradient_{};
};

/// Do items need weights of their own, to tell gradients apart?
template <class T>
bool needs_own_weights(const Problem<T>& problem, const Gradients<T>& wanted);

/// Bytes of the above.
template <class T>
int64_t pairwise_adjoint_bytes(const Problem<T>& problem, const Gradients<T>& wanted, bool soft,
                               bool tables);

}  // namespace mrfcore::cuda
