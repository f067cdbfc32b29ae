// SPDX-License-Identifier: Apache-2.0
// Products of blocks that fit a cache. Every element is summed over k in order, with one rounding
// per product and per sum: its bits depend neither on the vector length nor on the split into
// registers. Multiplication and addition have units of their own on many machines, so that doing
// without fused arithmetic costs less than half.
#pragma once

#include <cstdint>

#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// A(i, k) = data[i * row + k * column].
template <class T>
struct Strided {
  const T* data;
  int64_t row, column;
};

/// What a pair of elements adds to their sum.
struct Product {
  template <class T>
  static Vec<T> term(T a, Vec<T> b) {
    return a * b;
  }
};

/// Sums to the squared distance of row i of A and column j of B, free of cancellation.
struct SquaredDifference {
  template <class T>
  static Vec<T> term(T a, Vec<T> b) {
    const Vec<T> difference = a - b;
    return difference * difference;
  }
};

/// kRows x (kVectors * lanes) elements of C in registers.
template <class Term, bool kAdd, int kRows, int kVectors, class T>
inline void register_block(int64_t depth, Strided<T> a, const T* b, int64_t b_row, T* c,
                           int64_t c_row) {
  constexpr int kWidth = kLanes<T>;
  Vec<T> sum[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v)
      sum[i][v] = kAdd ? load(c + i * c_row + v * kWidth) : Vec<T>{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vec<T> right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = load(b + k * b_row + v * kWidth);
    for (int i = 0; i < kRows; ++i) {
      const T left = a.data[i * a.row + k * a.column];
      for (int v = 0; v < kVectors; ++v)
        sum[i][v] = sum[i][v] + Term::template term<T>(left, right[v]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) store(c + i * c_row + v * kWidth, sum[i][v]);
  }
}

/// C[rows, columns] = (kAdd: += ) sum over k < depth of Term(A(i, k), B[k, j]). rows: a multiple of
/// 4, columns: of the vector length.
template <class Term, bool kAdd, class T>
void multiply(int64_t rows, int64_t columns, int64_t depth, Strided<T> a, const T* b, int64_t b_row,
              T* c, int64_t c_row) {
  constexpr int kRows = 4, kWide = kVectorBytes == 64 ? 4 : 2;
  int64_t j = 0;
  for (; j + kWide * kLanes<T> <= columns; j += kWide * kLanes<T>) {
    for (int64_t i = 0; i < rows; i += kRows) {
      const Strided<T> part{a.data + i * a.row, a.row, a.column};
      register_block<Term, kAdd, kRows, kWide>(depth, part, b + j, b_row, c + i * c_row + j, c_row);
    }
  }
  for (; j < columns; j += kLanes<T>) {
    for (int64_t i = 0; i < rows; i += kRows) {
      const Strided<T> part{a.data + i * a.row, a.row, a.column};
      register_block<Term, kAdd, kRows, 1>(depth, part, b + j, b_row, c + i * c_row + j, c_row);
    }
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
