// SPDX-License-Identifier: Apache-2.0
//
// What ops/pairwise_margin.cpp calls: one table of functions per instruction set. Arguments are
// checked by the caller; kernels do not throw.
#pragma once

#include <cstdint>

namespace mrfcore::cpu {

inline constexpr int64_t kMarginBlock = 64;

/// One item: unit vectors sorted by group, padded with zeros to blocks and to 64 bytes.
template <class T>
struct MarginArgs {
  int64_t blocks, dims, stride;
  T alpha, neg_weight;
  const T* rows;     ///< [blocks * kMarginBlock, stride]
  const T* columns;  ///< [blocks, stride, kMarginBlock]
  const T* group;    ///< [blocks * kMarginBlock], whole numbers
  const T* weight;   ///< 0: padding
  int threads;
  double* loss;  ///< [blocks], added to
  T* gradient;   ///< like rows, added to; may be null
};

template <class T>
struct MarginKernels {
  void (*different_groups)(const MarginArgs<T>& args);
};

namespace baseline {
template <class T>
const MarginKernels<T>& margin_kernels();
}
namespace avx2 {
template <class T>
const MarginKernels<T>& margin_kernels();
}
namespace avx512 {
template <class T>
const MarginKernels<T>& margin_kernels();
}

}  // namespace mrfcore::cpu
