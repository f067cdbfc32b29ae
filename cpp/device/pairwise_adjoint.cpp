// SPDX-License-Identifier: Apache-2.0
#include "device/pairwise_adjoint.hpp"

#include <algorithm>

namespace mrfcore::cuda {
namespace {

/// Partial sums of the table's gradient: many, to fill the device, unless tables are large.
int64_t bin_count(int64_t labels) {
  constexpr int64_t kMost = 256, kBytes = int64_t{64} << 20;
  return std::clamp<int64_t>(kBytes / (labels * labels * 8), 1, kMost);
}

}  // namespace

template <class T>
bool needs_own_weights(const Problem<T>& problem, const Gradients<T>& wanted) {
  if (wanted.weight != nullptr) return true;
  return wanted.edge_weights != nullptr && problem.edge_weights_batch_stride == 0 &&
         problem.batch > 1;
}

template <class T>
DevicePairwiseAdjoint<T>::DevicePairwiseAdjoint(DeviceBackend<T>& backend, const Problem<T>& p,
                                                const Gradients<T>& wanted, bool needs_table)
    : backend_(backend), problem_(p), wanted_(wanted) {
  const DevicePotential<T>& v = backend.potential();
  if (needs_table || v.differences() == nullptr) {
    tables_ = v.tables(backend.memory(), T(1));
    gradient_.table = tables_.forward();
    gradient_.table_t = tables_.backward();
  }
  gradient_.differences = v.differences();
  gradient_.distinct = v.distinct();
  gradient_.weight_factor = T(1);
  const int64_t edges = p.pairs() * p.pixels();
  if (needs_own_weights(p, wanted)) {
    per_edge_ = backend.template zeroed<T>(p.batch * edges);
    gradient_.per_edge = per_edge_.data();
  } else if (wanted.edge_weights != nullptr) {
    backend.clear(wanted.edge_weights, p.batch * edges * static_cast<int64_t>(sizeof(T)));
    gradient_.per_edge = wanted.edge_weights;
  }
  if (wanted.weight != nullptr) scratch_ = backend.template zeroed<double>(kSumScratch);
  if (wanted.table == nullptr) return;
  gradient_.bins = bin_count(p.labels);
  bins_ = backend.template zeroed<double>(gradient_.bins * p.labels * p.labels);
  gradient_.values = bins_.data();
}

template <class T>
void DevicePairwiseAdjoint<T>::finish() {
  const Solvers<T>& f = backend_.functions().template of<T>();
  const Stream stream = backend_.stream();
  const int64_t edges = problem_.pairs() * problem_.pixels();
  if (wanted_.weight != nullptr) {
    backend_.check(f.sum_all(per_edge_.data(), problem_.batch * edges, scratch_.data(),
                             wanted_.weight, stream),
                   "sum_all");
  } else if (wanted_.edge_weights != nullptr && per_edge_) {
    backend_.check(
        f.sum_items(per_edge_.data(), edges, problem_.batch, wanted_.edge_weights, stream),
        "sum_items");
  }
  if (wanted_.table == nullptr) return;
  backend_.check(f.sum_bins(bins_.data(), problem_.labels * problem_.labels, gradient_.bins,
                            wanted_.table, stream),
                 "sum_bins");
}

template <class T>
int64_t pairwise_adjoint_bytes(const Problem<T>& p, const Gradients<T>& wanted, bool soft,
                               bool tables) {
  constexpr int64_t kAlignment = 64, kElement = sizeof(T), kDouble = sizeof(double);
  const int64_t table = p.labels * p.labels;
  int64_t bytes = 8 * kAlignment + (tables ? 2 * table * kElement : 0);
  if (needs_own_weights(p, wanted)) bytes += p.batch * p.pairs() * p.pixels() * kElement;
  if (wanted.weight != nullptr) bytes += kSumScratch * kDouble;
  if (wanted.table == nullptr) return bytes;
  const int64_t volume = p.batch * p.pixels() * p.labels * kElement + kAlignment;
  return bytes + bin_count(p.labels) * table * kDouble + (soft ? 4 : 2) * volume;
}

#define MRF_INSTANTIATE(T)                                                    \
  template class DevicePairwiseAdjoint<T>;                                    \
  template bool needs_own_weights<T>(const Problem<T>&, const Gradients<T>&); \
  template int64_t pairwise_adjoint_bytes<T>(const Problem<T>&, const Gradients<T>&, bool, bool);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
