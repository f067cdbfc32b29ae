// SPDX-License-Identifier: Apache-2.0
// gh(argmin(l)) += g(l) by one warp, with the CPU's bits: four banks by l % 4, each summed in
// ascending l; labels beyond the last multiple of four go to bank 0; gh = (b0 + b1) + (b2 + b3).
//
// 32 labels at a time: eight lanes have a bank, each lane one label, and compares its arg-min with
// those of the bank's eight labels. All lanes of one arg-min come to the same sum and write it to
// the same place, so that it does not matter how many share it: 8 comparisons and 8 additions for
// 32 labels, where looking through all labels for one's own takes 32 of both for each of a lane's
// labels. Instructions of a warp for 32, 96 and 128 labels, as nvcc 13.0 makes them for sm_90: 77,
// 163 and 212; looking through all took 125, 815 and 1260. The chain of dependent steps: 8
// additions and two accesses to shared memory for 32 labels.
//
// Bank conflicts: the eight lanes of a bank read the same 16 bytes. The four sums of a label lie
// together, changing places every eight labels, so that neither equal arg-mins nor argmin(l) = l
// meet in a bank of memory.
#pragma once

#include "warp_row.cuh"

namespace mrfcore::cuda {

template <class T, int NK>
class Scatter {
 public:
  /// Shared memory of one warp; a multiple of 16.
  static constexpr int kBytes = NK * kWarp * (5 * static_cast<int>(sizeof(T)) + 4);

  /// `shared`: kBytes of this warp, aligned to 16.
  __device__ __forceinline__ explicit Scatter(T* shared)
      : sums_(shared),
        g_(shared + 4 * NK * kWarp),
        from_(reinterpret_cast<int*>(shared + 5 * NK * kWarp)) {
#pragma unroll
    for (int k = 0; k < NK; ++k) clear(k);
  }

  /// Arg-mins of labels that do not exist are not looked at.
  __device__ __forceinline__ WarpRow<T, NK> operator()(const WarpRow<T, NK>& g,
                                                       const WarpRow<int, NK>& from,
                                                       int labels) const {
    const int whole = labels / 4 * 4;
    put(g, from, whole);
    __syncwarp();
    Group now = group(0);
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      if (NK > 4 && k * kWarp >= whole) break;
      Group next = now;
      if (k + 1 < NK) next = group(k + 1);
      add(now, k == 0);
      now = next;
    }
    if (whole < labels) add_last(whole, labels);
    return taken();
  }

 private:
  static constexpr int kBanks = 4, kOfBank = kWarp / kBanks;
  template <class V>
  struct alignas(16) Eight {
    V at[kOfBank];
  };
  struct alignas(16) Four {
    T at[kBanks];
  };
  /// What a lane needs for one label of 32: its arg-min, and its bank's.
  struct Group {
    int own;
    Eight<int> from;
    Eight<T> g;
  };

  T* sums_;    ///< [NK * 32][4]
  T* g_;       ///< [NK][bank][8]
  int* from_;  ///< as g_; of labels that are no lane's to add: -1 - arg-min

  /// Where label l is in g_ and from_.
  static __device__ __forceinline__ int place(int l) {
    return (l & ~(kWarp - 1)) + (l % kBanks) * kOfBank + l % kWarp / kBanks;
  }
  __device__ __forceinline__ T& sum(int from, int bank) const {
    return sums_[from * kBanks + (bank ^ (from / kOfBank % kBanks))];
  }
  __device__ __forceinline__ void clear(int k) const {
    *reinterpret_cast<Four*>(sums_ + WarpRow<T, NK>::label(k) * kBanks) = Four{};
  }

  __device__ __forceinline__ void put(const WarpRow<T, NK>& g, const WarpRow<int, NK>& from,
                                      int whole) const {
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const int l = WarpRow<T, NK>::label(k), at = place(l);
      g_[at] = g.at[k];
      from_[at] = l < whole ? from.at[k] : -1 - from.at[k];
    }
  }
  __device__ __forceinline__ Group group(int k) const {
    const int at = k * kWarp + lane_index() / kOfBank * kOfBank;
    return {from_[k * kWarp + lane_index()], *reinterpret_cast<const Eight<int>*>(from_ + at),
            *reinterpret_cast<const Eight<T>*>(g_ + at)};
  }
  /// The next 32 labels; nothing has been added before the first.
  __device__ __forceinline__ void add(const Group& group, bool first) const {
    const bool mine = group.own >= 0;
    T& to = sum(mine ? group.own : 0, lane_index() / kOfBank);
    T total = T(0);
    if (!first && mine) total = to;
#pragma unroll
    for (int j = 0; j < kOfBank; ++j) {
      if (group.from.at[j] == group.own) total += group.g.at[j];
    }
    if (!first) __syncwarp();  // lanes of the same arg-min have read
    if (mine) to = total;
    __syncwarp();
  }
  /// Labels beyond the last multiple of four, one by one.
  __device__ __forceinline__ void add_last(int whole, int labels) const {
    if (lane_index() == 0) {
#pragma unroll 1
      for (int l = whole; l < labels; ++l) sum(-1 - from_[place(l)], 0) += g_[place(l)];
    }
    __syncwarp();
  }
  /// All sums; clears them for the next row.
  __device__ __forceinline__ WarpRow<T, NK> taken() const {
    WarpRow<T, NK> gh;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      // Changing places swaps within the two pairs or swaps the pairs: the same bits.
      const Four s = *reinterpret_cast<const Four*>(sums_ + WarpRow<T, NK>::label(k) * kBanks);
      gh.at[k] = (s.at[0] + s.at[1]) + (s.at[2] + s.at[3]);
      clear(k);
    }
    return gh;
  }
};

}  // namespace mrfcore::cuda
