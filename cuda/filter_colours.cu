// SPDX-License-Identifier: Apache-2.0
// Pixels between bytes, words, floats and L*u*v*: a thread each, a few bytes and, for L*u*v*, some
// 400 operations in double. Beside the filter these do not count.
#include "core/exponential.hpp"
#include "core/luv.hpp"
#include "filter_pixels.cuh"

namespace mrfcore::cuda::kernels {
namespace {

__device__ __forceinline__ int64_t own_pixel() {
  return static_cast<int64_t>(blockIdx.x) * kPixelThreads + threadIdx.x;
}

template <class P>
__global__ void __launch_bounds__(kPixelThreads)
    from_bytes_kernel(const uint8_t* bytes, int64_t pixels, int channels, P* to) {
  const int64_t at = own_pixel();
  if (at >= pixels) return;
  for (int c = 0; c < channels; ++c)
    set_channel(to, at, channels, c, static_cast<int>(__ldg(bytes + at * channels + c)));
}

__device__ uint8_t to_byte(int value) { return static_cast<uint8_t>(value); }
__device__ uint8_t to_byte(float value) {
  return static_cast<uint8_t>(__float2int_rn(fminf(fmaxf(value, 0.0F), 255.0F)));
}

template <class P>
__global__ void __launch_bounds__(kPixelThreads)
    to_bytes_kernel(const P* image, int64_t pixels, int channels, uint8_t* to) {
  const int64_t at = own_pixel();
  if (at >= pixels) return;
  for (int c = 0; c < channels; ++c)
    to[at * channels + c] = to_byte(channel_of(image, at, channels, c));
}

__global__ void __launch_bounds__(kPixelThreads)
    luv_kernel(const float* image, int64_t pixels, bool back, float* to) {
  const int64_t at = own_pixel();
  if (at >= pixels) return;
  double from[3], linear[3], found[3];
  for (int c = 0; c < 3; ++c) from[c] = static_cast<double>(image[at * 3 + c]);
  if (back) {
    core::luv_to_linear(from, linear);
    for (int c = 0; c < 3; ++c) found[c] = 255 * core::linear_to_srgb(linear[c]);
  } else {
    for (int c = 0; c < 3; ++c) linear[c] = core::srgb_to_linear(from[c] / 255);
    core::linear_to_luv(linear, found);
  }
  for (int c = 0; c < 3; ++c) to[at * 3 + c] = static_cast<float>(found[c]);
}

__global__ void __launch_bounds__(kPixelThreads) distances_kernel(int radius, float* to) {
  const int64_t at = own_pixel();
  if (at > radius) return;
  const double share = static_cast<double>(at) / radius;
  to[at] = static_cast<float>(core::exp_nonpositive(-2 * share * share));
}

int launched() { return static_cast<int>(cudaGetLastError()); }

bool takes(int64_t pixels, int channels) {
  return pixels >= 1 && pixels / kPixelThreads < INT32_MAX && (channels == 1 || channels == 3);
}

}  // namespace

template <class P>
int pixels_of_bytes(const uint8_t* bytes, int64_t pixels, int channels, P* to, Stream stream) {
  if (!takes(pixels, channels)) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(from_bytes_kernel<P>, pixel_grid(pixels, 1), dim3(kPixelThreads), 0,
             static_cast<cudaStream_t>(stream), bytes, pixels, channels, to);
  return launched();
}

template <class P>
int bytes_of_pixels(const P* image, int64_t pixels, int channels, uint8_t* to, Stream stream) {
  if (!takes(pixels, channels)) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(to_bytes_kernel<P>, pixel_grid(pixels, 1), dim3(kPixelThreads), 0,
             static_cast<cudaStream_t>(stream), image, pixels, channels, to);
  return launched();
}

int convert_luv(const float* image, int64_t pixels, bool back, float* to, Stream stream) {
  if (!takes(pixels, 3)) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(luv_kernel, pixel_grid(pixels, 1), dim3(kPixelThreads), 0,
             static_cast<cudaStream_t>(stream), image, pixels, back, to);
  return launched();
}

int filter_distances(int radius, float* to, Stream stream) {
  if (radius < 1) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(distances_kernel, pixel_grid(radius + 1, 1), dim3(kPixelThreads), 0,
             static_cast<cudaStream_t>(stream), radius, to);
  return launched();
}

#define MRFCORE_INSTANTIATE(P)                                               \
  template int pixels_of_bytes<P>(const uint8_t*, int64_t, int, P*, Stream); \
  template int bytes_of_pixels<P>(const P*, int64_t, int, uint8_t*, Stream);
MRFCORE_INSTANTIATE(uint32_t)
MRFCORE_INSTANTIATE(float)
#undef MRFCORE_INSTANTIATE

}  // namespace mrfcore::cuda::kernels
