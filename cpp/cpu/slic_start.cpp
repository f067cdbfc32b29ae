// SPDX-License-Identifier: Apache-2.0
//
// What SLIC begins with: features as words, every pixel in its own cell, and centres where the
// colour changes least.
#include "cpu/simd.hpp"
#include "cpu/slic_band.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

constexpr int64_t kRowPixels = int64_t{1} << 18;

/// The words of one row: channel 2 p in the low half of pair p, channel 2 p + 1 in the high one; x
/// follows the last channel.
void pack_row(const SlicWork& work, int64_t item, int64_t y, const Word* places) {
  const SlicPlan& plan = work.plan;
  const int64_t width = plan.x.count, pixels = plan.y.count * width;
  const int16_t* from = work.features + item * plan.channels * pixels + y * width;
  for (int pair = 0; pair < work.pairs(); ++pair) {
    Word* to = words_of(work, item, pair, y);
    const int16_t* first = 2 * pair < plan.channels ? from + 2 * pair * pixels : nullptr;
    const int16_t* second = 2 * pair + 1 < plan.channels ? from + (2 * pair + 1) * pixels : nullptr;
    if (second != nullptr) {
      for (int64_t x = 0; x < width; ++x) to[x] = pair_of(first[x], second[x]);
    } else if (first != nullptr) {
      for (int64_t x = 0; x < width; ++x) to[x] = pair_of(first[x], places[x]);
    } else {
      for (int64_t x = 0; x < width; ++x) to[x] = pair_of(places[x], 0);
    }
  }
}

/// Places of all columns, each from the middle of its cell.
void fill_places(const SlicAxis& axis, Word* places) {
  for (int64_t cell = 0; cell < axis.cells; ++cell)
    for (int64_t x = axis.begin(cell); x < axis.begin(cell + 1); ++x)
      places[x] = axis.place_in(x, cell);
}

/// Sums of the low and high halves of a cell's words, rows [top, bottom), columns [left, right).
void sum_words(const Word* words, int64_t stride, int64_t top, int64_t bottom, int64_t left,
               int64_t right, int64_t* low_sum, int64_t* high_sum) {
  Vec<Word> lows{}, highs{};
  for (int64_t y = top; y < bottom; ++y) {
    for (int64_t x = left; x < right; x += kLanes<Word>) {
      Vec<Word> w = load(words + y * stride + x);
      if (right - x < kLanes<Word>)  // the rest is the next cell's
        w = lane_numbers<Word>() < splat<Word>(static_cast<Word>(right - x)) ? w : Vec<Word>{};
      lows += (w << 16) >> 16;
      highs += w >> 16;
    }
  }
  for (int lane = 0; lane < kLanes<Word>; ++lane) {
    *low_sum += lows[lane];
    *high_sum += highs[lane];
  }
}

/// All pixels of a cell are in its own slot.
void sum_cell(const SlicWork& work, const Band& band, int64_t column) {
  const SlicPlan& plan = work.plan;
  const int64_t cell = (band.item * plan.y.cells + band.row) * plan.x.cells + column;
  const int64_t left = plan.x.begin(column), right = plan.x.begin(column + 1);
  int64_t* sums = work.sums + (cell * kSlicSlots + kSlicOwn) * plan.sum_size();
  // So many rows at a time that 32 bits hold their sums: 2^18 words of 2^12.
  const int64_t rows = right - left < kRowPixels ? kRowPixels / (right - left) : 1;
  int64_t features[kSlicChannels + 2] = {};
  for (int64_t top = band.top; top < band.bottom; top += rows) {
    const int64_t bottom = top + rows < band.bottom ? top + rows : band.bottom;
    for (int pair = 0; pair < work.pairs(); ++pair)
      sum_words(words_of(work, band.item, pair, 0), work.stride, top, bottom, left, right,
                features + 2 * pair, features + 2 * pair + 1);
  }
  int64_t* places = sums + plan.channels;
  for (int c = 0; c < plan.channels; ++c) sums[c] = features[c];
  for (int64_t y = band.top; y < band.bottom; ++y)
    places[0] += plan.y.place_in(y, band.row) * (right - left);
  places[1] = features[plan.channels];
  places[2] = (right - left) * (band.bottom - band.top);
}

}  // namespace

void slic_start(const SlicWork& work) {
  each_band(work, [&](const Band& band) {
    auto* places = static_cast<Word*>(
        thread_memory().reserve(work.plan.x.count * static_cast<int64_t>(sizeof(Word))));
    fill_places(work.plan.x, places);
    for (int64_t y = band.top; y < band.bottom; ++y) {
      pack_row(work, band.item, y, places);
      Word* slots = slots_of(work, band.item, y);
      for (int64_t x = 0; x < work.stride; ++x) slots[x] = kSlicOwn;
    }
    for (int64_t column = 0; column < work.plan.x.cells; ++column) {
      sum_cell(work, band, column);
      const int64_t cell = (band.item * work.plan.y.cells + band.row) * work.plan.x.cells + column;
      const int64_t image = band.item * work.plan.channels * work.plan.y.count * work.plan.x.count;
      slic_seed(work.plan, work.features + image, band.row, column,
                work.centres + cell * work.plan.centre_size());
      work.moved[cell] = 1;
    }
  });
}

}  // namespace mrfcore::cpu::MRF_ISA
