// SPDX-License-Identifier: Apache-2.0
// Schedules made of sweeps: SGM, ISGMR (Alg 1), TRWP (Alg 2), loopy BP, and exact dynamic
// programming on chains.
#include <algorithm>
#include <utility>
#include <vector>

#include "ops/schedule.hpp"

namespace mrfcore {
namespace {

template <class T>
class SgmSchedule final : public Schedule<T> {
 public:
  explicit SgmSchedule(Item<T>& item) : Schedule<T>(item), sum_(item.shape.volume()) {
    if (item.options.head == SGMHead::Zero) {
      head_row_ = Buffer<T>(item.shape.stride);
      for (int64_t l = item.shape.labels; l < item.shape.stride; ++l)
        head_row_.data()[l] = cpu::kForbidden<T>;
    }
  }

  void iterate() override {
    const Item<T>& it = this->item_;
    if (done_ > 0) feed_back();
    sum_.clear();
    const OwnedPlan<T> plan = it.plan(scale_);
    const T* unary = next_unary_ ? next_unary_.data() : it.unary;
    for (int pair = 0; pair < it.problem.pairs(); ++pair) {
      cpu::SweepArgs<T> args{};
      args.shape = it.shape;
      args.rule = cpu::SweepRule::SGM;
      args.pair = pair;
      args.weights = {it.weights.per_edge, it.weights.scale * scale_};
      args.plan = &plan.get();
      args.unary = unary;
      args.sum = sum_.data();
      args.head_row = head_row_.data();
      args.relative = done_ > 0;
      args.threads = it.threads;
      args.control = it.control;
      it.kernels.sweep_pair(args);
    }
    ++done_;
  }

  void read(int32_t* labels, T* costs) override {
    this->gather(done_ > 0 ? sum_.data() : this->item_.unary, nullptr, 0, nullptr, costs, labels);
  }

 private:
  /// The cost becomes the next unary, less each pixel's minimum, without which it would lose a
  /// digit to that constant. Cost and weights are divided by the number of directions, a power of
  /// two: exact, changes no label, and does not overflow after thirty iterations as the undivided
  /// form does. Weights must not vanish either, or ties that they alone decide would stay
  /// undecided: once they are small, costs grow instead, up to a limit that no label has a chance
  /// beyond.
  void feed_back() {
    if (!next_unary_) next_unary_ = Buffer<T>(this->item_.shape.volume());
    constexpr T smallest = T(0x1p-64);
    constexpr T forbidden = cpu::kForbidden<T> / T(64), limit = forbidden / T(64);
    const T share =
        scale_ > smallest ? T(1) / static_cast<T>(this->item_.shape.connectivity) : T(1);
    T* to = next_unary_.data();
    const T* from = sum_.data();
    const int64_t stride = this->item_.shape.stride;
#pragma omp parallel for num_threads(this->item_.threads) if (this->item_.threads > 1)
    for (int64_t i = 0; i < this->item_.shape.pixels(); ++i) {
      const T* row = from + i * stride;
      const T lowest = *std::min_element(row, row + this->item_.shape.labels);
      for (int64_t l = 0; l < stride; ++l) {
        to[i * stride + l] =
            row[l] < forbidden ? std::min((row[l] - lowest) * share, limit) : cpu::kForbidden<T>;
      }
    }
    scale_ *= share;
  }

  Buffer<T> sum_, next_unary_, head_row_;
  T scale_ = T(1);
  int done_ = 0;
};

/// ISGMR, TRWP, BP and chain DP share their state: one message volume per direction and the sum of
/// theta and messages.
template <class T>
class MessageSchedule : public Schedule<T> {
 public:
  explicit MessageSchedule(Item<T>& item)
      : Schedule<T>(item),
        plan_(item.plan()),
        sum_(item.shape.volume()),
        rule_(rule_of(item.options.solver)) {
    for (int r = 0; r < item.shape.connectivity; ++r) {
      volumes_.emplace_back(item.shape.volume());
      messages_.push_back(volumes_.back().data());
    }
    if (rule_ == cpu::SweepRule::ISGMR && item.options.damping > 0.0)
      cavity_ = Buffer<T>(item.shape.volume());
    this->gather(item.unary, nullptr, 0, sum_.data(), nullptr, nullptr);  // all messages are zero
  }

  void iterate() override {
    for (int pair = 0; pair < this->item_.problem.pairs(); ++pair) sweep(pair);
    ++done_;
    // TRWP keeps the sum up to date by differences; summing afresh now and then keeps rounding from
    // piling up.
    if (rule_ == cpu::SweepRule::ISGMR || done_ % kRefreshInterval == 0) refresh_sum();
  }

  void read(int32_t* labels, T* costs) override {
    this->gather(this->item_.unary, messages_.data(), this->item_.shape.connectivity, nullptr,
                 costs, labels);
  }

  double lower_bound() override { return this->chain_bound(messages_.data()); }

 protected:
  const std::vector<T*>& messages() const { return messages_; }

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
    args.cavity = cavity_ ? cavity_.data() : args.backward;
    args.rho = static_cast<T>(rho());
    args.damping = static_cast<T>(it.options.damping);
    args.threads = it.threads;
    args.control = it.control;
    it.kernels.sweep_pair(args);
  }

  double rho() const {
    if (this->item_.options.solver == Solver::BP) return 1.0;
    const double given = this->item_.options.rho;
    return given != 0.0
               ? given
               : 2.0 /
                     this->item_.shape.connectivity;  // one tree per edge, D / 2 per node [T:1050]
  }

  void refresh_sum() {
    this->gather(this->item_.unary, messages_.data(), this->item_.shape.connectivity, sum_.data(),
                 nullptr, nullptr);
  }

  OwnedPlan<T> plan_;
  Buffer<T> sum_, cavity_;
  std::vector<Buffer<T>> volumes_;
  std::vector<T*> messages_;
  cpu::SweepRule rule_;
  int done_ = 0;
};

/// Exact DP [T:797-840]: on a chain one ISGMR iteration gives exact messages both ways; labels are
/// backtracked so that ties are resolved consistently, and costs are the min-marginals themselves.
template <class T>
class ChainSchedule final : public MessageSchedule<T> {
 public:
  explicit ChainSchedule(Item<T>& item)
      : MessageSchedule<T>(item),
        tables_(item.problem.pairwise, item.problem.labels, item.shape.stride, T(1)) {}

  int enough_iterations() const override { return 1; }

  void read(int32_t* labels, T* costs) override {
    const Item<T>& it = this->item_;
    it.kernels.trws_labels({it.shape, it.weights, tables_.forward(), tables_.backward(), it.unary,
                            this->messages().data(), labels, it.threads, it.control});
    if (costs == nullptr) return;
    MessageSchedule<T>::read(nullptr, costs);
    const T optimum = static_cast<T>(item_energy(it.problem, it.index, labels, it.threads));
    for (int64_t i = 0; i < it.shape.pixels(); ++i) {
      T* row = costs + i * it.shape.labels;
      const T lowest = *std::min_element(row, row + it.shape.labels);
      for (int64_t l = 0; l < it.shape.labels; ++l) row[l] = row[l] - lowest + optimum;
    }
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
