// SPDX-License-Identifier: Apache-2.0
// minimize(): checks, memory, the batch, and the loop around a schedule (tracing, stopping, keeping
// the best).
#include "mrfcore/minimize.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#include "mrfcore/error.hpp"
#include "mrfcore/runtime.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/schedule.hpp"

namespace mrfcore {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double relative_gap(double energy, double bound) {
  return (energy - bound) / std::max(std::fabs(energy), std::numeric_limits<double>::min());
}

/// The loop around one item's schedule.
template <class T>
class ItemRun {
 public:
  ItemRun(Item<T>& item, int32_t* labels, T* costs)
      : item_(item), options_(item.options), labels_(labels), costs_(costs) {
    report_.lower_bound = kNaN;
  }

  ItemReport run() {
    if (options_.iterations == 0) return without_iterations();
    const std::unique_ptr<Schedule<T>> schedule = make_schedule(item_);
    const int iterations = std::min(options_.iterations, schedule->enough_iterations());
    for (int k = 1; k <= iterations; ++k) {
      schedule->iterate();
      throw_if_interrupted();
      report_.iterations = k;
      if (watches() && observe(*schedule, k)) break;
    }
    finish(*schedule);
    throw_if_interrupted();
    return std::move(report_);
  }

 private:
  bool watches() const {
    return options_.trace || options_.tolerance || options_.gap_tolerance || options_.keep_best ||
           options_.callback;
  }
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
  double energy_of(const int32_t* labels) const {
    return item_energy(item_.problem, item_.index, labels, item_.threads);
  }
  /// Any of a solver's bounds is a bound: keep the largest.
  double take_bound(Schedule<T>& schedule) {
    const double bound = schedule.lower_bound();
    if (!(report_.lower_bound >= bound)) report_.lower_bound = bound;
    return bound;
  }

  /// Energy and bound after iteration k; true if the item should stop here.
  bool observe(Schedule<T>& schedule, int k) {
    read(schedule, nullptr);
    const double energy = energy_of(labels_);
    const double bound = watches_bound() ? take_bound(schedule) : kNaN;
    throw_if_interrupted();
    if (options_.trace) {
      report_.trace_energy.push_back(energy);
      report_.trace_bound.push_back(bound);
      report_.trace_seconds.push_back(seconds());
    }
    if (options_.keep_best && !(energy >= best_energy_)) {
      best_energy_ = energy;
      best_labels_.assign(labels_, labels_ + item_.shape.pixels());
    }
    const double before = last_energy_;
    last_energy_ = energy;
    bool stop = options_.tolerance && k > 1 &&
                std::fabs(before - energy) <= *options_.tolerance * std::fabs(before);
    const double lowest = options_.keep_best ? best_energy_ : energy;
    stop = stop || (options_.gap_tolerance &&
                    relative_gap(lowest, report_.lower_bound) <= *options_.gap_tolerance);
    if (options_.callback) {
      stop = options_.callback({item_.index, k, options_.iterations, energy, bound, seconds()}) ||
             stop;
    }
    return stop;
  }

  void finish(Schedule<T>& schedule) {
    read(schedule, costs_);
    if (options_.keep_best) std::copy(best_labels_.begin(), best_labels_.end(), labels_);
    report_.energy = energy_of(labels_);
    if (options_.lower_bound && !watches_bound()) take_bound(schedule);
    if (!options_.lower_bound && !options_.gap_tolerance) report_.lower_bound = kNaN;
  }

  ItemReport without_iterations() {
    Options plain = options_;
    plain.solver =
        Solver::MeanField;  // before any iteration its costs are theta and its labels their arg-min
    plain.init_labels = nullptr;
    Item<T> item(item_.problem, plain, item_.kernels, item_.index, item_.threads, item_.control,
                 true);
    const std::unique_ptr<Schedule<T>> schedule = make_schedule(item);
    read(*schedule, costs_);
    if (options_.init_labels != nullptr && options_.solver == Solver::ICM) {
      std::copy_n(options_.init_labels + item_.index * item_.shape.pixels(), item_.shape.pixels(),
                  labels_);
    }
    report_.energy = energy_of(labels_);
    if (options_.lower_bound) take_bound(*schedule);
    throw_if_interrupted();
    return std::move(report_);
  }

  Item<T>& item_;
  const Options& options_;
  int32_t* labels_;
  T* costs_;
  ItemReport report_;
  std::vector<int32_t> best_labels_;
  double best_energy_ = std::numeric_limits<double>::infinity();
  double last_energy_ = kNaN;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

std::string gibibytes(int64_t bytes) {
  const std::string text = std::to_string(static_cast<double>(bytes) / (1 << 30));
  return text.substr(0, text.find('.') + 3) + " GiB";
}

template <class T>
void check_memory(const Problem<T>& problem, const Options& options, int concurrent_items) {
  constexpr int64_t kNotWorthAsking = int64_t{64} << 20;
  const int64_t bytes = workspace_bytes(problem, options) * concurrent_items;
  if (bytes < kNotWorthAsking) return;
  const int64_t available = available_bytes();
  if (available < 0 || bytes <= available) return;
  throw OutOfMemory(
      "minimize: unary [" + std::to_string(problem.batch) + ", " + std::to_string(problem.height) +
      ", " + std::to_string(problem.width) + ", " + std::to_string(problem.labels) + "] needs " +
      std::to_string(bytes) + " bytes (" + gibibytes(bytes) + ") of working memory, " +
      std::to_string(available) + " (" + gibibytes(available) +
      ") are available; use fewer labels, a smaller image, float32, or solver \"icm\" or \"sgm\"");
}

template <class T>
ItemReport run_item(const Problem<T>& problem, const Options& options, const Outputs<T>& outputs,
                    int64_t b, const cpu::Kernels<T>& kernels, int threads, cpu::Control& control,
                    bool may_forbid) {
  // Below this a parallel region costs more than it saves.
  constexpr int64_t kParallelCells = 1 << 14;
  const int useful = problem.pixels() * problem.labels < kParallelCells ? 1 : threads;
  Item<T> item(problem, options, kernels, b, useful, &control, may_forbid);
  T* costs =
      outputs.costs == nullptr ? nullptr : outputs.costs + b * problem.pixels() * problem.labels;
  return ItemRun<T>(item, outputs.labels + b * problem.pixels(), costs).run();
}

/// Small items side by side, one thread each.
template <class T>
void run_side_by_side(const Problem<T>& problem, const Options& options, const Outputs<T>& outputs,
                      const cpu::Kernels<T>& kernels, int threads, cpu::Control& control,
                      bool may_forbid, std::vector<ItemReport>& reports) {
  std::vector<std::exception_ptr> errors(reports.size());
  std::atomic<int64_t> unfinished{problem.batch};
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(dynamic) nowait
    for (int64_t b = 0; b < problem.batch; ++b) {
      const auto i = static_cast<size_t>(b);
      try {
        if (!control.stop.load())
          reports[i] = run_item(problem, options, outputs, b, kernels, 1, control, may_forbid);
      } catch (...) {
        errors[i] = std::current_exception();
      }
      unfinished.fetch_sub(1);
    }
    // Only the calling thread may ask for interrupts: it goes on asking while others work.
#pragma omp master
    while (unfinished.load() > 0 && !cpu::should_stop(&control))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  cpu::throw_if_stopped(control);
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace

template <class T>
int64_t workspace_bytes(const Problem<T>& problem, const Options& options) {
  const double pixels = static_cast<double>(problem.pixels());
  const double stride = static_cast<double>(round_up(problem.labels, 16));
  const double labels = static_cast<double>(problem.labels);
  const bool may_copy = problem.labels % 16 != 0;
  const double volumes =
      static_cast<double>(schedule_volumes(options, problem.connectivity)) + (may_copy ? 1.0 : 0.0);
  const bool table = options.solver == Solver::TRWS || options.solver == Solver::MeanField ||
                     options.solver == Solver::ICM || options.solver == Solver::Chain ||
                     options.min_convolution == MinConvolution::General ||
                     problem.pairwise.kind() == PotentialKind::Table;
  // Plan and schedule may each hold V and its transpose; a bound holds both in double.
  const double table_bytes =
      labels * stride * (4.0 * sizeof(T) + (options.lower_bound ? 16.0 : 0.0));
  // Guarded rows of a strip and the scratch of a convolution, per thread.
  const double scratch = 44.0 * 3.0 * stride * sizeof(double) * std::max(options.threads, 1);
  double bytes = volumes * pixels * stride * sizeof(T) + (table ? table_bytes : 0.0) + scratch;
  if (options.lower_bound && problem.edge_weights != nullptr)
    bytes += pixels * 8.0 * static_cast<double>(problem.pairs());
  constexpr double kLargest = 9e18;
  return static_cast<int64_t>(std::min(bytes, kLargest));
}

template <class T>
std::vector<ItemReport> minimize(const Problem<T>& problem, const Options& options,
                                 const Outputs<T>& outputs) {
  check_problem(problem);
  check_options(problem, options);
  if (outputs.labels == nullptr)
    throw std::invalid_argument("labels: expected an array to write to, got a null pointer");
  const cpu::Kernels<T>& kernels = kernels_for_labels<T>(problem.labels);
  const int threads = resolve_threads(options.threads);
  constexpr int64_t kSmallItem = 1 << 21;
  const bool side_by_side = threads > 1 && problem.batch >= threads && !options.callback &&
                            problem.pixels() * problem.labels <= kSmallItem;
  check_memory(problem, options, side_by_side ? threads : 1);
  const bool may_forbid = check_unary_values(problem, threads);

  cpu::Control control;
  control.poll = options.interrupted;
  std::vector<ItemReport> reports(static_cast<size_t>(problem.batch));
  if (side_by_side) {
    run_side_by_side(problem, options, outputs, kernels, threads, control, may_forbid, reports);
  } else {
    for (int64_t b = 0; b < problem.batch; ++b) {
      reports[static_cast<size_t>(b)] =
          run_item(problem, options, outputs, b, kernels, threads, control, may_forbid);
    }
  }
  return reports;
}

template int64_t workspace_bytes<float>(const Problem<float>&, const Options&);
template int64_t workspace_bytes<double>(const Problem<double>&, const Options&);
template std::vector<ItemReport> minimize<float>(const Problem<float>&, const Options&,
                                                 const Outputs<float>&);
template std::vector<ItemReport> minimize<double>(const Problem<double>&, const Options&,
                                                  const Outputs<double>&);

}  // namespace mrfcore
