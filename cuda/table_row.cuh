// SPDX-License-Identifier: Apache-2.0
// out(l) = min_m h(m) + w V(m, l) for any V, of R rows at a time: what a lane reads of V serves all
// R, and the R values h(m) come in one load. Candidates and ties are those of convolve.cuh.
//
// Minima are taken kTile labels m at a time. Which tile a minimum came from is noted by one
// comparison a tile; the label is found in the end by computing that tile's candidates again.
#pragma once

#include <limits>

#include "convolve.cuh"

namespace mrfcore::cuda {

/// What labels beyond the last have for h: never the minimum.
template <class T>
inline constexpr T kNever = std::numeric_limits<T>::infinity();

/// The values of R rows at one label, beside one another in shared memory.
template <class T, int R>
struct alignas(R * sizeof(T)) Abreast {
  T row[R];
};

/// One instruction for floats, where lower() takes two. Of zeros it prefers the negative one, as
/// warp_minimum() does: equal, whatever is done with them.
__device__ __forceinline__ float least(float a, float b) { return min(a, b); }
__device__ __forceinline__ double least(double a, double b) { return lower(a, b); }

/// V in shared memory, in rows of NK * 32: addresses are known when compiling.
template <class T, int NK>
struct StagedTable {
  struct Row {
    const T* of_lane;
    __device__ __forceinline__ T at(int k) const { return of_lane[k * kWarp]; }
  };
  const T* of_lane;

  __device__ __forceinline__ Row row(int m) const { return {of_lane + m * NK * kWarp}; }
};

/// V where it is. Beyond the last row, it comes again; columns beyond are 0.
template <class T, int NK>
struct CachedTable {
  struct Row {
    const T* of_lane;
    int existing;  ///< labels from this lane's first one on
    __device__ __forceinline__ T at(int k) const {
      // NK labels a lane are for more than NK / 2.
      return k < NK / 2 || k * kWarp < existing ? __ldg(of_lane + k * kWarp) : T(0);
    }
  };
  const T* values;
  int64_t stride;
  int labels;

  __device__ __forceinline__ Row row(int m) const {
    const int64_t existing_row = m < labels ? m : labels - 1;
    return {values + (existing_row * stride + lane_index()), labels - lane_index()};
  }
};

template <class T, int NK, int R, bool Argmin, bool Unit, class Table>
struct TableConvolution {
  // One row has little to do while it waits for what it reads: more of it at a time.
  static constexpr int kTile = NK <= 2 && R > 1 ? 4 : 8;

  const Table& v;
  const Abreast<T, R>* h;  ///< kNever from label `labels` to the end of the last tile
  int labels;
  const T (&w)[R];
  Convolved<T, NK, Argmin> (&out)[R];

  __device__ __forceinline__ void run() const {
    start();
#pragma unroll 1
    for (int m = 0; m < labels; m += kTile) tile(m);
    if constexpr (Argmin) find_labels();
  }

 private:
  static __device__ __forceinline__ T candidate(T h_m, T v_ml, T weight) {
    return h_m + (Unit ? v_ml : v_ml * weight);
  }

  __device__ __forceinline__ void start() const {
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int k = 0; k < NK; ++k) {
        out[r].value.at[k] = kForbidden<T> * T(4);
        if constexpr (Argmin) out[r].from.at[k] = -1;
      }
    }
  }

  __device__ __forceinline__ void tile(int first) const {
    [[maybe_unused]] WarpRow<T, NK> before[R];
    if constexpr (Argmin) {
#pragma unroll
      for (int r = 0; r < R; ++r) before[r] = out[r].value;
    }
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      const Abreast<T, R> h_m = h[first + i];
      const typename Table::Row v_m = v.row(first + i);
#pragma unroll
      for (int k = 0; k < NK; ++k) {
        const T v_ml = v_m.at(k);
#pragma unroll
        for (int r = 0; r < R; ++r)
          out[r].value.at[k] = least(candidate(h_m.row[r], v_ml, w[r]), out[r].value.at[k]);
      }
    }
    if constexpr (Argmin) {
#pragma unroll
      for (int r = 0; r < R; ++r) {
#pragma unroll
        for (int k = 0; k < NK; ++k) {
          if (out[r].value.at[k] < before[r].at[k]) out[r].from.at[k] = first;
        }
      }
    }
  }

  /// From tiles to labels: the lowest of a tile that attains the minimum. Where there is no tile,
  /// all labels are forbidden, and any label will do. (Branches keep the compiler from fetching for
  /// all labels at once, for which there are no registers.)
  __device__ __forceinline__ void find_labels() const {
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int k = 0; k < NK; ++k) {
        const int first = out[r].from.at[k];
        int found = WarpRow<T, NK>::label(k);
        if (first >= 0) {
#pragma unroll
          for (int i = kTile - 1; i >= 0; --i) {
            const T value = candidate(h[first + i].row[r], v.row(first + i).at(k), w[r]);
            if (value == out[r].value.at[k]) found = first + i;
          }
        }
        out[r].from.at[k] = found;
      }
    }
  }
};

}  // namespace mrfcore::cuda
