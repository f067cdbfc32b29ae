// SPDX-License-Identifier: Apache-2.0
// A batch of images with a margin, so that kernels that read neighbourhoods know no borders, and
// the way back: a margin's gradient added to the pixels that it repeats.
#pragma once

#include <cstdint>

#include "cpu/filter_rows.hpp"
#include "cpu/parallel.hpp"
#include "mrfcore/filter_flow.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Elements beyond the end of a row that kernels may read and that do not count.
inline constexpr int64_t kSlack = 64;

/// Which pixel of 0..size-1 stands at position i outside or inside; -1: none, zero.
inline int64_t source_of(int64_t i, int64_t size, FlowPadding padding) {
  if (i >= 0 && i < size) return i;
  if (padding == FlowPadding::Zeros) return -1;
  if (padding == FlowPadding::Replicate) return i < 0 ? 0 : size - 1;
  return i < 0 ? -i : 2 * (size - 1) - i;
}

template <class T>
struct PaddedImages {
  T* data;
  int64_t planes, height, width;     ///< of the images, planes = batch * channels
  int64_t top, bottom, left, right;  ///< margins

  int64_t rows() const { return top + height + bottom; }
  int64_t stride() const { return left + width + right + kSlack; }
  int64_t plane() const { return rows() * stride(); }
  int64_t size() const { return planes * plane(); }
  /// Pixel (y, 0); y from -top to height + bottom - 1.
  T* row(int64_t p, int64_t y) const { return data + p * plane() + (y + top) * stride() + left; }

  /// scale: null, or [planes / channels, height, width], which every channel is multiplied by.
  void read(const T* images, const T* scale, int64_t channels, FlowPadding padding,
            int threads) const {
    constexpr int64_t kRows = 16;  // of a task
    const int64_t blocks = (rows() + kRows - 1) / kRows;
    parallel_strips(planes * blocks, threads, nullptr, [&](ThreadMemory&, int64_t task) {
      const int64_t p = task / blocks, first = task % blocks * kRows - top;
      const int64_t last = first + kRows < height + bottom ? first + kRows : height + bottom;
      for (int64_t y = first; y < last; ++y) {
        const int64_t from = source_of(y, height, padding);
        const T* src = from < 0 ? nullptr : images + (p * height + from) * width;
        const T* factor =
            scale == nullptr || from < 0 ? nullptr : scale + (p / channels * height + from) * width;
        read_row(src, factor, row(p, y), padding);
      }
    });
  }

  /// images[p] += every row and column of the margin at its source; the interior is copied first.
  void fold(T* images, FlowPadding padding, int threads) const {
    parallel_strips(planes, threads, nullptr, [&](ThreadMemory&, int64_t p) {
      T* to = images + p * height * width;
      fill(to, height * width, T(0));
      for (int64_t y = -top; y < height + bottom; ++y) {
        const int64_t at = source_of(y, height, padding);
        if (at >= 0) fold_row(row(p, y), to + at * width, padding);
      }
    });
  }

 private:
  void read_row(const T* src, const T* factor, T* dst, FlowPadding padding) const {
    if (src == nullptr) {
      fill(dst - left, stride(), T(0));
      return;
    }
    if (factor == nullptr) {
      for (int64_t x = 0; x < width; ++x) dst[x] = src[x];
    } else {
      for (int64_t x = 0; x < width; ++x) dst[x] = src[x] * factor[x];
    }
    for (int64_t x = -left; x < 0; ++x) dst[x] = outside(dst, x, padding);
    for (int64_t x = width; x < width + right; ++x) dst[x] = outside(dst, x, padding);
    fill(dst + width + right, kSlack, T(0));
  }
  T outside(const T* row, int64_t x, FlowPadding padding) const {
    const int64_t at = source_of(x, width, padding);
    return at < 0 ? T(0) : row[at];
  }
  void fold_row(const T* src, T* dst, FlowPadding padding) const {
    for (int64_t x = 0; x < width; ++x) dst[x] += src[x];
    for (int64_t x = -left; x < 0; ++x) add_outside(src, x, dst, padding);
    for (int64_t x = width; x < width + right; ++x) add_outside(src, x, dst, padding);
  }
  void add_outside(const T* src, int64_t x, T* dst, FlowPadding padding) const {
    const int64_t at = source_of(x, width, padding);
    if (at >= 0) dst[at] += src[x];
  }
};

}  // namespace mrfcore::cpu::MRF_ISA
