// SPDX-License-Identifier: Apache-2.0
//
// Bound: the filters, side^2 numbers a pixel, cross the memory bus once per pass; C multiply-adds
// each (C = 3: 1.5 operations a byte). A row of pixels is worked on in tiles, tap after tap: a
// tile's filters of a tap are contiguous, and so is what they meet in the image, shifted. The
// channels' sums stay in registers over a block of taps and in cache from block to block. While a
// row is worked on, the filters of the next one are fetched: between them lie the streams of all
// taps, too many for the hardware to run ahead of. Sums go over taps and over channels in order,
// one after the other, so that tiles, vectors and threads do not show in the result.
#include "cpu/filter_flow.hpp"

#include "cpu/filter_flow_tile.hpp"
#include "cpu/padded_image.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// The filters of tap (u, v) in row y of an item.
template <class F>
const F* filter_row(const FilterFlowArgs& a, int64_t item, int64_t u, int64_t v, int64_t y) {
  const int64_t tap = item * a.side * a.side + u * a.side + v;
  return static_cast<const F*>(a.filters) + (tap * a.height + y) * a.width;
}

/// Of a plane [batch, height, width].
template <class T>
T* plane_row(void* plane, const FilterFlowArgs& a, int64_t item, int64_t y) {
  return static_cast<T*>(plane) + (item * a.height + y) * a.width;
}

/// Of images [batch, channels, height, width].
template <class T>
T* image_row(void* images, const FilterFlowArgs& a, int64_t channels, int64_t item, int64_t c,
             int64_t y) {
  return static_cast<T*>(images) + ((item * channels + c) * a.height + y) * a.width;
}
template <class T>
const T* image_row(const void* images, const FilterFlowArgs& a, int64_t channels, int64_t item,
                   int64_t c, int64_t y) {
  return static_cast<const T*>(images) + ((item * channels + c) * a.height + y) * a.width;
}

template <class T>
PaddedImages<T> padded_image(const FilterFlowArgs& a) {
  const int64_t before = low(a.side), after = high(a.side);
  return {static_cast<T*>(a.workspace),
          a.batch * a.channels,
          a.height,
          a.width,
          before,
          after,
          before,
          after};
}

/// Rows and columns of the images.
Extent whole(const FilterFlowArgs& a) { return {a.batch, 0, a.height, 0, a.width}; }

// ---------------------------------------------------------------- forward

/// Brings filters into rows, as T.
template <class T, class F>
Taps<T> stage(const F* filters, int64_t plane, int64_t taps, int64_t ahead, const Tile& t,
              T* rows) {
  for (int64_t j = 0; j < taps; ++j) {
    prefetch_row(filters + j * plane + ahead, t.count);
    widen_row(filters + j * plane, t.count, rows + j * kTile);
    fill(rows + j * kTile + t.count, t.padded - t.count, T(0));
  }
  return {rows, kTile, taps};
}

/// A block where it lies, if whole vectors of it can be read as they are, else brought into rows.
template <class T, class F>
Taps<T> read_block(const FilterFlowArgs& a, const Tile& t, const Block& block, T* rows) {
  const int64_t plane = a.height * a.width, ahead = t.ahead(block.count(), plane, a.width);
  const F* filters = filter_row<F>(a, t.item, block.u, block.v, t.y) + t.x0;
  if constexpr (sizeof(F) == sizeof(T)) {
    if (t.count == t.padded) return {filters, plane, block.count(), ahead};
  }
  return stage(filters, plane, block.count(), ahead, t, rows);
}

/// peak = max(peak, taps)
template <class T>
void raise_peak(const Taps<T>& taps, T* peak, int64_t n) {
  for (int64_t j = 0; j < taps.count; ++j) {
    const T* z = taps.data + j * taps.stride;
    for (int64_t x = 0; x < n; x += kLanes<T>) {
      const Vec<T> value = load(z + x), highest = load(peak + x);
      store(peak + x, value > highest ? value : highest);
    }
  }
}

/// Online softmax: rows = exp(taps - peak so far), and what has been summed up to now is scaled to
/// that peak.
template <class T>
Taps<T> soften(const Taps<T>& taps, T* rows, const TileMemory<T>& m, int64_t channels, int64_t n) {
  copy(m.peak, n, m.factor);
  raise_peak(taps, m.peak, n);
  for (int64_t x = 0; x < n; x += kLanes<T>) {  // all -inf so far: they weigh exp(-inf - 0) = 0
    const Vec<T> peak = load(m.peak + x);
    store(m.base + x, peak < -kLargest<T> ? Vec<T>{} : peak);
  }
  exponential_row(m.factor, m.base, n, m.factor);
  const auto scale = [&](T* row) {
    for (int64_t x = 0; x < n; x += kLanes<T>) store(row + x, load(row + x) * load(m.factor + x));
  };
  for (int64_t row = 0; row < channels + 3; ++row) scale(m.sums + row * kTile);  // total, flow, too
  for (int64_t j = 0; j < taps.count; ++j) {
    const T* z = taps.data + j * taps.stride;
    T* row = rows + j * kTile;
    prefetch_row(z + taps.ahead, n);  // memory has nothing else to do meanwhile
    exponential_row(z, m.base, n, row);
    for (int64_t x = 0; x < n; x += kLanes<T>)
      store(m.total + x, load(m.total + x) + load(row + x));
  }
  return {rows, kTile, taps.count};
}

/// flow += sum of weight * (dx, dy); dx is that of the first tap.
template <class T>
void add_flow(const Taps<T>& taps, int64_t dx, int64_t dy, const TileMemory<T>& m, int64_t n) {
  for (int64_t x = 0; x < n; x += kLanes<T>) {
    Vec<T> total = Vec<T>{}, moment = Vec<T>{};
    for (int64_t j = 0; j < taps.count; ++j) {
      const Vec<T> weight = load(taps.data + j * taps.stride + x);
      total = total + weight;
      moment = moment + weight * static_cast<T>(dx + j);
    }
    store(m.flow_x + x, load(m.flow_x + x) + moment);
    store(m.flow_y + x, load(m.flow_y + x) + total * static_cast<T>(dy));
  }
}

template <class T>
void finish_tile(const FilterFlowArgs& a, const Tile& t, const TileMemory<T>& m) {
  if (a.softmax) {
    T* peak = plane_row<T>(a.peak, a, t.item, t.y) + t.x0;
    T* scale = plane_row<T>(a.scale, a, t.item, t.y) + t.x0;
    for (int64_t x = 0; x < t.count; ++x) {
      peak[x] = m.base[x];
      m.factor[x] = scale[x] = T(1) / m.total[x];
    }
  } else {
    fill(m.factor, t.count, T(1));
  }
  const auto write = [&](const T* from, T* to) {
    for (int64_t x = 0; x < t.count; ++x) to[x] = from[x] * m.factor[x];
  };
  for (int64_t c = 0; c < a.channels; ++c) {
    write(m.sums + c * kTile, image_row<T>(a.out, a, a.channels, t.item, c, t.y) + t.x0);
  }
  if (a.flow == nullptr) return;
  write(m.flow_x, image_row<T>(a.flow, a, 2, t.item, 0, t.y) + t.x0);
  write(m.flow_y, image_row<T>(a.flow, a, 2, t.item, 1, t.y) + t.x0);
}

template <class T>
void start_tile(const FilterFlowArgs& a, const TileMemory<T>& m) {
  fill(m.sums, a.channels * kTile, T(0));
  fill(m.total, 3 * kTile, T(0));  // and the flow
  fill(m.peak, kTile, -kInfinite<T>);
}

template <class T, class F>
void forward_block(const FilterFlowArgs& a, const PaddedImages<T>& image, const Tile& t,
                   const TileMemory<T>& m, const Block& block) {
  const int64_t v = block.v - low(a.side);
  Taps<T> all = read_block<T, F>(a, t, block, m.taps);
  if (a.softmax) all = soften(all, m.taps, m, a.channels, t.padded);
  for (int64_t row = 0; row < block.rows; ++row) {
    const int64_t u = block.u + row - low(a.side);
    const Taps<T> taps = all.part(row * block.taps, block.taps);
    if (a.flow != nullptr) add_flow(taps, v, u, m, t.padded);
    if (a.channels == 0) continue;
    const T* pixels = image.row(t.item * a.channels, t.y + u) + t.x0 + v;
    accumulate(taps, pixels, image.plane(), a.channels, 1, m.sums, t.padded);
  }
}

template <class T, class F>
void forward(const FilterFlowArgs& a) {
  const PaddedImages<T> image = padded_image<T>(a);
  image.read(static_cast<const T*>(a.image), nullptr, a.channels, a.padding, a.threads);
  for_each_strip<T>(
      whole(a), a.side, a.softmax, a.channels, a.threads,
      [&](const Tile&, const TileMemory<T>& m) { start_tile(a, m); },
      [&](const Tile& t, const TileMemory<T>& m, const Block& block) {
        forward_block<T, F>(a, image, t, m, block);
      },
      [&](const Tile& t, const TileMemory<T>& m) { finish_tile(a, t, m); });
}

// ---------------------------------------------------------------- gradient of the filters

/// m.total = sum over channels of grad_out * out, and of the flow's: what a softmax takes off.
template <class T>
void mean_gradient(const FilterFlowArgs& a, const Tile& t, const TileMemory<T>& m) {
  fill(m.total, kTile, T(0));
  const auto add = [&](const T* grad, const T* value) {
    for (int64_t x = 0; x < t.count; ++x) m.total[x] += grad[x] * value[x];
  };
  for (int64_t c = 0; c < a.channels; ++c) {
    add(m.sums + c * kTile, image_row<T>(a.out, a, a.channels, t.item, c, t.y) + t.x0);
  }
  if (a.grad_flow == nullptr) return;
  add(m.flow_x, image_row<T>(a.flow, a, 2, t.item, 0, t.y) + t.x0);
  add(m.flow_y, image_row<T>(a.flow, a, 2, t.item, 1, t.y) + t.x0);
}

template <class T>
void read_tile(const T* row, const Tile& t, T* to) {
  for (int64_t x = 0; x < t.count; ++x) to[x] = row[t.x0 + x];
  fill(to + t.count, t.padded - t.count, T(0));
}

/// row = weight * (row - mean), the weights of a softmax being exp(logits - peak) * factor.
template <class T>
void soften_gradient(const TileMemory<T>& m, const T* logits, T* row, int64_t n) {
  exponential_row(logits, m.peak, n, m.base);
  for (int64_t x = 0; x < n; x += kLanes<T>) {
    const Vec<T> weight = load(m.base + x) * load(m.factor + x);
    store(row + x, weight * (load(row + x) - load(m.total + x)));
  }
}

template <class T>
void read_gradients(const FilterFlowArgs& a, const Tile& t, const TileMemory<T>& m) {
  for (int64_t c = 0; c < a.channels; ++c) {
    read_tile(image_row<T>(a.grad_out, a, a.channels, t.item, c, t.y), t, m.sums + c * kTile);
  }
  if (a.grad_flow != nullptr) {
    read_tile(image_row<T>(a.grad_flow, a, 2, t.item, 0, t.y), t, m.flow_x);
    read_tile(image_row<T>(a.grad_flow, a, 2, t.item, 1, t.y), t, m.flow_y);
  }
  if (a.softmax) {
    mean_gradient(a, t, m);
    read_tile(plane_row<const T>(a.peak, a, t.item, t.y), t, m.peak);
    read_tile(plane_row<const T>(a.scale, a, t.item, t.y), t, m.factor);
  }
}

template <class T, class F>
void gradient_block(const FilterFlowArgs& a, const PaddedImages<T>& image, const Tile& t,
                    const TileMemory<T>& m, const Block& block) {
  const int64_t plane = a.height * a.width, count = block.taps;
  const int64_t u = block.u - low(a.side), v = block.v - low(a.side);
  const bool direct = !a.softmax && t.count == t.padded && a.grad_flow == nullptr;
  const F* filters = filter_row<F>(a, t.item, block.u, block.v, t.y) + t.x0;
  const int64_t offset = filters - static_cast<const F*>(a.filters);
  F* grads = static_cast<F*>(a.grad_filters) + offset;
  const T* pixels = a.channels == 0 ? nullptr : image.row(t.item * a.channels, t.y + u) + t.x0 + v;
  if constexpr (sizeof(F) == sizeof(T)) {
    if (direct) {
      correlate(m.sums, pixels, image.plane(), a.channels, grads, plane, count, t.padded);
      return;
    }
  }
  correlate(m.sums, pixels, image.plane(), a.channels, m.taps, kTile, count, t.padded);
  const Taps<T> logits = a.softmax ? read_block<T, F>(a, t, block, m.logits) : Taps<T>{};
  for (int64_t j = 0; j < count; ++j) {
    T* row = m.taps + j * kTile;
    if (a.grad_flow != nullptr) {
      const T dx = static_cast<T>(v + j), dy = static_cast<T>(u);
      for (int64_t x = 0; x < t.padded; ++x) row[x] += m.flow_x[x] * dx + m.flow_y[x] * dy;
    }
    if (a.softmax) {
      const T* z = logits.data + j * logits.stride;
      prefetch_row(z + logits.ahead, t.padded);
      soften_gradient(m, z, row, t.padded);
    }
    narrow_row(row, t.count, grads + j * plane);
  }
}

template <class T, class F>
void filter_gradient(const FilterFlowArgs& a) {
  const PaddedImages<T> image = padded_image<T>(a);
  image.read(static_cast<const T*>(a.image), nullptr, a.channels, a.padding, a.threads);
  for_each_strip<T>(
      whole(a), a.side, false, a.channels, a.threads,
      [&](const Tile& t, const TileMemory<T>& m) { read_gradients(a, t, m); },
      [&](const Tile& t, const TileMemory<T>& m, const Block& block) {
        gradient_block<T, F>(a, image, t, m, block);
      },
      [](const Tile&, const TileMemory<T>&) {});
}

// ---------------------------------------------------------------- transpose

/// What the filters spread, with room for every shift; zero outside the image.
template <class T>
PaddedImages<T> spread_image(const FilterFlowArgs& a) {
  const int64_t reach = a.side - 1;
  return {
      static_cast<T*>(a.workspace), a.batch * a.channels, a.height, a.width, 0, 0, reach, reach};
}

/// Where it lands, the margin included; behind spread_image() in the workspace.
template <class T>
PaddedImages<T> landing_image(const FilterFlowArgs& a) {
  PaddedImages<T> landing = padded_image<T>(a);
  const int64_t offset = spread_image<T>(a).size();
  if (landing.data != nullptr) landing.data += offset;
  return landing;
}

/// Filters of a block as the tile's pixels meet them: row j is shifted by tap j, zero outside.
template <class T, class F>
Taps<T> stage_shifted(const FilterFlowArgs& a, const Tile& t, const Block& block, T* rows) {
  const int64_t u = block.u, v = block.v, count = block.taps, y = t.y - (u - low(a.side));
  const int64_t ahead = t.ahead(count, a.height * a.width, a.width);
  const T* peak = a.softmax ? plane_row<T>(a.peak, a, t.item, y) : nullptr;
  const auto inside = [&](int64_t j, const auto& body) {
    const int64_t from = t.x0 - (v + j - low(a.side));  // source column of the tile's first pixel
    const int64_t begin = from < 0 ? (-from < t.count ? -from : t.count) : 0;
    const int64_t last = a.width - from < t.count ? a.width - from : t.count;
    body(from, begin, last > begin ? last : begin, rows + j * kTile);
  };
  for (int64_t j = 0; j < count; ++j) {
    inside(j, [&](int64_t from, int64_t begin, int64_t end, T* row) {
      fill(row, begin, T(0));
      const F* filters = filter_row<F>(a, t.item, u, v + j, y) + from + begin;
      prefetch_row(filters + ahead, end - begin);
      widen_row(filters, end - begin, row + begin);
      fill(row + end, t.padded - end, T(0));
    });
  }
  // In a loop of its own: by now what has just been written can be read without a stall.
  for (int64_t j = 0; j < count && a.softmax; ++j) {
    inside(j, [&](int64_t from, int64_t begin, int64_t end, T* row) {
      exponential_row(row + begin, peak + from + begin, end - begin, row + begin);
    });
  }
  return {rows, kTile, count};
}

/// Gathers what lands on the tile's pixels; t.y and t.x0 may lie in the margin.
template <class T, class F>
void transpose_block(const FilterFlowArgs& a, const PaddedImages<T>& spread, const Tile& t,
                     const TileMemory<T>& m, const Block& block) {
  const int64_t before = low(a.side), y = t.y - (block.u - before);
  if (y < 0 || y >= a.height) return;
  const Taps<T> taps = stage_shifted<T, F>(a, t, block, m.taps);
  const T* pixels = spread.row(t.item * a.channels, y) + t.x0 - (block.v - before);
  accumulate(taps, pixels, spread.plane(), a.channels, -1, m.sums, t.padded);
}

template <class T, class F>
void transpose(const FilterFlowArgs& a) {
  if (a.channels == 0) return;
  const PaddedImages<T> spread = spread_image<T>(a), landing = landing_image<T>(a);
  const T* scale = a.softmax ? static_cast<const T*>(a.scale) : nullptr;
  spread.read(static_cast<const T*>(a.image), scale, a.channels, FlowPadding::Zeros, a.threads);
  const bool margin = a.padding != FlowPadding::Zeros;
  const int64_t before = margin ? low(a.side) : 0, after = margin ? high(a.side) : 0;
  const int64_t plane = margin ? landing.plane() : a.height * a.width;
  for_each_strip<T>(
      {a.batch, -before, a.height + after, -before, a.width + after}, a.side, false, a.channels,
      a.threads,
      [&](const Tile&, const TileMemory<T>& m) { fill(m.sums, a.channels * kTile, T(0)); },
      [&](const Tile& t, const TileMemory<T>& m, const Block& block) {
        transpose_block<T, F>(a, spread, t, m, block);
      },
      [&](const Tile& t, const TileMemory<T>& m) {
        T* out = t.x0 + (margin ? landing.row(t.item * a.channels, t.y)
                                : image_row<T>(a.out, a, a.channels, t.item, 0, t.y));
        for (int64_t c = 0; c < a.channels; ++c) {
          for (int64_t x = 0; x < t.count; ++x) out[c * plane + x] = m.sums[c * kTile + x];
        }
      });
  if (margin) landing.fold(static_cast<T*>(a.out), a.padding, a.threads);
}

int64_t image_workspace(const FilterFlowArgs& a) { return padded_image<float>(a).size(); }

int64_t transpose_workspace(const FilterFlowArgs& a) {
  const int64_t landing = a.padding == FlowPadding::Zeros ? 0 : padded_image<float>(a).size();
  return spread_image<float>(a).size() + landing;
}

}  // namespace

const FilterFlowKernels& filter_flow_kernels() {
  static constexpr FilterFlowKernels kTable{
      {forward<float, float>, forward<double, double>, forward<float, BFloat16>,
       forward<float, Float16>},
      {transpose<float, float>, transpose<double, double>, transpose<float, BFloat16>,
       transpose<float, Float16>},
      {filter_gradient<float, float>, filter_gradient<double, double>,
       filter_gradient<float, BFloat16>, filter_gradient<float, Float16>},
      image_workspace,
      transpose_workspace};
  return kTable;
}

}  // namespace mrfcore::cpu::MRF_ISA
