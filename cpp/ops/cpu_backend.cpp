// SPDX-License-Identifier: Apache-2.0
#include "ops/cpu_backend.hpp"

#include <algorithm>
#include <cstring>

#include "core/scanline.hpp"

namespace mrfcore {
namespace {

/// Labels of minima as a tape has them.
class Minima {
 public:
  Minima(const void* data, int64_t labels) : data_(data), byte_(labels <= cpu::kByteLabels) {}
  int64_t get(int64_t i) const {
    return byte_ ? static_cast<const uint8_t*>(data_)[i] : static_cast<const uint16_t*>(data_)[i];
  }

 private:
  const void* data_;
  bool byte_;
};

}  // namespace

template <class T>
void CpuBackend<T>::feed_back(const Item<T>& item, const T* sum, T share, T* unary, void* minima) {
  kernels_.feed_back({item.shape, sum, share, unary, minima, item.threads, item.control});
}

template <class T>
void CpuBackend<T>::feed_back_adjoint(const Item<T>& item, const T* grad_unary, T share,
                                      const void* minima, T* grad_sum) {
  const cpu::GridShape& shape = item.shape;
  const Minima tape(minima, shape.labels);
#pragma omp parallel for num_threads(item.threads) if (item.threads > 1)
  for (int64_t i = 0; i < shape.pixels(); ++i) {
    const T* from = grad_unary + i * shape.stride;
    T* to = grad_sum + i * shape.stride;
    T total = T(0);
    for (int64_t l = 0; l < shape.stride; ++l) {
      to[l] = from[l] * share;
      total += to[l];
    }
    to[tape.get(i)] -= total;
  }
}

template <class T>
void CpuBackend<T>::level_costs(const Item<T>& item, const int32_t* labels, T* costs) {
  const T optimum = static_cast<T>(energies(item, labels)[0]);
  for (int64_t i = 0; i < item.shape.pixels(); ++i) {
    T* row = costs + i * item.shape.labels;
    const T lowest = *std::min_element(row, row + item.shape.labels);
    for (int64_t l = 0; l < item.shape.labels; ++l) row[l] = row[l] - lowest + optimum;
  }
}

template <class T>
void CpuBackend<T>::add(T* to, const T* from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

template <class T>
std::vector<double> CpuBackend<T>::energies(const Item<T>& item, const int32_t* labels) {
  return {item_energy(item.problem, item.index, labels, item.threads)};
}

template <class T>
void CpuBackend<T>::make_bound_plan(const Item<T>& item) {
  const cpu::EdgeWeightView<T>& w = item.weights;
  const double scale = static_cast<double>(w.scale);
  const int64_t lanes = std::max<int64_t>(1, kernels_.lanes * static_cast<int64_t>(sizeof(T)) / 8);
  bound_plan_ = std::make_unique<OwnedPlan<double>>(item.problem.pairwise, item.problem.labels,
                                                    lanes, item.options.min_convolution,
                                                    w.per_edge == nullptr ? &scale : nullptr);
  if (w.per_edge == nullptr) return;
  bound_weights_ = Buffer<double>(item.problem.pairs() * item.shape.pixels());
  std::copy_n(w.per_edge, bound_weights_.size(), bound_weights_.data());
}

template <class T>
std::vector<double> CpuBackend<T>::chain_bounds(const Item<T>& item, const void* const* messages) {
  if (!bound_plan_) make_bound_plan(item);
  // Every node lies on one scanline of each pair. Pairs without an edge in this image are left out,
  // so that the bound of a chain is its exact minimum.
  const cpu::GridShape& shape = item.shape;
  const double rho = 1.0 / core::pairs_inside(shape.connectivity, shape.height, shape.width);
  double bound = 0.0;
  for (int pair = 0; pair < static_cast<int>(item.problem.pairs()); ++pair) {
    if (!core::pair_inside(pair, shape.height, shape.width)) continue;
    const core::PairGeometry g = core::pair_geometry(pair, shape.height, shape.width);
    Buffer<double> minima(core::scanlines(g));
    kernels_.chain_bound({shape,
                          pair,
                          {bound_weights_.data(), static_cast<double>(item.weights.scale)},
                          &bound_plan_->get(),
                          item.unary,
                          messages,
                          rho,
                          minima.data(),
                          item.threads,
                          item.control,
                          item.options.message_dtype});
    for (int64_t i = 0; i < minima.size(); ++i) bound += minima.data()[i];
  }
  return {bound};
}

template <class T>
std::vector<double> CpuBackend<T>::row_sums(const Item<T>& item, const double* rows) {
  double total = 0.0;
  for (int64_t y = 0; y < item.shape.height; ++y) total += rows[y];
  return {total};
}

template <class T>
OwnedPlan<T> CpuBackend<T>::plan(const Item<T>& item, T scale) {
  const T uniform = item.weights.scale * scale;
  const bool soft = item.layer.temperature > T(0);
  OwnedPlan<T> made(item.problem.pairwise, item.problem.labels, kernels_.lanes,
                    soft ? MinConvolution::General : item.options.min_convolution,
                    item.weights.per_edge == nullptr ? &uniform : nullptr);
  if (soft) made.soften(item.layer.temperature);
  return made;
}

template <class T>
PotentialTables<T> CpuBackend<T>::tables(const Item<T>& item, T factor) {
  return {item.problem.pairwise, item.problem.labels, item.shape.stride, factor};
}

template <class T>
void CpuBackend<T>::clear(void* to, int64_t bytes) {
  std::memset(to, 0, static_cast<size_t>(bytes));
}

/// By all threads, since one does not keep memory busy.
template <class T>
void CpuBackend<T>::copy(void* to, const void* from, int64_t bytes) {
  constexpr int64_t kChunk = int64_t{1} << 20;
  const int64_t chunks = (bytes + kChunk - 1) / kChunk;
#pragma omp parallel for num_threads(threads_) if (threads_ > 1 && chunks > 1)
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t begin = c * kChunk, size = std::min(kChunk, bytes - begin);
    std::memcpy(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin,
                static_cast<size_t>(size));
  }
}

template class CpuBackend<float>;
template class CpuBackend<double>;

}  // namespace mrfcore
