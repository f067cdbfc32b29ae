// SPDX-License-Identifier: Apache-2.0
#include "ops/item_run.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

namespace mrfcore {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double relative_gap(double energy, double bound) {
  return (energy - bound) / std::max(std::fabs(energy), std::numeric_limits<double>::min());
}

template <class T>
class ItemRun {
 public:
  ItemRun(Item<T>& item, int32_t* labels, T* costs)
      : item_(item),
        options_(item.options),
        labels_(labels),
        costs_(costs),
        reports_(static_cast<size_t>(item.items)) {
    for (ItemReport& report : reports_) report.lower_bound = kNaN;
  }

  std::vector<ItemReport> run() {
    if (options_.iterations == 0) return without_iterations();
    const std::unique_ptr<Schedule<T>> schedule = make_schedule(item_);
    const int iterations = std::min(options_.iterations, schedule->enough_iterations());
    schedule->start();
    for (int k = 1; k <= iterations; ++k) {
      schedule->iterate();
      cpu::should_stop(item_.control);  // a GPU's kernels do not ask
      throw_if_interrupted();
      for (ItemReport& report : reports_) report.iterations = k;
      if (watches(options_) && observe(*schedule, k)) break;
    }
    finish(*schedule);
    throw_if_interrupted();
    return std::move(reports_);
  }

 private:
  bool watches_bound() const {
    return options_.gap_tolerance ||
           (options_.lower_bound && (options_.trace || options_.callback));
  }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void throw_if_interrupted() const { cpu::throw_if_stopped(*item_.control); }
  /// Labels that an interrupted read left unwritten must not be looked at.
  void read(Schedule<T>& schedule, T* costs) {
    schedule.read(labels_, costs);
    throw_if_interrupted();
  }
  /// Any of a solver's bounds is a bound: keep the largest.
  void take_bounds(const std::vector<double>& bounds) {
    for (size_t i = 0; i < reports_.size(); ++i) {
      if (!(reports_[i].lower_bound >= bounds[i])) reports_[i].lower_bound = bounds[i];
    }
  }

  /// Energy and bound of the only item after iteration k; true if it should stop here.
  bool observe(Schedule<T>& schedule, int k) {
    read(schedule, nullptr);
    const double energy = item_.backend.energies(item_, labels_)[0];
    double bound = kNaN;
    if (watches_bound()) {
      bound = schedule.lower_bounds()[0];
      take_bounds({bound});
    }
    throw_if_interrupted();
    ItemReport& report = reports_[0];
    if (options_.trace) {
      report.trace_energy.push_back(energy);
      report.trace_bound.push_back(bound);
      report.trace_seconds.push_back(seconds());
    }
    if (options_.keep_best && !(energy >= best_energy_)) {
      best_energy_ = energy;
      if (!best_labels_) best_labels_ = item_.template zeroed<int32_t>(item_.pixels());
      item_.backend.copy_values(best_labels_.data(), labels_, item_.pixels());
    }
    const double before = last_energy_;
    last_energy_ = energy;
    bool stop = options_.tolerance && k > 1 &&
                std::fabs(before - energy) <= *options_.tolerance * std::fabs(before);
    const double lowest = options_.keep_best ? best_energy_ : energy;
    stop = stop || (options_.gap_tolerance &&
                    relative_gap(lowest, report.lower_bound) <= *options_.gap_tolerance);
    if (options_.callback) {
      stop = options_.callback({item_.index, k, options_.iterations, energy, bound, seconds()}) ||
             stop;
    }
    return stop;
  }

  void finish(Schedule<T>& schedule) {
    schedule.end();
    read(schedule, costs_);
    if (best_labels_) item_.backend.copy_values(labels_, best_labels_.data(), item_.pixels());
    if (options_.lower_bound && !watches_bound()) take_bounds(schedule.lower_bounds());
    schedule.polish(labels_);
    throw_if_interrupted();
    take_energies();
    if (options_.lower_bound || options_.gap_tolerance) return;
    for (ItemReport& report : reports_) report.lower_bound = kNaN;
  }

  void take_energies() {
    const std::vector<double> energies = item_.backend.energies(item_, labels_);
    for (size_t i = 0; i < reports_.size(); ++i) reports_[i].energy = energies[i];
  }

  /// Before any iteration costs are theta, and labels their arg-min or where ICM starts.
  std::vector<ItemReport> without_iterations() {
    Backend<T>& backend = item_.backend;
    backend.gather({item_.shape, item_.unary, nullptr, 0, nullptr, costs_, labels_, item_.threads,
                    item_.control});
    throw_if_interrupted();
    if (options_.init_labels != nullptr && options_.solver == Solver::ICM) {
      backend.copy_values(labels_, options_.init_labels + item_.index * item_.shape.pixels(),
                          item_.pixels());
    }
    take_energies();
    if (options_.lower_bound) take_bounds(backend.chain_bounds(item_, nullptr));
    throw_if_interrupted();
    return std::move(reports_);
  }

  Item<T>& item_;
  const Options& options_;
  int32_t* labels_;
  T* costs_;
  std::vector<ItemReport> reports_;
  Buffer<int32_t> best_labels_;
  double best_energy_ = std::numeric_limits<double>::infinity();
  double last_energy_ = kNaN;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

template <class T>
std::vector<ItemReport> run_schedule(Item<T>& item, int32_t* labels, T* costs) {
  return ItemRun<T>(item, labels, costs).run();
}

template std::vector<ItemReport> run_schedule<float>(Item<float>&, int32_t*, float*);
template std::vector<ItemReport> run_schedule<double>(Item<double>&, int32_t*, double*);

}  // namespace mrfcore
