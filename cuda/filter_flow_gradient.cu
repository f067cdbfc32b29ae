// SPDX-License-Identifier: Apache-2.0
// The gradient of filter flow for its filters: for every pixel and tap the sum over channels of
// what came back times what the tap read; with a softmax, weight * (that - its mean).
//
// Bound: k^2 numbers a pixel are written, and with a softmax as many read, once each. A block has
// 32 x 8 pixels; a thread has kRows pixels of a column and kTaps taps at a time: at step s its
// pixel i is at tap row s - i, so that all of them look at one row of the image. A channel's
// kRows * kTaps products need kRows + kTaps words of shared memory.
//
// Bytes a pixel: filters k^2 (4, or 2), twice with a softmax; image and gradient 8 C (and out, 4 C;
// the image as often as in filter_flow.cu); 508 for k = 11, C = 3, 1012 with a softmax. Two
// instructions and half a word of shared memory for each tap and channel.
//
// As many channels as fit lie in shared memory for all steps (kMostShared); with more, parts of
// them are read again at each step. Sums go over channels in order, as those of
// cpp/cpu/filter_flow.cpp: the same bits.
#include "flow_patch.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kRows = 4, kTaps = 4;
constexpr int kThreads = kTilePixels / kRows;
constexpr int kMostShared = 96 * 1024;  ///< a block of any GPU from sm_80 on may have this much

template <class T>
struct GradientParameters {
  FlowSize size;
  Tiling tiling;
  bool softmax;
  FlowPadding padding;
  const void* filters;
  const T* image;
  const T* peak;
  const T* scale;
  FilterFlowGradients<T> gradients;
  void* grad_filters;
  int part;  ///< channels in shared memory
};

/// What is the same for all taps of a pixel.
template <class T>
struct PixelGradient {
  T flow_x = T(0), flow_y = T(0);
  T peak = T(0), scale = T(0), mean = T(0);  ///< with a softmax

  /// item: of planes; at: the pixel in a plane.
  __device__ __forceinline__ void read(const GradientParameters<T>& p, int64_t item, int64_t at) {
    const int64_t plane = p.size.plane();
    const FilterFlowGradients<T>& g = p.gradients;
    const int64_t flow_at = 2 * item * plane + at;
    if (g.grad_flow != nullptr) {
      flow_x = g.grad_flow[flow_at];
      flow_y = g.grad_flow[flow_at + plane];
    }
    if (!p.softmax) return;
    peak = p.peak[item * plane + at];
    scale = p.scale[item * plane + at];
    // A softmax takes off the mean of its gradients, which is the sum of gradients * outputs.
    int64_t channel_at = item * p.size.channels * plane + at;
    for (int c = 0; c < p.size.channels; ++c, channel_at += plane)
      mean += g.grad_out[channel_at] * g.out[channel_at];
    if (g.grad_flow == nullptr) return;
    mean += flow_x * g.flow[flow_at];
    mean += flow_y * g.flow[flow_at + plane];
  }
};

/// A block's tile, and what its threads share.
template <class T>
struct GradientTile {
  const GradientParameters<T>& p;
  int64_t item, plane;
  Place place;
  T* grads;  ///< [part][kTileRows][32]
  FlowPatch<T> patch;

  __device__ __forceinline__ GradientTile(const GradientParameters<T>& parameters, T* shared)
      : p(parameters),
        item(p.tiling.item(static_cast<int>(blockIdx.x))),
        plane(p.size.plane()),
        place(p.tiling.place(static_cast<int>(blockIdx.x), false)),
        grads(shared),
        // Taps are taken kTaps at a time: beyond the last, something is read and not used.
        patch{grads + p.part * kTilePixels, kWarp + p.size.side - 1 + kTaps - 1} {}

  __device__ __forceinline__ void fill(int channel, int channels, int row, int count) const {
    const T* image = p.image + (item * p.size.channels + channel) * plane;
    patch.fill(place, before(p.size.side), row, count, channels, kWarp + p.size.side - 1,
               [&](int c, int y, int x) {
                 const int from_y = source_of(y, p.size.height, p.padding);
                 const int from_x = source_of(x, p.size.width, p.padding);
                 if (from_y < 0 || from_x < 0) return T(0);
                 return image[c * plane + static_cast<int64_t>(from_y) * p.size.width + from_x];
               });
  }
  __device__ __forceinline__ void fill_grads(int channel, int channels) const {
    const T* from = p.gradients.grad_out + (item * p.size.channels + channel) * plane;
    for (int i = static_cast<int>(threadIdx.x); i < channels * kTilePixels; i += kThreads) {
      const int y = place.row(i % kTilePixels / kWarp), x = place.column(i % kWarp);
      const bool inside = p.size.contains(y, x);
      grads[i] = inside ? from[i / kTilePixels * plane + static_cast<int64_t>(y) * p.size.width + x]
                        : T(0);
    }
  }
};

/// Adds some channels; all rows of the thread's pixels look at row `row` of the patch.
template <class T>
__device__ __forceinline__ void correlate(T (&sums)[kRows][kTaps], const GradientTile<T>& tile,
                                          int row0, int row, int v, int channels) {
  const T* pixels = tile.patch.row(0, row) + lane_index() + v;
  const T* grads = tile.grads + row0 * kWarp + lane_index();
  for (int c = 0; c < channels; ++c) {
    T pixel[kTaps];
#pragma unroll
    for (int j = 0; j < kTaps; ++j) pixel[j] = pixels[j];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const T grad = grads[i * kWarp];
#pragma unroll
      for (int j = 0; j < kTaps; ++j) sums[i][j] += grad * pixel[j];
    }
    pixels += kTileRows * tile.patch.pitch;
    grads += kTilePixels;
  }
}

/// Taps (u, v) .. of one pixel: from sums to gradients in memory. at: of tap (u, v).
template <class T, class F>
__device__ __forceinline__ void put(const GradientParameters<T>& p, const PixelGradient<T>& pixel,
                                    const T (&sums)[kTaps], const F (&filters)[kTaps], int64_t at,
                                    int u, int v, int count) {
  const int reach = before(p.size.side);
#pragma unroll
  for (int j = 0; j < kTaps; ++j) {
    if (j >= count) break;
    T grad = sums[j];
    if (p.gradients.grad_flow != nullptr) {
      const T dx = static_cast<T>(v + j - reach), dy = static_cast<T>(u - reach);
      grad += pixel.flow_x * dx + pixel.flow_y * dy;
    }
    if (p.softmax) {
      const T weight = exponential(widen(filters[j]) - pixel.peak) * pixel.scale;
      grad = weight * (grad - pixel.mean);
    }
    narrow(grad, static_cast<F*>(p.grad_filters) + at + j * p.size.plane());
  }
}

template <class T, class F>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const __grid_constant__ GradientParameters<T> p) {
  MRF_SHARED(T, shared);
  const GradientTile<T> tile(p, shared);
  const int side = p.size.side, channels = p.size.channels;
  const bool whole = channels <= p.part;  // all channels at once
  const int row0 = static_cast<int>(threadIdx.x) / kWarp * kRows;
  const int x = tile.place.column(lane_index());
  const auto inside = [&](int i) { return p.size.contains(tile.place.row(row0 + i), x); };
  const auto at = [&](int i) {
    return static_cast<int64_t>(tile.place.row(row0 + i)) * p.size.width + x;
  };
  PixelGradient<T> pixels[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i)
    if (inside(i)) pixels[i].read(p, tile.item, at(i));

  if (whole) tile.fill_grads(0, channels);
  for (int step = 0; step < side + kRows - 1; ++step) {
    if (whole) {
      __syncthreads();
      if (step == 0) tile.fill(0, channels, 0, kTileRows);
      if (step > 0 && step < side) tile.fill(0, channels, step + kTileRows - 1, 1);
      __syncthreads();
    }
    for (int v = 0; v < side; v += kTaps) {
      const int count = min(kTaps, side - v);
      const auto tap = [&](int i) {  // of the filters, for pixel i
        return (tile.item * side * side + (step - i) * side + v) * tile.plane + at(i);
      };
      const auto wanted = [&](int i) { return step >= i && step - i < side && inside(i); };
      F filters[kRows][kTaps] = {};
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        if (!p.softmax || !wanted(i)) continue;
#pragma unroll
        for (int j = 0; j < kTaps; ++j)
          if (j < count)
            filters[i][j] = read(static_cast<const F*>(p.filters) + tap(i) + j * tile.plane);
      }
      T sums[kRows][kTaps] = {};
      for (int c = 0; c < channels; c += p.part) {
        const int some = min(p.part, channels - c);
        if (!whole) {
          __syncthreads();
          tile.fill_grads(c, some);
          tile.fill(c, some, step, kTileRows);
          __syncthreads();
        }
        correlate(sums, tile, row0, row0 + step, v, some);
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i)
        if (wanted(i)) put<T, F>(p, pixels[i], sums[i], filters[i], tap(i), step - i, v, count);
    }
  }
}

template <class T, class F>
int launch(GradientParameters<T> p, int64_t items, cudaStream_t stream) {
  const int pitch = kWarp + p.size.side - 1 + kTaps - 1;
  const int bytes = (kTilePixels + kTileRows * pitch) * static_cast<int>(sizeof(T));  // a channel
  p.part = max(1, min(p.size.channels, kMostShared / bytes));
  const int64_t tiles = p.tiling.blocks(items);
  if (tiles > INT32_MAX) return static_cast<int>(cudaErrorInvalidValue);
  const auto kernel = gradient_kernel<T, F>;
  const auto shared = static_cast<size_t>(p.part) * static_cast<size_t>(bytes);
  const int failed = allow_shared(kernel, shared);
  if (failed != 0) return failed;
  MRF_LAUNCH(kernel, dim3(static_cast<unsigned>(tiles)), dim3(kThreads), shared, stream, p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

namespace kernels {

template <class T>
int filter_flow_filter_gradient(const FilterFlowProblem& problem, const T* image,
                                SoftmaxStatistics<const T> statistics,
                                const FilterFlowGradients<T>& gradients, void* grad_filters,
                                void* stream) {
  if (problem.batch == 0) return 0;
  if (!fits(problem)) return static_cast<int>(cudaErrorInvalidValue);
  const GradientParameters<T> p{FlowSize::of(problem),
                                Tiling::of(0, 0, problem.height, problem.width),
                                problem.softmax,
                                problem.padding,
                                problem.filters,
                                image,
                                statistics.peak,
                                statistics.scale,
                                gradients,
                                grad_filters,
                                1};
  return with_filters<T>(problem.type, [&]<class F>(F) {
    return launch<T, F>(p, problem.batch, static_cast<cudaStream_t>(stream));
  });
}

template int filter_flow_filter_gradient<float>(const FilterFlowProblem&, const float*,
                                                SoftmaxStatistics<const float>,
                                                const FilterFlowGradients<float>&, void*, void*);
template int filter_flow_filter_gradient<double>(const FilterFlowProblem&, const double*,
                                                 SoftmaxStatistics<const double>,
                                                 const FilterFlowGradients<double>&, void*, void*);

}  // namespace kernels
}  // namespace mrfcore::cuda
