// SPDX-License-Identifier: Apache-2.0
// Gradients of V(m, l): hard minima add w g(l) at (argmin(l), l) for every message, soft ones
// w g(l) share(m, l) at all (m, l).
//
// Ownership instead of atomics: a block has a chunk of the pixels (its bin) and a tile of V, up to
// 384 rows m by 32 columns l, as sums of doubles in shared memory, one copy for each warp. A lane
// owns a column: what it adds, it adds in the order of pixels, and banks do not conflict. In the
// end copies are added up in order and go to the bin once. Where there are 16 labels or fewer, a
// warp has several messages side by side, each with columns of its own. The ways of a pair are two
// launches: they write the same bin by rows and by columns.
//
// Bytes per message and label, hard: 4 (g) and 1 or 2 (arg-min), both ways of a pair 10; the
// read-modify-write of a shared double is the chain that is long, about 60 cycles, so four messages
// are fetched at a time and at 64 labels 12 warps run on a multiprocessor. Soft: three passes over
// V's column, 80 operations a candidate; four messages share what is read of V, and a fourth of the
// additions to shared memory is left.
#include "core/directions.hpp"
#include "soft_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kTileColumns = kWarp;
constexpr int kTileRows = 384;  ///< 96 KiB of doubles: every GPU from sm_80 on has that much
constexpr int kMostWarps = 16;
constexpr int kAtATime = 4;

/// One way of a pair, of all items.
template <class T>
struct TableParameters {
  cpu::GridShape shape;
  Batch batch;
  core::Direction way;
  bool backward;
  const T* edge_weights;  ///< of the pair
  T scale;
  const void* argmin;  ///< hard
  const T* g;
  const T* sender;  ///< soft
  const T* table;   ///< soft: V as this way sees it
  T temperature;
  double* bins;
  int64_t count;
  int rows;   ///< of a tile
  int slots;  ///< messages side by side in a warp
};

/// Message to a pixel from its predecessor.
template <class T>
struct TableMessage {
  int64_t row;     ///< of labels, in its volume
  int64_t sender;  ///< the predecessor's
  int64_t tape;    ///< row of labels on the tape
  T w;
};

/// Messages of every `step`-th pixel of a chunk, one after the other.
template <class T>
class MessageWalk {
 public:
  __device__ __forceinline__ MessageWalk(const TableParameters<T>& p, int64_t first, int64_t end,
                                         int step)
      : p_(p), index_(first), end_(end), step_(step) {
    const int64_t pixels = p.shape.pixels();
    item_ = first / pixels;
    y_ = (first - item_ * pixels) / p.shape.width;
    x_ = (first - item_ * pixels) % p.shape.width;
    rows_ = step / p.shape.width;
    columns_ = step % p.shape.width;
  }

  /// False if there is none left.
  __device__ __forceinline__ bool next(TableMessage<T>& message) {
    while (index_ < end_) {
      const int64_t from_y = y_ - p_.way.dy, from_x = x_ - p_.way.dx;
      const bool linked =
          from_y >= 0 && from_y < p_.shape.height && from_x >= 0 && from_x < p_.shape.width;
      if (linked) message = at(y_ * p_.shape.width + x_, from_y * p_.shape.width + from_x);
      advance();
      if (linked) return true;
    }
    return false;
  }

 private:
  __device__ __forceinline__ TableMessage<T> at(int64_t pixel, int64_t from) const {
    T w = p_.scale;
    if (p_.edge_weights != nullptr)
      w = w * __ldg(p_.edge_weights + item_ * p_.batch.edge_weights + (p_.backward ? pixel : from));
    const int64_t labels = p_.shape.labels, volume = item_ * p_.batch.volume;
    return {volume + pixel * labels, volume + from * labels,
            item_ * p_.batch.tape_argmin + pixel * labels, w};
  }
  __device__ __forceinline__ void advance() {
    index_ += step_;
    y_ += rows_;
    x_ += columns_;
    if (x_ >= p_.shape.width) {
      x_ -= p_.shape.width;
      ++y_;
    }
    while (y_ >= p_.shape.height) {
      y_ -= p_.shape.height;
      ++item_;
    }
  }

  const TableParameters<T>& p_;
  int64_t index_, end_, item_, y_, x_, rows_, columns_;
  int step_;
};

/// A lane's column of a tile: V(first .. first + rows - 1, label).
struct TileColumn {
  double* sums;
  int first, rows, label;

  __device__ __forceinline__ void add(int row, double value) const {
    sums[row * kTileColumns] += value;
  }
};

template <class T>
struct HardTable {
  static __device__ __forceinline__ void add(const TableParameters<T>& p, MessageWalk<T>& walk,
                                             const TileColumn& column) {
    const bool wide = p.shape.labels > cpu::kByteLabels;
    for (bool more = true; more;) {
      int row[kAtATime];
      double value[kAtATime];
#pragma unroll
      for (int j = 0; j < kAtATime; ++j) {
        TableMessage<T> message;
        row[j] = -1;
        value[j] = 0.0;
        more = more && walk.next(message);
        if (!more) continue;
        const int64_t tape = message.tape + column.label;
        row[j] = (wide ? __ldg(static_cast<const uint16_t*>(p.argmin) + tape)
                       : __ldg(static_cast<const uint8_t*>(p.argmin) + tape)) -
                 column.first;
        value[j] = static_cast<double>(message.w * __ldg(p.g + message.row + column.label));
      }
#pragma unroll
      for (int j = 0; j < kAtATime; ++j) {
        if (row[j] >= 0 && row[j] < column.rows) column.add(row[j], value[j]);
      }
    }
  }
};

template <class T>
struct SoftTable {
  static __device__ __forceinline__ void add(const TableParameters<T>& p, MessageWalk<T>& walk,
                                             const TileColumn& column) {
    const int labels = p.shape.labels;
    const T inverse_t = T(1) / p.temperature;
    for (bool more = true; more;) {
      const T* h[kAtATime];
      T w[kAtATime], share[kAtATime];
#pragma unroll
      for (int j = 0; j < kAtATime; ++j) {
        TableMessage<T> message;
        more = more && walk.next(message);
        if (!more && j == 0) return;
        // Beyond the last one, the first comes again with no share in anything.
        h[j] = more ? p.sender + message.sender : h[0];
        w[j] = more ? message.w : w[0];
        share[j] = more ? __ldg(p.g + message.row + column.label) : T(0);
      }
      const SoftColumns<T, kAtATime> found =
          soft_columns(p.table + column.label, labels, h, w, inverse_t);
#pragma unroll
      for (int j = 0; j < kAtATime; ++j) share[j] = share[j] / found.total[j];
      const T* v = p.table + static_cast<int64_t>(column.first) * labels + column.label;
      for (int row = 0; row < column.rows; ++row, v += labels) {
        double sum = 0.0;
#pragma unroll
        for (int j = 0; j < kAtATime; ++j) {
          const T term = share[j] * soft_term(found.lowest[j], h[j][column.first + row], __ldg(v),
                                              w[j], inverse_t);
          sum += static_cast<double>(w[j] * term);
        }
        column.add(row, sum);
      }
    }
  }
};

/// Adds the block's tile to its bin: of every element, copies in order of warps and slots.
template <class T>
__device__ __forceinline__ void flush(const TableParameters<T>& p, const double* tile,
                                      const TileColumn& column, int first_label) {
  const int labels = p.shape.labels, warps = static_cast<int>(blockDim.x) / kWarp;
  const int columns = labels - first_label < kTileColumns ? labels - first_label : kTileColumns;
  double* bin = p.bins + static_cast<int64_t>(blockIdx.x) * labels * labels;
  for (int i = static_cast<int>(threadIdx.x); i < column.rows * columns;
       i += static_cast<int>(blockDim.x)) {
    const int row = i / columns, l = i % columns;
    double sum = 0.0;
    for (int warp = 0; warp < warps; ++warp) {
      for (int slot = 0; slot < p.slots; ++slot)
        sum += tile[(warp * p.rows + row) * kTileColumns + slot * labels + l];
    }
    const int64_t m = column.first + row, own = first_label + l;
    bin[p.backward ? own * labels + m : m * labels + own] += sum;
  }
}

template <class T, class Minimum>
__global__ void __launch_bounds__(kMostWarps* kWarp)
    table_gradient_kernel(const __grid_constant__ TableParameters<T> p) {
  MRF_SHARED(double, tile);
  const int labels = p.shape.labels, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp, lane = lane_index();
  const int first_label = static_cast<int>(blockIdx.y) * kTileColumns;
  const int slot = p.slots > 1 ? lane / labels : 0;
  TileColumn column;
  column.sums = tile + warp * p.rows * kTileColumns + lane;
  column.first = static_cast<int>(blockIdx.z) * p.rows;
  column.rows = labels - column.first < p.rows ? labels - column.first : p.rows;
  column.label = first_label + lane - slot * labels;
  for (int row = 0; row < column.rows; ++row) column.sums[row * kTileColumns] = 0.0;
  if (slot < p.slots && column.label < labels) {
    const int64_t pixels = p.batch.count * p.shape.pixels(), bin = blockIdx.x;
    const int64_t begin = bin * pixels / p.count, end = (bin + 1) * pixels / p.count;
    MessageWalk<T> walk(p, begin + warp * p.slots + slot, end, warps * p.slots);
    Minimum::add(p, walk, column);
  }
  __syncthreads();
  flush(p, tile, column, first_label);
}

template <class T, class Minimum>
int launch(const TableParameters<T>& p, cudaStream_t stream) {
  const int labels = p.shape.labels, copies = kTileRows / p.rows;
  const int warps = copies < kMostWarps ? copies : kMostWarps;
  const size_t shared = static_cast<size_t>(warps) * p.rows * kTileColumns * sizeof(double);
  const auto kernel = table_gradient_kernel<T, Minimum>;
  // The same for any number of labels: callers in other threads want other sizes.
  constexpr int kMost = kTileRows * kTileColumns * static_cast<int>(sizeof(double));
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMost);
  if (allowed != cudaSuccess) return forgotten(allowed);
  const dim3 grid(static_cast<unsigned>(p.count),
                  static_cast<unsigned>((labels + kTileColumns - 1) / kTileColumns),
                  static_cast<unsigned>((labels + p.rows - 1) / p.rows));
  MRF_LAUNCH(kernel, grid, dim3(static_cast<unsigned>(warps * kWarp)), shared, stream, p);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
TableParameters<T> parameters(const cpu::AdjointArgs<T>& a, const Batch& batch,
                              const MessageGradients<T>& left_behind, bool backward, double* bins,
                              int64_t count) {
  TableParameters<T> p{};
  p.shape = a.shape;
  p.batch = batch;
  p.way = core::direction(2 * a.pair + (backward ? 1 : 0));
  p.backward = backward;
  if (a.weights.per_edge != nullptr)
    p.edge_weights = a.weights.per_edge + a.pair * a.shape.pixels();
  p.scale = a.weights.scale;
  p.argmin = (backward ? a.backward_tape : a.forward_tape).argmin;
  p.g = backward ? left_behind.backward : left_behind.forward;
  p.sender = backward ? left_behind.backward_sender : left_behind.forward_sender;
  p.table = backward ? a.gradient.table_t : a.gradient.table;
  p.temperature = a.temperature;
  p.bins = bins;
  p.count = count;
  p.rows = a.shape.labels < kTileRows ? a.shape.labels : kTileRows;
  p.slots = a.shape.labels <= kTileColumns ? kTileColumns / a.shape.labels : 1;
  return p;
}

}  // namespace

template <class T>
int table_gradient(const cpu::AdjointArgs<T>& args, const Batch& batch,
                   const MessageGradients<T>& left_behind, double* bins, int64_t count,
                   Stream stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  for (const bool backward : {false, true}) {
    const TableParameters<T> p = parameters(args, batch, left_behind, backward, bins, count);
    const bool soft = args.temperature > T(0);
    const bool complete =
        p.g != nullptr && (soft ? p.sender != nullptr && p.table != nullptr : p.argmin != nullptr);
    if (!complete || count < 1) return static_cast<int>(cudaErrorInvalidValue);
    const int error = soft ? launch<T, SoftTable<T>>(p, on) : launch<T, HardTable<T>>(p, on);
    if (error != 0) return error;
  }
  return 0;
}

template int table_gradient<float>(const cpu::AdjointArgs<float>&, const Batch&,
                                   const MessageGradients<float>&, double*, int64_t, Stream);
template int table_gradient<double>(const cpu::AdjointArgs<double>&, const Batch&,
                                    const MessageGradients<double>&, double*, int64_t, Stream);

}  // namespace mrfcore::cuda
