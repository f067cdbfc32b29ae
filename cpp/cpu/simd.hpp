// SPDX-License-Identifier: Apache-2.0
// Fixed-width vectors by the compilers' vector extension; intrinsics where it has no word. Values
// see only + - * and min, in an order that does not depend on the length, and contraction is off,
// so every instruction set computes the same bits.
#pragma once

#include <cstdint>
#include <cstring>
#if MRF_VECTOR_BYTES > 16
#include <immintrin.h>
#endif

#include "cpu/lane.hpp"
#ifndef MRF_ISA
#error "files under cpp/cpu are compiled once per instruction set, with MRF_ISA defined"
#endif

namespace mrfcore::cpu::MRF_ISA {

inline constexpr int kVectorBytes = MRF_VECTOR_BYTES;

template <class T, int Bytes = kVectorBytes>
struct VecOf;
template <int Bytes>
struct VecOf<float, Bytes> {
  typedef float type __attribute__((vector_size(Bytes)));
};
template <int Bytes>
struct VecOf<double, Bytes> {
  typedef double type __attribute__((vector_size(Bytes)));
};
template <int Bytes>
struct VecOf<int32_t, Bytes> {
  typedef int32_t type __attribute__((vector_size(Bytes)));
};
template <int Bytes>
struct VecOf<int64_t, Bytes> {
  typedef int64_t type __attribute__((vector_size(Bytes)));
};
template <class T, int Bytes = kVectorBytes>
using Vec = typename VecOf<T, Bytes>::type;

template <class T>
using LabelVec = Vec<Lane<T>>;

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
inline Vec<T> load(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

template <class T>
inline void store(T* p, Vec<T> v) {
  std::memcpy(p, &v, sizeof(v));
}

template <class T>
inline Vec<T> splat(T x) {
  return x - Vec<T>{};  // 0 + x would turn -0 into 0, which costs an instruction
}

/// One instruction on x86: minps and vminps are this expression to the letter.
template <class V>
inline V vmin(V a, V b) {
  return a < b ? a : b;
}

/// Adds as a * 1 + b: exact product, one rounding, hence the bits of a + b. Where + and min share
/// their execution units (AMD's Zen: 2 of 4), the fused units, idle otherwise, double the
/// throughput of loops that add and minimise. Instruction sets without fused arithmetic just add.
template <class T>
class FusedAdd {
 public:
  Vec<T> operator()(Vec<T> a, Vec<T> b) const {
#if MRF_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4)
      return (Vec<T>)_mm512_fmadd_ps((__m512)a, (__m512)one_, (__m512)b);
    if constexpr (sizeof(T) == 8) {
      return (Vec<T>)_mm512_fmadd_pd((__m512d)a, (__m512d)one_, (__m512d)b);
    }
#elif MRF_VECTOR_BYTES == 32
    if constexpr (sizeof(T) == 4)
      return (Vec<T>)_mm256_fmadd_ps((__m256)a, (__m256)one_, (__m256)b);
    if constexpr (sizeof(T) == 8) {
      return (Vec<T>)_mm256_fmadd_pd((__m256d)a, (__m256d)one_, (__m256d)b);
    }
#else
    return a + b;
#endif
  }

#if MRF_VECTOR_BYTES > 16
  // The compiler must not know this 1, or it would write a plain addition.
  FusedAdd() { asm("" : "+v"(one_)); }

 private:
  Vec<T> one_ = splat(T(1));
#endif
};

/// The halves of a vector. Through memory, as a copy would go, this costs a dozen cycles.
#if MRF_VECTOR_BYTES > 16
inline Vec<float, 16> lower_half(Vec<float, 32> v) {
  return (Vec<float, 16>)_mm256_castps256_ps128((__m256)v);
}
inline Vec<float, 16> upper_half(Vec<float, 32> v) {
  return (Vec<float, 16>)_mm256_extractf128_ps((__m256)v, 1);
}
inline Vec<double, 16> lower_half(Vec<double, 32> v) {
  return (Vec<double, 16>)_mm256_castpd256_pd128((__m256d)v);
}
inline Vec<double, 16> upper_half(Vec<double, 32> v) {
  return (Vec<double, 16>)_mm256_extractf128_pd((__m256d)v, 1);
}
#endif
#if MRF_VECTOR_BYTES > 32
// Maskless extractions and casts of GCC's header read a variable that has no value, and it warns.
inline constexpr __mmask8 kAll = 0xff;
inline Vec<float, 32> lower_half(Vec<float, 64> v) {
  return (Vec<float, 32>)_mm512_maskz_extractf32x8_ps(kAll, (__m512)v, 0);
}
inline Vec<float, 32> upper_half(Vec<float, 64> v) {
  return (Vec<float, 32>)_mm512_maskz_extractf32x8_ps(kAll, (__m512)v, 1);
}
inline Vec<double, 32> lower_half(Vec<double, 64> v) {
  return (Vec<double, 32>)_mm512_maskz_extractf64x4_pd(kAll, (__m512d)v, 0);
}
inline Vec<double, 32> upper_half(Vec<double, 64> v) {
  return (Vec<double, 32>)_mm512_maskz_extractf64x4_pd(kAll, (__m512d)v, 1);
}
#endif

/// Smallest lane, from halves of halves.
template <class T, int Bytes = kVectorBytes>
inline T horizontal_min(Vec<T, Bytes> v) {
  if constexpr (Bytes > 16) {
    return horizontal_min<T, Bytes / 2>(vmin(lower_half(v), upper_half(v)));
  } else if constexpr (sizeof(T) == 8) {
    return vmin(v[0], v[1]);
  } else {
    return vmin(vmin(v[0], v[2]), vmin(v[1], v[3]));
  }
}

/// 0, 1, 2, ... in the lanes.
template <class T>
inline LabelVec<T> lane_numbers() {
  LabelVec<T> v;
  for (int i = 0; i < kLanes<T>; ++i) v[i] = i;
  return v;
}

/// l, l + 1, l + 2, ... in the lanes.
template <class T>
inline LabelVec<T> labels_from(int64_t l) {
  return lane_numbers<T>() + static_cast<Lane<T>>(l);
}

template <class T>
inline LabelVec<T> splat_label(int64_t label) {
  return LabelVec<T>{} + static_cast<Lane<T>>(label);
}

/// The best value so far and its label; the lower label wins ties, in whatever order they come.
template <class T>
struct Best {
  Vec<T> value;
  LabelVec<T> label;

  void offer(Vec<T> v, LabelVec<T> l) {
    const LabelVec<T> less = (LabelVec<T>)(v < value);
    const LabelVec<T> tie = (LabelVec<T>)(v == value) & (LabelVec<T>)(l < label);
    label = (less | tie) ? l : label;
    value = vmin(v, value);
  }
};

/// Minimum of a padded row (padding never wins, see padding rule in kernels.hpp).
template <class T>
inline T row_min(const T* row, int64_t padded) {
  Vec<T> m = load(row);
  for (int64_t l = kLanes<T>; l < padded; l += kLanes<T>) m = vmin(m, load(row + l));
  return horizontal_min<T>(m);
}

#if MRF_VECTOR_BYTES == 64
/// A mask as a number, by way of a general register: where GCC 12 is short of these, it stores the
/// mask's 16 bits and reads 32.
inline uint32_t mask_bits(uint32_t mask) {
  asm("" : "+r"(mask));
  return mask;
}
#endif

/// Bit i: lane i of a equals lane i of b.
template <class T>
inline uint64_t equal_bits(Vec<T> a, Vec<T> b) {
#if MRF_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    return mask_bits(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ));
  } else {
    return mask_bits(_mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_EQ_OQ));
  }
#elif MRF_VECTOR_BYTES == 32
  const auto equal = (a == b);
  if constexpr (sizeof(T) == 4) return static_cast<uint64_t>(_mm256_movemask_ps((__m256)equal));
  if constexpr (sizeof(T) == 8) return static_cast<uint64_t>(_mm256_movemask_pd((__m256d)equal));
#else
  uint64_t bits = 0;
  for (int i = 0; i < kLanes<T>; ++i) bits |= uint64_t{a[i] == b[i]} << i;
  return bits;
#endif
}

/// Lowest label < labels where the padded row has its minimum.
template <class T>
inline int32_t first_minimum(const T* row, int32_t labels, int64_t padded) {
  const Vec<T> lowest = splat<T>(row_min(row, padded));
  for (int64_t block = 0; block < padded; block += 64) {
    const int64_t end = block + 64 < padded ? block + 64 : padded;
    uint64_t bits = 0;
    for (int64_t l = block; l < end; l += kLanes<T>)
      bits |= equal_bits<T>(load(row + l), lowest) << (l - block);
    if (bits == 0) continue;
    const int32_t first = static_cast<int32_t>(block) + __builtin_ctzll(bits);
    return first < labels ? first : labels - 1;  // padding: where all labels are forbidden
  }
  return labels - 1;  // only if a NaN got in
}

/// base[at] in every lane.
template <class T>
inline Vec<T> gather_lanes(const T* base, LabelVec<T> at) {
#if MRF_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_i32gather_ps((__m512i)at, base, 4);
  if constexpr (sizeof(T) == 8) return (Vec<T>)_mm512_i64gather_pd((__m512i)at, base, 8);
#elif MRF_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm256_i32gather_ps(base, (__m256i)at, 4);
  if constexpr (sizeof(T) == 8) return (Vec<T>)_mm256_i64gather_pd(base, (__m256i)at, 8);
#else
  Vec<T> v;
  for (int i = 0; i < kLanes<T>; ++i) v[i] = base[at[i]];
  return v;
#endif
}

/// A table of few entries, in registers where an instruction looks up all lanes at once: several
/// times as fast as gathering them from memory.
template <class T>
class ShortTable {
 public:
  ShortTable(const T* values, int count) : values_(values) {
    static_cast<void>(count);
#if MRF_VECTOR_BYTES == 64
    if (sizeof(T) != 4 || count > 2 * kLanes<T>) return;
    in_registers_ = true;
    for (int i = 0; i < count; ++i) (i < kLanes<T> ? low_ : high_)[i % kLanes<T>] = values[i];
#endif
  }

  Vec<T> operator[](LabelVec<T> at) const {
#if MRF_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4) {
      if (in_registers_)
        return (Vec<T>)_mm512_permutex2var_ps((__m512)low_, (__m512i)at, (__m512)high_);
    }
#endif
    return gather_lanes<T>(values_, at);
  }

 private:
  const T* values_;
#if MRF_VECTOR_BYTES == 64
  bool in_registers_ = false;
  Vec<T> low_{}, high_{};
#endif
};

/// Sum over the lanes, upper half to lower half until one is left.
template <class T, int Bytes = kVectorBytes>
inline T halving_sum(Vec<T, Bytes> v) {
  if constexpr (Bytes > 16) {
    return halving_sum<T, Bytes / 2>(lower_half(v) + upper_half(v));
  } else if constexpr (sizeof(T) == 4) {
    return (v[0] + v[2]) + (v[1] + v[3]);
  } else {
    return v[0] + v[1];
  }
}

/// A sum over labels in 16 interleaved partial sums, whatever the vector length: the same bits on
/// every instruction set.
template <class T>
class OrderedSum {
 public:
  /// What labels l, l + 1, ... (l a multiple of kLanes) add; zero for labels that do not exist.
  void add(int64_t l, Vec<T> v) {
    Vec<T>& to = partial_[l / kLanes<T> % kParts];
    to = to + v;
  }
  T total() const {
    Vec<T> sums[kParts];
    for (int i = 0; i < kParts; ++i) sums[i] = partial_[i];
    for (int width = kParts / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) sums[i] = sums[i] + sums[i + width];
    }
    return halving_sum<T>(sums[0]);
  }

 private:
  static constexpr int kParts = 16 / kLanes<T>;
  Vec<T> partial_[kParts] = {};
};

/// v in the lanes of labels l + lane < n, zero in the others.
template <class T>
inline Vec<T> only_labels(Vec<T> v, int64_t l, int64_t n) {
  if (l + kLanes<T> <= n) return v;
  return (Vec<T>)(lane_numbers<T>() < splat_label<T>(n - l) ? v : Vec<T>{});
}

/// Of the first n labels of a padded row.
template <class T>
inline T ordered_sum(const T* row, int64_t n) {
  OrderedSum<T> sum;
  for (int64_t l = 0; l < n; l += kLanes<T>) sum.add(l, only_labels<T>(load(row + l), l, n));
  return sum.total();
}

}  // namespace mrfcore::cpu::MRF_ISA
