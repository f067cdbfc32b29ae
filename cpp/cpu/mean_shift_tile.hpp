// SPDX-License-Identifier: Apache-2.0
// Blocks of the kernel matrix: made, used for both of their sides, and forgotten.
#pragma once

#include <cstdint>

#include "core/exponential.hpp"
#include "cpu/mean_shift.hpp"
#include "cpu/small_gemm.hpp"

namespace mrfcore::cpu::MRF_ISA {

inline constexpr int64_t kSide = kMeanShiftBlock;
inline constexpr int64_t kTile = kSide * kSide;

/// One side of a pair of blocks.
template <class T>
struct BlockView {
  int64_t count;     ///< points, the rest of the block is padding
  const T* rows;     ///< [kSide, stride]
  const T* columns;  ///< [dims, kSide]
};

/// E_ij, of which K = exp(kappa E): x_i . x_j - 1 or -|x_i - x_j|^2 / 2. On the sphere the constant
/// cancels in K / d and keeps exp in range.
template <MeanShiftKernel kKernel, class T>
inline void exponents(const MeanShiftLayout& layout, const BlockView<T>& a, const BlockView<T>& b,
                      T* e) {
  constexpr bool kSphere = kKernel == MeanShiftKernel::Sphere;
  const Strided<T> rows{a.rows, layout.stride, 1};
  if constexpr (kSphere) {
    multiply<Product, false>(kSide, kSide, layout.dims, rows, b.columns, kSide, e, kSide);
  } else {
    multiply<SquaredDifference, false>(kSide, kSide, layout.dims, rows, b.columns, kSide, e, kSide);
  }
  for (int64_t n = 0; n < kTile; ++n) {
    const T value = kSphere ? e[n] - T(1) : T(-0.5) * e[n];
    e[n] = value < T(0) ? value : T(0);  // rounding may pass 1
  }
}

template <MeanShiftKernel kKernel, class T>
inline T weight(T kappa, T e) {
  const T x = kappa * e;
  return kKernel == MeanShiftKernel::Flat ? (x >= T(-0.5) ? T(1) : T(0)) : core::exp_nonpositive(x);
}

/// k = K in place of E; zero where a point is padding.
template <MeanShiftKernel kKernel, class T>
inline void weights(T kappa, const T* e, int64_t rows, int64_t columns, T* k) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < kSide; ++j) k[i * kSide + j] = weight<kKernel>(kappa, e[i * kSide + j]);
    for (int64_t j = columns; j < kSide; ++j) k[i * kSide + j] = 0;
  }
  for (int64_t n = rows * kSide; n < kTile; ++n) k[n] = 0;
}

/// to[i] += sum over j of m_ij.
template <class T>
inline void add_row_sums(const T* m, T* to) {
  for (int64_t i = 0; i < kSide; ++i) to[i] = to[i] + ordered_sum(m + i * kSide, kSide);
}

/// to[j] += sum over i of m_ij.
template <class T>
inline void add_column_sums(const T* m, T* to) {
  T sums[kSide] = {};
  for (int64_t i = 0; i < kSide; ++i) {
    for (int64_t j = 0; j < kSide; ++j) sums[j] = sums[j] + m[i * kSide + j];
  }
  for (int64_t j = 0; j < kSide; ++j) to[j] = to[j] + sums[j];
}

/// to_i += sum over j of m_ij rows_j; transposed: to_j += sum over i of m_ij rows_i.
template <class T>
inline void add_products(const MeanShiftLayout& layout, const T* m, bool transposed, const T* rows,
                         T* to) {
  const Strided<T> a = transposed ? Strided<T>{m, 1, kSide} : Strided<T>{m, kSide, 1};
  multiply<Product, true>(kSide, layout.stride, kSide, a, rows, layout.stride, to, layout.stride);
}

/// In place: e becomes K, w (u_j . x_i + u_i . x_j) becomes H = kappa K (w - c_i - c_j), the
/// gradient of S_ij + S_ji. Returns the sum of E H / kappa.
template <MeanShiftKernel kKernel, class T>
inline T kernel_gradient(T kappa, const T* c_rows, const T* c_columns, int64_t rows,
                         int64_t columns, T* e, T* w) {
  OrderedSum<T> sum;
  for (int64_t i = 0; i < kSide; ++i) {
    T k[kSide], part[kSide];
    const T centre = c_rows[i];
    T* __restrict ei = e + i * kSide;
    T* __restrict wi = w + i * kSide;
    for (int64_t j = 0; j < kSide; ++j) k[j] = weight<kKernel>(kappa, ei[j]);
    for (int64_t j = i < rows ? columns : 0; j < kSide; ++j) k[j] = 0;
    for (int64_t j = 0; j < kSide; ++j) {
      const T kw = k[j] * ((wi[j] - centre) - c_columns[j]);
      part[j] = ei[j] * kw;
      ei[j] = k[j];
      wi[j] = kappa * kw;
    }
    for (int64_t j = 0; j < kSide; j += kLanes<T>) sum.add(j, load(part + j));
  }
  return sum.total();
}

}  // namespace mrfcore::cpu::MRF_ISA
