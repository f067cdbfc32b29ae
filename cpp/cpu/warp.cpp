// SPDX-License-Identifier: Apache-2.0
//
// Bound: four reads of the image a pixel and channel, from cache where the flow is smooth; all else
// is done for a vector of pixels at once, and the taps of a pixel are found once for all channels.
// The gradient of the image is a scatter: one task owns all of some planes [height, width], and
// goes over the pixels in order, so that it needs neither atomics nor sorting and always gives the
// same bits.
#include "cpu/warp.hpp"

#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// Two neighbouring taps along one axis, of a vector of pixels. A tap outside has weight 0 and some
/// index inside.
template <class T>
struct Axis {
  LabelVec<T> first, second;
  Vec<T> low, high;              ///< their weights
  Vec<T> slope_low, slope_high;  ///< and derivatives of these
  LabelVec<T> inside;            ///< all bits set, or none
};

/// image[at] in every lane, one by one: the gather instructions wait for earlier stores whose low
/// address bits are theirs, and a smooth warp writes where it reads (Zen 5: 3.5 against 1.5 ms).
template <class T>
Vec<T> pick(const T* image, LabelVec<T> at) {
  Vec<T> v;
  for (int i = 0; i < kLanes<T>; ++i) v[i] = image[at[i]];
  return v;
}

/// Where both taps or one of them lie in the image.
template <class T>
Axis<T> near_taps(Vec<T> at, int64_t size) {
  const LabelVec<T> none{}, border = splat_label<T>(size - 1);
  const LabelVec<T> truncated = __builtin_convertvector(at, LabelVec<T>);
  const LabelVec<T> i = truncated + (LabelVec<T>)(at < __builtin_convertvector(truncated, Vec<T>));
  const Vec<T> zero{}, one = splat(T(1)), fraction = at - __builtin_convertvector(i, Vec<T>);
  const LabelVec<T> before = (LabelVec<T>)(i < none), beyond = (LabelVec<T>)(i >= border);
  return {before ? none : i,
          beyond ? border : i + 1,
          before ? zero : one - fraction,
          beyond ? zero : fraction,
          before ? zero : -one,
          beyond ? zero : one,
          (LabelVec<T>)(at >= zero) & (LabelVec<T>)(at <= splat(static_cast<T>(size - 1)))};
}

template <class T>
Axis<T> taps_of(Vec<T> at, int64_t size, WarpPadding padding) {
  const Vec<T> zero{}, one = splat(T(1)), last = splat(static_cast<T>(size - 1));
  const LabelVec<T> near = (LabelVec<T>)(at > -one) & (LabelVec<T>)(at < last + one);
  // No integer holds what is far away, or NaN.
  Axis<T> axis = near_taps<T>(near ? at : zero, size);
  axis.inside &= near;
  const Vec<T> missing = at - at;  // 0, or NaN where the flow is not finite
  if (padding == WarpPadding::Replicate) {
    const LabelVec<T> after = (LabelVec<T>)(at > last) & (LabelVec<T>)(missing == zero);
    const LabelVec<T> border = after & splat_label<T>(size - 1);
    axis.first = axis.inside ? axis.first : border;
    axis.second = axis.inside ? axis.second : border;
    axis.low = axis.inside ? axis.low : one;
    axis.high = axis.inside ? axis.high : zero;
    const LabelVec<T> between = axis.inside & (LabelVec<T>)(at < last);
    axis.slope_low = between ? axis.slope_low : zero;
    axis.slope_high = between ? axis.slope_high : zero;
  } else {
    axis.second = axis.second & near;
    axis.low = near ? axis.low : zero;
    axis.high = near ? axis.high : zero;
    axis.slope_low = near ? axis.slope_low : zero;
    // Just at -1 the derivative to the right is that of the first pixel coming in.
    axis.slope_high = near ? axis.slope_high : (at == -one ? one : zero);
  }
  axis.low = axis.low + missing;
  axis.high = axis.high + missing;
  return axis;
}

template <class T>
struct Taps {
  Axis<T> x, y;
  LabelVec<T> top_left, top_right, bottom_left, bottom_right;  ///< places in a plane
};

/// A vector of pixels of a row; at its end, fewer.
struct Span {
  int64_t item, y, x, count;
};

/// The lanes that a span has not got are 0.
template <class T>
Vec<T> load_span(const T* p, const Span& s) {
  if (s.count == kLanes<T>) return load(p);
  Vec<T> v{};
  std::memcpy(&v, p, static_cast<size_t>(s.count) * sizeof(T));
  return v;
}
template <class T>
void store_span(T* p, const Span& s, Vec<T> v) {
  if (s.count == kLanes<T>) return store(p, v);
  std::memcpy(p, &v, static_cast<size_t>(s.count) * sizeof(T));
}

template <class T>
Taps<T> taps_at(const WarpArgs<T>& a, const Span& s) {
  const int64_t plane = a.out_height * a.out_width;
  const T* flow = a.flow + 2 * s.item * plane + s.y * a.out_width + s.x;
  const Vec<T> x = __builtin_convertvector(labels_from<T>(s.x), Vec<T>);
  Taps<T> t;
  t.x = taps_of<T>(x + load_span(flow, s), a.width, a.padding);
  t.y = taps_of<T>(splat(static_cast<T>(s.y)) + load_span(flow + plane, s), a.height, a.padding);
  const auto width = static_cast<Lane<T>>(a.width);
  t.top_left = t.y.first * width + t.x.first;
  t.top_right = t.y.first * width + t.x.second;
  t.bottom_left = t.y.second * width + t.x.first;
  t.bottom_right = t.y.second * width + t.x.second;
  return t;
}

/// Spans of a row that go through one channel after the other: its rows stay in cache meanwhile.
constexpr int64_t kSpans = 8;

/// body(spans, taps, number) for the spans of a row, some at a time.
template <class T, class Body>
void for_each_spans(const WarpArgs<T>& a, int64_t item, int64_t y, const Body& body) {
  Span spans[kSpans];
  Taps<T> taps[kSpans];
  int64_t count = 0;
  for (int64_t x = 0; x < a.out_width; x += kLanes<T>) {
    const int64_t left = a.out_width - x;
    spans[count] = {item, y, x, left < kLanes<T> ? left : kLanes<T>};
    taps[count] = taps_at(a, spans[count]);
    if (++count < kSpans && left > kLanes<T>) continue;
    body(spans, taps, count);
    count = 0;
  }
}

/// Planes begin .. end - 1, all of one item; the first ones of it or later ones.
struct Planes {
  int64_t begin, end;
  bool first;
};

/// body(spans, taps, number, planes) for all pixels. A task is a band of rows, gone through again
/// for every few channels: rows of many would drive each other out of cache before the next row
/// comes.
template <class T, class Body>
void for_each_band(const WarpArgs<T>& a, const Body& body) {
  constexpr int64_t kRows = 16, kTogether = 4;
  const int64_t bands = (a.out_height + kRows - 1) / kRows;
  parallel_strips(a.batch * bands, a.threads, nullptr, [&](ThreadMemory&, int64_t task) {
    const int64_t item = task / bands, top = task % bands * kRows;
    const int64_t bottom = top + kRows < a.out_height ? top + kRows : a.out_height;
    for (int64_t c = 0; c == 0 || c < a.channels; c += kTogether) {  // once without channels, too
      const int64_t end = c + kTogether < a.channels ? c + kTogether : a.channels;
      const Planes planes{item * a.channels + c, item * a.channels + end, c == 0};
      for (int64_t y = top; y < bottom; ++y) {
        for_each_spans(a, item, y, [&](const Span* spans, const Taps<T>* taps, int64_t count) {
          body(spans, taps, count, planes);
        });
      }
    }
  });
}

/// Where a span begins in plane p of results.
template <class T>
int64_t place(const WarpArgs<T>& a, int64_t p, const Span& s) {
  return (p * a.out_height + s.y) * a.out_width + s.x;
}

template <class T>
void forward(const WarpArgs<T>& a) {
  const int64_t plane = a.height * a.width;
  for_each_band(
      a, [&](const Span* spans, const Taps<T>* taps, int64_t count, const Planes& planes) {
        for (int64_t i = 0; i < count && planes.first && a.valid != nullptr; ++i) {
          const LabelVec<T> inside = taps[i].x.inside & taps[i].y.inside;
          uint8_t* valid = a.valid + place(a, spans[i].item, spans[i]);
          for (int64_t k = 0; k < spans[i].count; ++k) valid[k] = inside[k] != 0;
        }
        for (int64_t p = planes.begin; p < planes.end; ++p) {
          const T* image = a.image + p * plane;
          for (int64_t i = 0; i < count; ++i) {
            const Taps<T>& t = taps[i];
            const Vec<T> top =
                t.x.low * pick<T>(image, t.top_left) + t.x.high * pick<T>(image, t.top_right);
            const Vec<T> bottom =
                t.x.low * pick<T>(image, t.bottom_left) + t.x.high * pick<T>(image, t.bottom_right);
            store_span(a.out + place(a, p, spans[i]), spans[i], t.y.low * top + t.y.high * bottom);
          }
        }
      });
}

/// Derivatives of a plane's samples along x and y.
template <class T>
struct Slopes {
  Vec<T> x, y;

  Slopes(const T* image, const Taps<T>& t) {
    const Vec<T> top_left = pick<T>(image, t.top_left);
    const Vec<T> top_right = pick<T>(image, t.top_right);
    const Vec<T> bottom_left = pick<T>(image, t.bottom_left);
    const Vec<T> bottom_right = pick<T>(image, t.bottom_right);
    const Vec<T> top = t.x.slope_low * top_left + t.x.slope_high * top_right;
    const Vec<T> bottom = t.x.slope_low * bottom_left + t.x.slope_high * bottom_right;
    const Vec<T> left = t.y.slope_low * top_left + t.y.slope_high * bottom_left;
    const Vec<T> right = t.y.slope_low * top_right + t.y.slope_high * bottom_right;
    x = t.y.low * top + t.y.high * bottom;
    y = t.x.low * left + t.x.high * right;
  }
};

template <class T>
void flow_gradient(const WarpArgs<T>& a) {
  const int64_t plane = a.height * a.width;
  for_each_band(a,
                [&](const Span* spans, const Taps<T>* taps, int64_t count, const Planes& planes) {
                  for (int64_t i = 0; i < count; ++i) {
                    const Span& s = spans[i];
                    T* grad_x = a.grad_flow + place(a, 2 * s.item, s);
                    T* grad_y = a.grad_flow + place(a, 2 * s.item + 1, s);
                    Vec<T> to_x = planes.first ? Vec<T>{} : load_span(grad_x, s);
                    Vec<T> to_y = planes.first ? Vec<T>{} : load_span(grad_y, s);
                    for (int64_t p = planes.begin; p < planes.end; ++p) {
                      const Slopes<T> slopes(a.image + p * plane, taps[i]);
                      const Vec<T> grad = load_span(a.grad_out + place(a, p, s), s);
                      to_x = to_x + grad * slopes.x;
                      to_y = to_y + grad * slopes.y;
                    }
                    store_span(grad_x, s, to_x);
                    store_span(grad_y, s, to_y);
                  }
                });
}

template <class T>
void scatter(const Taps<T>& t, const Span& s, const T* grad_out, T* to) {
  const Vec<T> grad = load_span(grad_out, s);
  const LabelVec<T> at[4] = {t.top_left, t.top_right, t.bottom_left, t.bottom_right};
  const Vec<T> part[4] = {grad * (t.y.low * t.x.low), grad * (t.y.low * t.x.high),
                          grad * (t.y.high * t.x.low), grad * (t.y.high * t.x.high)};
  for (int64_t i = 0; i < s.count; ++i) {
    for (int k = 0; k < 4; ++k) to[at[k][i]] += part[k][i];
  }
}

/// Planes of one image that share their taps: as many as leave every thread something to do.
template <class T>
int64_t planes_of_a_task(const WarpArgs<T>& a) {
  const int64_t share = a.batch * a.channels / (a.threads > 1 ? a.threads : 1);
  return share < 1 ? 1 : (share < a.channels ? share : a.channels);
}

template <class T>
void image_gradient(const WarpArgs<T>& a) {
  if (a.channels == 0) return;
  const int64_t plane = a.height * a.width;
  const int64_t together = planes_of_a_task(a);
  const int64_t tasks = (a.channels + together - 1) / together;  // of an image
  parallel_strips(a.batch * tasks, a.threads, nullptr, [&](ThreadMemory&, int64_t task) {
    const int64_t item = task / tasks, first = item * a.channels + task % tasks * together;
    const int64_t left = (item + 1) * a.channels - first;
    const int64_t end = first + (left < together ? left : together);
    std::memset(a.grad_image + first * plane, 0,
                static_cast<size_t>((end - first) * plane) * sizeof(T));
    for (int64_t y = 0; y < a.out_height; ++y) {
      for_each_spans(a, item, y, [&](const Span* spans, const Taps<T>* taps, int64_t count) {
        for (int64_t p = first; p < end; ++p) {
          for (int64_t i = 0; i < count; ++i) {
            scatter(taps[i], spans[i], a.grad_out + place(a, p, spans[i]),
                    a.grad_image + p * plane);
          }
        }
      });
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
