// SPDX-License-Identifier: Apache-2.0
//
// Bound: one float written per cell, so 4 bytes. The right row is stored reversed: pixel x at label
// l meets reversed column W-1 - (x - min_disparity - l), which grows with l. Hence the inner loop
// runs along contiguous labels on all streams and the compiler vectorises it. uint8 pixels are
// widened to int16, where halves, differences and sums over channels are exact.
#include "cpu/cost_volume.hpp"

#include <cstdint>
#include <limits>
#include <type_traits>

#include "cpu/parallel.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

// Not std::min and friends: their bodies would be merged over the instruction sets by the linker.
template <class T>
inline T lower(T a, T b) {
  return b < a ? b : a;
}
template <class T>
inline T upper(T a, T b) {
  return a < b ? b : a;
}

template <class Pixel>
struct ImageRows {
  const Pixel* data;
  int64_t height, width, channels;

  const Pixel* row(int64_t y) const { return data + y * width * channels; }
};

/// Type in which pixels of type T are compared.
template <class Pixel>
using Wide = std::conditional_t<std::is_same_v<Pixel, uint8_t>, int16_t, float>;

/// Midpoint of two pixels: floor for integers (spec: (a + b) >> 1), exact for floats.
inline int16_t midpoint(int16_t a, int16_t b) { return static_cast<int16_t>((a + b) >> 1); }
inline float midpoint(float a, float b) { return (a + b) * 0.5F; }

// ---- Costs. kPlanes feature planes per channel; `fill` writes them for one row and channel,
// column x to dst[x * kStep] (step -1 mirrors the row); `cell` compares two pixels' features.
// ---------------

template <class PixelT, bool kSquare>
struct Difference {
  using Pixel = PixelT;
  using Feature = Wide<Pixel>;
  // A squared uint8 difference needs 17 bits.
  using Sum = std::conditional_t<kSquare && std::is_integral_v<Feature>, int32_t, Feature>;
  static constexpr int kPlanes = 1;

  template <int kStep>
  static void fill(const CostVolumeArgs&, const ImageRows<Pixel>& image, int64_t y, int64_t c,
                   Feature* dst, int64_t /*plane*/) {
    const Pixel* src = image.row(y) + c;
    for (int64_t x = 0; x < image.width; ++x) {
      dst[x * kStep] = static_cast<Feature>(src[x * image.channels]);
    }
  }

  static Sum cell(const Feature* left, const Feature* right, int64_t /*plane*/) {
    const Feature high = upper(left[0], right[0]), low = lower(left[0], right[0]);
    const Sum d = static_cast<Sum>(high - low);
    return kSquare ? d * d : d;
  }
};

/// Birchfield & Tomasi: planes I, I- and I+, the smallest and greatest of a pixel and its midpoints
/// with either neighbour (border pixels have one neighbour).
template <class PixelT, bool kSquare>
struct BirchfieldTomasi {
  using Pixel = PixelT;
  using Feature = Wide<Pixel>;
  using Sum = std::conditional_t<kSquare && std::is_integral_v<Feature>, int32_t, Feature>;
  static constexpr int kPlanes = 3;

  template <int kStep>
  static void fill(const CostVolumeArgs&, const ImageRows<Pixel>& image, int64_t y, int64_t c,
                   Feature* dst, int64_t plane) {
    const Pixel* src = image.row(y) + c;
    const int64_t last = image.width - 1;
    for (int64_t x = 0; x <= last; ++x) {
      const auto at = [&](int64_t i) { return static_cast<Feature>(src[i * image.channels]); };
      const Feature centre = at(x);
      const Feature before = x > 0 ? midpoint(centre, at(x - 1)) : centre;
      const Feature after = x < last ? midpoint(centre, at(x + 1)) : centre;
      dst[x * kStep] = centre;
      dst[x * kStep + plane] = lower(centre, lower(before, after));
      dst[x * kStep + 2 * plane] = upper(centre, upper(before, after));
    }
  }

  static Sum cell(const Feature* left, const Feature* right, int64_t plane) {
    // spec section 4: a = dist(L, [R-, R+]), b = dist(R, [L-, L+]), 0 inside the interval. Neither
    // needs max(0, .) of its own: one of min(a, b), clamped at the end.
    const Feature l = left[0], r = right[0];
    const Feature a =
        upper(static_cast<Feature>(l - right[2 * plane]), static_cast<Feature>(right[plane] - l));
    const Feature b =
        upper(static_cast<Feature>(r - left[2 * plane]), static_cast<Feature>(left[plane] - r));
    const Sum d = static_cast<Sum>(upper(Feature{0}, lower(a, b)));
    return kSquare ? d * d : d;
  }
};

/// Number of set bits in two words, by adding neighbours in parallel: vectorises on every ISA.
inline int32_t count_bits(uint32_t a, uint32_t b) {
  const auto pairs = [](uint32_t v) { return v - ((v >> 1) & 0x55555555U); };
  const auto nibbles = [](uint32_t v) { return (v & 0x33333333U) + ((v >> 2) & 0x33333333U); };
  const uint32_t sum = nibbles(pairs(a)) + nibbles(pairs(b));  // every nibble <= 8
  const uint32_t bytes = (sum & 0x0F0F0F0FU) + ((sum >> 4) & 0x0F0F0F0FU);
  return static_cast<int32_t>((bytes * 0x01010101U) >> 24);
}

/// Census of a single channel: planes hold the low and the high 32 bits of the code.
template <class PixelT>
struct Census {
  using Pixel = PixelT;
  using Feature = uint32_t;
  using Sum = int32_t;
  static constexpr int kPlanes = 2;

  template <int kStep>
  static void fill(const CostVolumeArgs& args, const ImageRows<Pixel>& image, int64_t y,
                   int64_t /*c*/, Feature* dst, int64_t plane) {
    const int64_t width = image.width, half_h = args.window_height / 2,
                  half_w = args.window_width / 2;
    for (int64_t x = 0; x < width; ++x) dst[x * kStep] = dst[x * kStep + plane] = 0;
    const Pixel* centre = image.row(y);
    int bit = 0;
    for (int64_t dy = -half_h; dy <= half_h; ++dy) {
      const int64_t row = upper(int64_t{0}, lower(y + dy, image.height - 1));
      const Pixel* other = image.row(row);
      for (int64_t dx = -half_w; dx <= half_w; ++dx) {
        if (dy == 0 && dx == 0) continue;
        Feature* word = dst + (bit / 32) * plane;
        set_bits<kStep>(centre, other, width, dx, bit % 32, word);
        ++bit;
      }
    }
  }

  static Sum cell(const Feature* left, const Feature* right, int64_t plane) {
    return count_bits(left[0] ^ right[0], left[plane] ^ right[plane]);
  }

 private:
  /// Sets one bit of a whole row: neighbour at x + dx darker than the centre.
  template <int kStep>
  static void set_bits(const Pixel* __restrict centre, const Pixel* __restrict other, int64_t width,
                       int64_t dx, int bit, Feature* __restrict word) {
    const auto darker = [&](int64_t x, int64_t neighbour) {
      return static_cast<Feature>(other[neighbour] < centre[x]) << bit;
    };
    const int64_t first = lower(width, upper(int64_t{0}, -dx));
    const int64_t end = upper(first, lower(width, width - dx));
    for (int64_t x = 0; x < first; ++x) word[x * kStep] |= darker(x, 0);
    for (int64_t x = first; x < end; ++x) word[x * kStep] |= darker(x, x + dx);
    for (int64_t x = end; x < width; ++x) word[x * kStep] |= darker(x, width - 1);
  }
};

// ---- Volume
// ----------------------------------------------------------------------------------------

/// Labels [begin, end) of left column x have their partner, x - min_disparity - l, in the right
/// row.
struct LabelRange {
  int64_t begin, end;
};
inline LabelRange left_view_labels(int64_t x, int64_t width, int64_t min_disparity,
                                   int64_t labels) {
  const int64_t begin = lower(labels, upper(int64_t{0}, x - min_disparity - (width - 1)));
  return {begin, upper(begin, lower(labels, x - min_disparity + 1))};
}

/// out[l] = cost of one left pixel against `count` consecutive columns of the reversed right row.
template <class Cost, int kChannels, bool kAccumulate>
inline void compare(const typename Cost::Feature* left, const typename Cost::Feature* right,
                    int64_t plane, int64_t count, const CostVolumeArgs& args, float* out) {
  using Feature = typename Cost::Feature;
  using Sum = typename Cost::Sum;
  // The left pixel's features stay in registers.
  Feature fixed[kChannels * Cost::kPlanes];
  for (int i = 0; i < kChannels * Cost::kPlanes; ++i) fixed[i] = left[i * plane];
  const float truncation = args.truncation, scale = args.scale;
  const Feature* __restrict moving = right;
  float* __restrict result = out;
  for (int64_t l = 0; l < count; ++l) {
    Sum sum = 0;
    for (int c = 0; c < kChannels; ++c) {
      const int64_t offset = c * Cost::kPlanes;
      Feature other[Cost::kPlanes];
      for (int p = 0; p < Cost::kPlanes; ++p) other[p] = moving[l + (offset + p) * plane];
      sum = static_cast<Sum>(sum + Cost::cell(fixed + offset, other, 1));
    }
    const float cost = scale * lower(static_cast<float>(sum), truncation);
    result[l] = kAccumulate ? result[l] + cost : cost;
  }
}

/// out[l] = border cost for labels [begin, end), whose partner lies outside the right image.
template <bool kAccumulate>
inline void outside(const CostVolumeArgs& args, int64_t begin, int64_t end, float* out) {
  const float cost = args.scale * args.border;
  for (int64_t l = begin; l < end; ++l) out[l] = kAccumulate ? out[l] + cost : cost;
}

/// Features of both rows: left planes [channels * kPlanes, width], then the mirrored right ones.
template <class Cost, int kChannels>
typename Cost::Feature* row_features(const CostVolumeArgs& args, ThreadMemory& memory, int64_t y) {
  using Feature = typename Cost::Feature;
  using Pixel = typename Cost::Pixel;
  const int64_t width = args.width, planes = kChannels * Cost::kPlanes * width;
  const ImageRows<Pixel> left{static_cast<const Pixel*>(args.left), args.height, width, kChannels};
  const ImageRows<Pixel> right{static_cast<const Pixel*>(args.right), args.height, width,
                               kChannels};
  auto* features =
      static_cast<Feature*>(memory.reserve(2 * planes * static_cast<int64_t>(sizeof(Feature))));
  for (int64_t c = 0; c < kChannels; ++c) {
    Feature* first = features + c * Cost::kPlanes * width;
    Cost::template fill<1>(args, left, y, c, first, width);
    Cost::template fill<-1>(args, right, y, c, first + planes + width - 1, width);
  }
  return features;
}

template <class Cost, int kChannels, bool kAccumulate>
void volume_row(const CostVolumeArgs& args, ThreadMemory& memory, int64_t y) {
  const int64_t width = args.width, labels = args.num_disparities;
  const auto* left = row_features<Cost, kChannels>(args, memory, y);
  const auto* right = left + kChannels * Cost::kPlanes * width;
  float* out = args.out + y * width * labels;
  for (int64_t x = 0; x < width; ++x, out += labels) {
    const auto [begin, end] = left_view_labels(x, width, args.min_disparity, labels);
    outside<kAccumulate>(args, 0, begin, out);
    if (begin < end) {
      const int64_t reversed = width - 1 - (x - args.min_disparity - begin);
      compare<Cost, kChannels, kAccumulate>(left + x, right + reversed, width, end - begin, args,
                                            out + begin);
    }
    outside<kAccumulate>(args, end, labels, out);
  }
}

template <class Cost, int kChannels>
void volume(const CostVolumeArgs& args) {
  parallel_strips(args.height, args.threads, nullptr, [&](ThreadMemory& memory, int64_t y) {
    args.accumulate ? volume_row<Cost, kChannels, true>(args, memory, y)
                    : volume_row<Cost, kChannels, false>(args, memory, y);
  });
}

template <class Cost>
void volume_of_channels(const CostVolumeArgs& args) {
  args.channels == 1 ? volume<Cost, 1>(args) : volume<Cost, 3>(args);
}

template <class Pixel>
void volume_of_cost(const CostVolumeArgs& args) {
  switch (args.cost) {
    case StereoCost::BirchfieldTomasi:
      return volume_of_channels<BirchfieldTomasi<Pixel, false>>(args);
    case StereoCost::BirchfieldTomasiSquared:
      return volume_of_channels<BirchfieldTomasi<Pixel, true>>(args);
    case StereoCost::Absolute:
      return volume_of_channels<Difference<Pixel, false>>(args);
    case StereoCost::Squared:
      return volume_of_channels<Difference<Pixel, true>>(args);
    case StereoCost::Census:
      return volume<Census<Pixel>, 1>(args);
  }
}

void cost_volume(const CostVolumeArgs& args) {
  args.type == PixelType::UInt8 ? volume_of_cost<uint8_t>(args) : volume_of_cost<float>(args);
}

// ---- Right view
// ------------------------------------------------------------------------------------

/// Scatters the labels of left column x over the right columns x - min_disparity - l. For a right
/// pixel labels arrive in ascending order of x, hence of l: a strict < keeps the lowest of equals.
void right_minimum_row(const RightViewArgs& args, int64_t y, int32_t* labels, float* minima) {
  const int64_t width = args.width, count = args.num_disparities;
  for (int64_t x = 0; x < width; ++x) {
    labels[x] = -1;
    minima[x] = std::numeric_limits<float>::infinity();
  }
  for (int64_t x = 0; x < width; ++x) {
    const auto [begin, end] = left_view_labels(x, width, args.min_disparity, count);
    const float* cost = args.costs + (y * width + x) * count;
    const int64_t target = x - args.min_disparity;
    for (int64_t l = begin; l < end; ++l) {
      const bool better = labels[target - l] < 0 || cost[l] < minima[target - l];
      minima[target - l] = better ? cost[l] : minima[target - l];
      labels[target - l] = better ? static_cast<int32_t>(l) : labels[target - l];
    }
  }
}

void right_view_minimum(const RightViewArgs& args, int32_t* labels, float* minima) {
  parallel_strips(args.height, args.threads, nullptr, [&](ThreadMemory&, int64_t y) {
    right_minimum_row(args, y, labels + y * args.width, minima + y * args.width);
  });
}

void right_volume_row(const RightViewArgs& args, float border, const float* costs, float* out) {
  const int64_t width = args.width, count = args.num_disparities;
  for (int64_t x = 0; x < width; ++x) {
    for (int64_t l = 0; l < count; ++l) {
      const int64_t left = x + args.min_disparity + l;
      out[x * count + l] = left >= 0 && left < width ? costs[left * count + l] : border;
    }
  }
}

void right_view_volume(const RightViewArgs& args, float border, float* out) {
  const int64_t row = args.width * args.num_disparities;
  parallel_strips(args.height, args.threads, nullptr, [&](ThreadMemory&, int64_t y) {
    right_volume_row(args, border, args.costs + y * row, out + y * row);
  });
}

}  // namespace

const CostVolumeKernels& cost_volume_kernels() {
  static constexpr CostVolumeKernels table{cost_volume, right_view_minimum, right_view_volume};
  return table;
}

}  // namespace mrfcore::cpu::MRF_ISA
