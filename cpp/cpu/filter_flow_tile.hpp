// SPDX-License-Identifier: Apache-2.0
// The tiles that filter flow works on, and its two inner products: over taps and over channels.
#pragma once

#include <cstdint>

#include "cpu/filter_rows.hpp"
#include "cpu/parallel.hpp"

namespace mrfcore::cpu::MRF_ISA {

inline constexpr int64_t kTile = 256;  // pixels
// Rows that are worked on together, block by block: the filters of one row and tap are too short a
// stream for the hardware to run ahead of, those of four rows are four times as long.
inline constexpr int64_t kStripRows = 4;
inline constexpr int64_t kMostTaps = 16;  // of a block
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
};

/// Memory of one thread. Rows have kTile elements; the block of taps at hand is shared by the rows
/// of a strip, everything else is one row's own.
template <class T>
struct TileMemory {
  T *taps, *logits, *sums, *peak, *total, *flow_x, *flow_y, *factor;

  TileMemory(ThreadMemory& memory, int64_t channels, int64_t row) {
    const int64_t own = channels + 5, shared = 2 * kMostTaps;
    const int64_t size = (shared + kStripRows * own) * kTile;
    taps = static_cast<T*>(memory.reserve(size * static_cast<int64_t>(sizeof(T))));
    logits = taps + kMostTaps * kTile;
    sums = taps + (shared + row * own) * kTile;
    peak = sums + channels * kTile;
    total = peak + kTile;
    flow_x = total + kTile;
    flow_y = flow_x + kTile;
    factor = flow_y + kTile;
  }
};

/// One row of one item, pixels x0 .. x0 + count - 1. Loops go over `padded` elements.
struct Tile {
  int64_t item, y, x0, count, padded;
};

template <class T>
Tile make_tile(int64_t item, int64_t y, int64_t x0, int64_t end) {
  constexpr int64_t kStep = 2 * kLanes<T>;
  const int64_t count = end - x0 < kTile ? end - x0 : kTile;
  return {item, y, x0, count, (count + kStep - 1) / kStep * kStep};
}

/// sums[c][x] += sum over the taps j of taps[j][x] * image[c][x + j * step]; kChannels of them.
template <class T, int kChannels>
inline void accumulate_some(const Taps<T>& taps, const T* image, int64_t channel, int64_t step,
                            T* sums, int64_t n) {
  constexpr int64_t kWide = kLanes<T>;
  for (int64_t x = 0; x < n; x += 2 * kWide) {
    Vec<T> sum[kChannels][2];
    for (int c = 0; c < kChannels; ++c) {
      for (int h = 0; h < 2; ++h) sum[c][h] = load(sums + c * kTile + x + h * kWide);
    }
    const T* weight = taps.data + x;
    const T* pixel = image + x;
    for (int64_t j = 0; j < taps.count; ++j, weight += taps.stride, pixel += step) {
      const Vec<T> first = load(weight), second = load(weight + kWide);
      for (int c = 0; c < kChannels; ++c) {
        sum[c][0] = sum[c][0] + first * load(pixel + c * channel);
        sum[c][1] = sum[c][1] + second * load(pixel + c * channel + kWide);
      }
    }
    for (int c = 0; c < kChannels; ++c) {
      for (int h = 0; h < 2; ++h) store(sums + c * kTile + x + h * kWide, sum[c][h]);
    }
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

/// Taps of a filter row are taken in equal blocks of at most kMostTaps: f(u, first v, taps).
template <class Body>
inline void for_each_block(int64_t side, const Body& body) {
  const int64_t blocks = (side + kMostTaps - 1) / kMostTaps;
  const int64_t taps = (side + blocks - 1) / blocks;
  for (int64_t u = 0; u < side; ++u) {
    for (int64_t v = 0; v < side; v += taps) body(u, v, v + taps < side ? taps : side - v);
  }
}

/// Rows top .. bottom - 1 and columns left .. right - 1 of a batch.
struct Extent {
  int64_t batch, top, bottom, left, right;
};

/// For every tile start(t, m), then for every block of taps step(t, m, u, v, taps), then
/// finish(t, m); the tiles of a strip take turns, block by block.
template <class T, class Start, class Step, class Finish>
void for_each_strip(const Extent& e, int64_t side, int64_t channels, int threads,
                    const Start& start, const Step& step, const Finish& finish) {
  const int64_t strips = (e.bottom - e.top + kStripRows - 1) / kStripRows;
  parallel_strips(e.batch * strips, threads, nullptr, [&](ThreadMemory& memory, int64_t task) {
    const int64_t first = e.top + task % strips * kStripRows;
    const int64_t rows = e.bottom - first < kStripRows ? e.bottom - first : kStripRows;
    for (int64_t x = e.left; x < e.right; x += kTile) {
      const auto each = [&](const auto& body) {
        for (int64_t row = 0; row < rows; ++row) {
          body(make_tile<T>(task / strips, first + row, x, e.right),
               TileMemory<T>(memory, channels, row));
        }
      };
      each(start);
      for_each_block(side, [&](int64_t u, int64_t v, int64_t taps) {
        each([&](const Tile& t, const TileMemory<T>& m) { step(t, m, u, v, taps); });
      });
      each(finish);
    }
  });
}

}  // namespace mrfcore::cpu::MRF_ISA
