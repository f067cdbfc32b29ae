// SPDX-License-Identifier: Apache-2.0
// minimize() and energy() on the device: checks, chunks of the batch, memory.
#include <algorithm>
#include <stdexcept>

#include "device/backend.hpp"
#include "ops/check.hpp"
#include "ops/item_run.hpp"

namespace mrfcore::cuda {
namespace {

/// All that check_options() can tell without reading device memory.
template <class T>
void check_options_only(const Problem<T>& problem, Options options) {
  options.init_labels = nullptr;
  check_options(problem, options);
  if (options.message_dtype != MessageDtype::Full) {
    throw std::invalid_argument(
        "message_dtype: a GPU keeps messages in the unaries' type only; leave it out");
  }
}

template <class T>
int64_t needed(const Problem<T>& p, const Options& o, int64_t items) {
  constexpr int64_t kAlignment = 64;
  const int64_t volumes = 1 + schedule_volumes(o, p.connectivity);  // 1: finite unaries
  const int64_t row = p.labels * static_cast<int64_t>(sizeof(T)), volume = items * p.pixels() * row;
  const int64_t head_row = o.solver == Solver::SGM && o.head == SGMHead::Zero ? row : 0;
  return kAlignment + volumes * (volume + kAlignment) + head_row +
         backend_bytes(p, o, items, false);
}

/// As many items as the workspace holds, at most what a grid's second extent can count.
template <class T>
int64_t items_at_a_time(const Problem<T>& p, const Options& o, int64_t bytes) {
  constexpr int64_t kMostItems = 65535;
  if (needed(p, o, 1) > bytes) {
    throw OutOfMemory("workspace: expected at least " + std::to_string(needed(p, o, 1)) +
                      " bytes for one item, got " + std::to_string(bytes) +
                      "; fewer labels, a smaller image, float32 or solver \"icm\" need less");
  }
  int64_t items = watches(o) ? 1 : std::min(p.batch, kMostItems);
  while (needed(p, o, items) > bytes) items = (items + 1) / 2;
  return items;
}

}  // namespace

template <class T>
int64_t workspace_bytes(const Problem<T>& problem, const Options& options, int64_t items) {
  check_shape(problem);
  check_options_only(problem, options);
  return needed(problem, options, watches(options) ? 1 : items);
}

template <class T>
std::vector<ItemReport> minimize(const Problem<T>& problem, const Options& options,
                                 const Outputs<T>& outputs, const Queue& queue) {
  check_shape(problem);
  check_options_only(problem, options);
  if (outputs.labels == nullptr)
    throw std::invalid_argument("labels: expected an array to write to, got a null pointer");
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  const int64_t at_a_time = items_at_a_time(problem, options, queue.workspace_bytes);
  cpu::Control control;
  control.poll = options.interrupted;
  std::vector<ItemReport> reports;
  for (int64_t b = 0; b < problem.batch; b += at_a_time) {
    Arena arena(queue.workspace, queue.workspace_bytes);
    DeviceBackend<T> backend(functions, queue.stream, &arena, problem, {}, b,
                             std::min(at_a_time, problem.batch - b), false);
    Item<T> item = backend.item(problem, options, &control);
    T* costs =
        outputs.costs == nullptr ? nullptr : outputs.costs + b * problem.pixels() * problem.labels;
    for (ItemReport& report : run_schedule(item, outputs.labels + b * problem.pixels(), costs))
      reports.push_back(std::move(report));
  }
  return reports;
}

template <class T>
std::vector<double> energy(const Problem<T>& problem, const int32_t* labels, const Queue& queue) {
  check_shape(problem);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  Options options;
  options.solver = Solver::ICM;
  const int64_t at_a_time = items_at_a_time(problem, options, queue.workspace_bytes);
  std::vector<double> energies;
  for (int64_t b = 0; b < problem.batch; b += at_a_time) {
    Arena arena(queue.workspace, queue.workspace_bytes);
    DeviceBackend<T> backend(functions, queue.stream, &arena, problem, {}, b,
                             std::min(at_a_time, problem.batch - b), false);
    cpu::Control control;
    Item<T> item = backend.item(problem, options, &control);
    const std::vector<double> some = backend.energies(item, labels + b * problem.pixels());
    energies.insert(energies.end(), some.begin(), some.end());
  }
  return energies;
}

#define MRF_INSTANTIATE(T)                                                         \
  template int64_t workspace_bytes<T>(const Problem<T>&, const Options&, int64_t); \
  template std::vector<ItemReport> minimize<T>(const Problem<T>&, const Options&,  \
                                               const Outputs<T>&, const Queue&);   \
  template std::vector<double> energy<T>(const Problem<T>&, const int32_t*, const Queue&);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
