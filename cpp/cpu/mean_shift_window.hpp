// SPDX-License-Identifier: Apache-2.0
// What the two kernels of the mean-shift filter share: windows, moves, and the walk over pixels.
#pragma once

#include <cstdint>

#include "cpu/mean_shift_filter.hpp"
#include "cpu/parallel.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Where a pixel has got to.
template <class Value, int kChannels>
struct FilterState {
  int64_t y, x;
  Value colour[kChannels];
};

/// The part of a window inside the image.
struct FilterWindow {
  int64_t y, x;  ///< first row and column
  int64_t rows, columns;

  FilterWindow(const FilterFrame& frame, int64_t at_y, int64_t at_x) {
    y = at_y > frame.radius ? at_y - frame.radius : 0;
    x = at_x > frame.radius ? at_x - frame.radius : 0;
    const int64_t end_y = at_y + frame.radius + 1, end_x = at_x + frame.radius + 1;
    rows = (end_y < frame.height ? end_y : frame.height) - y;
    columns = (end_x < frame.width ? end_x : frame.width) - x;
  }
};

/// To the nearest integer, halves to even.
inline int64_t nearest(double value) { return __builtin_lrint(value); }

/// Whether a pixel is through after a move: it kept its place, or hardly moved at all.
template <class Value, int kChannels>
inline bool settled(const FilterState<Value, kChannels>& from,
                    const FilterState<Value, kChannels>& to, double tolerance) {
  if (from.y == to.y && from.x == to.x) return true;
  const int64_t dy = to.y - from.y, dx = to.x - from.x;
  double length = static_cast<double>((dy < 0 ? -dy : dy) + (dx < 0 ? -dx : dx));
  for (int c = 0; c < kChannels; ++c) {
    const double d = static_cast<double>(to.colour[c]) - static_cast<double>(from.colour[c]);
    length += d * d;
  }
  return length <= tolerance;
}

/// step(state, to) is false where nothing is near; finish(pixel, state) writes the result.
template <class State, class Start, class Step, class Finish>
void filter_pixels(const FilterFrame& frame, const Start& start, const Step& step,
                   const Finish& finish) {
  parallel_strips(frame.height, frame.threads, frame.control, [&](ThreadMemory&, int64_t y) {
    for (int64_t x = 0; x < frame.width; ++x) {
      const int64_t pixel = y * frame.width + x;
      if (frame.wanted != nullptr && frame.wanted[pixel] == 0) continue;
      State state{y, x, {}};
      start(pixel, state);
      for (int t = 0; t < frame.iterations; ++t) {
        State to;
        if (!step(state, to)) break;
        const bool last = settled(state, to, frame.tolerance);
        state = to;
        if (last) break;
      }
      finish(pixel, state);
    }
  });
}

}  // namespace mrfcore::cpu::MRF_ISA
