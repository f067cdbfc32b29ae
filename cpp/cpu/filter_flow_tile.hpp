// SPDX-License-Identifier: Apache-2.0
// The tiles that filter flow works on, and its two inner products: over taps and over channels.
#pragma once

#include <cstdint>
#include <utility>

#include "cpu/filter_rows.hpp"
#include "cpu/parallel.hpp"

namespace mrfcore::cpu::MRF_ISA {

inline constexpr int64_t kTile = 256;  // pixels
// Rows that are worked on together, block by block: the filters of one row and tap are too short a
// stream for the hardware to run ahead of, those of four rows are four times as long.
inline constexpr int64_t kStripRows = 4;
inline constexpr int64_t kMostTaps = 16;   // of a filter row in a block
inline constexpr int64_t kBlockTaps = 32;  // of a block
// With more channels, a block's filters are passed over again: from cache, then.
inline constexpr int64_t kDirectChannels = 4;

/// First tap offset is -low(side), last high(side).
inline int64_t low(int64_t side) { return (side - 1) / 2; }
inline int64_t high(int64_t side) { return side / 2; }

/// Rows of a tap's filters, one for each tap of a block.
template <class T>
struct Taps {
  const T* data;
  int64_t stride, count;
  int64_t ahead = 0;  ///< from here to what is read next of the same tap or of a later one

  Taps part(int64_t first, int64_t taps) const {
    return {data + first * stride, stride, taps, ahead};
  }
};

/// Memory of one thread. Rows have kTile elements; the block of taps at hand is shared by the rows
/// of a strip, everything else is one row's own.
template <class T>
struct TileMemory {
  T *taps, *logits, *sums, *total, *flow_x, *flow_y, *peak, *base, *factor;

  TileMemory(ThreadMemory& memory, int64_t channels, int64_t row) {
    const int64_t own = channels + 6, shared = kBlockTaps + kMostTaps;
    const int64_t size = (shared + kStripRows * own) * kTile;
    taps = static_cast<T*>(memory.reserve(size * static_cast<int64_t>(sizeof(T))));
    logits = taps + kBlockTaps * kTile;
    sums = taps + (shared + row * own) * kTile;
    total = sums + channels * kTile;
    flow_x = total + kTile;
    flow_y = flow_x + kTile;
    peak = flow_y + kTile;
    base = peak + kTile;
    factor = base + kTile;
  }
};

/// One row of one item, pixels x0 .. x0 + count - 1. Loops go over `padded` elements.
struct Tile {
  int64_t item, y, x0, count, padded;
  int64_t next;  ///< rows to the one whose turn is next; not above 0: back, for the next block

  /// From the block of `taps` filters at hand to those that are read next.
  int64_t ahead(int64_t taps, int64_t plane, int64_t width) const {
    return next * width + (next > 0 ? 0 : taps * plane);
  }
};

template <class T>
Tile make_tile(int64_t item, int64_t y, int64_t x0, int64_t end, int64_t next) {
  constexpr int64_t kStep = 2 * kLanes<T>;
  const int64_t count = end - x0 < kTile ? end - x0 : kTile;
  return {item, y, x0, count, (count + kStep - 1) / kStep * kStep, next};
}

/// How far a row of pixels is shifted: at most kMostTaps - 1 elements, by steps of one.
template <class T>
struct Shift {
  int64_t elements;
  LabelVec<T> lanes;

  explicit Shift(int64_t by) : elements(by), lanes(labels_from<T>(by)) {}
  void move(int64_t step) {
    elements += step;
    lanes = lanes + static_cast<Lane<T>>(step);
  }
};

#if MRF_VECTOR_BYTES == 64
template <class T>
inline constexpr bool kPermutes = sizeof(T) == 4;
#else
template <class T>
inline constexpr bool kPermutes = false;
#endif

/// Two vectors of pixels under any shift. Nearly every shifted load of 64 bytes touches two cache
/// lines, and loads have the filters to wait for: three vectors are held instead, and permuted.
template <class T, bool kHeld = kPermutes<T>>
struct Window {
  const T* pixel;

  explicit Window(const T* p) : pixel(p) {}
  Vec<T> at(int half, const Shift<T>& shift) const {
    return load(pixel + shift.elements + half * kLanes<T>);
  }
};
#if MRF_VECTOR_BYTES == 64
template <>
struct Window<float, true> {
  Vec<float> held[3];

  explicit Window(const float* p) : held{load(p), load(p + 16), load(p + 32)} {}
  Vec<float> at(int half, const Shift<float>& shift) const {
    return (Vec<float>)_mm512_permutex2var_ps((__m512)held[half], (__m512i)shift.lanes,
                                              (__m512)held[half + 1]);
  }
};
#endif

/// sums[c][x] += sum over the taps j of taps[j][x] * image[c][x + j * step]; kChannels of them.
template <class T, int kChannels>
inline void accumulate_some(const Taps<T>& taps, const T* image, int64_t channel, int64_t step,
                            T* sums, int64_t n) {
  constexpr int64_t kWide = kLanes<T>;
  const int64_t first = step > 0 ? 0 : taps.count - 1;
  const auto column = [&]<size_t... kChannel>(int64_t x, std::index_sequence<kChannel...>) {
    const Window<T> windows[kChannels] = {Window<T>(image + kChannel * channel + x - first)...};
    Vec<T> sum[kChannels][2];
    for (int c = 0; c < kChannels; ++c) {
      for (int h = 0; h < 2; ++h) sum[c][h] = load(sums + c * kTile + x + h * kWide);
    }
    const T* weight = taps.data + x;
    Shift<T> shift(first);
    for (int64_t j = 0; j < taps.count; ++j, weight += taps.stride, shift.move(step)) {
      for (int h = 0; h < 2; ++h) {
        const Vec<T> w = load(weight + h * kWide);
        __builtin_prefetch(weight + taps.ahead + h * kWide);
        for (int c = 0; c < kChannels; ++c) {
          sum[c][h] = sum[c][h] + w * windows[c].at(h, shift);
        }
      }
    }
    for (int c = 0; c < kChannels; ++c) {
      for (int h = 0; h < 2; ++h) store(sums + c * kTile + x + h * kWide, sum[c][h]);
    }
  };
  for (int64_t x = 0; x < n; x += 2 * kWide) {
    column(x, std::make_index_sequence<kChannels>());
  }
}

template <class T>
void accumulate(const Taps<T>& taps, const T* image, int64_t channel, int64_t channels,
                int64_t step, T* sums, int64_t n) {
  int64_t c = 0;
  for (; c + 4 <= channels; c += 4) {
    accumulate_some<T, 4>(taps, image + c * channel, channel, step, sums + c * kTile, n);
  }
  const T* rest = image + c * channel;
  if (channels - c == 3) accumulate_some<T, 3>(taps, rest, channel, step, sums + c * kTile, n);
  if (channels - c == 2) accumulate_some<T, 2>(taps, rest, channel, step, sums + c * kTile, n);
  if (channels - c == 1) accumulate_some<T, 1>(taps, rest, channel, step, sums + c * kTile, n);
}

/// out[j][x] = sum over channels of grad[c][x] * image[c][x + j]; kTaps of them.
template <class T, int kTaps>
inline void correlate_some(const T* grad, const T* image, int64_t channel, int64_t channels, T* out,
                           int64_t stride, int64_t n) {
  constexpr int64_t kWide = kLanes<T>;
  for (int64_t x = 0; x < n; x += 2 * kWide) {
    Vec<T> sum[kTaps][2] = {};
    const T* g = grad + x;
    const T* pixel = image + x;
    for (int64_t c = 0; c < channels; ++c, g += kTile, pixel += channel) {
      const Vec<T> first = load(g), second = load(g + kWide);
      for (int j = 0; j < kTaps; ++j) {
        sum[j][0] = sum[j][0] + first * load(pixel + j);
        sum[j][1] = sum[j][1] + second * load(pixel + j + kWide);
      }
    }
    for (int j = 0; j < kTaps; ++j) {
      for (int h = 0; h < 2; ++h) store(out + j * stride + x + h * kWide, sum[j][h]);
    }
  }
}

template <class T>
void correlate(const T* grad, const T* image, int64_t channel, int64_t channels, T* out,
               int64_t stride, int64_t taps, int64_t n) {
  int64_t j = 0;
  for (; j + 4 <= taps; j += 4) {
    correlate_some<T, 4>(grad, image + j, channel, channels, out + j * stride, stride, n);
  }
  for (; j < taps; ++j) {
    correlate_some<T, 1>(grad, image + j, channel, channels, out + j * stride, stride, n);
  }
}

/// Taps v .. v + taps - 1 of the filter rows u .. u + rows - 1; whole rows if there are several.
struct Block {
  int64_t u, v, taps, rows;

  int64_t count() const { return taps * rows; }
};

/// Taps of a filter row are taken in equal blocks of at most kMostTaps, several rows of few taps at
/// once if `several`.
template <class Body>
inline void for_each_block(int64_t side, bool several, const Body& body) {
  const int64_t blocks = (side + kMostTaps - 1) / kMostTaps;
  const int64_t taps = (side + blocks - 1) / blocks;
  const int64_t most = several && blocks == 1 ? kBlockTaps / side : 1;
  for (int64_t u = 0; u < side; u += most) {
    const int64_t rows = u + most < side ? most : side - u;
    for (int64_t v = 0; v < side; v += taps) {
      body(Block{u, v, v + taps < side ? taps : side - v, rows});
    }
  }
}

/// Rows top .. bottom - 1 and columns left .. right - 1 of a batch.
struct Extent {
  int64_t batch, top, bottom, left, right;
};

/// For every tile start(t, m), then for every block of taps step(t, m, block), then finish(t, m);
/// the tiles of a strip take turns, block by block.
template <class T, class Start, class Step, class Finish>
void for_each_strip(const Extent& e, int64_t side, bool several, int64_t channels, int threads,
                    const Start& start, const Step& step, const Finish& finish) {
  const int64_t strips = (e.bottom - e.top + kStripRows - 1) / kStripRows;
  parallel_strips(e.batch * strips, threads, nullptr, [&](ThreadMemory& memory, int64_t task) {
    const int64_t first = e.top + task % strips * kStripRows;
    const int64_t rows = e.bottom - first < kStripRows ? e.bottom - first : kStripRows;
    for (int64_t x = e.left; x < e.right; x += kTile) {
      const auto each = [&](const auto& body) {
        for (int64_t row = 0; row < rows; ++row) {
          const int64_t next = row + 1 < rows ? 1 : -row;
          body(make_tile<T>(task / strips, first + row, x, e.right, next),
               TileMemory<T>(memory, channels, row));
        }
      };
      each(start);
      for_each_block(side, several, [&](const Block& block) {
        each([&](const Tile& t, const TileMemory<T>& m) { step(t, m, block); });
      });
      each(finish);
    }
  });
}

}  // namespace mrfcore::cpu::MRF_ISA
