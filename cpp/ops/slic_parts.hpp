// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mrfcore {

/// An image's features [channels, height, width].
struct SlicPicture {
  const int16_t* features;
  int64_t channels, height, width;
};

/// Makes superpixels of the 4-connected parts of equal ids [height, width]. A part of less than
/// min_size pixels joins, of the parts that it touches and that are large or begin before it, the
/// one with the nearest mean feature (in whole numbers; of equals the first). The part of the
/// image's first pixel stays. Numbers follow first pixels; returns how many.
int32_t slic_connect(const SlicPicture& picture, int64_t min_size, int32_t* ids);

/// Renumbers ids 0 .. bound - 1 without gaps, in their order. Returns how many there are.
int32_t slic_compact(int32_t* ids, int64_t pixels, int64_t bound);

}  // namespace mrfcore
