// SPDX-License-Identifier: Apache-2.0
//
// Bound: four reads of the image a pixel and channel, from cache where the flow is smooth; the
// taps of a pixel are found once for all channels. The gradient of the image is a scatter: one task
// owns all of a plane [height, width], and goes over the pixels in order, so that it needs neither
// atomics nor sorting and always gives the same bits.
#include "cpu/warp.hpp"

#include "cpu/parallel.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// Two neighbouring taps along one axis. A tap outside has weight 0 and index 0.
template <class T>
struct Axis {
  int64_t first, second;
  T low, high;              ///< their weights
  T slope_low, slope_high;  ///< and derivatives of these
  bool inside;
};

template <class T>
Axis<T> taps_of(T at, int64_t size, WarpPadding padding) {
  const T last = static_cast<T>(size - 1);
  if (!(at - at == T(0))) return {0, 0, at - at, at - at, T(0), T(0), false};  // NaN, infinite
  const bool inside = at >= T(0) && at <= last;
  if (!inside && padding == WarpPadding::Replicate) {
    const int64_t border = at < T(0) ? 0 : size - 1;
    return {border, border, T(1), T(0), T(0), T(0), false};
  }
  if (at <= T(-1) || at >= last + T(1)) {
    // Just at -1 the derivative to the right is that of the first pixel coming in.
    if (at == T(-1)) return {0, 0, T(0), T(0), T(0), T(1), false};
    return {0, 0, T(0), T(0), T(0), T(0), false};
  }
  const T floor = static_cast<T>(__builtin_floor(static_cast<double>(at)));
  const auto i = static_cast<int64_t>(floor);
  const T fraction = at - floor;
  Axis<T> axis{i, i + 1, T(1) - fraction, fraction, T(-1), T(1), inside};
  if (axis.first < 0) axis.first = 0, axis.low = T(0), axis.slope_low = T(0);
  if (axis.second >= size) {
    axis.second = size - 1;
    axis.high = axis.slope_high = T(0);
    if (padding == WarpPadding::Replicate) axis.slope_low = T(0);
  }
  return axis;
}

template <class T>
struct Taps {
  Axis<T> x, y;
};

template <class T>
Taps<T> taps_at(const WarpArgs<T>& a, int64_t item, int64_t y, int64_t x) {
  const int64_t plane = a.out_height * a.out_width, at = y * a.out_width + x;
  const T* flow = a.flow + 2 * item * plane + at;
  return {taps_of(static_cast<T>(x) + flow[0], a.width, a.padding),
          taps_of(static_cast<T>(y) + flow[plane], a.height, a.padding)};
}

template <class T>
struct Corners {
  T top_left, top_right, bottom_left, bottom_right;
};

template <class T>
Corners<T> corners(const T* image, int64_t width, const Taps<T>& t) {
  const T *top = image + t.y.first * width, *bottom = image + t.y.second * width;
  return {top[t.x.first], top[t.x.second], bottom[t.x.first], bottom[t.x.second]};
}

template <class T>
void forward(const WarpArgs<T>& a) {
  const int64_t plane = a.height * a.width, out_plane = a.out_height * a.out_width;
  parallel_strips(a.batch * a.out_height, a.threads, nullptr, [&](ThreadMemory&, int64_t task) {
    const int64_t item = task / a.out_height, y = task % a.out_height;
    for (int64_t x = 0; x < a.out_width; ++x) {
      const Taps<T> t = taps_at(a, item, y, x);
      const int64_t at = y * a.out_width + x;
      if (a.valid != nullptr) a.valid[item * out_plane + at] = t.x.inside && t.y.inside;
      for (int64_t c = 0; c < a.channels; ++c) {
        const int64_t p = item * a.channels + c;
        const Corners<T> v = corners(a.image + p * plane, a.width, t);
        a.out[p * out_plane + at] =
            t.y.low * (t.x.low * v.top_left + t.x.high * v.top_right) +
            t.y.high * (t.x.low * v.bottom_left + t.x.high * v.bottom_right);
      }
    }
  });
}

template <class T>
void flow_gradient(const WarpArgs<T>& a) {
  const int64_t plane = a.height * a.width, out_plane = a.out_height * a.out_width;
  parallel_strips(a.batch * a.out_height, a.threads, nullptr, [&](ThreadMemory&, int64_t task) {
    const int64_t item = task / a.out_height, y = task % a.out_height;
    for (int64_t x = 0; x < a.out_width; ++x) {
      const Taps<T> t = taps_at(a, item, y, x);
      const int64_t at = y * a.out_width + x;
      T to_x = T(0), to_y = T(0);
      for (int64_t c = 0; c < a.channels; ++c) {
        const int64_t p = item * a.channels + c;
        const Corners<T> v = corners(a.image + p * plane, a.width, t);
        const T grad = a.grad_out[p * out_plane + at];
        const T top = t.x.slope_low * v.top_left + t.x.slope_high * v.top_right;
        const T bottom = t.x.slope_low * v.bottom_left + t.x.slope_high * v.bottom_right;
        const T left = t.y.slope_low * v.top_left + t.y.slope_high * v.bottom_left;
        const T right = t.y.slope_low * v.top_right + t.y.slope_high * v.bottom_right;
        to_x += grad * (t.y.low * top + t.y.high * bottom);
        to_y += grad * (t.x.low * left + t.x.high * right);
      }
      a.grad_flow[2 * item * out_plane + at] = to_x;
      a.grad_flow[(2 * item + 1) * out_plane + at] = to_y;
    }
  });
}

template <class T>
void image_gradient(const WarpArgs<T>& a) {
  const int64_t plane = a.height * a.width, out_plane = a.out_height * a.out_width;
  parallel_strips(a.batch * a.channels, a.threads, nullptr, [&](ThreadMemory&, int64_t p) {
    T* to = a.grad_image + p * plane;
    for (int64_t i = 0; i < plane; ++i) to[i] = T(0);
    for (int64_t y = 0; y < a.out_height; ++y) {
      for (int64_t x = 0; x < a.out_width; ++x) {
        const Taps<T> t = taps_at(a, p / a.channels, y, x);
        const T grad = a.grad_out[p * out_plane + y * a.out_width + x];
        T *top = to + t.y.first * a.width, *bottom = to + t.y.second * a.width;
        top[t.x.first] += grad * (t.y.low * t.x.low);
        top[t.x.second] += grad * (t.y.low * t.x.high);
        bottom[t.x.first] += grad * (t.y.high * t.x.low);
        bottom[t.x.second] += grad * (t.y.high * t.x.high);
      }
    }
  });
}

template <class T>
void gradient(const WarpArgs<T>& a) {
  if (a.grad_flow != nullptr) flow_gradient(a);
  if (a.grad_image != nullptr) image_gradient(a);
}

}  // namespace

template <class T>
const WarpKernels<T>& warp_kernels() {
  static constexpr WarpKernels<T> kTable{forward<T>, gradient<T>};
  return kTable;
}

template const WarpKernels<float>& warp_kernels<float>();
template const WarpKernels<double>& warp_kernels<double>();

}  // namespace mrfcore::cpu::MRF_ISA
