// SPDX-License-Identifier: Apache-2.0
// The gradient of a warp for its image: every pixel of the result adds to four of the image, and
// which ones, only the flow knows. Sums of floats would depend on the order of threads;
// contributions are therefore rounded to integers of 64 bits, whose sums do not: a plane's unit is
// the finest at which all its contributions could meet in one pixel without an overflow. Sorting
// them by pixel would give the bits of the CPU, but takes several passes, and one thread all
// contributions of a pixel, of which a border that is repeated may have thousands.
//
// Three launches behind a memset: the largest |grad_out| of each plane, by atomic maxima (floats
// that are not negative compare as integers); the contributions, by atomic sums; and back to
// numbers. Doubles have a second integer for what the first one rounds off.
//
// Bytes a pixel and channel: 8 of grad_out (read twice), 4 atomic sums of 8 in L2 (those of weight
// 0 are left out); of the image 8 cleared, 8 read, 4 written. The flow's 8 bytes twice a pixel.
#include "warp_row.cuh"
#include "warp_taps.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kPixelsAThread = 8;  ///< when looking for the largest
constexpr int kFinestRest = 50;    ///< bits

using Word = unsigned long long;

template <class T>
struct ScatterParameters {
  WarpSize size;
  PixelGrid grid;
  const T* flow;
  const T* grad_out;
  T* grad_image;
  Word* largest;  ///< [items, channels]: bits of a double
  Word* sums;     ///< [items, channels, height, width], then what is rounded off, likewise
  int64_t words;  ///< items * channels * height * width
  int log_count;  ///< 2^log_count >= pixels of the result
};

__device__ __forceinline__ double power_of_two(int n) {
  return __longlong_as_double(static_cast<long long>(n + 1023) << 52);
}

/// x * 2^n. For doubles, 2^n itself may be too large: |n| is up to 1083.
template <class T>
__device__ __forceinline__ double shifted(double x, int n) {
  if constexpr (sizeof(T) == 4) return x * power_of_two(n);
  return x * power_of_two(n / 2) * power_of_two(n - n / 2);
}

/// How a plane's numbers become integers.
struct Unit {
  int bits, rest_bits;
  bool finite;

  /// largest: bits of a double that is not negative.
  static __device__ __forceinline__ Unit of(Word largest, int log_count) {
    const int exponent = static_cast<int>(largest >> 52);  // |x| < 2^(exponent - 1022)
    return {61 - log_count - (exponent - 1022), min(kFinestRest, 60 - log_count), exponent < 2047};
  }
};

template <class T>
__global__ void __launch_bounds__(kWarpThreads)
    largest_kernel(const __grid_constant__ ScatterParameters<T> p) {
  const int64_t item = p.grid.item(), first = p.grid.pixel(kPixelsAThread), plane = p.grid.pixels;
  const T* flow = p.flow + 2 * item * plane;
  const T nowhere = T(0);
  bool somewhere = true;
  for (int k = 0; k < kPixelsAThread; ++k) {
    const int64_t at = first + k * kWarpThreads;
    if (at >= plane) break;
    const T sum = flow[at] * nowhere + flow[plane + at] * nowhere;  // NaN unless both are finite
    somewhere = somewhere && sum == sum;
  }
  for (int c = 0; c < p.size.channels; ++c) {
    const T* grads = p.grad_out + (item * p.size.channels + c) * plane;
    Word largest = 0;
    for (int k = 0; k < kPixelsAThread; ++k) {
      const int64_t at = first + k * kWarpThreads;
      if (at >= plane) break;
      const auto bits = static_cast<Word>(__double_as_longlong(static_cast<double>(grads[at])));
      largest = max(largest, bits & ~(Word{1} << 63));
    }
    if (!somewhere) largest = Word{2047} << 52;
#pragma unroll
    for (int apart = kWarp / 2; apart > 0; apart /= 2)
      largest = max(largest, __shfl_xor_sync(kAllLanes, largest, apart));
    if (lane_index() == 0 && largest != 0)
      atomicMax(p.largest + item * p.size.channels + c, largest);
  }
}

template <class T>
__device__ __forceinline__ void add(const ScatterParameters<T>& p, int64_t at, T value,
                                    const Unit& unit) {
  if (value == T(0)) return;
  const double units = shifted<T>(static_cast<double>(value), unit.bits);
  const long long whole = llrint(units);
  atomicAdd(p.sums + at, static_cast<Word>(whole));
  if constexpr (sizeof(T) == 8) {
    const double rest = units - static_cast<double>(whole);
    atomicAdd(p.sums + p.words + at,
              static_cast<Word>(llrint(rest * power_of_two(unit.rest_bits))));
  }
}

template <class T>
__global__ void __launch_bounds__(kWarpThreads)
    scatter_kernel(const __grid_constant__ ScatterParameters<T> p) {
  const int64_t item = p.grid.item(), at = p.grid.pixel(), out_plane = p.grid.pixels;
  if (at >= out_plane) return;
  const auto t = WarpTaps<T>::of(p.size, p.flow + 2 * item * out_plane, at);
  if (!(t.x.low == t.x.low && t.y.low == t.y.low)) return;  // looks nowhere: planes will be NaN
  for (int c = 0; c < p.size.channels; ++c) {
    const int64_t plane = item * p.size.channels + c;
    const Unit unit = Unit::of(p.largest[plane], p.log_count);
    if (!unit.finite) continue;
    const T grad = p.grad_out[plane * out_plane + at];
    const int64_t to = plane * p.size.plane();
    add(p, to + t.top_left, grad * (t.y.low * t.x.low), unit);
    add(p, to + t.top_right, grad * (t.y.low * t.x.high), unit);
    add(p, to + t.bottom_left, grad * (t.y.high * t.x.low), unit);
    add(p, to + t.bottom_right, grad * (t.y.high * t.x.high), unit);
  }
}

template <class T>
__global__ void __launch_bounds__(kWarpThreads)
    collect_kernel(const __grid_constant__ ScatterParameters<T> p) {
  const int64_t plane = p.grid.item(), pixel = p.grid.pixel();
  if (pixel >= p.grid.pixels) return;
  const int64_t at = plane * p.grid.pixels + pixel;
  const Unit unit = Unit::of(p.largest[plane], p.log_count);
  double sum = static_cast<double>(static_cast<long long>(p.sums[at]));
  if constexpr (sizeof(T) == 8) {
    const auto rest = static_cast<double>(static_cast<long long>(p.sums[p.words + at]));
    sum += rest * power_of_two(-unit.rest_bits);
  }
  p.grad_image[at] =
      unit.finite ? static_cast<T>(shifted<T>(sum, -unit.bits)) : static_cast<T>(__builtin_nan(""));
}

int log_of(int64_t count) {
  int log = 0;
  while ((int64_t{1} << log) < count) ++log;
  return log;
}

}  // namespace

namespace kernels {

template <class T>
int warp_image_gradient(const WarpProblem& problem, const T* flow, const T* grad_out, T* grad_image,
                        void* workspace, void* stream) {
  const int64_t planes = problem.batch * problem.channels;
  const int64_t out_pixels = problem.out_height * problem.out_width;
  const int64_t pixels = problem.height * problem.width;
  if (planes == 0) return 0;
  const auto queue = static_cast<cudaStream_t>(stream);
  auto* words = static_cast<Word*>(workspace);
  ScatterParameters<T> p{
      WarpSize::of(problem), {}, flow, grad_out, grad_image, words, words + planes, planes * pixels,
      log_of(out_pixels)};
  const auto bytes = static_cast<size_t>(warp_workspace_bytes<T>(problem));
  const cudaError_t failed = cudaMemsetAsync(workspace, 0, bytes, queue);
  if (failed != cudaSuccess) return forgotten(failed);
  const auto launch = [&](auto kernel, const PixelGrid& grid, int64_t items) {
    p.grid = grid;
    const unsigned blocks = grid.blocks_of(items);
    if (blocks == 0) return static_cast<int>(cudaErrorInvalidValue);
    MRF_LAUNCH(kernel, dim3(blocks), dim3(kWarpThreads), 0, queue, p);
    return static_cast<int>(cudaGetLastError());
  };
  int code = launch(largest_kernel<T>, PixelGrid::of(out_pixels, kPixelsAThread), problem.batch);
  if (code == 0) code = launch(scatter_kernel<T>, PixelGrid::of(out_pixels), problem.batch);
  return code != 0 ? code : launch(collect_kernel<T>, PixelGrid::of(pixels), planes);
}

template int warp_image_gradient<float>(const WarpProblem&, const float*, const float*, float*,
                                        void*, void*);
template int warp_image_gradient<double>(const WarpProblem&, const double*, const double*, double*,
                                         void*, void*);

}  // namespace kernels
}  // namespace mrfcore::cuda
