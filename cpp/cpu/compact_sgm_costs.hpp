// SPDX-License-Identifier: Apache-2.0
// Matching costs of a pixel, all labels at once, in bytes. They are made again in each pass rather
// than kept: a byte written and read costs as much as the 45 operations on a vector that make it.
#pragma once

#include "cpu/compact_sgm_plan.hpp"

namespace mrfcore::cpu::MRF_ISA {

#if MRF_VECTOR_BYTES == 64
inline Bytes odd_bits(Bytes a, Bytes b, Bytes c) {
  return (Bytes)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, (__m512i)c, 0x96);
}
inline Bytes majority_bits(Bytes a, Bytes b, Bytes c) {
  return (Bytes)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, (__m512i)c, 0xe8);
}
#else
inline Bytes odd_bits(Bytes a, Bytes b, Bytes c) { return a ^ b ^ c; }
inline Bytes majority_bits(Bytes a, Bytes b, Bytes c) { return (a & b) | (c & (a | b)); }
#endif

/// Counts set bits, all of a byte at once by looking up its halves.
class BitCounter {
 public:
  BitCounter() {
    for (int i = 0; i < kRowLanes; ++i) {
      const int ones = (i & 1) + (i >> 1 & 1) + (i >> 2 & 1) + (i >> 3 & 1);
      once_[i] = static_cast<uint8_t>(ones);
      twice_[i] = static_cast<uint8_t>(2 * ones);
      fourfold_[i] = static_cast<uint8_t>(4 * ones);
    }
  }
  /// Of kCount bytes in each element. Adders of three bits (a sum, a carry) go before counting
  /// where they take a byte out of it.
  template <int kCount>
  Bytes count(const Bytes* v) const {
    static_assert(kCount == 1 || kCount == 3 || kCount == 6 || kCount == 8);
    if constexpr (kCount == 1) {
      return look(once_, v[0]);
    } else if constexpr (kCount == 3) {
      return look(once_, odd_bits(v[0], v[1], v[2])) +
             look(twice_, majority_bits(v[0], v[1], v[2]));
    } else if constexpr (kCount == 6) {
      return count<3>(v) + count<3>(v + 3);
    } else {
      const Bytes one = odd_bits(v[0], v[1], v[2]), other = odd_bits(v[3], v[4], v[5]);
      const Bytes carry = majority_bits(v[0], v[1], v[2]), second = majority_bits(v[3], v[4], v[5]),
                  third = majority_bits(one, other, v[6]);
      return look(once_, odd_bits(one, other, v[6])) + look(once_, v[7]) +
             (look(twice_, odd_bits(carry, second, third)) +
              look(fourfold_, majority_bits(carry, second, third)));
    }
  }

 private:
  static Bytes look(Bytes table, Bytes v) {
    const Bytes half = splat_byte(15);
    return look_up(table, v & half) + look_up(table, (Bytes)((Words)v >> 4) & half);
  }
  Bytes once_, twice_, fourfold_;
};

template <int kBytes>
struct CensusCost {
  static constexpr int kPlanes = kBytes;
  BitCounter bits;
  Bytes operator()(const Bytes* left, const uint8_t* right, int64_t plane) const {
    Bytes differ[kBytes];
    for (int k = 0; k < kBytes; ++k) differ[k] = left[k] ^ load_lanes<Bytes>(right + k * plane);
    return bits.count<kBytes>(differ);
  }
};

/// A sum over channels stops at 255, where it is truncated at the latest.
template <int kChannels>
struct AbsoluteCost {
  static constexpr int kPlanes = kChannels;
  Bytes operator()(const Bytes* left, const uint8_t* right, int64_t plane) const {
    Bytes sum{};
    for (int c = 0; c < kChannels; ++c) {
      const Bytes r = load_lanes<Bytes>(right + c * plane);
      sum = add_saturated(sum, upper(left[c], r) - lower(left[c], r));
    }
    return sum;
  }
};

/// The smaller distance of a pixel to the other's interval.
template <int kChannels>
struct BirchfieldTomasiCost {
  static constexpr int kPlanes = 3 * kChannels;
  Bytes operator()(const Bytes* left, const uint8_t* right, int64_t plane) const {
    Bytes sum{};
    for (int c = 0; c < kChannels; ++c) {
      const Bytes* l = left + 3 * c;
      const uint8_t* at = right + 3 * c * plane;
      const Bytes r = load_lanes<Bytes>(at), low = load_lanes<Bytes>(at + plane),
                  high = load_lanes<Bytes>(at + 2 * plane);
      sum = add_saturated(sum, lower(upper(excess(l[0], high), excess(low, l[0])),
                                     upper(excess(r, l[2]), excess(l[1], r))));
    }
    return sum;
  }
};

/// Labels of one column that have a partner in the right image: first .. first + count - 1.
struct InsideLabels {
  int64_t first, count;
  InsideLabels(int64_t column, int64_t width, int64_t labels) {
    const int64_t begin = column < 0 ? -column : 0, end = width - column;
    first = begin < labels ? begin : labels;
    count = (end < labels ? end : labels) - first;
    if (count < 0) count = 0;
  }
};

/// Costs of `count` pixels of row y into to[count][V][kRowLanes], from column x on, going in steps
/// of `step`. Padded labels cost 255.
template <class Cost, int V>
void costs_of_block(const CompactSgmArgs& args, const SgmFeatures& f, int64_t y, int64_t x,
                    int64_t step, int64_t count, uint8_t* to) {
  const Cost cost{};
  const Bytes truncation = splat_byte(args.truncation), border = splat_byte(args.border);
  Bytes labels[V], padding[V];
  for (int v = 0; v < V; ++v) {
    for (int i = 0; i < kRowLanes; ++i) {
      labels[v][i] = static_cast<uint8_t>(i * V + v);
      padding[v][i] = i * V + v < args.labels ? 0 : 255;
    }
  }
  // Copies: what is stored could be any of the arguments, for all the compiler knows.
  const uint8_t* left = f.left(y);
  const uint8_t* right = f.right(y) - kRowLanes;
  const int64_t left_stride = f.left_stride, stripe = f.right_stride, plane = V * stripe;
  const int64_t width = args.width, all = args.labels, shift = width - 1 + args.min_disparity;
  for (int64_t n = 0; n < count; ++n, x += step, to += V * kRowLanes) {
    const int64_t column = shift - x;  // of label 0, mirrored
    const InsideLabels inside(column, width, all);
    if (inside.count == 0) {
      for (int v = 0; v < V; ++v) store_lanes(to + v * kRowLanes, border | padding[v]);
      continue;
    }
    Bytes here[Cost::kPlanes];
    for (int k = 0; k < Cost::kPlanes; ++k) here[k] = splat_byte(left[k * left_stride + x]);
    for (int v = 0; v < V; ++v) {
      const auto ahead = static_cast<uint64_t>(column + v + V * kRowLanes);  // not negative
      const uint8_t* there = right + static_cast<int64_t>(ahead % V) * stripe + ahead / V;
      Bytes found = lower(cost(here, there, plane), truncation);
      if (inside.count < all) {
        const Bytes distance = labels[v] - splat_byte(static_cast<int>(inside.first));
        found = distance < splat_byte(static_cast<int>(inside.count)) ? found : border;
      }
      store_lanes(to + v * kRowLanes, found | padding[v]);
    }
  }
}

using BlockCosts = void (*)(const CompactSgmArgs&, const SgmFeatures&, int64_t y, int64_t x,
                            int64_t step, int64_t count, uint8_t* to);

template <int V>
BlockCosts block_costs(const CompactSgmArgs& a) {
  const bool grey = a.channels == 1;
  if (a.cost == StereoCost::Absolute)
    return grey ? costs_of_block<AbsoluteCost<1>, V> : costs_of_block<AbsoluteCost<3>, V>;
  if (a.cost == StereoCost::BirchfieldTomasi)
    return grey ? costs_of_block<BirchfieldTomasiCost<1>, V>
                : costs_of_block<BirchfieldTomasiCost<3>, V>;
  switch (sgm_planes(a)) {
    case 1:
      return costs_of_block<CensusCost<1>, V>;
    case 3:
      return costs_of_block<CensusCost<3>, V>;
    case 6:
      return costs_of_block<CensusCost<6>, V>;
    default:
      return costs_of_block<CensusCost<8>, V>;
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
