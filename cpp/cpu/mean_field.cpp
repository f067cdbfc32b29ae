// SPDX-License-Identifier: Apache-2.0
// Mean field (spec section 2): Q = softmax(-c), c = theta + scale * sum_d sum_m w V(m, .)
// Q_{i-d}(m), all nodes at once. The neighbours' beliefs are weighted and summed first, so a node
// costs one matrix-vector product (two if V is asymmetric) however many neighbours it has.
#include "core/exponential.hpp"
#include "cpu/kernels.hpp"
#include "cpu/matvec.hpp"
#include "cpu/neighbours.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

template <class T>
void softmax_row(const T* c, T* q, int64_t labels, int64_t stride) {
  const T lowest = row_min(c, stride);
  for (int64_t l = 0; l < stride; ++l) q[l] = core::exp_nonpositive(lowest - c[l]);
  for (int64_t l = labels; l < stride; ++l) q[l] = T(0);
  const T inverse = T(1) / ordered_sum(q, labels);
  for (int64_t l = 0; l < stride; ++l) q[l] *= inverse;
}

template <class T>
void update_pixel(const MeanFieldArgs<T>& a, int64_t y, int64_t x, T* work) {
  const GridShape& s = a.shape;
  const int64_t pixel = y * s.width + x, n = s.stride;
  const Neighbours near(s, y, x);
  T* from_owners = work;  // beliefs of neighbours that come first in V
  T* from_owned = a.symmetric ? work : work + n;
  T* sum = work + 2 * n;
  for (int64_t l = 0; l < 3 * n; ++l) work[l] = T(0);
  for (int r = 0; r < s.connectivity; ++r) {
    if (!near.inside[r]) continue;
    const int64_t j = pixel + near.offset[r];
    const int64_t owner = core::is_backward(r) ? j : pixel;
    const T w = a.weights.per_edge == nullptr
                    ? a.weights.scale
                    : a.weights.scale * a.weights.per_edge[core::pair_of(r) * s.pixels() + owner];
    T* into = core::is_backward(r) ? from_owners : from_owned;
    for (int64_t l = 0; l < n; ++l) into[l] += w * a.beliefs[j * n + l];
  }
  matvec(a.table, from_owners, s.labels, n, sum);
  if (!a.symmetric) matvec(a.table_t, from_owned, s.labels, n, sum);
  for (int64_t l = 0; l < n; ++l)
    a.costs[pixel * n + l] = a.unary[pixel * n + l] + a.scale * sum[l];
}

}  // namespace

template <class T>
void mean_field_step(const MeanFieldArgs<T>& a) {
  const GridShape& s = a.shape;
  parallel_strips(s.height, a.threads, a.control, [&](ThreadMemory&, int64_t y) {
    for (int64_t i = y * s.width; i < (y + 1) * s.width; ++i) {
      softmax_row(a.costs + i * s.stride, a.beliefs + i * s.stride, s.labels, s.stride);
    }
  });
  parallel_strips(s.height, a.threads, a.control, [&](ThreadMemory& memory, int64_t y) {
    T* work = static_cast<T*>(memory.reserve(3 * s.stride * static_cast<int64_t>(sizeof(T))));
    for (int64_t x = 0; x < s.width; ++x) update_pixel(a, y, x, work);
  });
}

template void mean_field_step<float>(const MeanFieldArgs<float>&);
template void mean_field_step<double>(const MeanFieldArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
