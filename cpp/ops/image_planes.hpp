// SPDX-License-Identifier: Apache-2.0
// Images as planes that vectors may read past the end of, and their pyramids.
#pragma once

#include <cstdint>

#include "ops/buffer.hpp"

namespace mrfcore {

/// [channels][height * width + padding]; bytes are kept in uint16_t.
template <class T>
struct ImagePlanes {
  int64_t height = 0, width = 0, plane = 0;
  int channels = 0;
  Buffer<T> data;

  ImagePlanes() = default;
  ImagePlanes(int64_t rows, int64_t columns, int count, int64_t padding)
      : height(rows),
        width(columns),
        plane(rows * columns + padding),
        channels(count),
        data(plane * count) {}

  T* channel(int c) { return data.data() + c * plane; }
  const T* channel(int c) const { return data.data() + c * plane; }
};

/// Half the size, rounded up: every second pixel after smoothing by [1 4 6 4 1] / 16 both ways
/// (Burt & Adelson 1983), the border mirrored without repeating it. Whole numbers are rounded.
template <class T>
ImagePlanes<T> halved(const ImagePlanes<T>& image, int64_t padding);

/// To height x width, of which `image` is half the size rounded up: zeros between the pixels, then
/// the same smoothing times 4. Whole numbers are rounded.
template <class T>
ImagePlanes<T> doubled(const ImagePlanes<T>& image, int64_t height, int64_t width, int64_t padding);

extern template ImagePlanes<uint16_t> halved(const ImagePlanes<uint16_t>&, int64_t);
extern template ImagePlanes<float> halved(const ImagePlanes<float>&, int64_t);
extern template ImagePlanes<uint16_t> doubled(const ImagePlanes<uint16_t>&, int64_t, int64_t,
                                              int64_t);
extern template ImagePlanes<float> doubled(const ImagePlanes<float>&, int64_t, int64_t, int64_t);

}  // namespace mrfcore
