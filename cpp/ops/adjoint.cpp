// SPDX-License-Identifier: Apache-2.0
// Adjoints of SGM, of the message-passing schedules and of mean field (spec section 3).
#include "ops/adjoint.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "ops/schedule.hpp"
#include "ops/sgm_scale.hpp"

namespace mrfcore {

template <class T>
int64_t CpuPairwiseAdjoint<T>::bins(int64_t labels, bool table) {
  constexpr int64_t kMost = 64, kTableBytes = int64_t{64} << 20;
  if (!table) return kMost;
  return std::clamp<int64_t>(kTableBytes / (labels * labels * 8), 1, kMost);
}

template <class T>
CpuPairwiseAdjoint<T>::CpuPairwiseAdjoint(const Problem<T>& problem, int64_t stride,
                                          const Gradients<T>& wanted, bool needs_table)
    : problem_(problem), wanted_(wanted), bins_(bins(problem.labels, wanted.table != nullptr)) {
  const int64_t labels = problem.labels;
  if (needs_table || problem.pairwise.kind() == PotentialKind::Table) {
    tables_ = PotentialTables<T>(problem.pairwise, labels, stride, T(1));
  } else {
    for (int64_t d = 0; d < labels; ++d)
      differences_.push_back(static_cast<T>(problem.pairwise(d, 0)));
  }
  if (wanted.weight != nullptr) weight_.resize(static_cast<size_t>(bins_));
  if (wanted.table != nullptr) values_ = Buffer<double>(bins_ * labels * labels);
  if (wanted.edge_weights == nullptr) return;
  const int64_t arrays = problem.edge_weights_batch_stride == 0 ? 1 : problem.batch;
  for (int64_t b = 0; b < arrays; ++b) {
    std::fill_n(wanted.edge_weights + b * problem.edge_weights_batch_stride,
                problem.pairs() * problem.pixels(), T(0));
  }
}

template <class T>
int count_distinct(const std::vector<T>& differences) {
  size_t distinct = differences.size();
  while (distinct > 1 && differences[distinct - 1] == differences[distinct - 2]) --distinct;
  return static_cast<int>(distinct);
}

template <class T>
cpu::PairwiseGradient<T> CpuPairwiseAdjoint<T>::for_item(int64_t item) const {
  cpu::PairwiseGradient<T> g{};
  g.table = tables_.forward();
  g.table_t = tables_.backward();
  g.differences = differences_.data();
  g.distinct = count_distinct(differences_);
  g.weight_factor = T(1);
  if (wanted_.edge_weights != nullptr)
    g.per_edge = wanted_.edge_weights + item * problem_.edge_weights_batch_stride;
  g.weight = weight_.empty() ? nullptr : weight_.data();
  g.values = values_.data();
  g.bins = bins_;
  return g;
}

template <class T>
void CpuPairwiseAdjoint<T>::finish(const Gradients<T>& wanted) {
  if (wanted.weight != nullptr) {
    double total = 0.0;
    for (const double part : weight_) total += part;
    *wanted.weight = static_cast<T>(total);
  }
  if (wanted.table == nullptr) return;
  const int64_t size = problem_.labels * problem_.labels;
  for (int64_t i = 0; i < size; ++i) {
    double total = 0.0;
    for (int64_t bin = 0; bin < bins_; ++bin) total += values_.data()[bin * size + i];
    wanted.table[i] = static_cast<T>(total);
  }
}

template <class T>
void Adjoint<T>::pad(const T* dense, T* padded) const {
  const int64_t labels = item_.shape.labels, stride = item_.shape.stride;
  if (labels == stride) return item_.backend.copy_values(padded, dense, item_.cells());
#pragma omp parallel for num_threads(item_.threads) if (item_.threads > 1)
  for (int64_t i = 0; i < item_.shape.pixels(); ++i) {
    std::copy_n(dense + i * labels, labels, padded + i * stride);
    std::fill(padded + i * stride + labels, padded + (i + 1) * stride, T(0));
  }
}

template <class T>
void Adjoint<T>::unpad(const T* padded, T* dense) const {
  const int64_t labels = item_.shape.labels, stride = item_.shape.stride;
  if (labels == stride) return item_.backend.copy_values(dense, padded, item_.cells());
#pragma omp parallel for num_threads(item_.threads) if (item_.threads > 1)
  for (int64_t i = 0; i < item_.shape.pixels(); ++i)
    std::copy_n(padded + i * stride, labels, dense + i * labels);
}

namespace {

template <class T>
class SgmAdjointSchedule final : public Adjoint<T> {
 public:
  SgmAdjointSchedule(Item<T>& item, const cpu::PairwiseGradient<T>& gradient)
      : Adjoint<T>(item, gradient), cost_(item.new_volume()), unary_(item.new_volume()) {}

  void start(const T* grad_costs) override { this->pad(grad_costs, cost_.data()); }

  void unwind(int k, const Records<T>& records, int record, T* const*) override {
    const Item<T>& it = this->item_;
    it.backend.clear(unary_.data(), unary_.bytes());
    cpu::AdjointArgs<T> args{};
    args.shape = it.shape;
    args.rule = cpu::SweepRule::SGM;
    args.gradient = this->gradient_;
    args.gradient.weight_factor = sgm_weight_scale<T>(k, it.shape.connectivity);
    args.weights = {it.weights.per_edge, it.weights.scale * args.gradient.weight_factor};
    args.cost = cost_.data();
    args.unary = unary_.data();
    args.unary_head = it.options.head == SGMHead::Unary;
    args.relative = k > 0;
    args.threads = it.threads;
    args.control = it.control;
    for (int pair = static_cast<int>(it.problem.pairs()) - 1; pair >= 0; --pair) {
      args.pair = pair;
      args.forward_tape = records.argmins(record, 2 * pair);
      args.backward_tape = records.argmins(record, 2 * pair + 1);
      it.backend.adjoint_pair(args);
    }
    if (k == 0) return;
    const T share = sgm_share<T>(k, it.shape.connectivity);
    it.backend.feed_back_adjoint(it, unary_.data(), share, records.cost_minima(record),
                                 cost_.data());
  }

  void finish(T* grad_unary) override { this->unpad(unary_.data(), grad_unary); }

 private:
  Buffer<T> cost_, unary_;
};

/// ISGMR, TRWP and BP. The gradient of the sum S of theta and messages carries what all of them
/// have in common; each message's own volume the rest.
template <class T>
class MessageAdjointSchedule final : public Adjoint<T> {
 public:
  MessageAdjointSchedule(Item<T>& item, const cpu::PairwiseGradient<T>& gradient)
      : Adjoint<T>(item, gradient),
        isgmr_(item.options.solver == Solver::ISGMR),
        soft_(item.layer.temperature > T(0)),
        sum_(item.new_volume()) {
    for (int r = 0; r < item.shape.connectivity; ++r) messages_.push_back(item.new_volume());
    if (isgmr_) sum_before_ = item.new_volume();
    if (isgmr_ && item.options.damping > 0.0) cavity_ = item.new_volume();
    if (soft_) state_ = item.new_volume();
  }

  void start(const T* grad_costs) override { this->pad(grad_costs, sum_.data()); }

  void unwind(int, const Records<T>& records, int record, T* const* before) override {
    const Item<T>& it = this->item_;
    if (soft_) gather_state(records, record, before);
    if (isgmr_) it.backend.copy_values(sum_before_.data(), sum_.data(), sum_.size());
    for (int pair = static_cast<int>(it.problem.pairs()) - 1; pair >= 0; --pair)
      unwind_pair(pair, records, record, before);
    if (isgmr_) std::swap(sum_, sum_before_);
  }

  void finish(T* grad_unary) override { this->unpad(sum_.data(), grad_unary); }

 private:
  T* message(int r) { return messages_[static_cast<size_t>(r)].data(); }

  /// The sum of theta and messages after the iteration (TRWP) or before it (ISGMR).
  void gather_state(const Records<T>& records, int record, T* const* before) {
    const Item<T>& it = this->item_;
    std::vector<const void*> of;
    for (int r = 0; r < it.shape.connectivity; ++r)
      of.push_back(isgmr_ ? before[r] : records.messages(record, r));
    it.backend.gather({it.shape, it.unary, of.data(), it.shape.connectivity, state_.data(), nullptr,
                       nullptr, it.threads, it.control});
  }

  void unwind_pair(int pair, const Records<T>& records, int record, T* const* before) {
    const Item<T>& it = this->item_;
    const int forward = 2 * pair, backward = 2 * pair + 1;
    cpu::AdjointArgs<T> args{};
    args.shape = it.shape;
    args.rule = isgmr_ ? cpu::SweepRule::ISGMR : cpu::SweepRule::TRWP;
    args.pair = pair;
    args.weights = it.weights;
    args.sum = sum_.data();
    args.sum_before = sum_before_.data();
    args.forward = message(forward);
    args.backward = message(backward);
    args.cavity = cavity_ ? cavity_.data() : args.backward;
    args.rho = static_cast<T>(trwp_rho(it.options, it.shape.connectivity));
    args.damping = static_cast<T>(it.options.damping);
    if (soft_) {
      args.temperature = it.layer.temperature;
      args.forward_before = before[forward];
      args.backward_before = before[backward];
      args.forward_after = records.messages(record, forward);
      args.backward_after = records.messages(record, backward);
      args.state = state_.data();
    } else {
      args.forward_tape = records.argmins(record, forward);
      args.backward_tape = records.argmins(record, backward);
    }
    args.gradient = this->gradient_;
    args.threads = it.threads;
    args.control = it.control;
    it.backend.adjoint_pair(args);
  }

  bool isgmr_, soft_;
  Buffer<T> sum_, sum_before_, cavity_, state_;
  std::vector<Buffer<T>> messages_;
};

template <class T>
class MeanFieldAdjointSchedule final : public Adjoint<T> {
 public:
  MeanFieldAdjointSchedule(Item<T>& item, const cpu::PairwiseGradient<T>& gradient,
                           const PotentialTables<T>& tables)
      : Adjoint<T>(item, gradient),
        tables_(tables),
        costs_(item.new_volume()),
        before_(item.new_volume()),
        unary_(item.new_volume()) {}

  void start(const T* grad_costs) override { this->pad(grad_costs, costs_.data()); }

  void unwind(int, const Records<T>& records, int record, T* const*) override {
    const Item<T>& it = this->item_;
    const T scale =
        it.options.normalise_directions ? T(1) / static_cast<T>(it.shape.connectivity) : T(1);
    it.backend.mean_field_adjoint({it.shape, it.weights, scale, tables_.forward(),
                                   tables_.backward(), records.beliefs(record), costs_.data(),
                                   before_.data(), unary_.data(), this->gradient_, it.threads,
                                   it.control});
    std::swap(costs_, before_);
  }

  /// c starts as theta.
  void finish(T* grad_unary) override {
    this->item_.backend.add(unary_.data(), costs_.data(), unary_.size());
    this->unpad(unary_.data(), grad_unary);
  }

 private:
  const PotentialTables<T>& tables_;
  Buffer<T> costs_, before_, unary_;
};

}  // namespace

template <class T>
std::unique_ptr<Adjoint<T>> make_adjoint(Item<T>& item, const PairwiseAdjoint<T>& pairwise) {
  const cpu::PairwiseGradient<T> gradient = pairwise.for_item(item.index);
  const Solver solver = item.options.solver;
  if (solver == Solver::SGM) return std::make_unique<SgmAdjointSchedule<T>>(item, gradient);
  if (solver == Solver::MeanField)
    return std::make_unique<MeanFieldAdjointSchedule<T>>(item, gradient, pairwise.tables());
  return std::make_unique<MessageAdjointSchedule<T>>(item, gradient);
}

int64_t adjoint_volumes(const LayerOptions& options, int connectivity) {
  switch (options.solver) {
    case Solver::SGM:
      return 2;
    case Solver::MeanField:
      return 3;
    case Solver::ISGMR:
      return connectivity + 2 + (options.damping > 0.0 ? 1 : 0) +
             (options.temperature > 0.0 ? 1 : 0);
    default:
      return connectivity + 1 + (options.temperature > 0.0 ? 1 : 0);
  }
}

#define MRF_INSTANTIATE(T)                               \
  template class CpuPairwiseAdjoint<T>;                  \
  template class Adjoint<T>;                             \
  template int count_distinct<T>(const std::vector<T>&); \
  template std::unique_ptr<Adjoint<T>> make_adjoint<T>(Item<T>&, const PairwiseAdjoint<T>&);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore
