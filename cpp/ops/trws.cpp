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
        plan_(item.plan()),
        tables_(item.problem.pairwise, item.problem.labels, item.shape.stride, T(1)),
        row_bound_(item.shape.height) {
    for (int r = 0; r < item.shape.connectivity; ++r) {
      volumes_.emplace_back(item.shape.volume());
      messages_.push_back(volumes_.back().data());
    }
  }

  void iterate() override {
    pass(false);
    row_bound_.clear();
    pass(true);
    started_ = true;
  }

  /// Conditioned labelling in node order, not the arg-min of the costs: that is what gives TRW-S
  /// its low energies.
  void read(int32_t* labels, T* costs) override {
    const Item<T>& it = this->item_;
    it.kernels.trws_labels({it.shape, it.weights, tables_.forward(), tables_.backward(), it.unary,
                            messages_.data(), labels, it.threads, it.control});
    if (costs != nullptr) {
      this->gather(it.unary, messages_.data(), it.shape.connectivity, nullptr, costs, nullptr);
    }
  }

  double lower_bound() override {
    // In single precision the subtracted constants carry the rounding of whole unaries, and their
    // sum may pass the optimum; the chains' exact minima (in double) may not, and are the same
    // bound on 4-connected grids.
    if (!started_ || sizeof(T) == sizeof(float)) return this->chain_bound(messages_.data());
    double bound = 0.0;
    for (int64_t y = 0; y < row_bound_.size(); ++y) bound += row_bound_.data()[y];
    return bound;
  }

 private:
  void pass(bool backward) {
    const Item<T>& it = this->item_;
    it.kernels.trws_pass({it.shape, backward, it.weights, &plan_.get(), it.unary, messages_.data(),
                          backward ? row_bound_.data() : nullptr, it.threads, it.control});
  }

  OwnedPlan<T> plan_;
  PotentialTables<T> tables_;
  Buffer<double> row_bound_;
  std::vector<Buffer<T>> volumes_;
  std::vector<T*> messages_;
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
