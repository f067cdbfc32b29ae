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
Item<T> cpu_item(const Problem<T>& p, const Options& o, const cpu::Kernels<T>& kernels,
                 Backend<T>& backend, int64_t index, int threads, cpu::Control* control,
                 bool may_forbid) {
  Item<T> item{.problem = p,
               .options = o,
               .backend = backend,
               .index = index,
               .threads = threads,
               .control = control,
               .shape = {p.height, p.width, static_cast<int>(p.labels),
                         round_up(p.labels, kernels.lanes), p.connectivity},
               .weights = item_weights(p, index),
               .unary = nullptr,
               .padded = {},
               .layer = {}};
  item.unary = item.raw_unary();
  const int64_t labels = p.labels, stride = item.shape.stride;
  if (!may_forbid && stride == labels) return item;
  item.padded = item.new_volume();
  T* to = item.padded.data();
  const T* from = item.unary;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < p.pixels(); ++i) {
    for (int64_t l = 0; l < labels; ++l)
      to[i * stride + l] = std::min(from[i * labels + l], cpu::kForbidden<T>);
    for (int64_t l = labels; l < stride; ++l) to[i * stride + l] = cpu::kForbidden<T>;
  }
  item.unary = to;
  return item;
}

#define MRF_INSTANTIATE(T)                                                                \
  template Item<T> cpu_item<T>(const Problem<T>&, const Options&, const cpu::Kernels<T>&, \
                               Backend<T>&, int64_t, int, cpu::Control*, bool);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE
template UnaryScan scan_unary<float>(const float*, int64_t, int);
template UnaryScan scan_unary<double>(const double*, int64_t, int);

}  // namespace mrfcore
