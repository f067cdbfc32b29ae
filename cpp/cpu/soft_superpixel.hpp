// SPDX-License-Identifier: Apache-2.0
//
// What ops/soft_superpixel.cpp calls. Arguments are checked by the caller; kernels do not throw.
#pragma once

#include "mrfcore/soft_superpixel.hpp"

namespace mrfcore::cpu {

inline constexpr int kSlots = 9;  ///< a cell and its neighbours

template <class T>
struct SoftSuperpixelKernels {
  /// `partial`: [batch, rows, columns, channels, 9], a cell's share of the cells around it.
  void (*pool)(const SoftSuperpixels& grid, const T* q, const T* x, T* partial, T* z);
  /// `values`: [batch, rows, columns, channels, 9], what a cell sees of the cells around it.
  void (*unpool)(const SoftSuperpixels& grid, const T* q, const T* z, T* values, T* y);
  void (*product)(const SoftSuperpixels& grid, const T* x, const T* z, T* values, T* g);
};

namespace baseline {
template <class T>
const SoftSuperpixelKernels<T>& soft_superpixel_kernels();
}
namespace avx2 {
template <class T>
const SoftSuperpixelKernels<T>& soft_superpixel_kernels();
}
namespace avx512 {
template <class T>
const SoftSuperpixelKernels<T>& soft_superpixel_kernels();
}

}  // namespace mrfcore::cpu
