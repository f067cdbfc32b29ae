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

#include "cpu/compact_sgm_plan.hpp"

namespace mrfcore::cpu::MRF_ISA {

inline constexpr float kNoDisparity = __builtin_nanf("");
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

/// Lowest sums and labels of a row of the right view, mirrored and in stripes.
struct RightRow {
  uint16_t* sums;
  uint16_t* labels;
  int64_t stride, count;  ///< of a stripe: elements in memory, columns
  static constexpr int64_t kMargin = 2 * kWordLanes;

  uint16_t* stripe(uint16_t* of, int64_t s) const { return of + s * stride + kMargin; }
};

/// Of a row of the left view.
struct LeftRow {
  uint16_t* best;  ///< sums of the best label, the one before it, the one after it
  uint16_t* below;
  uint16_t* above;
  uint8_t* rivalled;
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
    if (both_views()) end_right(y);
    if (a_.disparity == nullptr) return;
    disparities(y);
    if (a_.left_right_check) check(y);
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
    Words found{};
    for (int v = 0; v < V; ++v) {
      for (int i = 0; i < kRowLanes; i += kWordLanes) {
        const Words here = load_lanes<Words>(keys_.stripe(row, v) + i);
        const Words apart = load_lanes<Words>(rows_.labels + v * kRowLanes + i) - before;
        found |= (Words)(here < limit) & (Words)(apart > two);
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
      const int64_t ahead = column + s + V * int64_t{kRowLanes + kKeyRows};
      const int64_t to = ahead / V - kRowLanes - kKeyRows, stripe = ahead % V;
      for (int u = -KeyRows<V>::kReach; u < kRowLanes; u += kWordLanes) {
        if (to + u + kWordLanes <= 0 || to + u >= rows_.right.count) continue;
        Words key = ~Words{}, place{};
        least_of_rows(b.count, s, u, key, place);
        keep(b.step > 0, stripe, to + u, u * V + s, key, place);
      }
    }
  }

  /// Elements u and on of stripe s, rows shifted.
  void least_of_rows(int64_t count, int s, int u, Words& key, Words& place) const {
    for (int64_t n = 0; n < count; ++n) {
      const int label = s + static_cast<int>(n);
      const Words here = load_lanes<Words>(keys_.stripe(n, label % V) + u + label / V);
      if constexpr (!kPacked) place = here < key ? splat_word(static_cast<int>(n)) : place;
      key = lower(key, here);
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

  void end_right(int64_t y) const {
    constexpr int kNone = kPacked ? 4095 : 65535;
    for (int s = 0; s < V; ++s) {
      const uint16_t* sums = rows_.right.stripe(rows_.right.sums, s);
      const uint16_t* labels = rows_.right.stripe(rows_.right.labels, s);
      for (int64_t i = 0; i * V + s < a_.width; ++i)
        rows_.right_labels[i * V + s] = sums[i] < kNone ? labels[i] : uint16_t{0xffff};
    }
    if (a_.right_labels == nullptr) return;
    int32_t* out = a_.right_labels + y * a_.width;
    for (int64_t x = 0; x < a_.width; ++x) {
      const uint16_t label = rows_.right_labels[a_.width - 1 - x];
      out[x] = label == 0xffff ? -1 : label;
    }
  }

  void disparities(int64_t y) const {
    const int32_t* labels = a_.labels_out + y * a_.width;
    float* out = a_.disparity + y * a_.width;
    const int last = a_.labels - 1;
    for (int64_t x = 0; x < a_.width; ++x) {
      const float here = rows_.left.best[x], below = rows_.left.below[x],
                  above = rows_.left.above[x];
      const float bend = below - 2.0F * here + above;
      const bool bends = a_.subpixel && bend > 0.0F && labels[x] > 0 && labels[x] < last;
      float offset = (below - above) / (2.0F * (bends ? bend : 1.0F));
      offset = offset < -0.5F ? -0.5F : offset > 0.5F ? 0.5F : offset;
      const float whole = static_cast<float>(a_.min_disparity + labels[x]);
      const float disparity = bends ? whole + offset : whole;
      out[x] = rows_.left.rivalled[x] ? kNoDisparity : disparity;
    }
  }

  void check(int64_t y) const {
    const int32_t* labels = a_.labels_out + y * a_.width;
    float* out = a_.disparity + y * a_.width;
    for (int64_t x = 0; x < a_.width; ++x) {
      const int64_t match = a_.width - 1 - x + a_.min_disparity + labels[x];
      const bool inside = match >= 0 && match < a_.width;
      const int back = inside ? rows_.right_labels[match] : 0xffff;
      const int apart = back < labels[x] ? labels[x] - back : back - labels[x];
      if (back == 0xffff || apart > a_.max_difference) out[x] = kNoDisparity;
    }
  }

  const CompactSgmArgs& a_;
  SgmRows rows_;
  KeyRows<V> keys_;
};

}  // namespace mrfcore::cpu::MRF_ISA
