// SPDX-License-Identifier: Apache-2.0
//
// What the kernels of SLIC share: rows of cells, which are the units of work, and where a row of
// pixels has its words and slots.
#pragma once

#include "cpu/parallel.hpp"
#include "cpu/slic.hpp"

namespace mrfcore::cpu::MRF_ISA {

using Word = int32_t;

MRF_CORE Word low(Word w) { return static_cast<int16_t>(w); }
MRF_CORE Word high(Word w) { return w >> 16; }
MRF_CORE Word pair_of(Word low, Word high) {
  return static_cast<Word>((static_cast<uint32_t>(low) & 0xffffu) |
                           (static_cast<uint32_t>(high) << 16));
}

/// One row of cells of one item: a unit of work.
struct Band {
  int64_t item, row, top, bottom;

  Band(const SlicPlan& plan, int64_t unit)
      : item(unit / plan.y.cells),
        row(unit % plan.y.cells),
        top(plan.y.begin(row)),
        bottom(plan.y.begin(row + 1)) {}
};

template <class Body>
inline void each_band(const SlicWork& work, const Body& body) {
  parallel_strips(work.batch * work.plan.y.cells, work.threads, nullptr,
                  [&](ThreadMemory&, int64_t unit) { body(Band(work.plan, unit)); });
}

inline Word* slots_of(const SlicWork& work, int64_t item, int64_t y) {
  return work.slots + (item * work.plan.y.count + y) * work.stride;
}

inline Word* words_of(const SlicWork& work, int64_t item, int pair, int64_t y) {
  return work.words + ((item * work.pairs() + pair) * work.plan.y.count + y) * work.stride;
}

/// Of the cell at (row, column) and its neighbours inside the grid: f(slot, row, column).
template <class F>
inline void each_neighbour(const SlicPlan& plan, int64_t row, int64_t column, const F& f) {
  for (int slot = 0; slot < kSlicSlots; ++slot) {
    const int64_t y = row + slot / 3 - 1, x = column + slot % 3 - 1;
    if (y >= 0 && y < plan.y.cells && x >= 0 && x < plan.x.cells) f(slot, y, x);
  }
}

/// SlicKernels::start.
void slic_start(const SlicWork& work);

}  // namespace mrfcore::cpu::MRF_ISA
