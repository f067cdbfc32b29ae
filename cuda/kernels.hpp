// SPDX-License-Identifier: Apache-2.0
// What the CUDA back-end computes: the argument blocks of cpp/cpu/kernels.hpp with pointers to
// device memory, and what a batch adds. Volumes are dense, [H, W, L] (stride == labels): a warp
// needs no padding. Unaries hold kForbidden where a label is forbidden.
//
// Functions launch on `stream` and return at once; they neither allocate nor synchronise, so they
// can be captured into a graph. The returned code is a cudaError_t, 0 for success.
#pragma once

#include <cstdint>

#include "cpu/kernels.hpp"

namespace mrfcore::cuda {

/// Items of a batch are swept side by side. Strides are elements from one item to the next; 0
/// shares.
struct Batch {
  int64_t count;
  int64_t volume;  ///< unaries, sums, messages
  int64_t edge_weights;
  int64_t tape_argmin;   ///< indices
  int64_t tape_minimum;  ///< indices
};

/// Bits of the flags that tell of input a GPU cannot compute with. Nobody waits for a GPU to look
/// at them: gather() turns costs of such items into NaN, and minimize(), which reads energies
/// anyway, throws.
inline constexpr int32_t kBadUnary = 1, kBadWeight = 2, kBadTable = 4;

/// A stream as the caller's runtime knows it (cudaStream_t).
using Stream = void*;

/// Most labels of a row held by a warp. Beyond, a block has a row in shared memory: as many labels
/// as fit (a head comment each of the wide_*.cu), cudaErrorInvalidValue for more.
template <class T>
inline constexpr int kMostLabels = sizeof(T) == 4 ? 512 : 256;

/// One direction pair both ways. Of SweepArgs, `threads` and `control` are not used.
template <class T>
int sweep_pair(const cpu::SweepArgs<T>& args, const Batch& batch, Stream stream);

/// What the adjoint of a pair leaves behind for table_gradient(): volumes like messages, null if
/// not wanted. Rows of scanlines' heads, which no message reaches, are left as they are and never
/// read.
template <class T>
struct MessageGradients {
  T* forward;   ///< d loss / d message before its minimum is subtracted, of direction 2 pair
  T* backward;  ///< of direction 2 pair + 1
  /// Soft minima only: the vector h that the sender handed on, at the sender's pixel.
  T* forward_sender;
  T* backward_sender;
};

/// The adjoint of a sweep, hard (by its tapes) or soft (temperature > 0, by the messages). Of the
/// pairwise gradients only `per_edge` is computed here; with a batch of more than one it must have
/// a stride (refused otherwise: items would add to the same numbers; sum_items() adds them up).
/// table, table_t: [L, L]; differences: [L]. Soft adjoints need table and table_t.
template <class T>
int adjoint_pair(const cpu::AdjointArgs<T>& args, const Batch& batch,
                 const MessageGradients<T>& left_behind, Stream stream);

/// Adds to bins [count][L][L], of V(l, m), what one pair contributes, from what adjoint_pair() left
/// behind. The split of pixels over bins is fixed by sizes alone: the same bits every time.
template <class T>
int table_gradient(const cpu::AdjointArgs<T>& args, const Batch& batch,
                   const MessageGradients<T>& left_behind, double* bins, int64_t count,
                   Stream stream);

/// sum, costs and labels of theta and messages, as GatherArgs says; `messages` is a host array.
/// Costs of items whose flag in `bad` is not 0 are NaN; bad may be null.
template <class T>
int gather(const cpu::GatherArgs<T>& args, const Batch& batch, const int32_t* bad, Stream stream);

/// to = from with +inf replaced by kForbidden; may be the same memory. `size` elements per item.
/// Sets kBadUnary in bad[item] where a value is NaN, -inf or too large in magnitude
/// (kLargestUnary).
template <class T>
int finite_unary(const T* from, T* to, int64_t size, int64_t items, int32_t* bad, Stream stream);

/// Sets kBadWeight in bad[item] where an edge inside the image has a weight outside [0, 1e12). Of
/// Batch, count and edge_weights are used; with shared weights all items are flagged.
template <class T>
int check_weights(const T* per_edge, const cpu::GridShape& shape, const Batch& batch, int32_t* bad,
                  Stream stream);

/// Sets kBadTable in all flags where a value is not finite or 1e12 or more in magnitude.
template <class T>
int check_table(const T* table, int64_t size, int64_t items, int32_t* bad, Stream stream);

/// The next unary of SGM from the sum of its path costs: (sum - min sum) * share, as
/// SgmSchedule::feed_back does. minima: tape of the labels of those minima, or null.
template <class T>
int feed_back(const cpu::GridShape& shape, const T* sum, T share, T* unary, void* minima,
              const Batch& batch, Stream stream);
/// Its adjoint: overwrites grad_sum.
template <class T>
int feed_back_adjoint(const cpu::GridShape& shape, const T* grad_unary, T share, const void* minima,
                      T* grad_sum, const Batch& batch, Stream stream);

/// costs [H, W, L] moved so that every node's lowest is its item's energy. energy: [items].
template <class T>
int level_costs(const cpu::GridShape& shape, const double* energy, T* costs, const Batch& batch,
                Stream stream);
/// to[i] = to[i] + from[i]
template <class T>
int add(T* to, const T* from, int64_t size, Stream stream);

// --- mean field, ICM (local.cu ...) --------------------------------------------------------------

template <class T>
int mean_field_step(const cpu::MeanFieldArgs<T>& args, const Batch& batch, Stream stream);

/// Of the pairwise gradients `per_edge` (with a stride, as above) and, unless null, `values`
/// [bins][L][L] in the way of table_gradient().
template <class T>
int mean_field_adjoint(const cpu::MeanFieldAdjointArgs<T>& args, const Batch& batch, Stream stream);

/// All colours one after the other (labels), or, if `costs` is given, the report of costs.
template <class T>
int icm_sweep(const cpu::IcmArgs<T>& args, const Batch& batch, Stream stream);

// --- TRW-S, chains (trws.cu, chain_bound.cu) -----------------------------------------------------

/// One raster pass. progress: [items][height + 1] counters, cleared by the function. row_bound:
/// [items][height], overwritten, or null.
template <class T>
int trws_pass(const cpu::TrwsArgs<T>& args, const Batch& batch, int32_t* progress, Stream stream);
/// Conditioned labelling in raster order from a corner, any number of labels. Of progress one
/// counter is used.
template <class T>
int trws_labels(const cpu::LabellingArgs<T>& args, const Batch& batch, int32_t* progress,
                Stream stream);

/// Exact minima of the scanlines of one pair, [items][scanlines]. weights.per_edge is of type T
/// here (exact in double), and has the batch's stride.
template <class T>
struct ChainBoundArgs {
  cpu::GridShape shape;
  int pair;
  cpu::EdgeWeightView<T> weights;
  const cpu::MinConvolutionPlan<double>* plan;
  const T* unary;
  const void* const* messages;  ///< host array of one volume per direction, or null
  double rho;
  double* scanline_minimum;
};
template <class T>
int chain_bound(const ChainBoundArgs<T>& args, const Batch& batch, Stream stream);

// --- polish, coarser grids (lines.cu, wide_lines.cu, coarse.cu)
// ------------------------------------

/// All colours of rows (or columns) one after the other. args.states: a volume [items].
template <class T>
int minimize_lines(const cpu::LineArgs<T>& args, const Batch& batch, Stream stream);

/// Per pixel what of the energy changes with its label, as Changes in cpp/ops/cpu_polish.cpp.
template <class T>
struct ChangeArgs {
  cpu::GridShape shape;
  cpu::EdgeWeightView<T> weights;
  const double* differences;  ///< V by |l - m| [L], or null: table V(l, m) [L, L]
  const double* table;
  const T* unary;
  const int32_t* from;  ///< [items][H, W]
  const int32_t* to;
  double* change;  ///< [items][H, W], overwritten
};
template <class T>
int label_changes(const ChangeArgs<T>& args, const Batch& batch, Stream stream);

/// Unaries of a grid of half the size, and weights unless null: as CpuBackend::coarsen(). The
/// strides of the coarser grid are its own sizes, 0 for weights where those of the finer one are.
template <class T>
struct CoarsenArgs {
  cpu::GridShape fine, coarse;
  const T* fine_unary;
  T* coarse_unary;
  const T* fine_weights;
  T* coarse_weights;
};
template <class T>
int coarsen(const CoarsenArgs<T>& args, const Batch& fine, const Batch& coarse, Stream stream);
/// Every node of the finer grid gets the message of the node that stands for it.
template <class T>
int prolong(const cpu::GridShape& fine, const T* coarse_messages, T* messages, int64_t items,
            Stream stream);

// --- energies and sums (energy.cu, sums.cu) ------------------------------------------------------

/// E(labels) per item, in double. differences: V by |l - m| [L], or null: table V(l, m) [L, L].
/// rows: scratch [items][height]. Forbidden labels cost +inf.
template <class T>
struct EnergyArgs {
  cpu::GridShape shape;
  cpu::EdgeWeightView<T> weights;
  const double* differences;
  const double* table;
  const T* unary;
  const int32_t* labels;
  double* rows;
  double* energy;  ///< [items]
};
template <class T>
int energy(const EnergyArgs<T>& args, const Batch& batch, Stream stream);

/// to[item] = sum of `count` doubles per item, in a fixed order.
int sum_rows(const double* from, int64_t count, int64_t items, double* to, Stream stream);
/// to[i] = sum over items of from[item * size + i], in order, in double.
template <class T>
int sum_items(const T* from, int64_t size, int64_t items, T* to, Stream stream);
/// to[i] = sum over bins of from[bin * size + i], in order.
template <class T>
int sum_bins(const double* from, int64_t size, int64_t bins, T* to, Stream stream);
/// *to = sum of from[0 .. size), in double and a fixed order. scratch: kSumScratch doubles.
inline constexpr int64_t kSumScratch = 1024;
template <class T>
int sum_all(const T* from, int64_t size, double* scratch, T* to, Stream stream);

// --- memory, potentials (memory.cu) --------------------------------------------------------------

/// Memory set to zero, and copied within the device.
int clear(void* to, int64_t bytes, Stream stream);
int copy(void* to, const void* from, int64_t bytes, Stream stream);
/// Host values as arguments of kernels: no staging memory has to outlive the call, and a captured
/// graph holds them.
template <class T>
int write_values(const T* host, int64_t count, T* to, Stream stream);
/// V as [L, L] tables times `factor`: from differences [L] or, if that is null, from `values` =
/// V(l, m) [L, L]; table[m, l] = V(m, l), transposed[m, l] = V(l, m). transposed may be null.
template <class T>
int fill_tables(const T* differences, const T* values, int labels, T factor, T* table,
                T* transposed, Stream stream);
/// to[i] = *value for i in 0 .. size - 1.
template <class T>
int fill(const T* value, int64_t size, T* to, Stream stream);

}  // namespace mrfcore::cuda
