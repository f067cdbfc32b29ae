// SPDX-License-Identifier: Apache-2.0
// A block at work on one image row of a TRW-S pass. Columns x count from the side where the pass
// begins, rows k from the first one it visits.
#pragma once

#include "convolve.cuh"
#include "rules.cuh"
#include "signal.cuh"
#include "trws_pass.cuh"

namespace mrfcore::cuda {

/// What the warps of a block share.
template <class T>
struct TrwsBoard {
  double* lowest;  ///< per pair: what its message lost, or infinity; at [pairs] what the node
                   ///< itself lost
  int* ticket;
  int* seen;   ///< nodes done of the row before
  T* sum;      ///< of the node's unary and messages
  T* along;    ///< message along the row to the next node
  T* reverse;  ///< [pairs] rows: messages against those that are sent

  __device__ __forceinline__ TrwsBoard(double* shared, int row, int pairs)
      : lowest(shared),
        ticket(reinterpret_cast<int*>(shared + pairs + 1)),
        seen(ticket + 1),
        sum(reinterpret_cast<T*>(shared + pairs + 2)),
        along(sum + row),
        reverse(along + row) {}
  static size_t bytes(int row, int pairs) {
    return static_cast<size_t>(pairs + 2) * sizeof(double) +
           static_cast<size_t>((pairs + 2) * row) * sizeof(T);
  }
};

/// One thread's part. Warps 0 .. D / 2 - 1 send messages, the last two tell and look.
template <class T, int NK, int D>
class TrwsRow {
 public:
  static constexpr int kPairs = D / 2;
  static constexpr int kThreads = (kPairs + 2) * kWarp;

  __device__ __forceinline__ TrwsRow(const TrwsParameters<T>& parameters,
                                     const TrwsBoard<T>& shared, const RowTicket& ticket)
      : p(parameters),
        board(shared),
        item(ticket.item),
        k(ticket.row),
        y(p.backward ? p.shape.height - 1 - k : k),
        warp(static_cast<int>(threadIdx.x) / kWarp),
        r(2 * (warp < kPairs ? warp : 0) + (p.backward ? 1 : 0)),
        done(p.progress + item * (p.shape.height + 1) + k) {}

  /// Before anything else: the message into the row from outside (there is none, but its memory
  /// counts), and the row before.
  __device__ __forceinline__ void start() {
    if (sends()) {
      const T* along = message(p.backward ? 1 : 0, pixel(0));
      for (int l = static_cast<int>(threadIdx.x); l < p.shape.labels; l += kPairs * kWarp)
        board.along[l] = __ldcg(along + l);
    } else if (looks()) {
      look(0);
    }
  }
  __device__ __forceinline__ void read_first() {
    if (sends()) read(0);
  }

  /// theta + messages, from behind, then from ahead. Meanwhile the bound takes what the node before
  /// subtracted.
  __device__ __forceinline__ void add_up(int x) {
    early = x + 1 < p.shape.width && *board.seen >= needed(x + 1);
    if (sends()) return add_up_messages();
    if (tells() && x > 0) account();
  }

  __device__ __forceinline__ void send(int x) {
    if (sends()) {
      const T w = weight;
      if (early) read(x + 1);
      send_message(x, w);
    } else if (looks()) {
      if (x + 1 < p.shape.width) look(x + 1);
    } else if (x > 0) {
      tell(x);
    }
  }
  __device__ __forceinline__ void read_late(int x) {
    if (sends() && !early && x + 1 < p.shape.width) read(x + 1);
  }
  __device__ __forceinline__ void finish() {
    if (!tells()) return;
    tell(static_cast<int>(p.shape.width));
    account();
    if (p.row_bound != nullptr && lane_index() == 0)
      p.row_bound[item * p.shape.height + y] = bound.total();
  }

 private:
  using Row = WarpRow<T, NK>;
  /// Labels of a thread where the senders share out a row.
  static constexpr int kShare = (NK + kPairs - 1) / kPairs;

  __device__ __forceinline__ bool sends() const { return warp < kPairs; }
  __device__ __forceinline__ bool tells() const { return warp == kPairs; }
  __device__ __forceinline__ bool looks() const { return warp == kPairs + 1; }
  __device__ __forceinline__ int64_t column(int x) const {
    return p.backward ? p.shape.width - 1 - x : x;
  }
  __device__ __forceinline__ int64_t pixel(int x) const { return y * p.shape.width + column(x); }
  __device__ __forceinline__ T* message(int direction, int64_t at) const {
    return p.messages[direction] + item * p.batch.volume + at * p.shape.labels;
  }
  __device__ __forceinline__ int64_t offset() const {
    return p.directions[r].dy * p.shape.width + p.directions[r].dx;
  }
  /// Is there a neighbour in this warp's direction?
  __device__ __forceinline__ bool inside(int x) const {
    const int64_t to_y = y + p.directions[r].dy, to_x = column(x) + p.directions[r].dx;
    return to_y >= 0 && to_y < p.shape.height && to_x >= 0 && to_x < p.shape.width;
  }

  /// Nodes of the row before that must be done before node x.
  __device__ __forceinline__ int needed(int x) const {
    if (k == 0) return 0;
    return static_cast<int>(x + p.lead < p.shape.width ? x + p.lead : p.shape.width);
  }
  /// Waits for what node x needs; sees perhaps what the node after it needs.
  __device__ __forceinline__ void look(int x) {
    if (lane_index() != 0) return;
    while (seen < needed(x + 1)) {
      seen = observe(done - 1);
      if (seen >= needed(x)) break;
      pause();
    }
    *board.seen = seen;
  }
  __device__ __forceinline__ void tell(int nodes) const {
    if (lane_index() == 0) publish(done, nodes);
  }
  __device__ __forceinline__ void account() {
    if (p.row_bound == nullptr || lane_index() != 0) return;
    bound.begin(board.lowest[kPairs]);
    for (int g = 0; g < kPairs; ++g) {
      if (board.lowest[g] != cpu::kInfinity<double>) bound.add(board.lowest[g]);
    }
    bound.end();
  }

  /// Asks for what the sum of node x needs. Messages of this pass come from other multiprocessors:
  /// L1 is not looked into.
  __device__ __forceinline__ void read(int x) {
    const int64_t at = pixel(x);
    const int along = p.backward ? 1 : 0;
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
      const int l = static_cast<int>(threadIdx.x) + i * kPairs * kWarp;
      if (l >= p.shape.labels) continue;
      unary[i] = __ldg(p.unary + item * p.batch.volume + at * p.shape.labels + l);
#pragma unroll
      for (int d = 0; d < D; ++d) {
        if (d != along) messages[d][i] = __ldcg(message(d, at) + l);
      }
    }
    weight = p.weights.scale;
    if (p.weights.per_edge != nullptr && inside(x)) {
      const int64_t owner = p.backward ? at + offset() : at;
      weight = p.weights.scale * __ldg(p.weights.per_edge + item * p.batch.edge_weights +
                                       core::pair_of(r) * p.shape.pixels() + owner);
    }
  }

  __device__ __forceinline__ void add_up_messages() {
    const int along = p.backward ? 1 : 0;
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
      const int l = static_cast<int>(threadIdx.x) + i * kPairs * kWarp;
      if (l >= p.shape.labels) continue;
      T s = unary[i];
#pragma unroll
      for (int way = 0; way < 2; ++way) {
#pragma unroll
        for (int d = way; d < D; d += 2) s = s + (d == along ? board.along[l] : messages[d][i]);
      }
      board.sum[l] = s;
#pragma unroll
      for (int g = 0; g < kPairs; ++g)
        board.reverse[g * NK * kWarp + l] =
            p.backward ? messages[2 * g][i] : messages[2 * g + 1][i];
    }
  }

  /// One message to the neighbour in this warp's direction (Eq 2.43). The backward pass takes the
  /// minimum out of the sum; forward, messages lose theirs anyway.
  __device__ __forceinline__ void send_message(int x, T w) const {
    T* const scratch = board.reverse + warp * NK * kWarp;
    Row h;
#pragma unroll
    for (int i = 0; i < NK; ++i) {
      const int l = Row::label(i);
      h.at[i] = l < p.shape.labels ? board.sum[l] : kForbidden<T>;
    }
    const T constant = p.backward ? row_minimum(h) : T(0);
#pragma unroll
    for (int i = 0; i < NK; ++i) {
      const int l = Row::label(i);
      const T reverse = l < p.shape.labels ? scratch[l] : T(0);
      h.at[i] = p.gamma * (p.backward ? h.at[i] - constant : h.at[i]) - reverse;
    }
    T lowest = T(0);
    const bool neighbour = inside(x);
    if (neighbour) {
      forbid_padding(h, p.shape.labels);
      Convolved<T, NK, false> sent;
      const T least = row_minimum(h);
      convolve(p.plan, p.backward, h, least, w, scratch, sent);
      forbid_padding(sent.value, p.shape.labels);
      lowest = keeps_minimum(p.plan, w) ? least : row_minimum(sent.value);
#pragma unroll
      for (int i = 0; i < NK; ++i) sent.value.at[i] = sent.value.at[i] - lowest;
      write_row(message(r, 0), pixel(x) + offset(), p.shape.labels, sent.value);
      if (warp == 0) write_row(board.along, 0, p.shape.labels, sent.value);
    }
    if (lane_index() != 0) return;
    board.lowest[warp] = neighbour ? static_cast<double>(lowest) : cpu::kInfinity<double>;
    if (warp == 0) board.lowest[kPairs] = static_cast<double>(constant);
  }

  const TrwsParameters<T>& p;
  const TrwsBoard<T>& board;
  const int64_t item, k, y;
  const int warp;
  const int r;      ///< the direction of this warp
  int* const done;  ///< nodes of this row that are done
  T unary[kShare] = {}, messages[D][kShare] = {}, weight = T(0);
  bool early = false;  ///< the next node was read before the present one was convolved
  int seen = 0;        ///< of the lane that looks
  TrwsBound bound;
};

}  // namespace mrfcore::cuda
