// SPDX-License-Identifier: Apache-2.0
// The recursion of semi-global matching (Hirschmueller 2008, Eq 13), for all paths of a pass that
// come from behind: along the row, and down the column and both diagonals from the row before.
//
// With L' the path cost of the predecessor, its minimum taken off on reading,
//   M(l) = min(L'(l), L'(l - 1) + p1, L'(l + 1) + p1, min L' + p2) - min L',  L(l) = C(l) + M(l).
// L replaces L' where it lies: paths down a column or a diagonal have a slot each, which goes round
// with the row. Operations on a vector and path: 8, and a share of the shifts and of the minimum.
#pragma once

#include "cpu/compact_sgm_plan.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Path costs where a pass stands: T [slots][V][kRowLanes] of each path from the row before, and
/// the minimum of every slot. More slots than columns: `spare` rows may be under way at a time.
template <class T>
struct SgmSlots {
  int64_t slots, row;
  int count;  ///< of paths
  T* paths[3];
  T* least[3];
  T* zeros;  ///< what a path's first pixel sees

  static SgmSlots take(const CompactSgmArgs& a, int64_t row, int64_t spare, Pieces& pieces) {
    SgmSlots s{};
    s.slots = a.width + spare;
    s.row = row;
    s.count = a.paths / 2 - 1;
    for (int r = 0; r < s.count; ++r) {
      s.paths[r] = pieces.take<T>(s.slots * row);
      s.least[r] = pieces.take<T>(s.slots);
    }
    s.zeros = pieces.take<T>(row);
    return s;
  }
  /// As they are before the first row.
  void clear() const {
    for (int r = 0; r < count; ++r) {
      std::memset(paths[r], 0, sizeof(T) * static_cast<size_t>(slots * row));
      std::memset(least[r], 0, sizeof(T) * static_cast<size_t>(slots));
    }
    std::memset(zeros, 0, sizeof(T) * static_cast<size_t>(row));
  }
};

/// The path along the row, of one thread.
template <class T>
struct AlongRow {
  T* path;
  int least;
};

template <class T>
struct SgmPenalties {
  Lanes<T> p1, p2;
};

/// One path to one pixel. Returns the minimum of each element over the row's vectors.
template <class T, class Sum, int V>
inline Lanes<T> advance(const T* before, int least_before, const SgmPenalties<T>& penalties,
                        const Lanes<T>* cost, Lanes<Sum>* sum, T* path) {
  Lanes<T> old[V];
  for (int v = 0; v < V; ++v) old[v] = load_lanes<Lanes<T>>(before + v * kRowLanes);
  const Lanes<T> first = moved_up(old[V - 1]), last = moved_down(old[0]);
  const Lanes<T> lowest = splat_lanes<T>(least_before), cap = lowest + penalties.p2;
  Lanes<T> low{};
  for (int v = 0; v < V; ++v) {
    const Lanes<T> beside = lower(v == 0 ? first : old[v == 0 ? 0 : v - 1],
                                  v == V - 1 ? last : old[v == V - 1 ? v : v + 1]);
    const Lanes<T> message =
        lower(lower(add_saturated(beside, penalties.p1), old[v]), cap) - lowest;
    const Lanes<T> next = add_saturated(cost[v], message);  // saturates in padding only
    sum[v] = sum[v] + lanes_of<Sum>(message);
    low = v == 0 ? next : lower(low, next);
    store_lanes(path + v * kRowLanes, next);
  }
  return low;
}

/// Pixels begin .. begin + count - 1 of step `row` of a pass, counted from where it starts: costs
/// [count][V][kRowLanes] in, sums of messages in the same form out.
template <class T, class Sum, int V, int kPaths>
void paths_of_block(const CompactSgmArgs& args, const SgmSlots<T>& slots, AlongRow<T>& along,
                    int64_t row, int64_t begin, int64_t count, const uint8_t* costs, Sum* sums) {
  constexpr int kRow = V * kRowLanes;
  const SgmPenalties<T> penalties{splat_lanes<T>(args.p1), splat_lanes<T>(args.p2)};
  // Where the paths of (row, column) lie: (row - 1, column -+ 1) is in the same slot.
  int64_t falling = (begin + slots.slots - row % slots.slots) % slots.slots;
  int64_t rising = (begin + row) % slots.slots;
  for (int64_t n = 0; n < count; ++n, costs += kRow, sums += kRow) {
    const int64_t column = begin + n;
    Lanes<T> cost[V];
    Lanes<Sum> sum[V];
    for (int v = 0; v < V; ++v) {
      cost[v] = lanes_of<T>(load_lanes<Bytes>(costs + v * kRowLanes));
      sum[v] = Lanes<Sum>{};
    }
    const auto come = [&](int path, int64_t slot, bool starts) {
      T* at = slots.paths[path] + slot * kRow;
      T* low = slots.least[path] + slot;
      *low = static_cast<T>(least(advance<T, Sum, V>(starts ? slots.zeros : at, starts ? 0 : *low,
                                                     penalties, cost, sum, at)));
    };
    along.least =
        least(advance<T, Sum, V>(along.path, along.least, penalties, cost, sum, along.path));
    come(0, column, false);
    if constexpr (kPaths == 8) {
      come(1, falling, column == 0);
      come(2, rising, column == args.width - 1);
      falling = falling + 1 == slots.slots ? 0 : falling + 1;
      rising = rising + 1 == slots.slots ? 0 : rising + 1;
    }
    for (int v = 0; v < V; ++v) store_lanes(sums + v * kRowLanes, sum[v]);
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
