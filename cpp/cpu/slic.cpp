// SPDX-License-Identifier: Apache-2.0
//
// All pixels of a cell choose among the same nine centres. With f a pixel's feature and c a
// centre's, D^2 - |f|^2 = |c|^2 - 2 c.f: two multiply-adds of 16-bit pairs for three colours and x,
// and a number per row for the rest: 7 instructions for a centre and as many pixels as a vector has
// words.
//
// Whole numbers make shortcuts exact: a cell none of whose nine centres moved is passed over, and
// sums change by the pixels that changed sides, not from zero.
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "cpu/simd.hpp"
#include "cpu/slic_band.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

using Words = Vec<Word>;
constexpr int kWidth = kVectorBytes / 4;
constexpr int kMostPairs = (kSlicChannels + 2) / 2;
constexpr int kRowCosts = 16;  ///< nine, in whole vectors

/// Of every word: low * low + high * high.
inline Words pair_products(Words a, Words b) {
#if MRF_VECTOR_BYTES == 64
  return (Words)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif MRF_VECTOR_BYTES == 32
  return (Words)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Words)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
  return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

/// Bit i: lanes i differ.
inline uint32_t differing(Words a, Words b) {
#if MRF_VECTOR_BYTES == 64
  return mask_bits(_mm512_cmpneq_epi32_mask((__m512i)a, (__m512i)b));
#elif MRF_VECTOR_BYTES == 32
  return 0xffu & ~static_cast<uint32_t>(_mm256_movemask_ps((__m256)(Words)(a == b)));
#elif defined(__SSE2__)
  return 0xfu & ~static_cast<uint32_t>(_mm_movemask_ps((__m128)(Words)(a == b)));
#else
  uint32_t bits = 0;
  for (int i = 0; i < kWidth; ++i) bits |= uint32_t{a[i] != b[i]} << i;
  return bits;
#endif
}

// ---- Assign

/// What the pixels of one cell choose from.
struct Candidates {
  Words factor[kSlicSlots][kMostPairs];  ///< -2 c, in pairs as the pixels' words
  Word constant[kRowCosts];              ///< |c|^2 but for y
  Word y[kRowCosts];                     ///< y of c, from the middle of the cell

  Candidates(const SlicWork& work, const Band& band, int64_t column) {
    for (int slot = 0; slot < kRowCosts; ++slot) {
      constant[slot] = kSlicNowhere;
      y[slot] = 0;
    }
    for (auto& factors : factor)
      for (Words& f : factors) f = Words{};
    each_neighbour(work.plan, band.row, column, [&](int slot, int64_t row, int64_t other) {
      fill(work, band, column, slot, row, other);
    });
  }

 private:
  void fill(const SlicWork& work, const Band& band, int64_t column, int slot, int64_t row,
            int64_t other) {
    const SlicPlan& plan = work.plan;
    const int64_t cell = (band.item * plan.y.cells + row) * plan.x.cells + other;
    const Word* centre = work.centres + cell * plan.centre_size();
    Word feature[2 * kMostPairs] = {};
    for (int c = 0; c < plan.channels; ++c) feature[c] = centre[c];
    feature[plan.channels] = centre[plan.channels + 1] + plan.x.between(column, other);
    y[slot] = centre[plan.channels] + plan.y.between(band.row, row);
    constant[slot] = 0;
    for (const Word f : feature) constant[slot] += f * f;
    for (int pair = 0; pair < work.pairs(); ++pair)
      factor[slot][pair] = Words{} + pair_of(-2 * feature[2 * pair], -2 * feature[2 * pair + 1]);
  }
};

/// Pixels [x, x + kWidth) of one row of a cell.
template <int kPairs>
inline Words nearest(const Candidates& candidates, const Word* costs, const Word* const* words,
                     int64_t x) {
  Words feature[kPairs];
  for (int pair = 0; pair < kPairs; ++pair) feature[pair] = load(words[pair] + x);
  Words best = Words{} + costs[0], slot = Words{};
  for (int pair = 0; pair < kPairs; ++pair)
    best += pair_products(feature[pair], candidates.factor[0][pair]);
  for (int s = 1; s < kSlicSlots; ++s) {
    Words cost = Words{} + costs[s];
    for (int pair = 0; pair < kPairs; ++pair)
      cost += pair_products(feature[pair], candidates.factor[s][pair]);
    const Words less = (Words)(cost < best);
    slot = less ? Words{} + s : slot;
    best = cost < best ? cost : best;
  }
  return slot;
}

/// A pixel leaves one slot for another.
template <int kPairs>
inline void change_sides(const SlicPlan& plan, const Word* const* words, int64_t x, Word y,
                         int64_t* from, int64_t* to) {
  int64_t feature[2 * kPairs];
  for (int pair = 0; pair < kPairs; ++pair) {
    feature[2 * pair] = low(words[pair][x]);
    feature[2 * pair + 1] = high(words[pair][x]);
  }
  // There are 2 kPairs - 2 channels, or one more.
  constexpr int kSure = 2 * kPairs - 2;
  for (int c = 0; c < kSure; ++c) {
    from[c] -= feature[c];
    to[c] += feature[c];
  }
  int c = kSure;
  if (plan.channels > kSure) {
    from[c] -= feature[c];
    to[c] += feature[c];
    ++c;
  }
  from[c] -= y;
  to[c] += y;
  from[c + 1] -= feature[c];
  to[c + 1] += feature[c];
  from[c + 2] -= 1;
  to[c + 2] += 1;
}

template <int kPairs>
void assign_cell(const SlicWork& work, const Band& band, int64_t column) {
  const SlicPlan& plan = work.plan;
  const Candidates candidates(work, band, column);
  const int64_t cell = (band.item * plan.y.cells + band.row) * plan.x.cells + column;
  int64_t* sums = work.sums + cell * kSlicSlots * plan.sum_size();
  const int64_t left = plan.x.begin(column), right = plan.x.begin(column + 1);
  for (int64_t y = band.top; y < band.bottom; ++y) {
    const Word place = plan.y.place_in(y, band.row);
    Word costs[kRowCosts];
    for (int s = 0; s < kRowCosts; ++s) {
      const Word dy = candidates.y[s] - place;
      costs[s] = candidates.constant[s] + dy * dy;
    }
    const Word* words[kPairs];
    for (int pair = 0; pair < kPairs; ++pair) words[pair] = words_of(work, band.item, pair, y);
    Word* slots = slots_of(work, band.item, y);
    for (int64_t x = left; x < right; x += kWidth) {
      const Words now = nearest<kPairs>(candidates, costs, words, x), before = load(slots + x);
      const int64_t valid = right - x;
      uint32_t changed = differing(now, before);
      if (valid < kWidth) changed &= (1u << valid) - 1;
      for (; changed != 0; changed &= changed - 1) {
        const int64_t at = x + __builtin_ctz(changed);
        const Word slot = now[at - x];
        change_sides<kPairs>(plan, words, at, place, sums + slots[at] * plan.sum_size(),
                             sums + slot * plan.sum_size());
        slots[at] = slot;
      }
    }
  }
}

/// Whether one of the nine centres has moved.
bool unsettled(const SlicWork& work, const Band& band, int64_t column) {
  bool any = false;
  const int64_t first = band.item * work.plan.cells();
  each_neighbour(work.plan, band.row, column, [&](int, int64_t row, int64_t other) {
    any |= work.moved[first + row * work.plan.x.cells + other] != 0;
  });
  return any;
}

template <int kPairs>
void assign_as(const SlicWork& work) {
  each_band(work, [&](const Band& band) {
    for (int64_t column = 0; column < work.plan.x.cells; ++column)
      if (unsettled(work, band, column)) assign_cell<kPairs>(work, band, column);
  });
}

void assign(const SlicWork& work) {
  switch (work.pairs()) {
    case 1:
      return assign_as<1>(work);
    case 2:
      return assign_as<2>(work);
    case 3:
      return assign_as<3>(work);
    case 4:
      return assign_as<4>(work);
    default:
      return assign_as<5>(work);
  }
}

// ---- Update

void update_centre(const SlicWork& work, const Band& band, int64_t column) {
  const SlicPlan& plan = work.plan;
  const int size = plan.sum_size(), channels = plan.channels;
  int64_t total[kSlicChannels + 3] = {};
  each_neighbour(plan, band.row, column, [&](int slot, int64_t row, int64_t other) {
    const int64_t cell = (band.item * plan.y.cells + row) * plan.x.cells + other;
    const int64_t* sums = work.sums + (cell * kSlicSlots + kSlicSlots - 1 - slot) * size;
    for (int i = 0; i < size; ++i) total[i] += sums[i];
    total[channels] += sums[channels + 2] * plan.y.between(band.row, row);
    total[channels + 1] += sums[channels + 2] * plan.x.between(column, other);
  });
  const int64_t cell = (band.item * plan.y.cells + band.row) * plan.x.cells + column;
  Word* centre = work.centres + cell * plan.centre_size();
  bool moved = false;
  for (int i = 0; total[channels + 2] > 0 && i < plan.centre_size(); ++i) {
    const Word mean = slic_mean(total[i], total[channels + 2]);
    moved |= mean != centre[i];
    centre[i] = mean;
  }
  work.moved[cell] = moved;
}

void update(const SlicWork& work) {
  each_band(work, [&](const Band& band) {
    for (int64_t column = 0; column < work.plan.x.cells; ++column)
      update_centre(work, band, column);
  });
}

// ---- Cells

void cells(const SlicWork& work, int32_t* ids) {
  const SlicPlan& plan = work.plan;
  each_band(work, [&](const Band& band) {
    for (int64_t y = band.top; y < band.bottom; ++y) {
      const Word* slots = slots_of(work, band.item, y);
      int32_t* to = ids + (band.item * plan.y.count + y) * plan.x.count;
      for (int64_t column = 0; column < plan.x.cells; ++column) {
        const int64_t cell = band.row * plan.x.cells + column;
        Word number[kSlicSlots];
        for (int s = 0; s < kSlicSlots; ++s)
          number[s] = static_cast<Word>(cell + (s / 3 - 1) * plan.x.cells + s % 3 - 1);
        for (int64_t x = plan.x.begin(column); x < plan.x.begin(column + 1); ++x)
          to[x] = number[slots[x]];
      }
    }
  });
}

}  // namespace

const SlicKernels& slic_kernels() {
  static constexpr SlicKernels table{slic_start, assign, update, cells};
  return table;
}

}  // namespace mrfcore::cpu::MRF_ISA
