// SPDX-License-Identifier: Apache-2.0
//
// Flat kernel on bytes: whole numbers, hence exact in any order. A vector holds neighbouring
// columns of a window and goes down its rows; what varies by column is weighted at the end.
#include "cpu/mean_shift_filter.hpp"

#include <cstdint>
#include <cstring>

#include "cpu/mean_shift_window.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

void filter_floats(const FloatFilterArgs& args);  // mean_shift_filter_float.cpp

namespace {

constexpr int64_t kMostRows = 256;  // 256 * 255 fits 16 bits

template <class U>
constexpr int kCount = kVectorBytes / static_cast<int>(sizeof(U));

/// uint16_t, or uint32_t where the squared radius does not fit 16 bits.
template <class U>
struct LanesOf {
  typedef U type __attribute__((vector_size(kVectorBytes)));
  typedef uint16_t stored __attribute__((vector_size(2 * kCount<U>)));
};
template <int kBytes>
struct WordsOf {
  typedef uint32_t type __attribute__((vector_size(kBytes)));
};
template <class U>
using Lanes = typename LanesOf<U>::type;

template <class U>
inline Lanes<U> load_values(const uint16_t* from) {
  typename LanesOf<U>::stored v;
  std::memcpy(&v, from, sizeof(v));
  return __builtin_convertvector(v, Lanes<U>);
}

/// Sums over the pixels that are near, places counted from the window's corner.
template <int kChannels>
struct ByteSums {
  int64_t count = 0, y = 0, x = 0;
  int64_t colour[kChannels] = {};
};

/// a + b, or the largest value.
template <class U>
inline Lanes<U> add_saturated(Lanes<U> a, Lanes<U> b) {
#if MRF_VECTOR_BYTES == 64
  if constexpr (sizeof(U) == 2) return (Lanes<U>)_mm512_adds_epu16((__m512i)a, (__m512i)b);
#elif MRF_VECTOR_BYTES == 32
  if constexpr (sizeof(U) == 2) return (Lanes<U>)_mm256_adds_epu16((__m256i)a, (__m256i)b);
#endif
  const Lanes<U> sum = a + b;
  return sum | (Lanes<U>)(sum < a);
}

/// Sum of 32-bit lanes, by halves.
template <int kBytes>
inline uint32_t sum_halves(typename WordsOf<kBytes>::type v) {
  if constexpr (kBytes > 8) {
    typename WordsOf<kBytes / 2>::type low, high;
    std::memcpy(&low, &v, kBytes / 2);
    std::memcpy(&high, reinterpret_cast<const char*>(&v) + kBytes / 2, kBytes / 2);
    return sum_halves<kBytes / 2>(low + high);
  } else {
    return v[0] + v[1];
  }
}

/// Sum over all lanes, which fits 32 bits.
template <class U>
inline int64_t sum_lanes(Lanes<U> v) {
  Lanes<uint32_t> wide = (Lanes<uint32_t>)v;
  if constexpr (sizeof(U) == 2) wide = (wide & 0xffffu) + (wide >> 16);
  return sum_halves<kVectorBytes>(wide);
}

template <class U>
inline Lanes<U> column_numbers() {
  Lanes<U> v;
  for (int i = 0; i < kCount<U>; ++i) v[i] = static_cast<U>(i);
  return v;
}

/// A vector's width of columns, at most kMostRows rows.
template <class U, int kChannels>
inline void add_block(const ByteFilterArgs& args, int64_t first, int64_t columns, int64_t rows,
                      const int64_t (&centre)[kChannels], ByteSums<kChannels>& sums) {
  const Lanes<U> numbers = column_numbers<U>();
  const Lanes<U> inside =
      (Lanes<U>)(numbers < static_cast<U>(columns < kCount<U> ? columns : kCount<U>));
  const U most = static_cast<U>(args.most);
  Lanes<U> count{}, down{}, total[kChannels] = {};
  for (int64_t row = 0; row < rows; ++row, first += args.frame.width) {
    Lanes<U> value[kChannels], square{};
    for (int c = 0; c < kChannels; ++c) {
      value[c] = load_values<U>(args.planes + first + c * args.frame.plane);
      const Lanes<U> d = value[c] - static_cast<U>(centre[c]);  // wraps; its square does not
      square = add_saturated<U>(square, d * d);
    }
    const Lanes<U> near = (Lanes<U>)(square <= most) & inside;
    count -= near;
    down += near & static_cast<U>(row);
    for (int c = 0; c < kChannels; ++c) total[c] += near & value[c];
  }
  sums.count += sum_lanes<U>(count);
  sums.y += sum_lanes<U>(down);
  sums.x += sum_lanes<U>(count * numbers);
  for (int c = 0; c < kChannels; ++c) sums.colour[c] += sum_lanes<U>(total[c]);
}

template <int kChannels>
using ByteState = FilterState<int64_t, kChannels>;

template <class U, int kChannels>
bool move(const ByteFilterArgs& args, const ByteState<kChannels>& from, ByteState<kChannels>& to) {
  const FilterWindow window(args.frame, from.y, from.x);
  int64_t count = 0, y = 0, x = 0, colour[kChannels] = {};
  for (int64_t row = 0; row < window.rows; row += kMostRows) {
    const int64_t rows = window.rows - row < kMostRows ? window.rows - row : kMostRows;
    for (int64_t column = 0; column < window.columns; column += kCount<U>) {
      const int64_t first = (window.y + row) * args.frame.width + window.x + column;
      ByteSums<kChannels> sums;
      add_block<U, kChannels>(args, first, window.columns - column, rows, from.colour, sums);
      count += sums.count;
      y += sums.y + sums.count * row;
      x += sums.x + sums.count * column;
      for (int c = 0; c < kChannels; ++c) colour[c] += sums.colour[c];
    }
  }
  if (count == 0) return false;
  const double share = 1.0 / static_cast<double>(count);
  to.y = nearest(static_cast<double>(y + count * window.y) * share);
  to.x = nearest(static_cast<double>(x + count * window.x) * share);
  for (int c = 0; c < kChannels; ++c)
    to.colour[c] = nearest(static_cast<double>(colour[c]) * share);
  return true;
}

template <class U, int kChannels>
void filter(const ByteFilterArgs& args) {
  filter_pixels<ByteState<kChannels>>(
      args.frame,
      [&args](int64_t pixel, ByteState<kChannels>& state) {
        for (int c = 0; c < kChannels; ++c)
          state.colour[c] = args.planes[pixel + c * args.frame.plane];
      },
      [&args](const ByteState<kChannels>& from, ByteState<kChannels>& to) {
        return move<U, kChannels>(args, from, to);
      },
      [&args](int64_t pixel, const ByteState<kChannels>& state) {
        for (int c = 0; c < kChannels; ++c)
          args.out[pixel + c * args.frame.plane] = static_cast<uint16_t>(state.colour[c]);
      });
}

void filter_bytes(const ByteFilterArgs& args) {
  const bool wide = args.most >= 65535;  // where 16 bits saturate
  if (args.frame.channels == 1) {
    wide ? filter<uint32_t, 1>(args) : filter<uint16_t, 1>(args);
  } else {
    wide ? filter<uint32_t, 3>(args) : filter<uint16_t, 3>(args);
  }
}

}  // namespace

const MeanShiftFilterKernels& mean_shift_filter_kernels() {
  static constexpr MeanShiftFilterKernels table{filter_bytes, filter_floats};
  return table;
}

}  // namespace mrfcore::cpu::MRF_ISA
