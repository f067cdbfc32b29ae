// SPDX-License-Identifier: Apache-2.0
// The two forms in which the mean-shift filter keeps images (mean_shift_filter_kernels.hpp), and
// launches with a thread for each pixel.
#pragma once

#include "device.cuh"
#include "mean_shift_filter_kernels.hpp"

namespace mrfcore::cuda::kernels {

inline constexpr int kPixelThreads = 256;
inline constexpr int64_t kMostFilterItems = 65535;

/// Channel c of a pixel.
__device__ __forceinline__ int channel_of(const uint32_t* image, int64_t pixel, int, int c) {
  return static_cast<int>(__ldg(image + pixel) >> (8 * c) & 255U);
}
__device__ __forceinline__ float channel_of(const float* image, int64_t pixel, int channels,
                                            int c) {
  return __ldg(image + pixel * channels + c);
}

/// Writes a pixel; words are cleared by the first channel.
__device__ __forceinline__ void set_channel(uint32_t* image, int64_t pixel, int, int c, int value) {
  const uint32_t before = c == 0 ? 0U : image[pixel];
  image[pixel] = before | static_cast<uint32_t>(value) << (8 * c);
}
__device__ __forceinline__ void set_channel(float* image, int64_t pixel, int channels, int c,
                                            float value) {
  image[pixel * channels + c] = value;
}

inline dim3 pixel_grid(int64_t pixels, int64_t items) {
  return {static_cast<unsigned>((pixels + kPixelThreads - 1) / kPixelThreads),
          static_cast<unsigned>(items)};
}

/// Whether a grid takes an image's pixels and items.
inline bool fits(int64_t height, int64_t width, int channels, int64_t items) {
  return height >= 1 && width >= 1 && height <= INT32_MAX / width &&
         (channels == 1 || channels == 3) && items >= 1 && items <= kMostFilterItems;
}

}  // namespace mrfcore::cuda::kernels
