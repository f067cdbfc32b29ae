// SPDX-License-Identifier: Apache-2.0
//
// Soft superpixels (Eq 4.1-4.2): a grid of cells of `cell` x `cell` pixels, and for every pixel
// nine associations q [batch, 9, height, width] with its own cell and the eight around it, in
// raster order. With s_k(p) the k-th cell as seen from pixel p, all three functions are derivatives
// of
//   T(q, x, z) = sum over p, k, c of q_k(p) x_c(p) z_c(s_k(p)),
// where cells outside the grid count for nothing. x is [batch, channels, height, width], z
// [batch, channels, rows * columns] with rows = ceil(height / cell), all contiguous. Every sum has
// one order, whatever the machine.
#pragma once

#include <cstdint>

namespace mrfcore {

struct SoftSuperpixels {
  int64_t batch = 1, channels = 1, height = 0, width = 0;
  int64_t cell = 16;
  int threads = 0;

  int64_t rows() const { return (height + cell - 1) / cell; }
  int64_t columns() const { return (width + cell - 1) / cell; }
};

/// z_c(s) = sum of q_k(p) x_c(p) over all p, k with s_k(p) = s: dT / dz.
/// All three throw std::invalid_argument: sizes, null pointers.
template <class T>
void soft_superpixel_pool(const SoftSuperpixels& grid, const T* q, const T* x, T* z);

/// y_c(p) = sum over k of q_k(p) z_c(s_k(p)): dT / dx.
template <class T>
void soft_superpixel_unpool(const SoftSuperpixels& grid, const T* q, const T* z, T* y);

/// g_k(p) = sum over c of x_c(p) z_c(s_k(p)): dT / dq.
template <class T>
void soft_superpixel_product(const SoftSuperpixels& grid, const T* x, const T* z, T* g);

}  // namespace mrfcore
