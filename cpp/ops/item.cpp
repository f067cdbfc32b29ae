// SPDX-License-Identifier: Apache-2.0
#include "ops/item.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mrfcore {

template <class T>
UnaryScan scan_unary(const T* unary, int64_t size, int threads) {
  constexpr int64_t kChunk = 1 << 16;
  const int64_t chunks = (size + kChunk - 1) / kChunk;
  bool forbidden = false;
  int64_t first_bad = size;
#pragma omp parallel for num_threads(threads) reduction(|| : forbidden) \
    reduction(min : first_bad) if (threads > 1)
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t begin = c * kChunk, end = std::min(size, begin + kChunk);
    // NaN fails the comparison too: one test per value finds everything that is not an ordinary
    // number.
    int64_t odd = 0;
    for (int64_t i = begin; i < end; ++i) odd += !(std::fabs(unary[i]) < cpu::kLargestUnary<T>);
    for (int64_t i = begin; odd > 0 && i < end; ++i) {
      if (unary[i] == std::numeric_limits<T>::infinity()) {
        forbidden = true;
      } else if (!(std::fabs(unary[i]) < cpu::kLargestUnary<T>)) {
        first_bad = std::min(first_bad, i);
        break;
      }
    }
  }
  return {first_bad < size, forbidden, first_bad < size ? first_bad : -1};
}

template <class T>
Item<T>::Item(const Problem<T>& p, const Options& o, const cpu::Kernels<T>& k, int64_t item,
              int thread_count, cpu::Control* c, bool may_forbid, LayerState<T> layer_state)
    : problem(p),
      options(o),
      kernels(k),
      index(item),
      threads(thread_count),
      control(c),
      layer(layer_state) {
  shape = {p.height, p.width, static_cast<int>(p.labels), round_up(p.labels, k.lanes),
           p.connectivity};
  weights = item_weights(p, item);
  unary = raw_unary();
  if (!may_forbid && shape.stride == p.labels) return;
  padded = new_volume();
  T* to = padded.data();
  const T* from = unary;
  const int64_t labels = p.labels, stride = shape.stride;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < shape.pixels(); ++i) {
    for (int64_t l = 0; l < labels; ++l)
      to[i * stride + l] = std::min(from[i * labels + l], cpu::kForbidden<T>);
    for (int64_t l = labels; l < stride; ++l) to[i * stride + l] = cpu::kForbidden<T>;
  }
  unary = to;
}

template <class T>
OwnedPlan<T> Item<T>::plan(T scale) const {
  const T uniform = weights.scale * scale;
  const bool soft = layer.temperature > T(0);
  OwnedPlan<T> made(problem.pairwise, problem.labels, kernels.lanes,
                    soft ? MinConvolution::General : options.min_convolution,
                    weights.per_edge == nullptr ? &uniform : nullptr);
  if (soft) made.soften(layer.temperature);
  return made;
}

template struct Item<float>;
template struct Item<double>;
template UnaryScan scan_unary<float>(const float*, int64_t, int);
template UnaryScan scan_unary<double>(const double*, int64_t, int);

}  // namespace mrfcore
