// SPDX-License-Identifier: Apache-2.0
// Dense rows of labels, as CUDA kernels have them, and padded ones, as CPU kernels do.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mrfcore::test {

/// The same numbers in rows of `stride`.
template <class T>
std::vector<T> padded(const std::vector<T>& dense, int64_t labels, int64_t stride, T padding) {
  const int64_t rows = static_cast<int64_t>(dense.size()) / labels;
  std::vector<T> out(static_cast<size_t>(rows * stride), padding);
  for (int64_t i = 0; i < rows; ++i)
    std::copy_n(dense.begin() + i * labels, labels, out.begin() + i * stride);
  return out;
}

template <class T>
std::vector<T> unpadded(const std::vector<T>& rows, int64_t labels, int64_t stride) {
  const int64_t count = static_cast<int64_t>(rows.size()) / stride;
  std::vector<T> out(static_cast<size_t>(count * labels));
  for (int64_t i = 0; i < count; ++i)
    std::copy_n(rows.begin() + i * stride, labels, out.begin() + i * labels);
  return out;
}

}  // namespace mrfcore::test
