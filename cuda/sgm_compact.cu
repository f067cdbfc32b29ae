// SPDX-License-Identifier: Apache-2.0
// Paths of semi-global matching on costs of one byte: a warp per scanline, its row of labels in
// registers, two 16-bit numbers in each. All directions in one launch: they depend on nothing but
// the costs.
//
// Bytes per cell and path of the ways to do it, costs read and winners taken (C = 1 byte):
//   a message stored, read for the winners           1 + 1 + 1                      3
//   two of a pair in one place, p2 <= 127            (1 + 1) + (1 + 1 + 1) + 1      3 (6 a pair)
//   a sum of all in 16 bits, read and written        1 + 2 + 2                      5
//   messages in 16 bits, p2 > 255                    (1 + 2) + (1 + 2 + 2) + 2      5
//   float sweeps (sweep.cu)                          4 + 4 + 4                     12
// With 8 paths that is 25 bytes a cell including one more look at the costs, 41 in 16 bits; the
// second way of the table is taken where it can be, since it needs half the memory: 4 bytes a cell.
// Hamming distances could be had from census codes on the way instead of 1 byte of costs: 17 bytes
// a cell in all, but two population counts of 64-bit codes are 1/8 cycle of a multiprocessor per
// cell and path, and a byte is 1/13: they would cost more than they save.
//
// Operations: about 55 instructions of a warp for a node of 128 labels, where memory allows 80 to
// 120. Rows of the next kAhead nodes are on their way while a node is worked on: 128 to 256 bytes
// for each of some 40 warps of a multiprocessor, as many as it takes to keep memory busy.
#include "compact_layout.cuh"
#include "core/scanline.hpp"
#include "packed_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarpsPerBlock = 4, kAhead = 4, kMostPairs = 4;
/// What labels that do not exist cost, besides the byte that may be in their place: no message
/// comes from there (it exceeds p2 even after a minimum of 255 is taken off), and what is added to
/// it stays below kPackedLimit.
constexpr unsigned kOutside = 0x3000;
static_assert(kOutside - 255 > kMostCompactPenalty);
static_assert(kOutside + 255 + 2 * kMostCompactPenalty < kPackedLimit);

struct PathParameters {
  CompactSgm args;
  CompactLayout layout;
  core::PairGeometry geometry[kMostPairs];
  int64_t jobs[kMostPairs + 1];  ///< before each pair
};

/// What a node needs from memory.
template <int K, class Stored, bool Add>
struct PathNode {
  PackedWords<K, uint8_t> cost;
};
template <int K, class Stored>
struct PathNode<K, Stored, true> {
  PackedWords<K, uint8_t> cost;
  PackedWords<K, Stored> other;  ///< message of the opposite way
};

/// A scanline to walk along, as a lane sees it: where its labels of the first node are.
template <class Stored>
struct Path {
  int count;
  int64_t cost_step, message_step;  ///< elements from a node to the next
  const uint8_t* costs;
  Stored* messages;

  /// From beyond the last node, where a walk ends, back to it and the other way.
  __device__ __forceinline__ void turn() {
    costs -= cost_step;
    messages -= message_step;
    cost_step = -cost_step;
    message_step = -message_step;
  }
};

/// Nodes of a path in order, read ahead of where they are written.
template <int K, class Stored, bool Add>
struct PathWalk {
  using Node = PathNode<K, Stored, Add>;
  using Words = PackedWords<K, Stored>;
  Path<Stored>& path;  ///< costs: of the next node to read; messages: to write
  Stored* other;       ///< to read
  int labels;
  bool whole, mine;  ///< mine: this lane has labels

  __device__ __forceinline__ Node read() {
    Node node{};
    node.cost = read_costs<K>(path.costs, labels, whole);
    path.costs += path.cost_step;
    if constexpr (Add) {
      if (mine) node.other = read_words<K, Stored>(other);
      other += path.message_step;
    }
    return node;
  }
  __device__ __forceinline__ void write(const Node& node, const PackedRow<K>& message) {
    Words words = packed<K, Stored>(message);
    if constexpr (Add) {  // no carries: both fit together
#pragma unroll
      for (int i = 0; i < Words::kWords; ++i) words.at[i] += node.other.at[i];
    }
    if (mine) write_words<K, Stored>(path.messages, words);
    path.messages += path.message_step;
  }
};

/// min(h(l), h(l - 1) + p1, h(l + 1) + p1, p2) of a row h whose minimum is 0.
template <int K>
__device__ __forceinline__ PackedRow<K> message_of(const PackedRow<K>& h, unsigned p1,
                                                   unsigned p2) {
  const int lane = lane_index();
  unsigned below = __shfl_up_sync(kAllLanes, h.at[K / 2 - 1], 1);
  unsigned after = __shfl_down_sync(kAllLanes, h.at[0], 1);
  if (lane == 0) below = twice(kOutside);
  if (lane == kWarp - 1) after = twice(kOutside);
  PackedRow<K> message;
  below = __byte_perm(below, h.at[0], 0x5432);
#pragma unroll
  for (int j = 0; j < K / 2; ++j) {
    const unsigned above = __byte_perm(h.at[j], j + 1 < K / 2 ? h.at[j + 1] : after, 0x5432);
    message.at[j] = lower2(lower2(lower2(below, above) + p1, h.at[j]), p2);
    below = above;
  }
  return message;
}

/// What is added to the costs of a lane: kOutside where there is no label.
template <int K>
__device__ __forceinline__ PackedRow<K> padding(int labels) {
  PackedRow<K> row;
#pragma unroll
  for (int j = 0; j < K / 2; ++j) {
    const int label = PackedRow<K>::first_label() + 2 * j;
    row.at[j] = (label < labels ? 0U : kOutside) | (label + 1 < labels ? 0U : kOutside << 16);
  }
  return row;
}

template <int K, class Stored, bool Add>
__device__ __forceinline__ void walk(const PathParameters& p, Path<Stored>& path) {
  const int labels = p.args.labels;
  PathWalk<K, Stored, Add> nodes{path, path.messages, labels, p.layout.whole,
                                 PackedRow<K>::first_label() < labels};
  const PackedRow<K> outside = padding<K>(labels);
  const unsigned p1 = twice(static_cast<unsigned>(p.args.p1)),
                 p2 = twice(static_cast<unsigned>(p.args.p2));
  PathNode<K, Stored, Add> ahead[kAhead];
#pragma unroll
  for (int j = 0; j < kAhead; ++j) {
    if (j < path.count) ahead[j] = nodes.read();
  }
  PackedRow<K> h{};  // zeros: the head receives none
  for (int i = 0; i < path.count; i += kAhead) {
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      if (i + j >= path.count) return;
      const PathNode<K, Stored, Add> node = ahead[j];
      if (i + j + kAhead < path.count) ahead[j] = nodes.read();
      const PackedRow<K> message = message_of(h, p1, p2);
      nodes.write(node, message);
      h = unpacked<K, uint8_t>(node.cost);
#pragma unroll
      for (int k = 0; k < K / 2; ++k) h.at[k] = h.at[k] + message.at[k] + outside.at[k];
      const unsigned least = twice(row_minimum(h));
#pragma unroll
      for (int k = 0; k < K / 2; ++k) h.at[k] -= least;
    }
  }
}

/// A warp has a scanline both ways (Paired), or a scanline and a way.
template <int K, class Stored, bool Paired>
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp)
    path_kernel(const __grid_constant__ PathParameters p) {
  const int64_t job = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarp;
  const int pairs = p.args.paths / 2;
  if (job >= p.jobs[pairs]) return;
  int pair = 0;
  while (job >= p.jobs[pair + 1]) ++pair;
  const core::PairGeometry& geometry = p.geometry[pair];
  const int64_t index = job - p.jobs[pair], lines = core::scanlines(geometry);
  const bool backward = !Paired && index >= lines;
  core::Scanline line = core::scanline(geometry, backward ? index - lines : index);
  if (line.count == 0) return;
  if (backward) {
    line.first += (line.count - 1) * line.node_stride;
    line.node_stride = -line.node_stride;
  }

  const int64_t item = blockIdx.y, pixels = p.args.height * p.args.width;
  const int volume = Paired ? pair : 2 * pair + (backward ? 1 : 0),
            first = PackedRow<K>::first_label();
  Stored* messages =
      static_cast<Stored*>(p.args.scratch) + (item * p.layout.volumes + volume) * p.layout.volume;
  Path<Stored> path{static_cast<int>(line.count), line.node_stride * p.args.stride,
                    line.node_stride * p.layout.row,
                    p.args.costs + (item * pixels + line.first) * p.args.stride + first,
                    messages + line.first * p.layout.row + first};
  walk<K, Stored, false>(p, path);
  if constexpr (Paired) {
    path.turn();
    walk<K, Stored, true>(p, path);
  }
}

template <int K, class Stored, bool Paired>
int launch(const PathParameters& p, int64_t items, cudaStream_t stream) {
  const int64_t jobs = p.jobs[p.args.paths / 2];
  const dim3 grid(static_cast<unsigned>((jobs + kWarpsPerBlock - 1) / kWarpsPerBlock),
                  static_cast<unsigned>(items));
  const auto kernel = path_kernel<K, Stored, Paired>;
  MRF_LAUNCH(kernel, grid, dim3(kWarpsPerBlock * kWarp), 0, stream, p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

int64_t compact_sgm_bytes(const CompactSgm& args, int64_t items) {
  return compact_layout(args, items).bytes;
}

int compact_sgm(const CompactSgm& args, int64_t items, Stream stream) {
  PathParameters p{args, compact_layout(args, items), {}, {}};
  if (!p.layout.valid) return static_cast<int>(cudaErrorInvalidValue);
  for (int pair = 0; pair < args.paths / 2; ++pair) {
    p.geometry[pair] = core::pair_geometry(pair, args.height, args.width);
    p.jobs[pair + 1] = p.jobs[pair] + core::scanlines(p.geometry[pair]) * (p.layout.paired ? 1 : 2);
  }
  const auto on = static_cast<cudaStream_t>(stream);
  return with_packed_labels(args.labels, [&]<int K>() {
    if (p.layout.wide) return launch<K, uint16_t, true>(p, items, on);
    if (p.layout.paired) return launch<K, uint8_t, true>(p, items, on);
    return launch<K, uint8_t, false>(p, items, on);
  });
}

}  // namespace mrfcore::cuda
