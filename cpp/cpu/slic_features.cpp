// SPDX-License-Identifier: Apache-2.0
//
// Colours as SLIC measures them, row by row: channels into rows of floats, those to L*a*b*, and to
// 16 bits. The blur works on those, in whole numbers.
#include "core/lab.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"
#include "cpu/slic.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

constexpr int kBlurBits = 14;

/// 8-bit values by a table of 256.
struct Bytes {
  float value[256];

  explicit Bytes(bool linear) {
    for (int i = 0; i < 256; ++i) {
      const float v = static_cast<float>(i) / 255.0f;
      value[i] = linear ? lab_linear(v) : v;
    }
  }
};

bool read_row(const uint8_t* from, int64_t step, int64_t width, const Bytes& bytes, bool,
              float* to) {
  for (int64_t x = 0; x < width; ++x) to[x] = bytes.value[from[x * step]];
  return true;
}

bool read_row(const float* from, int64_t step, int64_t width, const Bytes&, bool linear,
              float* to) {
  int32_t bad = 0;
  for (int64_t x = 0; x < width; ++x) {
    const float v = from[x * step];
    const bool good = v >= 0.0f && v <= 1.0f;  // false for NaN
    bad |= !good;
    to[x] = good ? v : 0.0f;
  }
  if (linear)
    for (int64_t x = 0; x < width; ++x) to[x] = lab_linear(to[x]);
  return bad == 0;
}

void lab_row(const float* red, const float* green, const float* blue, int64_t width,
             int16_t* lightness, int16_t* a, int16_t* b) {
  for (int64_t x = 0; x < width; ++x) {
    const Lab lab = lab_of(red[x], green[x], blue[x]);
    lightness[x] = slic_units(lab.lightness);
    a[x] = slic_units(lab.a);
    b[x] = slic_units(lab.b);
  }
}

void lightness_row(const float* grey, int64_t width, int16_t* lightness) {
  for (int64_t x = 0; x < width; ++x)
    lightness[x] = slic_units(116.0f * lab_curve(grey[x]) - 16.0f);
}

template <class T>
bool convert_row(const SlicImage<T>& image, bool lab, const Bytes& bytes, int64_t item, int64_t y,
                 float* rows, int16_t* features) {
  const int64_t width = image.width, pixels = image.height * width;
  int16_t* to = features + item * image.channels * pixels + y * width;
  const T* from = image.data + item * image.batch_stride + y * image.row_stride;
  bool good = true;
  for (int64_t c = 0; c < image.channels; ++c)
    good &= read_row(from + c * image.channel_stride, image.column_stride, width, bytes, lab,
                     rows + c * width);
  if (lab && image.channels == 3) {
    lab_row(rows, rows + width, rows + 2 * width, width, to, to + pixels, to + 2 * pixels);
  } else if (lab) {
    lightness_row(rows, width, to);
  } else {
    for (int64_t c = 0; c < image.channels; ++c)
      for (int64_t x = 0; x < width; ++x)
        to[c * pixels + x] = slic_units(100.0f * rows[c * width + x]);
  }
  return good;
}

template <class T>
bool convert(const SlicImage<T>& image, SlicColors colors, int threads, int16_t* features) {
  constexpr int64_t kRows = 16;
  const bool lab = colors == SlicColors::Lab;
  const Bytes bytes(lab);
  const int64_t strips = (image.height + kRows - 1) / kRows;
  int bad = 0;
  parallel_strips(image.batch * strips, threads, nullptr, [&](ThreadMemory& memory, int64_t unit) {
    auto* rows = static_cast<float*>(memory.reserve(image.channels * image.width * 4));
    const int64_t item = unit / strips, top = unit % strips * kRows;
    const int64_t bottom = top + kRows < image.height ? top + kRows : image.height;
    for (int64_t y = top; y < bottom; ++y) {
      if (convert_row(image, lab, bytes, item, y, rows, features)) continue;
#pragma omp atomic write
      bad = 1;
    }
  });
  return bad == 0;
}

// ---- Blur

MRF_CORE int64_t clamped(int64_t i, int64_t count) { return i < 0 ? 0 : i < count ? i : count - 1; }

void store_blurred(const int32_t* sums, int64_t width, int16_t* to) {
  for (int64_t x = 0; x < width; ++x)
    to[x] = static_cast<int16_t>((sums[x] + (1 << (kBlurBits - 1))) >> kBlurBits);
}

/// body(plane, y, a row of zeroed sums).
template <class Body>
void each_row(const SlicBlur& blur, const Body& body) {
  parallel_strips(blur.planes * blur.height, blur.threads, nullptr,
                  [&](ThreadMemory& memory, int64_t unit) {
                    const int64_t wide = blur.width + 2 * blur.radius;
                    auto* sums = static_cast<int32_t*>(memory.reserve((blur.width + wide) * 4));
                    for (int64_t x = 0; x < blur.width; ++x) sums[x] = 0;
                    body(unit / blur.height, unit % blur.height, sums);
                  });
}

void blur_rows(const SlicBlur& blur, const int16_t* from, int16_t* to) {
  each_row(blur, [&](int64_t plane, int64_t y, int32_t* sums) {
    const int64_t offset = (plane * blur.height + y) * blur.width;
    int32_t* padded = sums + blur.width;
    for (int64_t x = -blur.radius; x < blur.width + blur.radius; ++x)
      padded[x + blur.radius] = from[offset + clamped(x, blur.width)];
    for (int64_t k = 0; k <= 2 * blur.radius; ++k)
      for (int64_t x = 0; x < blur.width; ++x) sums[x] += blur.taps[k] * padded[x + k];
    store_blurred(sums, blur.width, to + offset);
  });
}

void blur_columns(const SlicBlur& blur, const int16_t* from, int16_t* to) {
  each_row(blur, [&](int64_t plane, int64_t y, int32_t* sums) {
    for (int64_t k = 0; k <= 2 * blur.radius; ++k) {
      const int64_t row = clamped(y + k - blur.radius, blur.height);
      const int16_t* in = from + (plane * blur.height + row) * blur.width;
      for (int64_t x = 0; x < blur.width; ++x) sums[x] += blur.taps[k] * in[x];
    }
    store_blurred(sums, blur.width, to + (plane * blur.height + y) * blur.width);
  });
}

}  // namespace

template <class T>
const SlicFeatureKernels<T>& slic_feature_kernels() {
  static constexpr SlicFeatureKernels<T> table{convert<T>};
  return table;
}
template const SlicFeatureKernels<uint8_t>& slic_feature_kernels<uint8_t>();
template const SlicFeatureKernels<float>& slic_feature_kernels<float>();

const SlicBlurKernels& slic_blur_kernels() {
  static constexpr SlicBlurKernels table{blur_rows, blur_columns};
  return table;
}

}  // namespace mrfcore::cpu::MRF_ISA
