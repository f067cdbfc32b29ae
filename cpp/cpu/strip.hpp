// SPDX-License-Identifier: Apache-2.0
// A strip is a bundle of neighbouring scanlines of one direction pair, walked together: independent
// work for the vector units, and small enough that the way back finds in cache what the way there
// has touched.
#pragma once

#include <cstdint>

#include "core/scanline.hpp"
#include "cpu/min_convolution.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Pixels of equal `outer` in a strip that all have, or all lack, a predecessor.
struct StripRun {
  int64_t first;         ///< pixel index of the first
  int64_t inner_stride;  ///< between pixels of the run
  int64_t owner_offset;  ///< from a pixel to the pixel that owns the edge to its predecessor
  int64_t slot;          ///< buffer row of the first
  int64_t count;
  bool linked;

  int64_t predecessor_offset;  ///< from a pixel to its predecessor

  int64_t pixel(int64_t i) const { return first + i * inner_stride; }
  int64_t owner(int64_t i) const { return pixel(i) + owner_offset; }
};

struct Strip {
  const core::PairGeometry* geometry;
  int64_t begin, end;  ///< slots

  /// How many steps ahead rows of three volumes are to be asked for.
  int64_t prefetch_distance(int64_t row_bytes) const {
    constexpr int64_t kBytesAhead = 6 << 10;  // of 1.5 to 12 KB the best
    const int64_t steps = kBytesAhead / (3 * row_bytes * (end - begin));
    return geometry->step * (steps < 1 ? 1 : steps);
  }

  /// Calls visit(StripRun) for all pixels of the strip, predecessors first; last if `reversed`.
  template <class Visit>
  void walk(bool backward, const Visit& visit, bool reversed = false) const {
    const core::PairGeometry& g = *geometry;
    const int64_t sign = backward ? -1 : 1;
    // The edge between a node and its predecessor belongs to whichever comes first in the pair's
    // even direction.
    const int64_t back_step = -(g.step * g.outer_stride + g.shift * g.inner_stride);
    for (int64_t k = 0; k < g.outer_n; ++k) {
      const int64_t t = backward != reversed ? g.outer_n - 1 - k : k;
      const int64_t skew = g.skew(t);
      const int64_t first = begin + skew > 0 ? begin + skew : 0;
      const int64_t last = end + skew < g.inner_n ? end + skew : g.inner_n;
      if (first >= last) continue;
      StripRun run{};
      run.inner_stride = g.inner_stride;
      run.owner_offset = backward ? 0 : back_step;
      run.predecessor_offset = sign * back_step;
      const auto emit = [&](int64_t from, int64_t to, bool linked) {
        if (from >= to) return;
        run.first = g.pixel(t, from);
        run.slot = (t % g.step) * (end - begin) + (from - skew - begin);
        run.count = to - from;
        run.linked = linked;
        visit(run);
      };
      const int64_t before = t - sign * g.step;
      if (before < 0 || before >= g.outer_n) {
        emit(first, last, false);
        continue;
      }
      // Predecessor's inner coordinate is inner - sign * shift; it must lie inside the image.
      const int64_t offset = sign * g.shift;
      const int64_t low = clamp(offset, first, last);
      const int64_t high = clamp(g.inner_n + offset, low, last);
      emit(first, low, false);
      emit(low, high, true);
      emit(high, last, false);
    }
  }

 private:
  static int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : (x > high ? high : x);
  }
};

/// Partition of a pair's slots into strips. It depends on sizes only, never on the number of
/// threads.
struct StripPlan {
  const core::PairGeometry& geometry;
  int64_t width;

  /// Widths are multiples of `group`, the nodes that are worked on together.
  StripPlan(const core::PairGeometry& g, int64_t row_bytes, int64_t group = kGroup) : geometry(g) {
    // Three volumes (sum and two messages) of the strip should stay in the second-level cache
    // between both ways. Where even a few scanlines do not fit (the third level has to do): enough
    // of them for a row of nodes to be worth opening a page of memory for, and for their dependent
    // chains to overlap.
    constexpr int64_t kCacheBytes = int64_t{1} << 20, kRowBytes = 1536, kFew = 8, kMost = 32;
    const int64_t fitting = kCacheBytes / (3 * row_bytes * (g.outer_n > 0 ? g.outer_n : 1));
    const int64_t worthwhile = kRowBytes / row_bytes;
    const int64_t least = worthwhile < kFew ? worthwhile : kFew;
    width = fitting < least ? least : (fitting < kMost ? fitting : kMost);
    width = width < group ? group : width / group * group;
  }
  int64_t count() const { return (geometry.slots() + width - 1) / width; }
  Strip at(int64_t index) const {
    const int64_t begin = geometry.slot_begin + index * width;
    const int64_t end = begin + width;
    return {&geometry, begin, end < geometry.slot_end ? end : geometry.slot_end};
  }
};

/// Weights of one pair.
template <class T>
struct StripWeights {
  const T* per_edge;
  T scale;
  T of(int64_t owner) const { return per_edge == nullptr ? scale : scale * per_edge[owner]; }
};

}  // namespace mrfcore::cpu::MRF_ISA
