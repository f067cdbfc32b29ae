// SPDX-License-Identifier: Apache-2.0
// A row of up to 256 labels held by one warp as 16-bit numbers, two in a register: lane i has
// labels K i .. K i + K - 1, so that a lane's labels are one word of memory and only the outermost
// ones travel between lanes.
//
// Numbers stay below 0x7c00 (kPackedLimit): additions never carry into the neighbour, and 16-bit
// floats of the same bits are ordered alike, which sm_80 and sm_86 have an instruction for.
#pragma once

#include <cstdint>

#include "device.cuh"
#include "warp_row.cuh"

namespace mrfcore::cuda {

constexpr unsigned kPackedLimit = 0x7c00;

/// Minimum of each half.
__device__ __forceinline__ unsigned lower2(unsigned a, unsigned b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  unsigned least;
  asm("min.f16x2 %0, %1, %2;" : "=r"(least) : "r"(a), "r"(b));
  return least;
#else
  return __vminu2(a, b);
#endif
}

/// The same number in both halves.
__device__ __forceinline__ unsigned twice(unsigned value) { return value * 0x10001U; }

template <int K>
struct PackedRow {
  unsigned at[K / 2];  ///< label K lane + 2 j in the low half, the next in the high one

  static __device__ __forceinline__ int first_label() { return K * lane_index(); }
};

/// A lane's part of a row as it lies in memory, one or two bytes per label.
template <int K, class Stored>
struct PackedWords {
  static constexpr int kBytes = K * static_cast<int>(sizeof(Stored));
  static constexpr int kWords = kBytes < 4 ? 1 : kBytes / 4;
  unsigned at[kWords];
};

template <int K, class Stored>
__device__ __forceinline__ PackedWords<K, Stored> read_words(const Stored* from) {
  using Words = PackedWords<K, Stored>;
  if constexpr (Words::kBytes == 2) return {*reinterpret_cast<const unsigned short*>(from)};
  if constexpr (Words::kBytes == 4) return {*reinterpret_cast<const unsigned*>(from)};
  if constexpr (Words::kBytes == 8) {
    const uint2 words = *reinterpret_cast<const uint2*>(from);
    return {words.x, words.y};
  }
  if constexpr (Words::kBytes == 16) {
    const uint4 words = *reinterpret_cast<const uint4*>(from);
    return {words.x, words.y, words.z, words.w};
  }
}

template <int K, class Stored>
__device__ __forceinline__ void write_words(Stored* to, const PackedWords<K, Stored>& words) {
  constexpr int kBytes = PackedWords<K, Stored>::kBytes;
  if constexpr (kBytes == 2) {
    *reinterpret_cast<unsigned short*>(to) = static_cast<unsigned short>(words.at[0]);
  }
  if constexpr (kBytes == 4) *reinterpret_cast<unsigned*>(to) = words.at[0];
  if constexpr (kBytes == 8) {
    *reinterpret_cast<uint2*>(to) = make_uint2(words.at[0], words.at[1]);
  }
  if constexpr (kBytes == 16) {
    *reinterpret_cast<uint4*>(to) = make_uint4(words.at[0], words.at[1], words.at[2], words.at[3]);
  }
}

/// As 16-bit numbers.
template <int K, class Stored>
__device__ __forceinline__ PackedRow<K> unpacked(const PackedWords<K, Stored>& words) {
  PackedRow<K> row;
#pragma unroll
  for (int j = 0; j < K / 2; ++j) {
    if constexpr (sizeof(Stored) == 2) {
      row.at[j] = words.at[j];
    } else {
      row.at[j] = __byte_perm(words.at[j / 2], 0, j % 2 == 0 ? 0x4140 : 0x4342);
    }
  }
  return row;
}

/// Numbers that fit `Stored`.
template <int K, class Stored>
__device__ __forceinline__ PackedWords<K, Stored> packed(const PackedRow<K>& row) {
  PackedWords<K, Stored> words;
#pragma unroll
  for (int i = 0; i < PackedWords<K, Stored>::kWords; ++i) {
    if constexpr (sizeof(Stored) == 2) {
      words.at[i] = row.at[i];
    } else if constexpr (K == 2) {
      words.at[i] = __byte_perm(row.at[i], 0, 0x6420);
    } else {
      words.at[i] = __byte_perm(row.at[2 * i], row.at[2 * i + 1], 0x6420);
    }
  }
  return words;
}

/// A lane's costs, from where its first label is. `whole`: they are an aligned word; else bytes are
/// read one by one. Labels that do not exist cost 0.
template <int K>
__device__ __forceinline__ PackedWords<K, uint8_t> read_costs(const uint8_t* from, int labels,
                                                              bool whole) {
  PackedWords<K, uint8_t> words{};
  const int first = PackedRow<K>::first_label();
  if (whole) {
    if (first < labels) words = read_words<K, uint8_t>(from);
  } else {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (first + k < labels) words.at[k / 4] |= static_cast<unsigned>(from[k]) << (k % 4 * 8);
    }
  }
  return words;
}

template <int K>
__device__ __forceinline__ unsigned row_minimum(const PackedRow<K>& row) {
  unsigned least = row.at[0];
#pragma unroll
  for (int j = 1; j < K / 2; ++j) least = lower2(least, row.at[j]);
  return __reduce_min_sync(kAllLanes, min(least & 0xffffU, least >> 16));
}

}  // namespace mrfcore::cuda
