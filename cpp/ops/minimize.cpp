// SPDX-License-Identifier: Apache-2.0
// minimize() on the CPU: checks, memory, the batch.
#include "mrfcore/minimize.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

#include "mrfcore/error.hpp"
#include "mrfcore/runtime.hpp"
#include "ops/check.hpp"
#include "ops/coarse.hpp"
#include "ops/cpu_backend.hpp"
#include "ops/dispatch.hpp"
#include "ops/item_run.hpp"

namespace mrfcore {
namespace {

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
  throw OutOfMemory("minimize: unary [" + std::to_string(problem.batch) + ", " +
                    std::to_string(problem.height) + ", " + std::to_string(problem.width) + ", " +
                    std::to_string(problem.labels) + "] needs " + std::to_string(bytes) +
                    " bytes (" + gibibytes(bytes) + ") of working memory, " +
                    std::to_string(available) + " (" + gibibytes(available) +
                    ") are available; use fewer labels, a smaller image, float32, 16-bit messages "
                    "(message_dtype), or solver \"icm\" or "
                    "\"sgm\"");
}

template <class T>
ItemReport run_item(const Problem<T>& problem, const Options& options, const Outputs<T>& outputs,
                    int64_t b, const cpu::Kernels<T>& kernels, int threads, cpu::Control& control,
                    bool may_forbid) {
  CpuBackend<T> backend(kernels, threads);
  Item<T> item = cpu_item(problem, options, kernels, backend, b, threads, &control, may_forbid);
  T* costs = outputs.costs == nullptr ? nullptr : outputs.costs + b * problem.cells();
  return run_schedule(item, outputs.labels + b * problem.pixels(), costs)[0];
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
  const auto messages = static_cast<double>(message_volumes(options, problem.connectivity));
  const double others =
      static_cast<double>(schedule_volumes(options, problem.connectivity)) - messages;
  const auto message_element = static_cast<double>(message_bytes(options.message_dtype, sizeof(T)));
  // Coarser grids come first: what follows is not touched before they are given back.
  const cpu::GridShape shape{problem.height, problem.width, static_cast<int>(problem.labels),
                             round_up(problem.labels, 16), problem.connectivity};
  const auto coarse = static_cast<double>(coarse_bytes(
      shape, coarse_grids(options, problem.height, problem.width), problem.edge_weights != nullptr,
      1, sizeof(T), message_bytes(options.message_dtype, sizeof(T))));
  const bool polishes = polish_labellings(options, problem.height, problem.width) > 0;
  const bool table = options.solver == Solver::TRWS || options.solver == Solver::MeanField ||
                     options.solver == Solver::ICM || options.solver == Solver::Chain ||
                     options.min_convolution == MinConvolution::General || polishes ||
                     problem.pairwise.kind() == PotentialKind::Table;
  // Plan and schedule may each hold V and its transpose; a bound holds both in double.
  const double table_bytes =
      labels * stride * (4.0 * sizeof(T) + (options.lower_bound ? 16.0 : 0.0));
  // Guarded rows of a strip and the scratch of a convolution, per thread.
  const double scratch = 44.0 * 3.0 * stride * sizeof(double) * std::max(options.threads, 1);
  const double volume = pixels * stride;
  const double grids = volume * (messages * message_element + others * sizeof(T));
  double bytes = std::max(grids, coarse) + (may_copy ? volume * sizeof(T) : 0.0) +
                 (table ? table_bytes : 0.0) + scratch;
  if (polishes) bytes += pixels * 20.0;  // a proposal, changes of energy, regions
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
  check_message_dtype(problem, options);
  if (outputs.labels == nullptr)
    throw std::invalid_argument("labels: expected an array to write to, got a null pointer");
  const cpu::Kernels<T>& kernels = kernels_for_labels<T>(problem.labels);
  const int most_threads = resolve_threads(options.threads);
  const int threads = worthwhile_threads(most_threads, problem.batch * problem.cells());
  const int item_threads = worthwhile_threads(most_threads, problem.cells());
  constexpr int64_t kSmallItem = 1 << 21;
  const bool side_by_side =
      threads > 1 && problem.batch >= threads && !options.callback && problem.cells() <= kSmallItem;
  check_memory(problem, options, side_by_side ? threads : 1);
  const bool may_forbid = check_unary_values(problem, item_threads);

  cpu::Control control;
  control.poll = options.interrupted;
  std::vector<ItemReport> reports(static_cast<size_t>(problem.batch));
  if (side_by_side) {
    run_side_by_side(problem, options, outputs, kernels, threads, control, may_forbid, reports);
  } else {
    for (int64_t b = 0; b < problem.batch; ++b) {
      reports[static_cast<size_t>(b)] =
          run_item(problem, options, outputs, b, kernels, item_threads, control, may_forbid);
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
