// SPDX-License-Identifier: Apache-2.0
// TRW-S: one iteration is a forward and a backward raster pass.
#include <vector>

#include "ops/schedule.hpp"

namespace mrfcore {
namespace {

template <class T>
class TrwsSchedule final : public Schedule<T> {
 public:
  explicit TrwsSchedule(Item<T>& item)
      : Schedule<T>(item),
        plan_(item.backend.plan(item, T(1))),
        tables_(item.backend.tables(item, T(1))),
        row_bound_(item.template zeroed<double>(item.items * item.shape.height)) {
    for (int r = 0; r < item.shape.connectivity; ++r) {
      volumes_.push_back(item.new_messages(item.shape));
      messages_.push_back(volumes_.back().data());
    }
  }

  void iterate() override {
    pass(false);
    this->item_.backend.clear(row_bound_.data(), row_bound_.bytes());
    pass(true);
    started_ = true;
  }

  /// Conditioned labelling in node order, not the arg-min of the costs: that is what gives TRW-S
  /// its low energies.
  void read(int32_t* labels, T* costs) override {
    const Item<T>& it = this->item_;
    it.backend.trws_labels({it.shape,
                            it.weights,
                            tables_.forward(),
                            tables_.backward(),
                            it.unary,
                            messages_.data(),
                            labels,
                            it.threads,
                            it.control,
                            {},
                            it.options.message_dtype});
    if (costs != nullptr) {
      this->gather(it.unary, messages_.data(), it.shape.connectivity, nullptr, costs, nullptr);
    }
  }

  std::vector<double> lower_bounds() override {
    Item<T>& it = this->item_;
    // In single precision the subtracted constants carry the rounding of whole unaries, and their
    // sum may pass the optimum; the chains' exact minima (in double) may not, and are the same
    // bound on 4-connected grids.
    if (!started_ || sizeof(T) == sizeof(float))
      return it.backend.chain_bounds(it, messages_.data());
    return it.backend.row_sums(it, row_bound_.data());
  }

 private:
  void pass(bool backward) {
    const Item<T>& it = this->item_;
    it.backend.trws_pass({it.shape, backward, it.weights, &plan_.get(), it.unary, messages_.data(),
                          backward ? row_bound_.data() : nullptr, it.threads, it.control,
                          it.options.message_dtype});
  }

  OwnedPlan<T> plan_;
  PotentialTables<T> tables_;
  Buffer<double> row_bound_;
  std::vector<Buffer<std::byte>> volumes_;
  std::vector<void*> messages_;
  bool started_ = false;
};

}  // namespace

template <class T>
std::unique_ptr<Schedule<T>> make_trws(Item<T>& item) {
  return std::make_unique<TrwsSchedule<T>>(item);
}

template std::unique_ptr<Schedule<float>> make_trws<float>(Item<float>&);
template std::unique_ptr<Schedule<double>> make_trws<double>(Item<double>&);

}  // namespace mrfcore
