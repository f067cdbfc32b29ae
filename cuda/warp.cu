// SPDX-License-Identifier: Apache-2.0
// Bilinear warps and the gradient for their flow: a thread per pixel of the result finds its taps
// once and goes through the channels in order, as cpp/cpu/warp.cpp: the same bits.
//
// Bytes a pixel and channel: 4 written, and 4 read of the image where the flow is smooth enough for
// neighbours to find their taps in L1; the flow's 8 bytes a pixel are read once. Gradient: 8 read.
#include "warp_taps.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct WarpParameters {
  WarpSize size;
  PixelGrid grid;
  const T* image;
  const T* flow;
  T* out;          ///< forward
  uint8_t* valid;  ///< forward, may be null
  const T* grad_out;
  T* grad_flow;
};

template <class T>
struct Corners {
  T top_left, top_right, bottom_left, bottom_right;

  static __device__ __forceinline__ Corners of(const T* plane, const WarpTaps<T>& taps) {
    return {__ldg(plane + taps.top_left), __ldg(plane + taps.top_right),
            __ldg(plane + taps.bottom_left), __ldg(plane + taps.bottom_right)};
  }
};

template <class T>
__global__ void __launch_bounds__(kWarpThreads)
    warp_kernel(const __grid_constant__ WarpParameters<T> p) {
  const int64_t item = p.grid.item(), at = p.grid.pixel();
  if (at >= p.grid.pixels) return;
  const int64_t plane = p.size.plane(), out_plane = p.grid.pixels;
  const auto t = WarpTaps<T>::of(p.size, p.flow + 2 * item * out_plane, at);
  if (p.valid != nullptr) p.valid[item * out_plane + at] = t.x.inside && t.y.inside;
  const T* image = p.image + item * p.size.channels * plane;
  T* out = p.out + item * p.size.channels * out_plane + at;
  for (int c = 0; c < p.size.channels; ++c, image += plane, out += out_plane) {
    const auto v = Corners<T>::of(image, t);
    *out = t.y.low * (t.x.low * v.top_left + t.x.high * v.top_right) +
           t.y.high * (t.x.low * v.bottom_left + t.x.high * v.bottom_right);
  }
}

template <class T>
__global__ void __launch_bounds__(kWarpThreads)
    flow_gradient_kernel(const __grid_constant__ WarpParameters<T> p) {
  const int64_t item = p.grid.item(), at = p.grid.pixel();
  if (at >= p.grid.pixels) return;
  const int64_t plane = p.size.plane(), out_plane = p.grid.pixels;
  const auto t = WarpTaps<T>::of(p.size, p.flow + 2 * item * out_plane, at);
  const T* image = p.image + item * p.size.channels * plane;
  const T* grads = p.grad_out + item * p.size.channels * out_plane + at;
  T to_x = T(0), to_y = T(0);
  for (int c = 0; c < p.size.channels; ++c, image += plane, grads += out_plane) {
    const auto v = Corners<T>::of(image, t);
    const T grad = *grads;
    const T top = t.x.slope_low * v.top_left + t.x.slope_high * v.top_right;
    const T bottom = t.x.slope_low * v.bottom_left + t.x.slope_high * v.bottom_right;
    const T left = t.y.slope_low * v.top_left + t.y.slope_high * v.bottom_left;
    const T right = t.y.slope_low * v.top_right + t.y.slope_high * v.bottom_right;
    to_x += grad * (t.y.low * top + t.y.high * bottom);
    to_y += grad * (t.x.low * left + t.x.high * right);
  }
  p.grad_flow[2 * item * out_plane + at] = to_x;
  p.grad_flow[(2 * item + 1) * out_plane + at] = to_y;
}

template <class T>
int launch(void (*kernel)(WarpParameters<T>), const WarpProblem& problem, WarpParameters<T> p,
           void* stream) {
  if (problem.batch == 0) return 0;
  p.size = WarpSize::of(problem);
  p.grid = PixelGrid::of(problem.out_height * problem.out_width);
  const unsigned blocks = p.grid.blocks_of(problem.batch);
  if (blocks == 0) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(kernel, dim3(blocks), dim3(kWarpThreads), 0, static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

namespace kernels {

template <class T>
int warp(const WarpProblem& problem, const T* image, const T* flow, T* out, uint8_t* valid,
         void* stream) {
  WarpParameters<T> p{};
  p.image = image;
  p.flow = flow;
  p.out = out;
  p.valid = valid;
  return launch<T>(warp_kernel<T>, problem, p, stream);
}

template <class T>
int warp_flow_gradient(const WarpProblem& problem, const T* image, const T* flow, const T* grad_out,
                       T* grad_flow, void* stream) {
  WarpParameters<T> p{};
  p.image = image;
  p.flow = flow;
  p.grad_out = grad_out;
  p.grad_flow = grad_flow;
  return launch<T>(flow_gradient_kernel<T>, problem, p, stream);
}

#define MRFCORE_INSTANTIATE(T)                                                       \
  template int warp<T>(const WarpProblem&, const T*, const T*, T*, uint8_t*, void*); \
  template int warp_flow_gradient<T>(const WarpProblem&, const T*, const T*, const T*, T*, void*);
MRFCORE_INSTANTIATE(float)
MRFCORE_INSTANTIATE(double)
#undef MRFCORE_INSTANTIATE

}  // namespace kernels
}  // namespace mrfcore::cuda
