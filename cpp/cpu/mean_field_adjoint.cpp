// SPDX-License-Identifier: Apache-2.0
// Backward pass of mean_field_step. With u = scale * (what a neighbour's belief is multiplied by):
//   c_i(l) = theta_i(l) + scale sum_j w_ij sum_m V(m, l) Q_j(m),   Q = softmax(-c).
// The gradient of Q is the same sum with the roles of V's arguments exchanged, so the adjoint has
// the structure of the step; no L^2 intermediate is kept.
#include "cpu/kernels.hpp"
#include "cpu/matvec.hpp"
#include "cpu/neighbours.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// Rows of work per thread.
template <class T>
struct Work {
  T* theirs;  ///< weighted sum over neighbours that come first in V
  T* ours;    ///< and over those that come second
  T* row;
  T* other;

  Work(ThreadMemory& memory, int64_t n)
      : theirs(static_cast<T*>(memory.reserve(4 * n * static_cast<int64_t>(sizeof(T))))),
        ours(theirs + n),
        row(theirs + 2 * n),
        other(theirs + 3 * n) {}
};

template <class T>
T weight_of(const EdgeWeightView<T>& weights, int64_t pairs_at, int64_t owner) {
  return weights.per_edge == nullptr ? weights.scale
                                     : weights.scale * weights.per_edge[pairs_at + owner];
}

/// Weighted sums of the rows `from` of the neighbours, split by who comes first in V.
template <class T>
void sum_neighbours(const MeanFieldAdjointArgs<T>& a, const Neighbours& near, int64_t pixel,
                    const T* from, const Work<T>& work) {
  const GridShape& s = a.shape;
  const int64_t n = s.stride;
  for (int64_t l = 0; l < n; ++l) work.theirs[l] = work.ours[l] = T(0);
  for (int r = 0; r < s.connectivity; ++r) {
    if (!near.inside[r]) continue;
    const int64_t j = pixel + near.offset[r];
    const int64_t owner = core::is_backward(r) ? j : pixel;
    const T w = weight_of(a.weights, core::pair_of(r) * s.pixels(), owner);
    T* into = core::is_backward(r) ? work.theirs : work.ours;
    for (int64_t l = 0; l < n; ++l) into[l] += w * from[j * n + l];
  }
}

template <class T>
void clear(T* row, int64_t n) {
  for (int64_t l = 0; l < n; ++l) row[l] = T(0);
}

/// Gradient of c before the step: through Q's neighbours, then through the softmax.
template <class T>
void to_costs(const MeanFieldAdjointArgs<T>& a, int64_t y, int64_t x, const Work<T>& work) {
  const GridShape& s = a.shape;
  const int64_t pixel = y * s.width + x, n = s.stride, at = pixel * n;
  const Neighbours near(s, y, x);
  sum_neighbours(a, near, pixel, a.grad_costs, work);
  clear(work.row, n);
  // Owners come first: their c took V(owner, x_i), so Q_i is the second argument, and vice versa.
  matvec(a.table, work.theirs, s.labels, n, work.row);
  matvec(a.table_t, work.ours, s.labels, n, work.row);
  for (int64_t l = 0; l < n; ++l) work.row[l] *= a.scale;
  const T* q = a.beliefs + at;
  for (int64_t l = 0; l < n; ++l) work.other[l] = q[l] * work.row[l];
  const T mean = ordered_sum(work.other, s.labels);
  for (int64_t l = 0; l < n; ++l) a.grad_before[at + l] = q[l] * (mean - work.row[l]);
  for (int64_t l = 0; l < n; ++l) a.grad_unary[at + l] += a.grad_costs[at + l];
}

/// d loss / d w of the edges that `pixel` owns: both ends' c contain w V.
template <class T>
void to_weights(const MeanFieldAdjointArgs<T>& a, int64_t y, int64_t x, const Work<T>& work,
                double* total) {
  const GridShape& s = a.shape;
  const int64_t pixel = y * s.width + x, n = s.stride;
  const Neighbours near(s, y, x);
  const T* q = a.beliefs + pixel * n;
  const T* g = a.grad_costs + pixel * n;
  clear(work.row, n);    // sum_m V(m, l) Q_owner(m), by l
  clear(work.other, n);  // sum_m V(m, l) g_owner(m), by l
  matvec(a.table, q, s.labels, n, work.row);
  matvec(a.table, g, s.labels, n, work.other);
  for (int r = 0; r < s.connectivity; r += 2) {
    if (!near.inside[r]) continue;
    const int64_t j = (pixel + near.offset[r]) * n;
    for (int l = 0; l < s.labels; ++l)
      work.theirs[l] = work.row[l] * a.grad_costs[j + l] + work.other[l] * a.beliefs[j + l];
    const T gradient = a.scale * ordered_sum(work.theirs, s.labels);
    if (a.gradient.per_edge != nullptr)
      a.gradient.per_edge[core::pair_of(r) * s.pixels() + pixel] += gradient;
    if (total != nullptr) *total += static_cast<double>(gradient);
  }
}

/// d loss / d V(m, l): products of beliefs and gradients at either end of every edge.
template <class T>
void to_table(const MeanFieldAdjointArgs<T>& a, int64_t y, int64_t x, const Work<T>& work,
              double* values) {
  const GridShape& s = a.shape;
  const int64_t pixel = y * s.width + x, n = s.stride;
  const Neighbours near(s, y, x);
  const T* g = a.grad_costs + pixel * n;
  sum_neighbours(a, near, pixel, a.beliefs, work);
  for (int m = 0; m < s.labels; ++m) {
    const T first = a.scale * work.theirs[m], own = a.scale * g[m];
    double* to = values + int64_t{m} * s.labels;
    for (int l = 0; l < s.labels; ++l)
      to[l] += static_cast<double>(first * g[l]) + static_cast<double>(own * work.ours[l]);
  }
}

}  // namespace

template <class T>
void mean_field_adjoint(const MeanFieldAdjointArgs<T>& a) {
  const GridShape& s = a.shape;
  const PairwiseGradient<T>& to = a.gradient;
  const bool weights = to.per_edge != nullptr || to.weight != nullptr;
  const int64_t bins = to.bins < s.height ? to.bins : s.height;
  parallel_strips(bins, a.threads, a.control, [&](ThreadMemory& memory, int64_t bin) {
    const Work<T> work(memory, s.stride);
    for (int64_t y = bin * s.height / bins; y < (bin + 1) * s.height / bins; ++y) {
      for (int64_t x = 0; x < s.width; ++x) {
        to_costs(a, y, x, work);
        if (weights) to_weights(a, y, x, work, to.weight == nullptr ? nullptr : to.weight + bin);
        if (to.values != nullptr)
          to_table(a, y, x, work, to.values + bin * int64_t{s.labels} * s.labels);
      }
    }
  });
}

template void mean_field_adjoint<float>(const MeanFieldAdjointArgs<float>&);
template void mean_field_adjoint<double>(const MeanFieldAdjointArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
