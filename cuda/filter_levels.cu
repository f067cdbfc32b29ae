// SPDX-License-Identifier: Apache-2.0
// Pyramids for the mean-shift filter: a thread for each pixel of the result, which reads at most
// 5 x 5 pixels, in the order of cpp/ops/image_planes.cpp. Beside the filter, whose windows have
// hundreds of pixels, none of this counts: about 4 bytes and 75 operations a channel and pixel.
#include <type_traits>

#include "filter_pixels.cuh"

namespace mrfcore::cuda::kernels {
namespace {

template <class P>
using Wide = std::conditional_t<std::is_integral_v<P>, int, float>;

template <int kBits>
__device__ int scaled(int sum) {
  return (sum + (1 << (kBits - 1))) >> kBits;
}
template <int kBits>
__device__ float scaled(float sum) {
  return sum / static_cast<float>(1 << kBits);
}

__device__ int64_t mirrored(int64_t i, int64_t n) {
  if (n == 1) return 0;
  while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
  return i;
}

/// [1 4 6 4 1] around element 2 i of n; at(k): element k.
template <class At>
__device__ auto smoothed(int64_t i, int64_t n, const At& at) {
  const auto far = at(mirrored(2 * i - 2, n)) + at(mirrored(2 * i + 2, n));
  const auto near = at(mirrored(2 * i - 1, n)) + at(mirrored(2 * i + 1, n));
  return far + 4 * near + 6 * at(mirrored(2 * i, n));
}

/// Element `to` of n, doubled.
template <class At>
__device__ auto interpolated(int64_t to, int64_t n, const At& at) {
  const int64_t i = to / 2, next = i + 1 < n ? i + 1 : n - 1;
  if (to % 2 != 0) return 4 * (at(i) + at(next));
  const int64_t before = i > 0 ? i - 1 : (n > 1 ? 1 : 0);
  return at(before) + 6 * at(i) + at(next);
}

/// size: of the image for halving, of the result for doubling.
template <class P, bool kHalve>
__global__ void __launch_bounds__(kPixelThreads)
    resize_kernel(const __grid_constant__ FilterLevel large, const P* image, P* to) {
  const int64_t height = (large.height + 1) / 2, width = (large.width + 1) / 2;
  const int64_t to_height = kHalve ? height : large.height, to_width = kHalve ? width : large.width;
  const int64_t from_height = kHalve ? large.height : height,
                from_width = kHalve ? large.width : width;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kPixelThreads + threadIdx.x;
  if (at >= to_height * to_width) return;
  const int64_t before = blockIdx.y * from_height * from_width;
  const int64_t y = at / to_width, x = at % to_width;
  for (int c = 0; c < large.channels; ++c) {
    const auto row = [&](int64_t v) -> Wide<P> {
      const auto pixel = [&](int64_t u) -> Wide<P> {
        return channel_of(image, before + v * from_width + u, large.channels, c);
      };
      if constexpr (kHalve) {
        return smoothed(x, from_width, pixel);
      } else {
        return interpolated(x, from_width, pixel);
      }
    };
    const int64_t target = blockIdx.y * to_height * to_width + at;
    if constexpr (kHalve) {
      set_channel(to, target, large.channels, c, scaled<8>(smoothed(y, from_height, row)));
    } else {
      set_channel(to, target, large.channels, c, scaled<6>(interpolated(y, from_height, row)));
    }
  }
}

template <class P>
__device__ double squared_distance(const P* image, int64_t a, int64_t b, int channels) {
  double sum = 0;
  for (int c = 0; c < channels; ++c) {
    const double d = static_cast<double>(channel_of(image, a, channels, c)) -
                     static_cast<double>(channel_of(image, b, channels, c));
    sum += d * d;
  }
  return sum;
}

template <class P>
__global__ void __launch_bounds__(kPixelThreads)
    differs_kernel(const __grid_constant__ FilterLevel size, const P* image, double most,
                   uint8_t* differs) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kPixelThreads + threadIdx.x;
  if (at >= size.height * size.width) return;
  const int64_t before = blockIdx.y * size.height * size.width;
  const int64_t y = at / size.width, x = at % size.width;
  bool found = false;
  for (int64_t v = y - 1; v <= y + 1; ++v) {
    for (int64_t u = x - 1; u <= x + 1; ++u) {
      if (v < 0 || v >= size.height || u < 0 || u >= size.width) continue;
      const int64_t other = before + v * size.width + u;
      found = found || squared_distance(image, before + at, other, size.channels) > most;
    }
  }
  differs[before + at] = found ? 1 : 0;
}

__global__ void __launch_bounds__(kPixelThreads)
    wanted_kernel(const __grid_constant__ FilterLevel large, const uint8_t* differs,
                  uint8_t* wanted) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kPixelThreads + threadIdx.x;
  if (at >= large.height * large.width) return;
  const int64_t height = (large.height + 1) / 2, width = (large.width + 1) / 2;
  const int64_t y = at / large.width, x = at % large.width;
  // |2 v - y| <= 2 is (y - 1) / 2 <= v <= (y + 2) / 2 in whole numbers, y >= 1.
  const int64_t first_y = y < 3 ? 0 : (y - 1) / 2, first_x = x < 3 ? 0 : (x - 1) / 2;
  uint8_t found = 0;
  for (int64_t v = first_y; v <= (y + 2) / 2 && v < height; ++v) {
    for (int64_t u = first_x; u <= (x + 2) / 2 && u < width; ++u)
      found |= differs[(blockIdx.y * height + v) * width + u];
  }
  wanted[blockIdx.y * large.height * large.width + at] = found;
}

template <class P, bool kHalve>
int resize(const FilterLevel& large, const P* image, int64_t items, P* to, Stream stream) {
  if (!fits(large.height, large.width, large.channels, items))
    return static_cast<int>(cudaErrorInvalidValue);
  const int64_t pixels =
      kHalve ? (large.height + 1) / 2 * ((large.width + 1) / 2) : large.height * large.width;
  MRF_LAUNCH((resize_kernel<P, kHalve>), pixel_grid(pixels, items), dim3(kPixelThreads), 0,
             static_cast<cudaStream_t>(stream), large, image, to);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

template <class P>
int halve_image(const FilterLevel& from, const P* image, int64_t items, P* to, Stream stream) {
  return resize<P, true>(from, image, items, to, stream);
}

template <class P>
int double_image(const FilterLevel& to_size, const P* image, int64_t items, P* to, Stream stream) {
  return resize<P, false>(to_size, image, items, to, stream);
}

template <class P>
int near_edges(const FilterLevel& to_size, const P* image, int64_t items, double most,
               uint8_t* differs, uint8_t* wanted, Stream stream) {
  if (!fits(to_size.height, to_size.width, to_size.channels, items))
    return static_cast<int>(cudaErrorInvalidValue);
  const auto on = static_cast<cudaStream_t>(stream);
  const FilterLevel small{(to_size.height + 1) / 2, (to_size.width + 1) / 2, to_size.channels};
  MRF_LAUNCH(differs_kernel<P>, pixel_grid(small.height * small.width, items), dim3(kPixelThreads),
             0, on, small, image, most, differs);
  if (const cudaError_t code = cudaGetLastError(); code != cudaSuccess)
    return static_cast<int>(code);
  MRF_LAUNCH(wanted_kernel, pixel_grid(to_size.height * to_size.width, items), dim3(kPixelThreads),
             0, on, to_size, differs, wanted);
  return static_cast<int>(cudaGetLastError());
}

#define MRFCORE_INSTANTIATE(P)                                                                  \
  template int halve_image<P>(const FilterLevel&, const P*, int64_t, P*, Stream);               \
  template int double_image<P>(const FilterLevel&, const P*, int64_t, P*, Stream);              \
  template int near_edges<P>(const FilterLevel&, const P*, int64_t, double, uint8_t*, uint8_t*, \
                             Stream);
MRFCORE_INSTANTIATE(uint32_t)
MRFCORE_INSTANTIATE(float)
#undef MRFCORE_INSTANTIATE

}  // namespace mrfcore::cuda::kernels
