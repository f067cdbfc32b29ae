// SPDX-License-Identifier: Apache-2.0
#include "ops/image_planes.hpp"

#include <type_traits>
#include <vector>

namespace mrfcore {
namespace {

/// Sums of whole numbers are exact in int32_t.
template <class T>
using Wide = std::conditional_t<std::is_integral_v<T>, int32_t, T>;

template <class T>
T scaled(Wide<T> sum, int bits) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>((sum + (1 << (bits - 1))) >> bits);
  } else {
    return sum / static_cast<T>(1 << bits);
  }
}

/// Index in [0, n) after mirroring at the first and last element.
int64_t mirrored(int64_t i, int64_t n) {
  if (n == 1) return 0;
  while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
  return i;
}

/// [1 4 6 4 1] around element 2 i of a row of n, `step` apart.
template <class W, class T>
W smoothed(const T* row, int64_t step, int64_t i, int64_t n) {
  const auto at = [=](int64_t k) { return static_cast<W>(row[mirrored(2 * i + k, n) * step]); };
  return (at(-2) + at(2)) + 4 * (at(-1) + at(1)) + 6 * at(0);
}

/// Element `to` of the row of n, doubled; weights add up to 8. Beyond the left end the row is
/// mirrored, beyond the right end its last element is repeated: as if one more zero and one more
/// element followed.
template <class W, class T>
W interpolated(const T* row, int64_t step, int64_t to, int64_t n) {
  const auto at = [=](int64_t k) { return static_cast<W>(row[k * step]); };
  const int64_t i = to / 2, next = i + 1 < n ? i + 1 : n - 1;
  if (to % 2 != 0) return 4 * (at(i) + at(next));
  const int64_t before = i > 0 ? i - 1 : (n > 1 ? 1 : 0);
  return at(before) + 6 * at(i) + at(next);
}

/// Rows first, then columns, by `filter(row, step, element, n)`; the weights of both add up to
/// 2^bits.
template <class T, class Filter>
ImagePlanes<T> resampled(const ImagePlanes<T>& image, int64_t height, int64_t width,
                         int64_t padding, int bits, const Filter& filter) {
  using W = Wide<T>;
  ImagePlanes<T> out(height, width, image.channels, padding);
  std::vector<W> rows(static_cast<size_t>(image.height * width));
  for (int c = 0; c < image.channels; ++c) {
    for (int64_t y = 0; y < image.height; ++y) {
      const T* from = image.channel(c) + y * image.width;
      for (int64_t x = 0; x < width; ++x)
        rows[static_cast<size_t>(y * width + x)] = filter(from, 1, x, image.width);
    }
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        const W sum = filter(rows.data() + x, width, y, image.height);
        out.channel(c)[y * width + x] = scaled<T>(sum, bits);
      }
    }
  }
  return out;
}

}  // namespace

template <class T>
ImagePlanes<T> halved(const ImagePlanes<T>& image, int64_t padding) {
  return resampled(image, (image.height + 1) / 2, (image.width + 1) / 2, padding, 8,
                   [](const auto* row, int64_t step, int64_t i, int64_t n) {
                     return smoothed<Wide<T>>(row, step, i, n);
                   });
}

template <class T>
ImagePlanes<T> doubled(const ImagePlanes<T>& image, int64_t height, int64_t width,
                       int64_t padding) {
  return resampled(image, height, width, padding, 6,
                   [](const auto* row, int64_t step, int64_t to, int64_t n) {
                     return interpolated<Wide<T>>(row, step, to, n);
                   });
}

template ImagePlanes<uint16_t> halved(const ImagePlanes<uint16_t>&, int64_t);
template ImagePlanes<float> halved(const ImagePlanes<float>&, int64_t);
template ImagePlanes<uint16_t> doubled(const ImagePlanes<uint16_t>&, int64_t, int64_t, int64_t);
template ImagePlanes<float> doubled(const ImagePlanes<float>&, int64_t, int64_t, int64_t);

}  // namespace mrfcore
