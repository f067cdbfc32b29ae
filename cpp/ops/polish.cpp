// SPDX-License-Identifier: Apache-2.0
#include "ops/polish.hpp"

namespace mrfcore {
namespace {

template <class T>
class Polish {
 public:
  Polish(Item<T>& item, const cpu::MinConvolutionPlan<T>& plan, T* states, int32_t* labels)
      : item_(item),
        plan_(plan),
        tables_(item.backend.tables(item, T(1))),
        proposal_(item.template zeroed<int32_t>(item.pixels())),
        states_(states),
        labels_(labels) {}

  void run(const void* const* messages, int labellings) {
    // From opposite corners first: two labellings that differ most.
    constexpr cpu::Corner kCorners[] = {{false, false}, {true, true}, {false, true}, {true, false}};
    improve();
    for (int i = 0; i < labellings; ++i) {
      item_.backend.trws_labels({item_.shape, item_.weights, tables_.forward(), tables_.backward(),
                                 item_.unary, messages, proposal_.data(), item_.threads,
                                 item_.control, kCorners[i], item_.options.message_dtype});
      minimize_lines();
      take_better();
    }
    improve();
  }

 private:
  void improve() {
    item_.backend.copy_values(proposal_.data(), labels_, item_.pixels());
    minimize_lines();
    take_better();
  }
  void minimize_lines() {
    for (int pair = 0; pair < 2; ++pair) {
      item_.backend.minimize_lines({item_.shape, pair, item_.weights, &plan_, tables_.forward(),
                                    tables_.backward(), item_.unary, proposal_.data(), states_,
                                    item_.threads, item_.control});
    }
  }
  /// Energies are compared in double here, so whatever rounding does to a line's labels, the energy
  /// does not rise.
  void take_better() {
    if (cpu::should_stop(item_.control)) return;  // the proposal is not all there
    item_.backend.fuse(item_, labels_, proposal_.data());
  }

  Item<T>& item_;
  const cpu::MinConvolutionPlan<T>& plan_;
  PotentialTables<T> tables_;
  Buffer<int32_t> proposal_;
  T* states_;
  int32_t* labels_;
};

}  // namespace

template <class T>
void polish(Item<T>& item, const cpu::MinConvolutionPlan<T>& plan, const void* const* messages,
            T* states, int labellings, int32_t* labels) {
  Polish<T>(item, plan, states, labels).run(messages, labellings);
}

template void polish<float>(Item<float>&, const cpu::MinConvolutionPlan<float>&, const void* const*,
                            float*, int, int32_t*);
template void polish<double>(Item<double>&, const cpu::MinConvolutionPlan<double>&,
                             const void* const*, double*, int, int32_t*);

}  // namespace mrfcore
