// SPDX-License-Identifier: Apache-2.0
// The table of kernels that each instruction set fills, and the argument blocks they take. No
// solver logic here.
//
// Padding rule: internal rows have `stride` labels, a multiple of the vector length. Labels l >= L
// of a unary row hold kForbidden, so padded labels behave like forbidden ones: no minimum ever
// picks them and kernels need no masks. Padding of message rows lies between the row's minimum and
// the largest message V allows: subtracted from a unary's padding it disappears in rounding.
#pragma once

#include <cstdint>
#include <limits>

#include "core/directions.hpp"
#include "core/hd.hpp"
#include "cpu/control.hpp"
#include "cpu/min_convolution_plan.hpp"
#include "mrfcore/message_dtype.hpp"

namespace mrfcore::cpu {

/// Finite stand-in for +inf, so that inf - inf cannot arise. Forbidden labels have it as unary.
template <class T>
inline constexpr T kForbidden = sizeof(T) == 4 ? T(1e30) : T(1e200);

template <class T>
inline constexpr T kInfinity = std::numeric_limits<T>::infinity();

/// Unaries must stay below: far enough from kForbidden that no sum of 16 path costs is taken for a
/// forbidden one (cost_for_caller).
template <class T>
inline constexpr T kLargestUnary = sizeof(T) == 4 ? T(1e26) : T(1e196);

/// A cost as the caller sees it: forbidden labels cost the infinity they were given. Messages and
/// sums over directions move kForbidden by far less than this factor, sharing by D (SGM) included.
template <class T>
MRF_CORE T cost_for_caller(T cost) {
  return cost < kForbidden<T> / T(64) ? cost : kInfinity<T>;
}

/// A grid of rows of labels in memory.
struct GridShape {
  int64_t height;
  int64_t width;
  int labels;
  int64_t stride;  ///< labels per row in memory, padded
  int connectivity;

  MRF_CORE int64_t pixels() const { return height * width; }
  MRF_CORE int64_t volume() const { return pixels() * stride; }
};

/// w_ij = scale * (per_edge ? per_edge[pair, y, x] : 1)
template <class T>
struct EdgeWeightView {
  const T* per_edge;
  T scale;
};

enum class SweepRule {
  SGM,    ///< L_r accumulated into `sum` (Eq 3.3, 3.6)
  ISGMR,  ///< Eq 3.9: other pairs' messages from the previous iteration (`sum` is left as it was)
  TRWP,   ///< Eq 3.10: newest messages everywhere, `sum` kept up to date
};

/// What a sweep of one direction keeps for its backward pass (spec section 3): for every message
/// the arg-min of each label and the label of the minimum that was subtracted, in uint8 for up to
/// 256 labels, else uint16. Dense: [H, W, L] and [H, W].
struct ArgminTape {
  void* argmin;   ///< null: nothing is kept
  void* minimum;  ///< SGM: of the path cost of every node; else of the message to it
};

/// Largest label count whose indices fit a byte.
inline constexpr int kByteLabels = 256;

/// One direction pair swept both ways, scanline strip by scanline strip, so that the second way
/// finds its data in cache.
template <class T>
struct SweepArgs {
  GridShape shape;
  SweepRule rule;
  int pair;
  EdgeWeightView<T> weights;
  const MinConvolutionPlan<T>* plan;

  const T* unary;  ///< SGM: theta, padded
  T* sum;          ///< TRWP, ISGMR: theta + all messages; SGM: sum of L_r
  void* forward;   ///< message of direction 2 pair (not SGM), kept as `storage` says
  void* backward;  ///< message of direction 2 pair + 1 (not SGM)
  T* cavity;       ///< ISGMR: scratch volume; may be `backward` itself when that is of T, undamped
  T rho;           ///< TRWP
  T damping;
  const T* head_row;  ///< SGM: what a scanline's head sends: null = its own unary, else this row
  bool relative;      ///< SGM: `sum` receives L_r less its minimum over labels

  ArgminTape forward_tape;  ///< messages are of T where tapes are kept
  ArgminTape backward_tape;
  int threads;
  Control* control;
  MessageDtype storage = MessageDtype::Full;
};

/// Where an adjoint sweep adds gradients of the pairwise term; null pointers are not wanted.
/// Strips are dealt to `bins` fixed groups with a sum each, added in order by the caller: the same
/// bits for any number of threads.
template <class T>
struct PairwiseGradient {
  const T* table;        ///< V(m, l) [L][stride], or null if V depends on |l - m| only:
  const T* table_t;      ///< V(l, m)
  const T* differences;  ///< V by |l - m|, [L]
  int distinct;          ///< `differences` from distinct - 1 on are all the same
  T weight_factor;       ///< d (weight used) / d (weight given): SGM shrinks weights
  T* per_edge;           ///< this item's [P, H, W]
  double* weight;        ///< [bins]
  double* values;        ///< [bins][L][L], of V(l, m)
  int64_t bins;
};

/// The adjoint of sweep_pair: both ways in reverse, nodes in reverse (Alg 3, 4). Volumes hold
/// d loss / d (volume of the same name in SweepArgs), before the sweep where it returns.
template <class T>
struct AdjointArgs {
  GridShape shape;
  SweepRule rule;
  int pair;
  EdgeWeightView<T> weights;
  T* sum;         ///< TRWP: of the running sum. ISGMR: of the sum after the iteration, read
  T* sum_before;  ///< ISGMR: of the sum before the iteration, added to
  T* forward;     ///< of the message of direction 2 pair (not SGM)
  T* backward;    ///< of the message of direction 2 pair + 1 (not SGM)
  T* cavity;      ///< ISGMR: scratch volume; may be `backward` itself when damping is 0
  T rho;          ///< TRWP
  T damping;
  const T* cost;    ///< SGM: of the sum of L_r
  T* unary;         ///< SGM: of theta, added to
  bool unary_head;  ///< SGM: a scanline's head sends its own unary
  bool relative;    ///< SGM

  ArgminTape forward_tape;
  ArgminTape backward_tape;

  /// Soft minima keep messages instead of arg-mins: before and after the iteration. `state` is the
  /// sum of theta and messages: TRWP rewinds it, ISGMR reads that of the iteration's start.
  T temperature;  ///< 0: hard
  const T* forward_before;
  const T* forward_after;
  const T* backward_before;
  const T* backward_after;
  T* state;

  PairwiseGradient<T> gradient;
  int threads;
  Control* control;
};

/// Exact minimum over the chains of one pair, weight rho each (lower bound, spec section 2).
template <class T>
struct ChainBoundArgs {
  GridShape shape;
  int pair;
  EdgeWeightView<double> weights;
  const MinConvolutionPlan<double>* plan;
  const T* unary;               ///< theta, padded
  const void* const* messages;  ///< one volume per direction, or null for none
  double rho;
  double* scanline_minimum;  ///< [slots * step], zeroed by the caller
  int threads;
  Control* control;
  MessageDtype storage = MessageDtype::Full;
};

/// One raster pass of TRW-S (forward or backward) by wavefronts, or the labelling pass.
template <class T>
struct TrwsArgs {
  GridShape shape;
  bool backward;
  EdgeWeightView<T> weights;
  const MinConvolutionPlan<T>* plan;
  const T* unary;
  void* const* messages;
  double* row_bound;  ///< [height], written by the backward pass
  int threads;
  Control* control;
  MessageDtype storage = MessageDtype::Full;
};

/// Corner of the image that a conditioned labelling starts at; rows are the slow axis.
struct Corner {
  bool bottom = false;
  bool right = false;
};

/// Is the neighbour in direction r labelled before a node, in raster order from the corner?
MRF_CORE bool comes_before(Corner corner, int r) {
  const core::Direction d = core::direction(r);
  const int dy = corner.bottom ? -d.dy : d.dy, dx = corner.right ? -d.dx : d.dx;
  return dy < 0 || (dy == 0 && dx < 0);
}

template <class T>
struct LabellingArgs {
  GridShape shape;
  EdgeWeightView<T> weights;
  const T* table;    ///< V [L][stride]
  const T* table_t;  ///< V transposed
  const T* unary;
  const void* const* messages;
  int32_t* labels;
  int threads;
  Control* control;
  Corner corner = {};
  MessageDtype storage = MessageDtype::Full;
};

/// Exact minimisation over the labels of whole rows (or columns), all other labels fixed, lines of
/// one colour after those of another.
template <class T>
struct LineArgs {
  GridShape shape;
  int pair;  ///< 0: rows, 1: columns
  EdgeWeightView<T> weights;
  const MinConvolutionPlan<T>* plan;
  const T* table;
  const T* table_t;
  const T* unary;
  int32_t* labels;
  T* states;  ///< volume to work in; used by a GPU only
  int threads;
  Control* control;
};

/// Colours of rows (or columns) such that lines of one colour share no edge.
MRF_CORE int line_colours(int connectivity) { return connectivity == 16 ? 3 : 2; }

/// sum_i = unary_i + messages of i in canonical order (Eq 3.7); any of the outputs may be null.
template <class T>
struct GatherArgs {
  GridShape shape;
  const T* unary;
  const void* const* messages;
  int count;        ///< number of message volumes
  T* sum;           ///< padded volume
  T* costs;         ///< dense [H, W, L]
  int32_t* labels;  ///< arg-min, lowest on ties (Eq 3.8)
  int threads;
  Control* control;
  MessageDtype storage = MessageDtype::Full;
};

/// unary = share (sum - its minimum over labels), forbidden labels as they are.
template <class T>
struct FeedBackArgs {
  GridShape shape;
  const T* sum;
  T share;
  T* unary;
  void* minima;  ///< of the sums, as in ArgminTape; null: nothing is kept
  int threads;
  Control* control;
};

template <class T>
struct MeanFieldArgs {
  GridShape shape;
  EdgeWeightView<T> weights;
  T scale;  ///< 1, or 1 / connectivity
  const T* table;
  const T* table_t;
  bool symmetric;
  const T* unary;
  T* costs;    ///< padded volume c
  T* beliefs;  ///< padded volume Q
  int threads;
  Control* control;
};

/// The adjoint of mean_field_step.
template <class T>
struct MeanFieldAdjointArgs {
  GridShape shape;
  EdgeWeightView<T> weights;
  T scale;
  const T* table;
  const T* table_t;
  const T* beliefs;     ///< Q that the step read
  const T* grad_costs;  ///< of c after the step
  T* grad_before;       ///< of c before the step, overwritten
  T* grad_unary;        ///< added to
  PairwiseGradient<T> gradient;
  int threads;
  Control* control;
};

template <class T>
struct IcmArgs {
  GridShape shape;
  EdgeWeightView<T> weights;
  const T* table;
  const T* table_t;
  const T* unary;
  int32_t* labels;
  T* costs;  ///< dense conditioned costs, or null
  int threads;
  Control* control;
};

template <class T>
struct Kernels {
  int lanes;
  void (*sweep_pair)(const SweepArgs<T>&);
  void (*adjoint_pair)(const AdjointArgs<T>&);
  void (*chain_bound)(const ChainBoundArgs<T>&);
  void (*trws_pass)(const TrwsArgs<T>&);
  void (*trws_labels)(const LabellingArgs<T>&);
  void (*gather)(const GatherArgs<T>&);
  void (*feed_back)(const FeedBackArgs<T>&);
  void (*mean_field_step)(const MeanFieldArgs<T>&);
  void (*mean_field_adjoint)(const MeanFieldAdjointArgs<T>&);
  void (*icm_sweep)(const IcmArgs<T>&);
  void (*minimize_lines)(const LineArgs<T>&);
};

#define MRF_DECLARE_KERNELS(isa)                            \
  namespace isa {                                           \
  template <class T>                                        \
  const Kernels<T>& kernels();                              \
  extern template const Kernels<float>& kernels<float>();   \
  extern template const Kernels<double>& kernels<double>(); \
  }
MRF_DECLARE_KERNELS(baseline)
MRF_DECLARE_KERNELS(avx2)
MRF_DECLARE_KERNELS(avx512)
#undef MRF_DECLARE_KERNELS

}  // namespace mrfcore::cpu
