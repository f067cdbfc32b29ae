// SPDX-License-Identifier: Apache-2.0
// SLIC on the GPU: host functions, with the CPU's superpixels to the pixel. Conventions are those
// of kernels.hpp: arrays are device memory, images of a batch (at most 65535) side by side, nothing
// waits.
#pragma once

#include <cstdint>

#include "core/slic.hpp"
#include "kernels.hpp"

namespace mrfcore::cuda::kernels {

/// Largest radius of a blur.
inline constexpr int kSlicTaps = 256;

struct SlicColourJob {
  int64_t items, channels, height, width;
  int64_t item_stride, channel_stride, row_stride, column_stride;  ///< of the image, in elements
  bool lab;
  int32_t radius;               ///< 0: no blur
  int32_t taps[kSlicTaps + 1];  ///< from the middle outwards; with both sides 2^14
  int16_t* features;            ///< [items, channels, height, width]
  int16_t* between;             ///< the same, where there is a blur
};

/// mrfcore::slic_features(), for T in uint8_t, float. Values outside 0..1 count as the nearest in
/// it, NaN as 0.
template <class T>
int slic_features(const SlicColourJob& job, const T* image, Stream stream);

struct SlicJob {
  SlicPlan plan;
  int64_t items;
  int iterations;
  bool connected;
  int64_t min_size;
  const int16_t* features;
  int32_t* ids;     ///< [items, height, width]
  int32_t* counts;  ///< [items]
};

/// Where things are in slic()'s scratch memory, in bytes from its beginning; arrays are [items,
/// ...].
struct SlicScratch {
  int64_t centres = 0, sums = 0;
  int64_t roots = 0, sizes = 0, means = 0, nearest = 0, first = 0, numbers = 0, total = 0;

  SlicScratch(const SlicPlan& plan, int64_t items, bool connected) {
    const int64_t cells = plan.cells(), pixels = plan.y.count * plan.x.count;
    const auto next = [this, items](int64_t count, int64_t bytes) {
      const int64_t at = total;
      total += (items * count * bytes + 15) / 16 * 16;
      return at;
    };
    centres = next(cells * plan.centre_size(), 4);
    sums = next(cells * plan.sum_size(), 8);
    const int64_t numbered = connected ? pixels : cells;
    first = next(numbered, 4);
    numbers = next(numbered, 4);
    if (!connected) return;
    roots = next(pixels, 4);
    sizes = next(pixels, 4);
    means = next(pixels * plan.channels, 8);
    nearest = next(pixels, 8);
  }
};

/// mrfcore::slic(). scratch: SlicScratch(...).total bytes, aligned to 16.
int slic(const SlicJob& job, void* scratch, Stream stream);

/// The last part of it: superpixels of the cells in job.ids, connected or not.
int slic_numbers(const SlicJob& job, const SlicScratch& at, void* scratch, Stream stream);

}  // namespace mrfcore::cuda::kernels
