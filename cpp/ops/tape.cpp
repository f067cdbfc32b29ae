// SPDX-License-Identifier: Apache-2.0
#include "ops/tape.hpp"

#include <algorithm>

#include "ops/plan.hpp"

namespace mrfcore {
namespace {

int64_t aligned(int64_t bytes) { return round_up(bytes, kTapeAlignment); }

}  // namespace

template <class T>
TapeLayout<T>::TapeLayout(const Problem<T>& p, const LayerOptions& o, int64_t padded_labels,
                          int64_t items)
    : directions(p.connectivity),
      labels(p.labels),
      stride(padded_labels),
      pixels(items * p.pixels()),
      volume(items * p.pixels() * padded_labels),
      solver(o.solver),
      soft(o.temperature > 0.0),
      iterations(o.iterations),
      segment(o.store_every > 1 ? std::min(o.store_every, o.iterations) : o.iterations) {}

template <class T>
int TapeLayout<T>::segment_end(int s) const {
  return std::min(iterations, (s + 1) * segment);
}

template <class T>
int64_t TapeLayout<T>::argmin_bytes() const {
  return aligned(pixels * labels * index_bytes());
}

template <class T>
int64_t TapeLayout<T>::minimum_bytes() const {
  return aligned(pixels * index_bytes());
}

template <class T>
int64_t TapeLayout<T>::iteration_bytes() const {
  const int64_t volume_bytes = aligned(volume * static_cast<int64_t>(sizeof(T)));
  if (solver == Solver::MeanField) return volume_bytes;
  if (soft) return directions * volume_bytes;
  const int64_t cost_minima = solver == Solver::SGM ? minimum_bytes() : 0;
  return directions * (argmin_bytes() + minimum_bytes()) + cost_minima;
}

template <class T>
int64_t TapeLayout<T>::snapshot_volumes() const {
  return solver == Solver::SGM || solver == Solver::MeanField ? 1 : directions;
}

template <class T>
int64_t TapeLayout<T>::snapshot_bytes() const {
  return snapshot_volumes() * aligned(volume * static_cast<int64_t>(sizeof(T)));
}

template <class T>
int64_t TapeLayout<T>::item_bytes() const {
  return recomputes() ? (segments() - 1) * snapshot_bytes() : records_bytes();
}

template <class T>
cpu::ArgminTape Records<T>::argmins(int k, int r) const {
  std::byte* at = iteration(k) + r * (layout_.argmin_bytes() + layout_.minimum_bytes());
  return {at, at + layout_.argmin_bytes()};
}

template <class T>
void* Records<T>::cost_minima(int k) const {
  return iteration(k) + layout_.directions * (layout_.argmin_bytes() + layout_.minimum_bytes());
}

template <class T>
T* Records<T>::messages(int k, int r) const {
  return reinterpret_cast<T*>(iteration(k) + r * (layout_.iteration_bytes() / layout_.directions));
}

template <class T>
T* Records<T>::beliefs(int k) const {
  return reinterpret_cast<T*>(iteration(k));
}

template struct TapeLayout<float>;
template struct TapeLayout<double>;
template class Records<float>;
template class Records<double>;

}  // namespace mrfcore
