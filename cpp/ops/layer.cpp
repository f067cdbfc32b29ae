// SPDX-License-Identifier: Apache-2.0
// Solvers as differentiable layers: checks, memory, and the order in which records are made and
// used. With store_every > 1 the forward pass keeps snapshots of the state, and the backward pass
// makes the records of one segment at a time.
#include "mrfcore/layer.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "ops/adjoint.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/schedule.hpp"
#include "ops/tape.hpp"

namespace mrfcore {
namespace {

/// What the tape was made with: a backward pass with anything else would read nonsense.
struct TapeHeader {
  static constexpr uint64_t kMagic = 0x6d72666c61796572;  // "mrflayer"
  uint64_t magic;
  int64_t batch, height, width, labels, stride;
  int32_t connectivity, solver, iterations, segment, element_bytes, soft;
  bool operator==(const TapeHeader&) const = default;
};
static_assert(sizeof(TapeHeader) <= 128);
constexpr int64_t kHeaderBytes = 128;

/// Everything forward and backward share.
template <class T>
struct Call {
  const Problem<T>& problem;
  const LayerOptions& options;
  const cpu::Kernels<T>& kernels;
  TapeLayout<T> layout;
  int threads;
  cpu::Control control;

  Call(const Problem<T>& p, const LayerOptions& o)
      : problem(p),
        options(o),
        kernels(kernels_for_labels<T>(p.labels)),
        layout(p, o, round_up(p.labels, kernels.lanes)),
        threads(resolve_threads(o.threads)) {
    control.poll = o.interrupted;
    constexpr int64_t kParallelCells = 1 << 14;
    if (p.pixels() * p.labels < kParallelCells) threads = 1;
  }

  TapeHeader header() const {
    return {TapeHeader::kMagic,
            problem.batch,
            problem.height,
            problem.width,
            problem.labels,
            round_up(problem.labels, kernels.lanes),
            problem.connectivity,
            static_cast<int32_t>(options.solver),
            options.iterations,
            layout.segment,
            static_cast<int32_t>(sizeof(T)),
            layout.soft ? 1 : 0};
  }
  std::byte* item_tape(void* tape, int64_t b) const {
    return static_cast<std::byte*>(tape) + kHeaderBytes + b * layout.item_bytes();
  }
  Item<T> item(int64_t b, bool may_forbid, Arena* arena) {
    return Item<T>(problem, options, kernels, b, threads, &control, may_forbid,
                   {static_cast<T>(options.temperature), nullptr, 0, arena});
  }
  int64_t cells() const { return problem.pixels() * problem.labels; }
};

[[noreturn]] void bad(const std::string& message) { throw std::invalid_argument(message); }

template <class T>
void check_layer(const Problem<T>& p, const LayerOptions& o) {
  check_problem(p);
  check_options(p, o);
  switch (o.solver) {
    case Solver::SGM:
    case Solver::ISGMR:
    case Solver::TRWP:
    case Solver::BP:
    case Solver::MeanField:
      break;
    default:
      bad("solver: expected SGM, ISGMR, TRWP, BP or MeanField for a layer");
  }
  if (p.labels > 65535)
    bad("unary: expected at most 65535 labels for a layer, got L = " + std::to_string(p.labels));
  if (!(o.temperature == 0.0 || (o.temperature >= 1e-6 && o.temperature <= 1e6))) {
    bad("temperature: expected 0 (hard minima) or a number in [1e-6, 1e6], got " +
        std::to_string(o.temperature));
  }
  const bool soft = o.solver == Solver::ISGMR || o.solver == Solver::TRWP || o.solver == Solver::BP;
  if (o.temperature > 0.0 && !soft)
    bad("temperature: only ISGMR, TRWP and BP have soft minima, got " +
        std::to_string(o.temperature));
  if (o.store_every < 1)
    bad("store_every: expected a number >= 1, got " + std::to_string(o.store_every));
}

template <class T>
void forward_item(Call<T>& call, int64_t b, bool may_forbid, T* costs, void* tape, Arena arena) {
  Item<T> item = call.item(b, may_forbid, &arena);
  const TapeLayout<T>& layout = call.layout;
  std::byte* to = tape == nullptr ? nullptr : call.item_tape(tape, b);
  const Records<T> records(layout, to);
  if (tape != nullptr && !layout.recomputes()) item.layer.records = &records;
  const std::unique_ptr<Schedule<T>> schedule = make_schedule(item);
  const int64_t apart =
      layout.snapshot_bytes() / layout.snapshot_volumes() / static_cast<int64_t>(sizeof(T));
  for (int k = 0; k < layout.iterations; ++k) {
    if (tape != nullptr && layout.recomputes() && k > 0 && k % layout.segment == 0) {
      schedule->save(reinterpret_cast<T*>(to), apart);
      to += layout.snapshot_bytes();
    }
    schedule->iterate();
    cpu::throw_if_stopped(call.control);
  }
  schedule->read(nullptr, costs);
  cpu::throw_if_stopped(call.control);
}

/// Backward pass of one item.
template <class T>
class BackwardItem {
 public:
  BackwardItem(Call<T>& call, int64_t b, const void* tape, bool may_forbid,
               const PairwiseAdjoint<T>& pairwise, Arena* arena)
      : call_(call),
        layout_(call.layout),
        tape_(call.item_tape(const_cast<void*>(tape), b)),
        item_(call.item(b, may_forbid, arena)),
        adjoint_(make_adjoint(item_, pairwise, call.options)) {
    if (layout_.recomputes()) own_records_ = Buffer<std::byte>(layout_.records_bytes(), arena);
    if (layout_.soft) zero_ = item_.new_volume();
  }

  void run(const T* grad_costs, T* grad_unary) {
    if (layout_.segments() == 0) {  // the costs are the unaries
      if (grad_unary != nullptr) std::copy_n(grad_costs, call_.cells(), grad_unary);
      return;
    }
    adjoint_->start(grad_costs);
    for (int s = layout_.segments() - 1; s >= 0; --s) unwind_segment(s);
    cpu::throw_if_stopped(call_.control);
    if (grad_unary != nullptr) adjoint_->finish(grad_unary);
  }

 private:
  void unwind_segment(int s) {
    const Records<T> records(layout_, layout_.recomputes() ? own_records_.data() : tape_);
    if (layout_.recomputes()) recompute(s, records);
    const int begin = layout_.segment_begin(s);
    for (int k = layout_.segment_end(s) - 1; k >= begin; --k) {
      std::vector<T*> before;
      for (int r = 0; layout_.soft && r < layout_.directions; ++r)
        before.push_back(k > begin ? records.messages(k - begin - 1, r) : at_segment_start(s, r));
      adjoint_->unwind(k, records, k - begin, before.data());
      cpu::throw_if_stopped(call_.control);
    }
  }

  /// Runs the iterations of segment s once more, this time with records.
  void recompute(int s, const Records<T>& records) {
    item_.layer.records = &records;
    item_.layer.first_iteration = layout_.segment_begin(s);
    Arena* arena = std::exchange(item_.layer.arena, nullptr);
    const std::unique_ptr<Schedule<T>> schedule = make_schedule(item_);
    item_.layer.arena = arena;
    if (s > 0) schedule->restore(snapshot(s, 0), apart(), layout_.segment_begin(s));
    for (int k = layout_.segment_begin(s); k < layout_.segment_end(s); ++k) {
      schedule->iterate();
      cpu::throw_if_stopped(call_.control);
    }
    item_.layer.records = nullptr;
  }

  int64_t apart() const {
    return layout_.snapshot_bytes() / layout_.snapshot_volumes() / static_cast<int64_t>(sizeof(T));
  }
  T* snapshot(int s, int volume) const {
    return reinterpret_cast<T*>(tape_ + (s - 1) * layout_.snapshot_bytes()) + volume * apart();
  }
  T* at_segment_start(int s, int r) { return s > 0 ? snapshot(s, r) : zero_.data(); }

  Call<T>& call_;
  const TapeLayout<T>& layout_;
  std::byte* tape_;
  Item<T> item_;
  std::unique_ptr<Adjoint<T>> adjoint_;
  Buffer<std::byte> own_records_;
  Buffer<T> zero_;
};

template <class T>
void clear_edge_weight_gradients(const Problem<T>& p, T* to) {
  if (to == nullptr) return;
  const int64_t arrays = p.edge_weights_batch_stride == 0 ? 1 : p.batch;
  for (int64_t b = 0; b < arrays; ++b)
    std::fill_n(to + b * p.edge_weights_batch_stride, p.pairs() * p.pixels(), T(0));
}

void check_tape(const void* tape) {
  if (reinterpret_cast<uintptr_t>(tape) % alignof(double) != 0)
    bad("tape: expected memory aligned to 8 bytes");
}

template <class T>
void check_gradients(const Problem<T>& p, const void* tape, const T* grad_costs,
                     const Gradients<T>& g) {
  if (tape == nullptr) bad("tape: expected what layer_forward() wrote, got a null pointer");
  if (grad_costs == nullptr) bad("grad_costs: expected an array, got a null pointer");
  if (g.edge_weights != nullptr && p.edge_weights == nullptr)
    bad("gradients.edge_weights: the problem has no edge weights; ask for the scalar's");
  if (g.weight != nullptr && p.edge_weights != nullptr)
    bad("gradients.weight: the problem has edge weights, not a scalar");
}

}  // namespace

template <class T>
int64_t layer_tape_bytes(const Problem<T>& problem, const LayerOptions& options) {
  check_layer(problem, options);
  const Call<T> call(problem, options);
  return kHeaderBytes + problem.batch * call.layout.item_bytes();
}

template <class T>
int64_t layer_workspace_bytes(const Problem<T>& problem, const LayerOptions& options,
                              bool backward) {
  check_layer(problem, options);
  const Call<T> call(problem, options);
  int64_t volumes = 1 + schedule_volumes(options, problem.connectivity);  // 1: padded unaries
  int64_t bytes = 0;
  if (backward) {
    volumes = 2 + adjoint_volumes(options, problem.connectivity);  // and the zero volume
    if (call.layout.recomputes()) bytes += call.layout.records_bytes() + kTapeAlignment;
  }
  return bytes + volumes * (call.layout.volume * static_cast<int64_t>(sizeof(T)) + kTapeAlignment) +
         kTapeAlignment;
}

template <class T>
void layer_forward(const Problem<T>& problem, const LayerOptions& options, T* costs, void* tape,
                   void* workspace) {
  const int64_t workspace_size = layer_workspace_bytes(problem, options, false);  // checks, too
  if (costs == nullptr) bad("costs: expected an array to write to, got a null pointer");
  check_tape(tape);
  Call<T> call(problem, options);
  prefer_huge_pages(costs, problem.batch * call.cells() * static_cast<int64_t>(sizeof(T)));
  prefer_huge_pages(workspace, workspace_size);
  if (tape != nullptr)
    prefer_huge_pages(tape, kHeaderBytes + problem.batch * call.layout.item_bytes());
  const bool may_forbid = check_unary_values(problem, call.threads);
  if (options.iterations == 0) {
    std::copy_n(problem.unary, problem.batch * call.cells(), costs);
  } else {
    for (int64_t b = 0; b < problem.batch; ++b) {
      forward_item(call, b, may_forbid, costs + b * call.cells(), tape,
                   Arena(workspace, workspace_size));
    }
  }
  if (tape == nullptr) return;
  const TapeHeader header = call.header();
  std::memcpy(tape, &header, sizeof(header));
}

template <class T>
void layer_backward(const Problem<T>& problem, const LayerOptions& options, const void* tape,
                    const T* grad_costs, const Gradients<T>& gradients, void* workspace) {
  const int64_t workspace_size = layer_workspace_bytes(problem, options, true);
  check_gradients(problem, tape, grad_costs, gradients);
  check_tape(tape);
  Call<T> call(problem, options);
  TapeHeader header;
  std::memcpy(&header, tape, sizeof(header));
  if (!(header == call.header()))
    bad("tape: was not written by layer_forward() with this problem and these options");
  prefer_huge_pages(gradients.unary,
                    problem.batch * call.cells() * static_cast<int64_t>(sizeof(T)));
  prefer_huge_pages(workspace, workspace_size);
  const bool reads_unary = call.layout.soft || call.layout.recomputes();
  const bool may_forbid = reads_unary && check_unary_values(problem, call.threads);
  const bool needs_table = call.layout.soft || options.solver == Solver::MeanField;
  PairwiseAdjoint<T> pairwise(problem, round_up(problem.labels, call.kernels.lanes), gradients,
                              needs_table);
  clear_edge_weight_gradients(problem, gradients.edge_weights);
  for (int64_t b = 0; b < problem.batch; ++b) {
    Arena arena(workspace, workspace_size);
    BackwardItem<T> item(call, b, tape, may_forbid, pairwise, &arena);
    item.run(grad_costs + b * call.cells(),
             gradients.unary == nullptr ? nullptr : gradients.unary + b * call.cells());
  }
  pairwise.finish(gradients);
}

#define MRF_INSTANTIATE(T)                                                                       \
  template int64_t layer_tape_bytes<T>(const Problem<T>&, const LayerOptions&);                  \
  template int64_t layer_workspace_bytes<T>(const Problem<T>&, const LayerOptions&, bool);       \
  template void layer_forward<T>(const Problem<T>&, const LayerOptions&, T*, void*, void*);      \
  template void layer_backward<T>(const Problem<T>&, const LayerOptions&, const void*, const T*, \
                                  const Gradients<T>&, void*);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore
