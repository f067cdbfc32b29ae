// SPDX-License-Identifier: Apache-2.0
//
// Flat and Gaussian kernels on float32. Windows are cut into blocks of 16 columns; every column of
// a block has a sum of its own down the rows, the 16 are added by halves, and the blocks in double:
// an order that no vector length changes, and that half a warp keeps, too (cuda/).
#include <cstdint>

#include "cpu/filter_rows.hpp"
#include "cpu/mean_shift_filter.hpp"
#include "cpu/mean_shift_window.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

void filter_floats(const FloatFilterArgs& args);

namespace {

template <int kChannels>
using FloatState = FilterState<float, kChannels>;

/// What is summed: weights, weight * row, weight * column, weight * colours.
template <int kChannels>
constexpr int kTerms = 3 + kChannels;

/// One block: sums of the columns, [term][column].
template <int kChannels>
struct ColumnSums {
  alignas(64) float at[kTerms<kChannels>][kFilterColumns];
};

/// A vector's width of columns, all rows, into `sums` from `lane` on.
template <int kChannels, bool kGaussian>
inline void add_columns(const FloatFilterArgs& args, const FilterWindow& window, int64_t column,
                        const FloatState<kChannels>& centre, int lane,
                        ColumnSums<kChannels>& sums) {
  const FilterFrame& frame = args.frame;
  const LabelVec<float> numbers = labels_from<float>(column);
  const LabelVec<float> inside = (LabelVec<float>)(numbers < static_cast<int32_t>(window.columns));
  Vec<float> across = splat(1.0F);  // the Gaussian of the distance in x
  if constexpr (kGaussian) {
    for (int i = 0; i < kLanes<float>; ++i) {
      const int64_t x = window.x + column + i - centre.x, distance = x < 0 ? -x : x;
      across[i] = distance <= frame.radius ? args.distance[distance] : 0.0F;
    }
  }
  Vec<float> weight{}, down{}, colour[kChannels] = {};
  const float* first = args.planes + window.y * frame.width + window.x + column;
  for (int64_t row = 0; row < window.rows; ++row, first += frame.width) {
    Vec<float> value[kChannels], square{};
    for (int c = 0; c < kChannels; ++c) {
      value[c] = load(first + c * frame.plane);
      const Vec<float> d = value[c] - centre.colour[c];
      square = square + d * d;
    }
    Vec<float> w = splat(1.0F);
    if constexpr (kGaussian) {
      const int64_t y = window.y + row - centre.y;
      w = exponential(square * args.scale) * (across * args.distance[y < 0 ? -y : y]);
    }
    w = ((LabelVec<float>)(square <= args.most) & inside) ? w : Vec<float>{};
    weight = weight + w;
    down = down + w * static_cast<float>(row);
    for (int c = 0; c < kChannels; ++c) colour[c] = colour[c] + w * value[c];
  }
  store(sums.at[0] + lane, weight);
  store(sums.at[1] + lane, down);
  store(sums.at[2] + lane, weight * __builtin_convertvector(numbers, Vec<float>));
  for (int c = 0; c < kChannels; ++c) store(sums.at[3 + c] + lane, colour[c]);
}

/// Adds the columns by halves: 8 apart, then 4, 2, 1.
template <int kChannels>
inline void add_halves(ColumnSums<kChannels>& sums, double (&total)[kTerms<kChannels>]) {
  for (int term = 0; term < kTerms<kChannels>; ++term) {
    float* at = sums.at[term];
    for (int width = kFilterColumns / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) at[i] = at[i] + at[i + width];
    }
    total[term] += static_cast<double>(at[0]);
  }
}

template <int kChannels, bool kGaussian>
bool move(const FloatFilterArgs& args, const FloatState<kChannels>& from,
          FloatState<kChannels>& to) {
  const FilterWindow window(args.frame, from.y, from.x);
  double total[kTerms<kChannels>] = {};
  for (int64_t block = 0; block < window.columns; block += kFilterColumns) {
    ColumnSums<kChannels> sums{};
    const int64_t left = window.columns - block;
    const int columns = left < kFilterColumns ? static_cast<int>(left) : kFilterColumns;
    for (int lane = 0; lane < columns; lane += kLanes<float>)
      add_columns<kChannels, kGaussian>(args, window, block + lane, from, lane, sums);
    add_halves<kChannels>(sums, total);
  }
  if (!(total[0] > 0)) return false;
  const double share = 1.0 / total[0];
  to.y = nearest(static_cast<double>(window.y) + total[1] * share);
  to.x = nearest(static_cast<double>(window.x) + total[2] * share);
  for (int c = 0; c < kChannels; ++c) to.colour[c] = static_cast<float>(total[3 + c] * share);
  return true;
}

template <int kChannels, bool kGaussian>
void filter(const FloatFilterArgs& args) {
  const int64_t plane = args.frame.plane;
  filter_pixels<FloatState<kChannels>>(
      args.frame,
      [&args, plane](int64_t pixel, FloatState<kChannels>& state) {
        for (int c = 0; c < kChannels; ++c) state.colour[c] = args.planes[pixel + c * plane];
      },
      [&args](const FloatState<kChannels>& from, FloatState<kChannels>& to) {
        return move<kChannels, kGaussian>(args, from, to);
      },
      [&args, plane](int64_t pixel, const FloatState<kChannels>& state) {
        for (int c = 0; c < kChannels; ++c) args.out[pixel + c * plane] = state.colour[c];
      });
}

}  // namespace

void filter_floats(const FloatFilterArgs& args) {
  if (args.frame.channels == 1) {
    args.gaussian ? filter<1, true>(args) : filter<1, false>(args);
  } else {
    args.gaussian ? filter<3, true>(args) : filter<3, false>(args);
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
