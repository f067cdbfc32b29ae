// SPDX-License-Identifier: Apache-2.0
#include "ops/layer_passes.hpp"

#include <memory>
#include <vector>

#include "ops/schedule.hpp"

namespace mrfcore {
namespace {

/// Elements from one volume of a snapshot to the next.
template <class T>
int64_t snapshot_stride(const TapeLayout<T>& layout) {
  return layout.snapshot_bytes() / layout.snapshot_volumes() / static_cast<int64_t>(sizeof(T));
}

/// Bytes of a schedule.
template <class T>
int64_t state_bytes(const TapeLayout<T>& layout, const Options& options) {
  const int64_t element = sizeof(T);
  const int64_t head_row = layout.stride * element + kTapeAlignment;
  return kTapeAlignment + head_row +
         schedule_volumes(options, layout.directions) * (layout.volume * element + kTapeAlignment);
}

template <class T>
class BackwardPass {
 public:
  BackwardPass(Item<T>& item, const TapeLayout<T>& layout, std::byte* tape,
               const PairwiseAdjoint<T>& pairwise)
      : item_(item), layout_(layout), tape_(tape), adjoint_(make_adjoint(item_, pairwise)) {
    if (layout_.recomputes()) {
      own_records_ = item.template zeroed<std::byte>(layout_.records_bytes());
      state_ = item.template zeroed<std::byte>(state_bytes(layout_, item.options));
    }
    if (layout_.soft) zero_ = item_.new_volume();
  }

  void run(const T* grad_costs, T* grad_unary) {
    if (layout_.segments() == 0) {  // the costs are the unaries
      if (grad_unary != nullptr) item_.backend.copy_values(grad_unary, grad_costs, item_.cells());
      return;
    }
    adjoint_->start(grad_costs);
    for (int s = layout_.segments() - 1; s >= 0; --s) unwind_segment(s);
    cpu::throw_if_stopped(*item_.control);
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
      cpu::throw_if_stopped(*item_.control);
    }
  }

  /// Runs the iterations of segment s once more, this time with records.
  void recompute(int s, const Records<T>& records) {
    item_.layer.records = &records;
    item_.layer.first_iteration = layout_.segment_begin(s);
    Arena state(state_.data(), state_.size());
    item_.arena = &state;
    const std::unique_ptr<Schedule<T>> schedule = make_schedule(item_);
    if (s > 0)
      schedule->restore(snapshot(s, 0), snapshot_stride(layout_), layout_.segment_begin(s));
    for (int k = layout_.segment_begin(s); k < layout_.segment_end(s); ++k) {
      schedule->iterate();
      cpu::throw_if_stopped(*item_.control);
    }
    item_.layer.records = nullptr;
    item_.arena = nullptr;
  }

  T* snapshot(int s, int volume) const {
    return reinterpret_cast<T*>(tape_ + (s - 1) * layout_.snapshot_bytes()) +
           volume * snapshot_stride(layout_);
  }
  T* at_segment_start(int s, int r) { return s > 0 ? snapshot(s, r) : zero_.data(); }

  Item<T>& item_;
  const TapeLayout<T>& layout_;
  std::byte* tape_;
  std::unique_ptr<Adjoint<T>> adjoint_;
  Buffer<std::byte> own_records_;
  Buffer<std::byte> state_;  ///< of the schedule that runs a segment again
  Buffer<T> zero_;
};

}  // namespace

template <class T>
void run_forward(Item<T>& item, const TapeLayout<T>& layout, T* costs, std::byte* tape) {
  const Records<T> records(layout, tape);
  const bool snapshots = tape != nullptr && layout.recomputes();
  if (tape != nullptr && !snapshots) item.layer.records = &records;
  const std::unique_ptr<Schedule<T>> schedule = make_schedule(item);
  for (int k = 0; k < layout.iterations; ++k) {
    if (snapshots && k > 0 && k % layout.segment == 0) {
      schedule->save(reinterpret_cast<T*>(tape), snapshot_stride(layout));
      tape += layout.snapshot_bytes();
    }
    schedule->iterate();
    cpu::throw_if_stopped(*item.control);
  }
  schedule->read(nullptr, costs);
  cpu::throw_if_stopped(*item.control);
}

template <class T>
void run_backward(Item<T>& item, const TapeLayout<T>& layout, std::byte* tape,
                  const PairwiseAdjoint<T>& pairwise, const T* grad_costs, T* grad_unary) {
  BackwardPass<T>(item, layout, tape, pairwise).run(grad_costs, grad_unary);
}

template <class T>
int64_t layer_pass_bytes(const TapeLayout<T>& layout, const LayerOptions& options, bool backward) {
  const int64_t volume = layout.volume * static_cast<int64_t>(sizeof(T)) + kTapeAlignment;
  if (!backward) return volume + state_bytes(layout, options);  // first the padded unaries
  // They and the zero volume.
  int64_t bytes = kTapeAlignment + (2 + adjoint_volumes(options, layout.directions)) * volume;
  if (layout.recomputes())
    bytes += layout.records_bytes() + state_bytes(layout, options) + 2 * kTapeAlignment;
  return bytes;
}

#define MRF_INSTANTIATE(T)                                                      \
  template void run_forward<T>(Item<T>&, const TapeLayout<T>&, T*, std::byte*); \
  template void run_backward<T>(Item<T>&, const TapeLayout<T>&, std::byte*,     \
                                const PairwiseAdjoint<T>&, const T*, T*);       \
  template int64_t layer_pass_bytes<T>(const TapeLayout<T>&, const LayerOptions&, bool);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore
