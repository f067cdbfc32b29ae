// SPDX-License-Identifier: Apache-2.0
// Table times vector, for the local updates.
#pragma once

#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

template <class T, int NV>
inline void matvec_tile(const T* table, const T* q, int labels, int64_t stride, T* out) {
  Vec<T> acc[NV] = {};
  for (int m = 0; m < labels; ++m, table += stride) {
    const Vec<T> qm = splat<T>(q[m]);
    for (int v = 0; v < NV; ++v) acc[v] = acc[v] + qm * load(table + v * kLanes<T>);
  }
  for (int v = 0; v < NV; ++v) store(out + v * kLanes<T>, load(out + v * kLanes<T>) + acc[v]);
}

/// out(l) += sum_m q(m) table(m, l)
template <class T>
inline void matvec(const T* table, const T* q, int labels, int64_t stride, T* out) {
  int64_t l = 0;
  for (; l + 8 * kLanes<T> <= stride; l += 8 * kLanes<T>)
    matvec_tile<T, 8>(table + l, q, labels, stride, out + l);
  for (; l < stride; l += kLanes<T>) matvec_tile<T, 1>(table + l, q, labels, stride, out + l);
}

}  // namespace mrfcore::cpu::MRF_ISA
