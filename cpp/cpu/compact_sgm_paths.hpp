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

/// The path along the row, of one thread: path costs [V][kRowLanes], and their minimum in all
/// elements of a vector.
template <class T>
struct AlongRow {
  T* path;
  T* least;
  int64_t row;

  static AlongRow take(int64_t row, Pieces& pieces) {
    return {pieces.take<T>(row), pieces.take<T>(kRowLanes), row};
  }
  /// As it is before the first pixel.
  void clear() const {
    std::memset(path, 0, sizeof(T) * static_cast<size_t>(row));
    std::memset(least, 0, sizeof(T) * kRowLanes);
  }
};

template <class T>
struct SgmPenalties {
  Lanes<T> p1, p2;
};

/// One path to one pixel, from path costs `old` with that minimum (in all elements) to `next`,
/// which may be the same. Returns the minimum of each element over the vectors.
template <class T, class Sum, int V>
inline Lanes<T> advance(const Lanes<T>* old, Lanes<T> lowest, const SgmPenalties<T>& penalties,
                        const Lanes<T>* cost, Lanes<Sum>* sum, Lanes<T>* next) {
  const Lanes<T> cap = lowest + penalties.p2;
  const Lanes<T> last = moved_down(old[0]);
  Lanes<T> before = moved_up(old[V - 1]), low{};
  for (int v = 0; v < V; ++v) {
    const Lanes<T> here = old[v];
    const Lanes<T> beside = lower(before, v == V - 1 ? last : old[v == V - 1 ? v : v + 1]);
    const Lanes<T> message = lower(lower(add_saturated(beside, penalties.p1), here), cap) - lowest;
    sum[v] = sum[v] + lanes_of<Sum>(message);
    next[v] = add_saturated(cost[v], message);  // saturates in padding only
    low = v == 0 ? next[v] : lower(low, next[v]);
    before = here;
  }
  return low;
}

/// Pixels begin .. begin + count - 1 of step `row` of a pass, counted from where it starts: costs
/// [count][V][kRowLanes] in, sums of messages in the same form out.
template <class T, class Sum, int V, int kPaths>
void paths_of_block(const CompactSgmArgs& args, const SgmSlots<T>& slots, const AlongRow<T>& along,
                    int64_t row, int64_t begin, int64_t count, const uint8_t* costs, Sum* sums) {
  constexpr int kRow = V * kRowLanes;
  const SgmPenalties<T> penalties{splat_lanes<T>(args.p1), splat_lanes<T>(args.p2)};
  // Where the paths of (row, column) lie: (row - 1, column -+ 1) is in the same slot.
  int64_t falling = (begin + slots.slots - row % slots.slots) % slots.slots;
  int64_t rising = (begin + row) % slots.slots;
  Lanes<T> path[V], lowest = load_lanes<Lanes<T>>(along.least);
  for (int v = 0; v < V; ++v) path[v] = load_lanes<Lanes<T>>(along.path + v * kRowLanes);
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
      const T* from = starts ? slots.zeros : at;
      const T* from_low = starts ? slots.zeros : low;
      Lanes<T> costs_of_path[V];
      for (int v = 0; v < V; ++v) costs_of_path[v] = load_lanes<Lanes<T>>(from + v * kRowLanes);
      *low = static_cast<T>(least(advance<T, Sum, V>(costs_of_path, splat_lanes<T>(*from_low),
                                                     penalties, cost, sum, costs_of_path)));
      for (int v = 0; v < V; ++v) store_lanes(at + v * kRowLanes, costs_of_path[v]);
    };
    // The one chain of operations from pixel to pixel: it stays in registers.
    lowest = least_everywhere(advance<T, Sum, V>(path, lowest, penalties, cost, sum, path));
    come(0, column, false);
    if constexpr (kPaths == 8) {
      come(1, falling, column == 0);
      come(2, rising, column == args.width - 1);
      falling = falling + 1 == slots.slots ? 0 : falling + 1;
      rising = rising + 1 == slots.slots ? 0 : rising + 1;
    }
    for (int v = 0; v < V; ++v) store_lanes(sums + v * kRowLanes, sum[v]);
  }
  store_lanes(along.least, lowest);
  for (int v = 0; v < V; ++v) store_lanes(along.path + v * kRowLanes, path[v]);
}

}  // namespace mrfcore::cpu::MRF_ISA
