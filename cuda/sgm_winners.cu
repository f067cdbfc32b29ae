// SPDX-License-Identifier: Apache-2.0
// What is made of compact SGM's messages: the sums S = D C + sum of messages, never stored unless
// asked for, the winners of both views, sub-pixel disparities and checks. A warp goes along a piece
// of a row, a pixel's sums in registers as keys (S, label), whose minimum is the lowest label of
// the best.
//
// The right view's winners come for nothing: pixel x - d of the right meets label l at left pixel x
// and label l + 1 at x + 1, so that running minima move up one label with every step. What leaves
// at the top, and what is left at the end of the piece, goes to the right view's keys by atomicMin:
// of integers, so the result does not depend on their order.
//
// Bytes per cell: 1 of costs and 1 (or 2) for each volume of messages; the keys' traffic is 3
// atomics a pixel. Operations: about 170 instructions of a warp for a pixel of 128 labels with both
// views and all checks, where an H100's memory allows 190 (costs and 4 volumes of bytes) to 350 (8
// volumes).
#include "compact_layout.cuh"
#include "packed_keys.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarpsPerBlock = 4;
constexpr int kColumns = 64;  ///< a warp's piece of a row; whole warps, whose lanes finish pixels

struct WinnerParameters {
  CompactSgm args;
  CompactWinners out;
  CompactLayout layout;
  uint32_t* right_keys;  ///< [items, H, W], or null
  int64_t pieces;        ///< of a row
  float factor;          ///< 1 + uniqueness
};

template <int K, class Stored, int Volumes>
struct PixelWords {
  PackedWords<K, uint8_t> cost;
  PackedWords<K, Stored> messages[Volumes];
};

/// The pixels of a row one after the other, as a lane sees them.
template <int K, class Stored, int Volumes>
struct PixelReader {
  const WinnerParameters& p;
  const uint8_t* costs;
  const Stored* messages;  ///< in the first volume

  __device__ __forceinline__ PixelReader(const WinnerParameters& parameters, int64_t item,
                                         int64_t pixel)
      : p(parameters) {
    const int64_t pixels = p.args.height * p.args.width, first = PackedRow<K>::first_label();
    costs = p.args.costs + (item * pixels + pixel) * p.args.stride + first;
    messages = static_cast<const Stored*>(p.args.scratch) + item * Volumes * p.layout.volume +
               pixel * p.layout.row + first;
  }
  __device__ __forceinline__ PixelWords<K, Stored, Volumes> next() {
    PixelWords<K, Stored, Volumes> words{};
    words.cost = read_costs<K>(costs, p.args.labels, p.layout.whole);
    if (PackedRow<K>::first_label() < p.args.labels) {
#pragma unroll
      for (int v = 0; v < Volumes; ++v)
        words.messages[v] = read_words<K, Stored>(messages + v * p.layout.volume);
    }
    costs += p.args.stride;
    messages += p.layout.row;
    return words;
  }
};

/// (S, label) of a lane's labels.
template <int K, class Stored, int Volumes>
__device__ __forceinline__ Keys<K> keys_of(const WinnerParameters& p,
                                           const PixelWords<K, Stored, Volumes>& words) {
  PackedRow<K> sum = unpacked<K, uint8_t>(words.cost);
#pragma unroll
  for (int j = 0; j < K / 2; ++j) sum.at[j] *= static_cast<unsigned>(p.args.paths);
#pragma unroll
  for (int v = 0; v < Volumes; ++v) {
    const PackedRow<K> message = unpacked<K, Stored>(words.messages[v]);
#pragma unroll
    for (int j = 0; j < K / 2; ++j) sum.at[j] += message.at[j];
  }
  Keys<K> keys;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const unsigned s = k % 2 == 0 ? sum.at[k / 2] & 0xffffU : sum.at[k / 2] >> 16;
    const int label = Keys<K>::label(k);
    keys.at[k] = label < p.args.labels ? s << kLabelBits | static_cast<unsigned>(label) : kNoKey;
  }
  return keys;
}

/// Minima of the right view under way: element l is of right pixel x - min_disparity - l.
template <int K>
struct RightView {
  Keys<K> keys;
  uint32_t* row;  ///< of the right view, where they go
  int64_t width;

  __device__ __forceinline__ RightView(uint32_t* to, int64_t columns) : row(to), width(columns) {
#pragma unroll
    for (int k = 0; k < K; ++k) keys.at[k] = kNoKey;
  }
  __device__ __forceinline__ void leave(int64_t x, unsigned key) const {
    if (key != kNoKey && x >= 0 && x < width) atomicMin(row + x, key);
  }
  /// On to the next column, whose label 0 meets right pixel x.
  __device__ __forceinline__ void step(int64_t x, const Keys<K>& found) {
    const unsigned top = keys.at[K - 1];
    unsigned below = __shfl_up_sync(kAllLanes, top, 1);
    if (lane_index() == kWarp - 1) leave(x - K * kWarp, top);
    if (lane_index() == 0) below = kNoKey;
#pragma unroll
    for (int k = K - 1; k > 0; --k) keys.at[k] = min(keys.at[k - 1], found.at[k]);
    keys.at[0] = min(below, found.at[0]);
  }
  /// After a last step at x.
  __device__ __forceinline__ void finish(int64_t x) const {
#pragma unroll
    for (int k = 0; k < K; ++k) leave(x - Keys<K>::label(k), keys.at[k]);
  }
};

/// What a pixel's disparity is made of; lane i keeps that of the i-th pixel.
struct Winner {
  unsigned best, below, above, rival;
};

template <int K>
__device__ __forceinline__ Winner winner_of(const WinnerParameters& p, const Keys<K>& keys) {
  Winner w{least_key(keys), 0, 0, kNoKey};
  if (p.out.disparity == nullptr) return w;
  const int label = label_of(w.best);
  if (p.out.subpixel) {
    w.below = key_of(keys, label - 1);
    w.above = key_of(keys, label + 1);
  }
  if (p.out.uniqueness > 0.0) w.rival = rival_key(keys, label);
  return w;
}

__device__ __forceinline__ float not_a_number() {
  return cpu::kInfinity<float> - cpu::kInfinity<float>;
}

/// Minimum of the parabola through three costs, as in mrfcore.stereo.
__device__ __forceinline__ float subpixel_offset(const Winner& w) {
  const float below = cost_of(w.below), here = cost_of(w.best), above = cost_of(w.above);
  const float bend = below - 2.0F * here + above;
  if (!(bend > 0.0F)) return 0.0F;
  return fminf(fmaxf((below - above) / (2.0F * bend), -0.5F), 0.5F);
}

__device__ __forceinline__ void put_winner(const WinnerParameters& p, int64_t at, const Winner& w) {
  const int label = label_of(w.best);
  p.out.labels[at] = label;
  if (p.out.disparity == nullptr) return;
  float disparity = static_cast<float>(p.out.min_disparity + label);
  if (p.out.subpixel && label > 0 && label + 1 < p.args.labels)
    disparity = disparity + subpixel_offset(w);
  const float rival = cost_of(w.rival), best = cost_of(w.best);
  if (w.rival != kNoKey && !(rival >= p.factor * best)) disparity = not_a_number();
  p.out.disparity[at] = disparity;
}

template <int K>
__device__ __forceinline__ void put_sums(const WinnerParameters& p, int64_t pixel,
                                         const Keys<K>& keys) {
  uint16_t* to = p.out.sums + pixel * p.args.labels;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int label = Keys<K>::label(k);
    if (label < p.args.labels) to[label] = static_cast<uint16_t>(keys.at[k] >> kLabelBits);
  }
}

/// blockIdx: pieces of rows, item.
template <int K, class Stored, int Volumes>
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp)
    winner_kernel(const __grid_constant__ WinnerParameters p) {
  const int64_t piece = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarp;
  const int64_t width = p.args.width, y = piece / p.pieces, x0 = piece % p.pieces * kColumns;
  if (y >= p.args.height) return;
  const int count = static_cast<int>(min(width - x0, int64_t{kColumns}));
  const int64_t item = blockIdx.y, row = (item * p.args.height + y) * width;
  const int64_t right = x0 - p.out.min_disparity;  // of label 0 at x0
  const bool both = p.right_keys != nullptr;
  RightView<K> view(both ? p.right_keys + row : nullptr, width);
  PixelReader<K, Stored, Volumes> pixels(p, item, y * width + x0);
  PixelWords<K, Stored, Volumes> next = pixels.next();
  Winner mine{};
  for (int i = 0; i < count; ++i) {
    const Keys<K> keys = keys_of(p, next);
    if (i + 1 < count) next = pixels.next();
    if (p.out.sums != nullptr) put_sums(p, row + x0 + i, keys);
    if (both) view.step(right + i, keys);
    const Winner w = winner_of(p, keys);
    if (i % kWarp == lane_index()) mine = w;
    const int first = i - i % kWarp, at = first + lane_index();
    if ((i % kWarp == kWarp - 1 || i + 1 == count) && at < count)
      put_winner(p, row + x0 + at, mine);
  }
  if (both) view.finish(right + count - 1);
}

/// Labels of the right view, and disparities whose match does not point back.
__global__ void check_kernel(const __grid_constant__ WinnerParameters p) {
  const int64_t pixels = p.args.height * p.args.width, width = p.args.width;
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pixel >= pixels) return;
  const int64_t before = blockIdx.y * pixels, x = pixel % width;
  const uint32_t* keys = p.right_keys + before;
  if (p.out.right_labels != nullptr) p.out.right_labels[before + pixel] = label_of(keys[pixel]);
  if (p.out.disparity == nullptr || !p.out.left_right_check) return;
  const int label = p.out.labels[before + pixel];
  const int64_t match = x - p.out.min_disparity - label;
  const int back = match >= 0 && match < width ? label_of(keys[pixel - x + match]) : -1;
  const double apart = back < label ? label - back : back - label;
  if (back < 0 || !(apart <= p.out.max_difference))
    p.out.disparity[before + pixel] = not_a_number();
}

template <int K, class Stored, int Volumes>
int launch(const WinnerParameters& p, int64_t items, cudaStream_t stream) {
  const int64_t blocks = (p.args.height * p.pieces + kWarpsPerBlock - 1) / kWarpsPerBlock;
  if (blocks > INT32_MAX) return static_cast<int>(cudaErrorInvalidValue);
  const auto kernel = winner_kernel<K, Stored, Volumes>;
  MRF_LAUNCH(kernel, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(items)),
             dim3(kWarpsPerBlock * kWarp), 0, stream, p);
  return static_cast<int>(cudaGetLastError());
}

template <int K>
int launch_stored(const WinnerParameters& p, int64_t items, cudaStream_t stream) {
  if (p.layout.wide) {
    return p.layout.volumes == 2 ? launch<K, uint16_t, 2>(p, items, stream)
                                 : launch<K, uint16_t, 4>(p, items, stream);
  }
  if (p.layout.volumes == 2) return launch<K, uint8_t, 2>(p, items, stream);
  if (p.layout.volumes == 4) return launch<K, uint8_t, 4>(p, items, stream);
  return launch<K, uint8_t, 8>(p, items, stream);
}

int launch_check(const WinnerParameters& p, int64_t items, cudaStream_t stream) {
  constexpr int kThreads = 256;
  const int64_t blocks = (p.args.height * p.args.width + kThreads - 1) / kThreads;
  MRF_LAUNCH(check_kernel, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(items)),
             dim3(kThreads), 0, stream, p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

int compact_sgm_winners(const CompactSgm& args, const CompactWinners& winners, int64_t items,
                        Stream stream) {
  WinnerParameters p{args,
                     winners,
                     compact_layout(args, items),
                     nullptr,
                     (args.width + kColumns - 1) / kColumns,
                     static_cast<float>(1.0 + winners.uniqueness)};
  if (!p.layout.valid) return static_cast<int>(cudaErrorInvalidValue);
  const auto on = static_cast<cudaStream_t>(stream);
  const bool both =
      winners.right_labels != nullptr || (winners.disparity != nullptr && winners.left_right_check);
  if (both) {
    p.right_keys = reinterpret_cast<uint32_t*>(static_cast<char*>(args.scratch) + p.layout.keys_at);
    const int64_t bytes = p.layout.bytes - p.layout.keys_at;
    const cudaError_t failed = cudaMemsetAsync(p.right_keys, 0xff, static_cast<size_t>(bytes), on);
    if (failed != cudaSuccess) return forgotten(failed);
  }
  const int failed =
      with_packed_labels(args.labels, [&]<int K>() { return launch_stored<K>(p, items, on); });
  return failed != 0 || !both ? failed : launch_check(p, items, on);
}

}  // namespace mrfcore::cuda
