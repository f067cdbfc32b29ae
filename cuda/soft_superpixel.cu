// SPDX-License-Identifier: Apache-2.0
// Soft unpooling and the product that is the gradient of the associations: a thread has a column of
// up to kRows pixels of one cell, so that nine values of z (from L1; a warp's lanes are in two or
// three cells) serve kRows pixels. Bytes a pixel, T = 4: 36 of q read and 4 C written; 4 C read and
// 36 written. Operations a value: 18 of arithmetic (-fmad=false), 9 / kRows + 1 loads and stores.
#include <algorithm>

#include "soft_superpixel.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 128;
/// Pixels of a thread, by the registers that nine sums of each take.
template <class T>
constexpr int kRows = sizeof(T) == 4 ? 4 : 2;

/// Bands of kRows rows in a row of cells.
template <class T>
MRF_HD inline int64_t bands_of(const SoftSuperpixels& grid) {
  const int64_t rows = grid.cell < grid.height ? grid.cell : grid.height;
  return (rows + kRows<T> - 1) / kRows<T>;
}

/// What a thread of unpool and product has: `count` pixels from `first` on, a row apart.
template <class T>
struct Strip {
  int64_t first;
  int count;
  int64_t cells[kSlots];

  __device__ Strip(const SoftParameters<T>& p, int64_t i) {
    const int64_t x = i % p.grid.width, band = i / p.grid.width, bands = bands_of<T>(p.grid);
    const int64_t row = band / bands, y = row * p.grid.cell + band % bands * kRows<T>;
    const int64_t end = min(min((row + 1) * p.grid.cell, p.grid.height), y + kRows<T>);
    first = y * p.grid.width + x;
    count = static_cast<int>(max(end - y, int64_t{0}));
    neighbours_of(p, row, x / p.grid.cell, cells);
  }
};

template <class T>
__device__ __forceinline__ T cell_value(const T* z, int64_t cell) {
  return cell < 0 ? T(0) : __ldg(z + cell);
}

template <class T, class F>
__device__ __forceinline__ void each_strip(const SoftParameters<T>& p, const F& f) {
  const int64_t strips = p.cells / p.columns * bands_of<T>(p.grid) * p.grid.width;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < strips; i += step)
    f(Strip<T>(p, i));
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    soft_unpool_kernel(const __grid_constant__ SoftParameters<T> p) {
  const int64_t item = blockIdx.y, width = p.grid.width, channels = p.grid.channels;
  each_strip(p, [&](const Strip<T>& strip) {
    T q[kSlots][kRows<T>];
    const T* from = p.q + item * kSlots * p.pixels + strip.first;
#pragma unroll
    for (int k = 0; k < kSlots; ++k) {
#pragma unroll
      for (int r = 0; r < kRows<T>; ++r) {
        q[k][r] = r < strip.count ? __ldg(from + k * p.pixels + r * width) : T(0);
      }
    }
    for (int64_t c = item * channels; c < (item + 1) * channels; ++c) {
      T sums[kRows<T>] = {};
#pragma unroll
      for (int k = 0; k < kSlots; ++k) {
        const T value = cell_value(p.z + c * p.cells, strip.cells[k]);
#pragma unroll
        for (int r = 0; r < kRows<T>; ++r) sums[r] = sums[r] + q[k][r] * value;
      }
      T* to = p.out + c * p.pixels + strip.first;
#pragma unroll
      for (int r = 0; r < kRows<T>; ++r) {
        if (r < strip.count) to[r * width] = sums[r];
      }
    }
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    soft_product_kernel(const __grid_constant__ SoftParameters<T> p) {
  const int64_t item = blockIdx.y, width = p.grid.width, channels = p.grid.channels;
  each_strip(p, [&](const Strip<T>& strip) {
    T sums[kSlots][kRows<T>] = {};
    for (int64_t c = item * channels; c < (item + 1) * channels; ++c) {
      const T* from = p.x + c * p.pixels + strip.first;
      T x[kRows<T>];
#pragma unroll
      for (int r = 0; r < kRows<T>; ++r) x[r] = r < strip.count ? __ldg(from + r * width) : T(0);
#pragma unroll
      for (int k = 0; k < kSlots; ++k) {
        const T value = cell_value(p.z + c * p.cells, strip.cells[k]);
#pragma unroll
        for (int r = 0; r < kRows<T>; ++r) sums[k][r] = sums[k][r] + x[r] * value;
      }
    }
    T* to = p.out + item * kSlots * p.pixels + strip.first;
#pragma unroll
    for (int k = 0; k < kSlots; ++k) {
#pragma unroll
      for (int r = 0; r < kRows<T>; ++r) {
        if (r < strip.count) to[k * p.pixels + r * width] = sums[k][r];
      }
    }
  });
}

template <class T>
dim3 strip_grid(const SoftParameters<T>& p) {
  const int64_t strips = p.cells / p.columns * bands_of<T>(p.grid) * p.grid.width;
  return {soft_blocks(std::min<int64_t>(strips, int64_t{kThreads} << 20), kThreads),
          static_cast<unsigned>(p.grid.batch)};
}

}  // namespace

namespace kernels {

template <class T>
int soft_superpixel_unpool(const SoftSuperpixels& grid, const T* q, const T* z, T* y,
                           Stream stream) {
  const SoftParameters<T> p = soft_parameters<T>(grid, q, nullptr, z, y);
  MRF_LAUNCH(soft_unpool_kernel<T>, strip_grid(p), dim3(kThreads), 0,
             static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int soft_superpixel_product(const SoftSuperpixels& grid, const T* x, const T* z, T* g,
                            Stream stream) {
  const SoftParameters<T> p = soft_parameters<T>(grid, nullptr, x, z, g);
  MRF_LAUNCH(soft_product_kernel<T>, strip_grid(p), dim3(kThreads), 0,
             static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

#define MRF_INSTANTIATE(T)                                                                        \
  template int soft_superpixel_unpool<T>(const SoftSuperpixels&, const T*, const T*, T*, Stream); \
  template int soft_superpixel_product<T>(const SoftSuperpixels&, const T*, const T*, T*, Stream)
MRF_INSTANTIATE(float);
MRF_INSTANTIATE(double);
#undef MRF_INSTANTIATE

}  // namespace kernels
}  // namespace mrfcore::cuda
