// SPDX-License-Identifier: Apache-2.0
// What is made of the sums S = D C + sum of messages while they are in cache: the winners of both
// views, sub-pixel disparities and checks. Sums are never stored beyond a block of pixels.
//
// Where S is below 4096, words are keys (S, n), n the pixel's place in the block: the least of
// several is then the lowest sum and, among equals, the first pixel. Right pixel x - d meets label
// l at left pixel x and l + 1 at x + 1, so that its winner within a block is a minimum of rows of
// keys, each read one label further on than the one before; lowest sums of blocks go to an array
// over the right row.
#pragma once

#include "cpu/compact_sgm_maps.hpp"
#include "cpu/compact_sgm_plan.hpp"

namespace mrfcore::cpu::MRF_ISA {

inline constexpr int kKeyRows = 16, kKeyBits = 4;

/// Words of a block of rows in memory. Stripes are surrounded by the largest number, so that rows
/// can be read shifted.
template <int V>
struct KeyRows {
  static constexpr int kReach = (kKeyRows - 1 + V - 1) / V;  ///< elements that rows are shifted by
  static constexpr int kFront = (kReach + kWordLanes - 1) / kWordLanes * kWordLanes;
  static constexpr int kStripe = 2 * kFront + kRowLanes + kWordLanes;
  static constexpr int kRow = V * kStripe;
  uint16_t* data;

  uint16_t* stripe(int64_t row, int v) const { return data + row * kRow + v * kStripe + kFront; }
  uint16_t at(int64_t row, int label) const { return stripe(row, label % V)[label / V]; }
};

/// Memory of a thread.
struct SgmRows {
  uint16_t* keys;
  uint16_t* labels;   ///< [V][kRowLanes], what label an element is
  uint16_t* padding;  ///< [V][kRowLanes], all bits set where there is no label
  RightRow right;
  uint16_t* right_labels;  ///< [width], mirrored
  LeftRow left;

  static SgmRows take(const CompactSgmArgs& a, int vectors, Pieces& pieces) {
    SgmRows r{};
    with_vectors(vectors,
                 [&]<int V>() { r.keys = pieces.take<uint16_t>(kKeyRows * KeyRows<V>::kRow); });
    r.labels = pieces.take<uint16_t>(vectors * kRowLanes);
    r.padding = pieces.take<uint16_t>(vectors * kRowLanes);
    r.right.count = (a.width + vectors - 1) / vectors;
    r.right.stride = (r.right.count + 2 * RightRow::kMargin + 31) / 32 * 32;
    r.right.sums = pieces.take<uint16_t>(vectors * r.right.stride);
    r.right.labels = pieces.take<uint16_t>(vectors * r.right.stride);
    r.right_labels = pieces.take<uint16_t>(a.width);
    r.left.best = pieces.take<uint16_t>(a.width);
    r.left.below = pieces.take<uint16_t>(a.width);
    r.left.above = pieces.take<uint16_t>(a.width);
    r.left.rivalled = pieces.take<uint8_t>(a.width);
    return r;
  }
};

/// A block of pixels of one row, in the order in which their pass comes along.
template <class Sum>
struct SgmBlock {
  int64_t y, x, step, count;  ///< pixel n is (y, x + n step), step 1 or -1
  const uint8_t* costs;       ///< [count][V][kRowLanes]
  const Sum* sums;            ///< of this pass's messages, [count][V][kRowLanes]
  const Sum* others;          ///< of the other pass's, of pixel (y, 0) and on
};

template <class Sum, bool kPacked, int V>
class SgmWinners {
 public:
  SgmWinners(const CompactSgmArgs& args, const SgmRows& rows)
      : a_(args), rows_(rows), keys_{rows.keys} {}

  /// Once for a thread, before the first row.
  void prepare() const {
    std::memset(rows_.keys, 0xff, sizeof(uint16_t) * kKeyRows * KeyRows<V>::kRow);
    for (int v = 0; v < V; ++v) {
      for (int i = 0; i < kRowLanes; ++i) {
        const int label = i * V + v;
        rows_.labels[v * kRowLanes + i] = static_cast<uint16_t>(label);
        rows_.padding[v * kRowLanes + i] = label < a_.labels ? 0 : 0xffff;
      }
    }
  }
  void begin_row() const {
    const size_t bytes = sizeof(uint16_t) * static_cast<size_t>(V * rows_.right.stride);
    if (both_views()) std::memset(rows_.right.sums, 0xff, bytes);
  }
  void block(const SgmBlock<Sum>& whole) const {
    for (int64_t n = 0; n < whole.count; n += kKeyRows) {
      SgmBlock<Sum> b = whole;
      b.count = whole.count - n < kKeyRows ? whole.count - n : kKeyRows;
      b.x += n * b.step;
      b.costs += n * V * kRowLanes;
      b.sums += n * V * kRowLanes;
      left_winners(b);
      if (both_views()) right_winners(b);
    }
  }
  void end_row(int64_t y) const {
    if (both_views()) {
      mirrored_labels(rows_.right, V, kPacked ? 4095 : 65535, a_.width, rows_.right_labels);
      if (a_.right_labels != nullptr)
        write_right_labels(rows_.right_labels, a_.width, a_.right_labels + y * a_.width);
    }
    if (a_.disparity == nullptr) return;
    write_disparities(a_, rows_.left, y);
    if (a_.left_right_check) check_disparities(a_, rows_.right_labels, y);
  }

 private:
  bool both_views() const { return a_.left_right_check || a_.right_labels != nullptr; }
  static int64_t first_column(const SgmBlock<Sum>& b) {
    return b.step > 0 ? b.x : b.x - b.count + 1;
  }
  static int sum_of(int key) { return kPacked ? key >> kKeyBits : key; }

  /// Writes the keys of a pixel. Returns the least.
  int put_keys(const SgmBlock<Sum>& b, int64_t n, int64_t row) const {
    const int shift = a_.paths == 8 ? 3 : 2;
    const Sum* others = b.others + (b.x + n * b.step) * V * kRowLanes;
    const Words place = splat_word(static_cast<int>(row));
    Words low = ~Words{};
    for (int v = 0; v < V; ++v) {
      const WidePair cost = load_wide(b.costs + (n * V + v) * kRowLanes);
      const WidePair one = load_wide(b.sums + (n * V + v) * kRowLanes);
      const WidePair other = load_wide(others + v * kRowLanes);
      const uint16_t* padding = rows_.padding + v * kRowLanes;
      const auto key = [&](Words c, Words m, Words o, const uint16_t* pad) {
        const Words sum = (c << shift) + (m + o);
        return (kPacked ? (sum << kKeyBits) | place : sum) | load_lanes<Words>(pad);
      };
      const Words first = key(cost.low, one.low, other.low, padding),
                  second = key(cost.high, one.high, other.high, padding + kWordLanes);
      uint16_t* to = keys_.stripe(row, v);
      store_lanes(to, first);
      store_lanes(to + kWordLanes, second);
      low = lower(low, lower(first, second));
    }
    return least(low);
  }

  /// The lowest label with that key.
  int label_of(int64_t row, int key) const {
    const Words wanted = splat_word(key);
    Words low = ~Words{};
    for (int v = 0; v < V; ++v) {
      for (int i = 0; i < kRowLanes; i += kWordLanes) {
        const Words here = load_lanes<Words>(keys_.stripe(row, v) + i);
        const Words label = load_lanes<Words>(rows_.labels + v * kRowLanes + i);
        low = lower(low, here == wanted ? label : ~Words{});
      }
    }
    return least(low);
  }

  /// Has a label further than 1 from `label` a sum below `bound`?
  bool rivalled(int64_t row, int label, int bound) const {
    const Words before = splat_word(label - 1), two = splat_word(2);
    const Words limit = splat_word(kPacked ? bound << kKeyBits : bound);
    WordSet found{};
    for (int v = 0; v < V; ++v) {
      for (int i = 0; i < kRowLanes; i += kWordLanes) {
        const Words here = load_lanes<Words>(keys_.stripe(row, v) + i);
        const Words apart = load_lanes<Words>(rows_.labels + v * kRowLanes + i) - before;
        found |= both_less(here, limit, two, apart);
      }
    }
    return any(found);
  }

  /// Rivals of a best sum cost less than this.
  int bound_of(int best) const {
    constexpr float kNone = kPacked ? 4095.0F : 65535.0F;  // more than any sum
    const float least_allowed = a_.uniqueness * static_cast<float>(best);
    if (!(least_allowed < kNone)) return static_cast<int>(kNone);
    const int whole = static_cast<int>(least_allowed);
    return whole + (static_cast<float>(whole) < least_allowed);
  }

  void left_winners(const SgmBlock<Sum>& b) const {
    const int64_t first = first_column(b);
    for (int64_t row = 0; row < b.count; ++row) {
      const int64_t x = first + row, n = b.step > 0 ? row : b.count - 1 - row;
      const int key = put_keys(b, n, row), label = label_of(row, key), last = a_.labels - 1;
      a_.labels_out[b.y * a_.width + x] = label;
      if (a_.disparity == nullptr) continue;
      rows_.left.best[x] = static_cast<uint16_t>(sum_of(key));
      rows_.left.below[x] =
          static_cast<uint16_t>(sum_of(keys_.at(row, label > 0 ? label - 1 : label)));
      rows_.left.above[x] =
          static_cast<uint16_t>(sum_of(keys_.at(row, label < last ? label + 1 : label)));
      rows_.left.rivalled[x] = a_.uniqueness > 0.0F && rivalled(row, label, bound_of(sum_of(key)));
    }
  }

  /// Right column c + t (mirrored), c where label 0 of row 0 is, meets label t + n in row n.
  void right_winners(const SgmBlock<Sum>& b) const {
    const int64_t column = a_.width - 1 - first_column(b) + a_.min_disparity;
    if (column - kKeyRows >= a_.width || column + a_.labels <= 0) return;
    for (int s = 0; s < V; ++s) {
      Words keys[kChunks], places[kChunks];
      least_of_rows(b.count, s, keys, places);
      const int64_t ahead = column + s + V * int64_t{kRowLanes + kKeyRows};
      const int64_t to = ahead / V - kRowLanes - kKeyRows, stripe = ahead % V;
      for (int c = 0; c < kChunks; ++c) {
        const int u = c * kWordLanes - KeyRows<V>::kReach;
        if (to + u + kWordLanes <= 0 || to + u >= rows_.right.count) continue;
        keep(b.step > 0, stripe, to + u, u * V + s, keys[c], places[c]);
      }
    }
  }

  /// Elements -kReach and on of stripe s, row n read n labels further on.
  void least_of_rows(int64_t count, int s, Words* keys, Words* places) const {
    for (int c = 0; c < kChunks; ++c) {
      keys[c] = ~Words{};
      places[c] = Words{};
    }
    for (int64_t n = 0; n < count; ++n) {
      const auto label = static_cast<unsigned>(s) + static_cast<unsigned>(n);
      const uint16_t* from =
          keys_.stripe(n, static_cast<int>(label % V)) + label / V - KeyRows<V>::kReach;
      for (int c = 0; c < kChunks; ++c) {
        const Words here = load_lanes<Words>(from + c * kWordLanes);
        if constexpr (!kPacked)
          places[c] = here < keys[c] ? splat_word(static_cast<int>(n)) : places[c];
        keys[c] = lower(keys[c], here);
      }
    }
  }

  /// first: label of the first element in row 0, V less than that of the next. From block to block
  /// labels of a right pixel rise if x does.
  void keep(bool rising, int64_t stripe, int64_t at, int first, Words key, Words place) const {
    uint16_t* sums = rows_.right.stripe(rows_.right.sums, stripe) + at;
    uint16_t* labels = rows_.right.stripe(rows_.right.labels, stripe) + at;
    const Words old = load_lanes<Words>(sums), old_label = load_lanes<Words>(labels);
    const Words sum = kPacked ? key >> kKeyBits : key;
    const Words row = kPacked ? key & splat_word(kKeyRows - 1) : place;
    const Words label = splat_word(first) + row + load_lanes<Words>(rows_.labels);
    const Words better = rising ? (Words)(sum < old) : (Words)(sum <= old);
    store_lanes(sums, better ? sum : old);
    store_lanes(labels, better ? label : old_label);
  }

  static constexpr int kChunks = (KeyRows<V>::kReach + kRowLanes + kWordLanes - 1) /
                                 kWordLanes;  ///< of a stripe and its shift

  const CompactSgmArgs& a_;
  SgmRows rows_;
  KeyRows<V> keys_;
};

}  // namespace mrfcore::cpu::MRF_ISA
