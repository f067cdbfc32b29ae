// SPDX-License-Identifier: Apache-2.0
// What the kernels of soft superpixels (Eq 4.1-4.2) share. All pixels of a cell have the same nine
// cells around them. Sums are in gather form and in the CPU's order, hence have its bits.
#pragma once

#include "cpu/soft_superpixel.hpp"
#include "superpixel_kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {

using cpu::kSlots;

template <class T>
struct SoftParameters {
  SoftSuperpixels grid;
  int64_t pixels, cells, columns;
  const T* q;
  const T* x;
  const T* z;
  T* out;  ///< z, y, g or what cells give, [cells, channels, 9]
};

/// The nine cells around one; -1 outside the grid.
template <class T>
__device__ __forceinline__ void neighbours_of(const SoftParameters<T>& p, int64_t row,
                                              int64_t column, int64_t (&cells)[kSlots]) {
  const int64_t rows = p.cells / p.columns;
#pragma unroll
  for (int k = 0; k < kSlots; ++k) {
    const int64_t i = row + k / 3 - 1, j = column + k % 3 - 1;
    cells[k] = i >= 0 && i < rows && j >= 0 && j < p.columns ? i * p.columns + j : -1;
  }
}

template <class T>
inline SoftParameters<T> soft_parameters(const SoftSuperpixels& grid, const T* q, const T* x,
                                         const T* z, T* out) {
  return {.grid = grid,
          .pixels = grid.height * grid.width,
          .cells = grid.rows() * grid.columns(),
          .columns = grid.columns(),
          .q = q,
          .x = x,
          .z = z,
          .out = out};
}

/// 0 where there are more than a grid takes.
inline unsigned soft_blocks(int64_t size, int64_t each) {
  const int64_t blocks = (size + each - 1) / each;
  return blocks > INT32_MAX ? 0U : static_cast<unsigned>(blocks);
}

}  // namespace mrfcore::cuda
