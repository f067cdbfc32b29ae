// SPDX-License-Identifier: Apache-2.0
// Schedules of local updates: mean field and iterated conditional modes.
#include <algorithm>

#include "ops/schedule.hpp"

namespace mrfcore {
namespace {

template <class T>
class MeanFieldSchedule final : public Schedule<T> {
 public:
  explicit MeanFieldSchedule(Item<T>& item)
      : Schedule<T>(item),
        // A weight common to all edges goes into the table: no rounding, no product, per neighbour.
        weights_(item.weights.per_edge == nullptr ? cpu::EdgeWeightView<T>{nullptr, T(1)}
                                                  : item.weights),
        tables_(item.problem.pairwise, item.problem.labels, item.shape.stride,
                item.weights.per_edge == nullptr ? item.weights.scale : T(1)),
        costs_(item.shape.volume()),
        beliefs_(item.shape.volume()) {
    std::copy_n(item.unary, item.shape.volume(), costs_.data());  // c starts as theta
  }

  void iterate() override {
    const Item<T>& it = this->item_;
    const T scale =
        it.options.normalise_directions ? T(1) / static_cast<T>(it.shape.connectivity) : T(1);
    it.kernels.mean_field_step({it.shape, weights_, scale, tables_.forward(), tables_.backward(),
                                it.problem.pairwise.symmetric(), it.unary, costs_.data(),
                                beliefs_.data(), it.threads, it.control});
  }

  void read(int32_t* labels, T* costs) override {
    this->gather(costs_.data(), nullptr, 0, nullptr, costs, labels);
  }

 private:
  cpu::EdgeWeightView<T> weights_;
  PotentialTables<T> tables_;
  Buffer<T> costs_, beliefs_;
};

template <class T>
class IcmSchedule final : public Schedule<T> {
 public:
  explicit IcmSchedule(Item<T>& item)
      : Schedule<T>(item),
        tables_(item.problem.pairwise, item.problem.labels, item.shape.stride, T(1)),
        labels_(item.shape.pixels()) {
    if (item.options.init_labels != nullptr) {
      std::copy_n(item.options.init_labels + item.index * item.shape.pixels(), labels_.size(),
                  labels_.data());
    } else {
      this->gather(item.unary, nullptr, 0, nullptr, nullptr, labels_.data());
    }
  }

  void iterate() override {
    sweep(nullptr);
    started_ = true;
  }

  /// Costs are those of each node with its neighbours' labels fixed (Eq 2.31); theta before the
  /// first iteration.
  void read(int32_t* labels, T* costs) override {
    if (labels != nullptr) std::copy_n(labels_.data(), labels_.size(), labels);
    if (costs == nullptr) return;
    if (started_) {
      sweep(costs);
    } else {
      this->gather(this->item_.unary, nullptr, 0, nullptr, costs, nullptr);
    }
  }

 private:
  void sweep(T* costs) {
    const Item<T>& it = this->item_;
    it.kernels.icm_sweep({it.shape, it.weights, tables_.forward(), tables_.backward(), it.unary,
                          labels_.data(), costs, it.threads, it.control});
  }

  PotentialTables<T> tables_;
  Buffer<int32_t> labels_;
  bool started_ = false;
};

}  // namespace

template <class T>
std::unique_ptr<Schedule<T>> make_local(Item<T>& item) {
  if (item.options.solver == Solver::MeanField) return std::make_unique<MeanFieldSchedule<T>>(item);
  return std::make_unique<IcmSchedule<T>>(item);
}

template std::unique_ptr<Schedule<float>> make_local<float>(Item<float>&);
template std::unique_ptr<Schedule<double>> make_local<double>(Item<double>&);

}  // namespace mrfcore
