// SPDX-License-Identifier: Apache-2.0
// Costs of one SGM iteration become the unaries of the next.
#include "cpu/kernels.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// Each pixel's minimum is taken off: without that, costs would lose a digit to a constant. Weights
/// must not vanish as costs are divided, or ties that they alone decide would stay undecided: once
/// they are small, costs grow instead (sgm_share), up to a limit that no label has a chance beyond.
template <class T>
void feed_back_row(const T* sum, int64_t stride, T lowest, T share, T* unary) {
  constexpr T kTooMuch = kForbidden<T> / T(64), kLimit = kTooMuch / T(64);
  for (int64_t l = 0; l < stride; l += kLanes<T>) {
    const Vec<T> cost = load(sum + l);
    const Vec<T> next = vmin((cost - splat(lowest)) * splat(share), splat(kLimit));
    store(unary + l, (LabelVec<T>)(cost < splat(kTooMuch)) ? next : splat(kForbidden<T>));
  }
}

template <class T>
void feed_back_pixel(const FeedBackArgs<T>& a, int64_t pixel) {
  const int64_t at = pixel * a.shape.stride;
  const int32_t best = first_minimum(a.sum + at, a.shape.labels, a.shape.stride);
  feed_back_row(a.sum + at, a.shape.stride, a.sum[at + best], a.share, a.unary + at);
  if (a.minima == nullptr) return;
  if (a.shape.labels <= kByteLabels) {
    static_cast<uint8_t*>(a.minima)[pixel] = static_cast<uint8_t>(best);
  } else {
    static_cast<uint16_t*>(a.minima)[pixel] = static_cast<uint16_t>(best);
  }
}

}  // namespace

template <class T>
void feed_back(const FeedBackArgs<T>& a) {
  parallel_strips(a.shape.height, a.threads, a.control, [&](ThreadMemory&, int64_t y) {
    const int64_t begin = y * a.shape.width;
    for (int64_t x = 0; x < a.shape.width; ++x) feed_back_pixel(a, begin + x);
  });
}

template void feed_back<float>(const FeedBackArgs<float>&);
template void feed_back<double>(const FeedBackArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
