// SPDX-License-Identifier: Apache-2.0
// The mean-shift filter, cpp/cpu/mean_shift_filter*.cpp to the bit.
//
// Words: a thread a pixel. Of a pixel v of the window it reads 4 bytes and takes about 10
// operations: |v - c|^2 = v.v - 2 v.c + c.c by two dot products of bytes, a number and a column to
// count, and three dot products that add up channels; whole numbers, exact in any order.
// Neighbouring threads begin with windows a pixel apart, so loads are coalesced and come from L1:
// 10 (2 r + 1)^2 operations a move and pixel, 13000 at radius 10 and 3 moves, no memory traffic to
// speak of.
//
// Floats: half a warp a pixel, a lane for each of the 16 columns whose sums the CPU keeps apart,
// added by halves with shuffles. 4 C bytes and 6 + 6 C operations a pixel of the window, 25 more
// for the exponential.
#include "core/exponential.hpp"
#include "filter_pixels.cuh"

namespace mrfcore::cuda::kernels {
namespace {

constexpr int kTileWidth = 32, kTileHeight = 4, kTileThreads = kTileWidth * kTileHeight;
constexpr int kColumns = 16;  // cpu::kFilterColumns
constexpr int kHalfWarps = kTileThreads / kColumns;

template <class Value, int kChannels>
struct State {
  int y, x;
  Value colour[kChannels];
};

struct Window {
  int y, x, rows, columns;

  __device__ Window(const ImageFilter& f, int at_y, int at_x) {
    y = at_y > f.radius ? at_y - f.radius : 0;
    x = at_x > f.radius ? at_x - f.radius : 0;
    const int64_t end_y = int64_t{at_y} + f.radius + 1, end_x = int64_t{at_x} + f.radius + 1;
    rows = static_cast<int>(end_y < f.height ? end_y : f.height) - y;
    columns = static_cast<int>(end_x < f.width ? end_x : f.width) - x;
  }
};

__device__ __forceinline__ int nearest(double value) { return static_cast<int>(rint(value)); }

template <class Value, int kChannels>
__device__ bool settled(const State<Value, kChannels>& from, const State<Value, kChannels>& to,
                        double tolerance) {
  if (from.y == to.y && from.x == to.x) return true;
  const int dy = to.y - from.y, dx = to.x - from.x;
  double length = static_cast<double>((dy < 0 ? -dy : dy) + (dx < 0 ? -dx : dx));
  for (int c = 0; c < kChannels; ++c) {
    const double d = static_cast<double>(to.colour[c]) - static_cast<double>(from.colour[c]);
    length += d * d;
  }
  return length <= tolerance;
}

/// move(from, to) is false where nothing is near.
template <class S, class Move>
__device__ S climb(const ImageFilter& f, S state, const Move& move) {
  for (int t = 0; t < f.iterations; ++t) {
    S to;
    if (!move(state, to)) break;
    const bool last = settled(state, to, f.tolerance);
    state = to;
    if (last) break;
  }
  return state;
}

// --- Words ---------------------------------------------------------------------------------------

/// sum + the products of bytes.
__device__ __forceinline__ uint32_t dot(uint32_t a, uint32_t b, uint32_t sum) {
#if defined(MRF_CUDA_EMULATOR)
  for (int shift = 0; shift < 32; shift += 8) sum += (a >> shift & 255U) * (b >> shift & 255U);
  return sum;
#else
  return __dp4a(a, b, sum);
#endif
}

struct WordSums {
  int64_t count = 0, y = 0, x = 0;
  int64_t colour[3] = {};
};

/// A row of the window. Without branches, so that loads need not wait for each other.
__device__ __forceinline__ void add_words(const uint32_t* row, int columns, uint32_t centre,
                                          int bound, int at_row, WordSums& sums) {
  uint32_t colour[3] = {};
  int count = 0, x = 0;
#pragma unroll 4
  for (int column = 0; column < columns; ++column) {
    const uint32_t v = __ldg(row + column);
    const bool near =
        static_cast<int>(dot(v, v, 0)) - 2 * static_cast<int>(dot(v, centre, 0)) <= bound;
    const uint32_t kept = near ? v : 0U;
    count += near ? 1 : 0;
    x += near ? column : 0;
    for (int c = 0; c < 3; ++c) colour[c] = dot(kept, 1U << (8 * c), colour[c]);
  }
  sums.count += count;
  sums.y += static_cast<int64_t>(count) * at_row;
  sums.x += x;
  for (int c = 0; c < 3; ++c) sums.colour[c] += colour[c];
}

__device__ bool move_word(const ImageFilter& f, int64_t most, const uint32_t* image,
                          const State<int, 3>& from, State<int, 3>& to) {
  const Window window(f, from.y, from.x);
  const auto centre =
      static_cast<uint32_t>(from.colour[0] | from.colour[1] << 8 | from.colour[2] << 16);
  const int bound = static_cast<int>(most) - static_cast<int>(dot(centre, centre, 0));
  WordSums sums;
  for (int row = 0; row < window.rows; ++row) {
    const uint32_t* first = image + (int64_t{window.y} + row) * f.width + window.x;
    add_words(first, window.columns, centre, bound, row, sums);
  }
  if (sums.count == 0) return false;
  const double share = 1.0 / static_cast<double>(sums.count);
  to.y = nearest(static_cast<double>(sums.y + sums.count * window.y) * share);
  to.x = nearest(static_cast<double>(sums.x + sums.count * window.x) * share);
  for (int c = 0; c < 3; ++c) to.colour[c] = nearest(static_cast<double>(sums.colour[c]) * share);
  return true;
}

/// A single channel is a colour whose other two are 0.
__global__ void __launch_bounds__(kTileThreads, 8)
    words_kernel(const __grid_constant__ ImageFilter f, int64_t most, const uint32_t* images,
                 uint32_t* out) {
  const int64_t tiles = (f.width + kTileWidth - 1) / kTileWidth;
  const int64_t y = blockIdx.x / tiles * kTileHeight + threadIdx.x / kTileWidth;
  const int64_t x = blockIdx.x % tiles * kTileWidth + threadIdx.x % kTileWidth;
  if (y >= f.height || x >= f.width) return;
  const int64_t before = blockIdx.y * f.height * f.width, own = before + y * f.width + x;
  if (f.wanted != nullptr && f.wanted[own] == 0) return;
  const uint32_t* image = images + before;
  const uint32_t word = __ldg(images + own);
  const State<int, 3> start{static_cast<int>(y),
                            static_cast<int>(x),
                            {static_cast<int>(word & 255U), static_cast<int>(word >> 8 & 255U),
                             static_cast<int>(word >> 16 & 255U)}};
  const State<int, 3> end = climb(f, start, [&](const State<int, 3>& from, State<int, 3>& to) {
    return move_word(f, most, image, from, to);
  });
  out[own] = static_cast<uint32_t>(end.colour[0] | end.colour[1] << 8 | end.colour[2] << 16);
}

// --- Floats --------------------------------------------------------------------------------------

/// One column of the window: weight, weight * row, weight * column, weight * colours.
template <int kChannels, bool kGaussian>
__device__ void add_column(const ImageFilter& f, const FilterWeights& w, const float* image,
                           const Window& window, int column, const State<float, kChannels>& centre,
                           float (&term)[3 + kChannels]) {
  float across = 1.0F;
  if constexpr (kGaussian) {
    const int x = window.x + column - centre.x;
    across = __ldg(w.distance + (x < 0 ? -x : x));
  }
  const float* pixel = image + (int64_t{window.y} * f.width + window.x + column) * kChannels;
  for (int row = 0; row < window.rows; ++row, pixel += f.width * kChannels) {
    float value[kChannels], square = 0.0F;
    for (int c = 0; c < kChannels; ++c) {
      value[c] = __ldg(pixel + c);
      const float d = value[c] - centre.colour[c];
      square = square + d * d;
    }
    float weight = 1.0F;
    if constexpr (kGaussian) {
      const int y = window.y + row - centre.y;
      weight =
          core::exp_nonpositive(square * w.scale) * (across * __ldg(w.distance + (y < 0 ? -y : y)));
    }
    if (!(square <= w.most)) weight = 0.0F;  // no branch: loads need not wait for each other
    term[0] = term[0] + weight;
    term[1] = term[1] + weight * static_cast<float>(row);
    for (int c = 0; c < kChannels; ++c) term[3 + c] = term[3 + c] + weight * value[c];
  }
  term[2] = term[0] * static_cast<float>(column);
}

/// All lanes of half a warp, whose bits `mask` has, together.
template <int kChannels, bool kGaussian>
__device__ bool move_float(const ImageFilter& f, const FilterWeights& w, const float* image,
                           unsigned mask, const State<float, kChannels>& from,
                           State<float, kChannels>& to) {
  constexpr int kTerms = 3 + kChannels;
  const int lane = static_cast<int>(threadIdx.x) % kColumns;
  const Window window(f, from.y, from.x);
  double total[kTerms] = {};
  for (int block = 0; block < window.columns; block += kColumns) {
    float term[kTerms] = {};
    if (block + lane < window.columns)
      add_column<kChannels, kGaussian>(f, w, image, window, block + lane, from, term);
    for (int i = 0; i < kTerms; ++i) {
      for (int width = kColumns / 2; width > 0; width /= 2)
        term[i] = term[i] + __shfl_down_sync(mask, term[i], static_cast<unsigned>(width), kColumns);
      total[i] += static_cast<double>(__shfl_sync(mask, term[i], 0, kColumns));
    }
  }
  if (!(total[0] > 0)) return false;
  const double share = 1.0 / total[0];
  to.y = nearest(static_cast<double>(window.y) + total[1] * share);
  to.x = nearest(static_cast<double>(window.x) + total[2] * share);
  for (int c = 0; c < kChannels; ++c) to.colour[c] = static_cast<float>(total[3 + c] * share);
  return true;
}

template <int kChannels, bool kGaussian>
__global__ void __launch_bounds__(kTileThreads, 8)
    floats_kernel(const __grid_constant__ ImageFilter f, const __grid_constant__ FilterWeights w,
                  const float* images, float* out) {
  const int64_t pixels = f.height * f.width;
  const int64_t own = static_cast<int64_t>(blockIdx.x) * kHalfWarps + threadIdx.x / kColumns;
  if (own >= pixels) return;  // half warps leave as one
  const int64_t before = blockIdx.y * pixels;
  if (f.wanted != nullptr && f.wanted[before + own] == 0) return;
  const float* image = images + before * kChannels;
  const unsigned mask = threadIdx.x / kColumns % 2 == 0 ? 0x0000ffffU : 0xffff0000U;
  using S = State<float, kChannels>;
  S start{static_cast<int>(own / f.width), static_cast<int>(own % f.width), {}};
  for (int c = 0; c < kChannels; ++c) start.colour[c] = __ldg(image + own * kChannels + c);
  const S end = climb(f, start, [&](const S& from, S& to) {
    return move_float<kChannels, kGaussian>(f, w, image, mask, from, to);
  });
  if (threadIdx.x % kColumns != 0) return;
  for (int c = 0; c < kChannels; ++c) out[(before + own) * kChannels + c] = end.colour[c];
}

template <int kChannels, bool kGaussian>
int launch_floats(const ImageFilter& f, const FilterWeights& w, const float* image, int64_t items,
                  float* out, Stream stream) {
  const int64_t blocks = (f.height * f.width + kHalfWarps - 1) / kHalfWarps;
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(items));
  MRF_LAUNCH((floats_kernel<kChannels, kGaussian>), grid, dim3(kTileThreads), 0,
             static_cast<cudaStream_t>(stream), f, w, image, out);
  return static_cast<int>(cudaGetLastError());
}

bool accepts(const ImageFilter& f, int64_t items) {
  return fits(f.height, f.width, f.channels, items) && f.radius >= 1 && f.radius <= 1024;
}

}  // namespace

int filter_words(const ImageFilter& f, int64_t most, const uint32_t* image, int64_t items,
                 uint32_t* out, Stream stream) {
  if (!accepts(f, items) || most < 0 || most > 3 * 255 * 255)
    return static_cast<int>(cudaErrorInvalidValue);
  const int64_t tiles =
      ((f.width + kTileWidth - 1) / kTileWidth) * ((f.height + kTileHeight - 1) / kTileHeight);
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(items));
  MRF_LAUNCH(words_kernel, grid, dim3(kTileThreads), 0, static_cast<cudaStream_t>(stream), f, most,
             image, out);
  return static_cast<int>(cudaGetLastError());
}

int filter_floats(const ImageFilter& f, const FilterWeights& w, const float* image, int64_t items,
                  float* out, Stream stream) {
  if (!accepts(f, items) || (w.gaussian && w.distance == nullptr))
    return static_cast<int>(cudaErrorInvalidValue);
  if (f.channels == 1) {
    return w.gaussian ? launch_floats<1, true>(f, w, image, items, out, stream)
                      : launch_floats<1, false>(f, w, image, items, out, stream);
  }
  return w.gaussian ? launch_floats<3, true>(f, w, image, items, out, stream)
                    : launch_floats<3, false>(f, w, image, items, out, stream);
}

}  // namespace mrfcore::cuda::kernels
