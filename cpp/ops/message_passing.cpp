// SPDX-License-Identifier: Apache-2.0
// Schedules made of sweeps: SGM, ISGMR (Alg 1), TRWP (Alg 2), loopy BP, and exact dynamic
// programming on chains.
#include <vector>

#include "ops/coarse.hpp"
#include "ops/polish.hpp"
#include "ops/schedule.hpp"
#include "ops/sgm_scale.hpp"
#include "ops/tape.hpp"

namespace mrfcore {
namespace {

template <class T>
class SgmSchedule final : public Schedule<T> {
 public:
  explicit SgmSchedule(Item<T>& item) : Schedule<T>(item), sum_(item.new_volume()) {
    if (item.options.head == SGMHead::Zero) {
      head_row_ = item.template zeroed<T>(item.shape.stride);
      // No padding on a GPU, whose memory is not to be touched from here.
      for (int64_t l = item.shape.labels; l < item.shape.stride; ++l)
        head_row_.data()[l] = cpu::kForbidden<T>;
    }
  }

  void iterate() override {
    const Item<T>& it = this->item_;
    const int record = this->record_index(done_);
    const Records<T>* records = it.layer.records;
    if (done_ > 0) feed_back(record < 0 ? nullptr : records->cost_minima(record));
    it.backend.clear(sum_.data(), sum_.bytes());
    const T scale = sgm_weight_scale<T>(done_, it.shape.connectivity);
    const OwnedPlan<T> plan = it.backend.plan(it, scale);
    const T* unary = next_unary_ ? next_unary_.data() : it.unary;
    for (int pair = 0; pair < it.problem.pairs(); ++pair) {
      cpu::SweepArgs<T> args{};
      args.shape = it.shape;
      args.rule = cpu::SweepRule::SGM;
      args.pair = pair;
      args.weights = {it.weights.per_edge, it.weights.scale * scale};
      args.plan = &plan.get();
      args.unary = unary;
      args.sum = sum_.data();
      args.head_row = head_row_.data();
      args.relative = done_ > 0;
      if (record >= 0) {
        args.forward_tape = records->argmins(record, 2 * pair);
        args.backward_tape = records->argmins(record, 2 * pair + 1);
      }
      args.threads = it.threads;
      args.control = it.control;
      it.backend.sweep_pair(args);
    }
    ++done_;
  }

  void read(int32_t* labels, T* costs) override {
    this->gather(done_ > 0 ? sum_.data() : this->item_.unary, nullptr, 0, nullptr, costs, labels);
  }

  void save(T* to, int64_t) override {
    this->item_.backend.copy_values(to, sum_.data(), sum_.size());
  }
  void restore(const T* from, int64_t, int done) override {
    this->item_.backend.copy_values(sum_.data(), from, sum_.size());
    done_ = done;
  }

 private:
  /// The cost becomes the next unary. It and the weights are divided by the number of directions
  /// (sgm_share), a power of two: exact, changes no label, and does not overflow after thirty
  /// iterations as the undivided form does.
  void feed_back(void* minima) {
    Item<T>& it = this->item_;
    if (!next_unary_) next_unary_ = it.new_volume();
    it.backend.feed_back(it, sum_.data(), sgm_share<T>(done_, it.shape.connectivity),
                         next_unary_.data(), minima);
  }

  Buffer<T> sum_, next_unary_, head_row_;
  int done_ = 0;
};

/// ISGMR, TRWP, BP and chain DP share their state: one message volume per direction and the sum of
/// theta and messages.
template <class T>
class MessageSchedule : public Schedule<T> {
 public:
  explicit MessageSchedule(Item<T>& item)
      : Schedule<T>(item),
        plan_(item.backend.plan(item, T(1))),
        sum_(item.new_volume()),
        rule_(rule_of(item.options.solver)) {
    for (int r = 0; r < item.shape.connectivity; ++r) {
      volumes_.push_back(item.new_messages(item.shape));
      messages_.push_back(volumes_.back().data());
    }
    if (cavity_apart(item.options)) cavity_ = item.new_volume();
  }

  void start() override {
    const cpu::GridShape& s = this->item_.shape;
    const int grids = coarse_grids(this->item_.options, s.height, s.width);
    if (grids > 0) zero_ = !start_from_coarse(this->item_, plan_.get(), grids, messages_);
  }

  void iterate() override {
    // Not before: until then nothing has touched its memory, while that of coarser grids was held.
    if (done_ == 0) sum_up(zero_ ? 0 : this->item_.shape.connectivity);
    for (int pair = 0; pair < this->item_.problem.pairs(); ++pair) sweep(pair);
    if (this->item_.layer.temperature > T(0)) record_messages();
    ++done_;
    // TRWP keeps the sum up to date by differences; summing afresh now and then keeps rounding from
    // piling up.
    if (rule_ == cpu::SweepRule::ISGMR || done_ % kRefreshInterval == 0) refresh_sum();
  }

  void read(int32_t* labels, T* costs) override {
    this->gather(this->item_.unary, messages_.data(), this->item_.shape.connectivity, nullptr,
                 costs, labels);
  }

  /// The sum of theta and messages; a GPU polishes in its memory.
  void end() override {
    if (!this->item_.backend.device_memory()) sum_ = {}, cavity_ = {};
  }

  void polish(int32_t* labels) override {
    const cpu::GridShape& s = this->item_.shape;
    const int labellings = polish_labellings(this->item_.options, s.height, s.width);
    if (labellings > 0)
      mrfcore::polish(this->item_, plan_.get(), messages_.data(), sum_.data(), labellings, labels);
  }

  std::vector<double> lower_bounds() override {
    return this->item_.backend.chain_bounds(this->item_, messages_.data());
  }

  void save(T* to, int64_t apart) override {
    for (const void* message : messages_) {
      this->item_.backend.copy(to, message, sum_.bytes());
      to += apart;
    }
    refresh_sum();  // as restore() must
  }
  void restore(const T* from, int64_t apart, int done) override {
    for (void* message : messages_) {
      this->item_.backend.copy(message, from, sum_.bytes());
      from += apart;
    }
    done_ = done;
    zero_ = false;
    refresh_sum();
  }

 protected:
  const std::vector<void*>& messages() const { return messages_; }

 private:
  static constexpr int kRefreshInterval = 8;

  static cpu::SweepRule rule_of(Solver solver) {
    return solver == Solver::ISGMR || solver == Solver::Chain ? cpu::SweepRule::ISGMR
                                                              : cpu::SweepRule::TRWP;
  }

  void sweep(int pair) {
    const Item<T>& it = this->item_;
    cpu::SweepArgs<T> args{};
    args.shape = it.shape;
    args.rule = rule_;
    args.pair = pair;
    args.weights = it.weights;
    args.plan = &plan_.get();
    args.sum = sum_.data();
    args.forward = messages_[static_cast<size_t>(2 * pair)];
    args.backward = messages_[static_cast<size_t>(2 * pair + 1)];
    args.cavity = cavity_ ? cavity_.data() : static_cast<T*>(args.backward);
    args.rho = static_cast<T>(trwp_rho(it.options, it.shape.connectivity));
    args.damping = static_cast<T>(it.options.damping);
    const int record = this->record_index(done_);
    if (record >= 0 && !(it.layer.temperature > T(0))) {
      args.forward_tape = it.layer.records->argmins(record, 2 * pair);
      args.backward_tape = it.layer.records->argmins(record, 2 * pair + 1);
    }
    args.threads = it.threads;
    args.control = it.control;
    args.storage = it.options.message_dtype;
    it.backend.sweep_pair(args);
  }

  /// Soft minima have no arg-min: their backward pass starts from the messages.
  void record_messages() {
    const int record = this->record_index(done_);
    if (record < 0) return;
    for (int r = 0; r < this->item_.shape.connectivity; ++r) {
      this->item_.backend.copy(this->item_.layer.records->messages(record, r),
                               messages_[static_cast<size_t>(r)], sum_.bytes());
    }
  }

  void refresh_sum() { sum_up(this->item_.shape.connectivity); }
  /// Of theta and so many messages.
  void sum_up(int messages) {
    this->gather(this->item_.unary, messages_.data(), messages, sum_.data(), nullptr, nullptr);
  }

  OwnedPlan<T> plan_;
  Buffer<T> sum_, cavity_;
  std::vector<Buffer<std::byte>> volumes_;
  std::vector<void*> messages_;
  cpu::SweepRule rule_;
  bool zero_ = true;  ///< messages before the first iteration
  int done_ = 0;
};

/// Exact DP [T:797-840]: on a chain one ISGMR iteration gives exact messages both ways; labels are
/// backtracked so that ties are resolved consistently, and costs are the min-marginals themselves.
template <class T>
class ChainSchedule final : public MessageSchedule<T> {
 public:
  explicit ChainSchedule(Item<T>& item)
      : MessageSchedule<T>(item), tables_(item.backend.tables(item, T(1))) {}

  int enough_iterations() const override { return 1; }

  void read(int32_t* labels, T* costs) override {
    const Item<T>& it = this->item_;
    it.backend.trws_labels({it.shape, it.weights, tables_.forward(), tables_.backward(), it.unary,
                            this->messages().data(), labels, it.threads, it.control});
    if (costs == nullptr) return;
    MessageSchedule<T>::read(nullptr, costs);
    it.backend.level_costs(it, labels, costs);
  }

 private:
  PotentialTables<T> tables_;
};

}  // namespace

template <class T>
std::unique_ptr<Schedule<T>> make_message_passing(Item<T>& item) {
  if (item.options.solver == Solver::SGM) return std::make_unique<SgmSchedule<T>>(item);
  if (item.options.solver == Solver::Chain) return std::make_unique<ChainSchedule<T>>(item);
  return std::make_unique<MessageSchedule<T>>(item);
}

template std::unique_ptr<Schedule<float>> make_message_passing<float>(Item<float>&);
template std::unique_ptr<Schedule<double>> make_message_passing<double>(Item<double>&);

}  // namespace mrfcore
