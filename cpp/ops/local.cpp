// SPDX-License-Identifier: Apache-2.0
// Schedules of local updates: mean field and iterated conditional modes.
#include "ops/schedule.hpp"
#include "ops/tape.hpp"

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
        tables_(item.backend.tables(item,
                                    item.weights.per_edge == nullptr ? item.weights.scale : T(1))),
        costs_(item.new_volume()),
        beliefs_(item.new_volume()) {
    item.backend.copy_values(costs_.data(), item.unary, item.volume());  // c starts as theta
  }

  void iterate() override {
    const Item<T>& it = this->item_;
    const T scale =
        it.options.normalise_directions ? T(1) / static_cast<T>(it.shape.connectivity) : T(1);
    it.backend.mean_field_step({it.shape, weights_, scale, tables_.forward(), tables_.backward(),
                                !tables_.transposed, it.unary, costs_.data(), beliefs_.data(),
                                it.threads, it.control});
    const int record = this->record_index(done_++);
    if (record < 0) return;
    it.backend.copy_values(it.layer.records->beliefs(record), beliefs_.data(), beliefs_.size());
  }

  void save(T* to, int64_t) override {
    this->item_.backend.copy_values(to, costs_.data(), costs_.size());
  }
  void restore(const T* from, int64_t, int done) override {
    this->item_.backend.copy_values(costs_.data(), from, costs_.size());
    done_ = done;
  }

  void read(int32_t* labels, T* costs) override {
    this->gather(costs_.data(), nullptr, 0, nullptr, costs, labels);
  }

 private:
  cpu::EdgeWeightView<T> weights_;
  PotentialTables<T> tables_;
  Buffer<T> costs_, beliefs_;
  int done_ = 0;
};

template <class T>
class IcmSchedule final : public Schedule<T> {
 public:
  explicit IcmSchedule(Item<T>& item)
      : Schedule<T>(item),
        tables_(item.backend.tables(item, T(1))),
        labels_(item.template zeroed<int32_t>(item.pixels())) {
    if (item.options.init_labels != nullptr) {
      item.backend.copy_values(labels_.data(),
                               item.options.init_labels + item.index * item.shape.pixels(),
                               labels_.size());
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
    if (labels != nullptr) this->item_.backend.copy_values(labels, labels_.data(), labels_.size());
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
    it.backend.icm_sweep({it.shape, it.weights, tables_.forward(), tables_.backward(), it.unary,
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
