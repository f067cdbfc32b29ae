// SPDX-License-Identifier: Apache-2.0
//
// Colours as SLIC measures them, cpp/cpu/slic_features.cpp to the bit: the same formulas without
// fused operations, and a blur in whole numbers.
//
// Bytes a pixel of three colours: 3 (bytes) or 12 read, 6 written; about 250 operations, most of
// them roots. A blur reads and writes 4 bytes a channel twice, 2 radius + 1 products each; rows of
// a window come from L1.
#include "core/lab.hpp"
#include "device.cuh"
#include "slic_kernels.hpp"

namespace mrfcore::cuda::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kBlurBits = 14;

unsigned blocks_for(int64_t size) {
  return static_cast<unsigned>((size + kThreads - 1) / kThreads);
}

__device__ __forceinline__ float unit(uint8_t value) { return static_cast<float>(value) / 255.0f; }
__device__ __forceinline__ float unit(float value) {
  return value >= 0.0f ? (value <= 1.0f ? value : 1.0f) : 0.0f;  // of NaN, 0
}

template <class T>
__global__ void convert_kernel(const __grid_constant__ SlicColourJob job, const T* image) {
  const int64_t pixels = job.height * job.width, item = blockIdx.y;
  const int64_t p = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (p >= pixels) return;
  const T* from = image + item * job.item_stride + p / job.width * job.row_stride +
                  p % job.width * job.column_stride;
  int16_t* to = job.features + item * job.channels * pixels + p;
  if (!job.lab) {
    for (int64_t c = 0; c < job.channels; ++c)
      to[c * pixels] = slic_units(100.0f * unit(from[c * job.channel_stride]));
    return;
  }
  const float red = lab_linear(unit(from[0]));
  if (job.channels == 1) {
    to[0] = slic_units(116.0f * lab_curve(red) - 16.0f);
    return;
  }
  const Lab lab = lab_of(red, lab_linear(unit(from[job.channel_stride])),
                         lab_linear(unit(from[2 * job.channel_stride])));
  to[0] = slic_units(lab.lightness);
  to[pixels] = slic_units(lab.a);
  to[2 * pixels] = slic_units(lab.b);
}

/// Along rows or columns: `step` elements apart, `count` of them, position `at`.
__device__ __forceinline__ int16_t blurred(const SlicColourJob& job, const int16_t* line,
                                           int64_t at, int64_t count, int64_t step) {
  int32_t sum = 1 << (kBlurBits - 1);
  for (int k = -job.radius; k <= job.radius; ++k) {
    const int64_t i = at + k < 0 ? 0 : at + k < count ? at + k : count - 1;
    sum += job.taps[k < 0 ? -k : k] * line[i * step];
  }
  return static_cast<int16_t>(sum >> kBlurBits);
}

__global__ void blur_rows_kernel(const __grid_constant__ SlicColourJob job) {
  const int64_t plane = job.height * job.width;
  const int64_t p = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (p >= job.channels * plane) return;
  const int64_t offset = blockIdx.y * job.channels * plane, x = p % job.width;
  job.between[offset + p] = blurred(job, job.features + offset + p - x, x, job.width, 1);
}

__global__ void blur_columns_kernel(const __grid_constant__ SlicColourJob job) {
  const int64_t plane = job.height * job.width;
  const int64_t p = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (p >= job.channels * plane) return;
  const int64_t offset = blockIdx.y * job.channels * plane, y = p % plane / job.width;
  job.features[offset + p] =
      blurred(job, job.between + offset + p - y * job.width, y, job.height, job.width);
}

}  // namespace

template <class T>
int slic_features(const SlicColourJob& job, const T* image, Stream stream) {
  auto* const on = static_cast<cudaStream_t>(stream);
  const auto items = static_cast<unsigned>(job.items);
  const int64_t pixels = job.height * job.width;
  MRF_LAUNCH((convert_kernel<T>), dim3(blocks_for(pixels), items), kThreads, 0, on, job, image);
  if (job.radius > 0) {
    const dim3 grid(blocks_for(job.channels * pixels), items);
    MRF_LAUNCH(blur_rows_kernel, grid, kThreads, 0, on, job);
    MRF_LAUNCH(blur_columns_kernel, grid, kThreads, 0, on, job);
  }
  return cudaGetLastError();
}

template int slic_features<uint8_t>(const SlicColourJob&, const uint8_t*, Stream);
template int slic_features<float>(const SlicColourJob&, const float*, Stream);

}  // namespace mrfcore::cuda::kernels
