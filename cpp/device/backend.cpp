// SPDX-License-Identifier: Apache-2.0
#include "device/backend.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/scanline.hpp"
#include "ops/coarse.hpp"
#include "ops/schedule.hpp"

namespace mrfcore::cuda {

template <class T>
DeviceBackend<T>::DeviceBackend(const Functions& functions, Stream stream, Arena* arena,
                                const Problem<T>& problem, const DeviceInputs<T>& inputs,
                                int64_t first, int64_t items, bool own_weights)
    : Backend<T>(arena),
      functions_(functions),
      solvers_(functions.of<T>()),
      stream_(stream),
      batch_{items, problem.pixels() * problem.labels, 0, problem.pixels() * problem.labels,
             problem.pixels()},
      first_(first),
      report_memory_(this->template zeroed<std::byte>(
          items * static_cast<int64_t>(sizeof(double) + sizeof(int32_t)))),
      report_{reinterpret_cast<double*>(report_memory_.data()),
              reinterpret_cast<int32_t*>(report_memory_.data() +
                                         items * static_cast<int64_t>(sizeof(double)))},
      table_(inputs.table),
      potential_(functions, stream, memory(), problem.pairwise, problem.labels, inputs.table) {
  set_weights(problem, inputs, own_weights);
}

template <class T>
void DeviceBackend<T>::set_weights(const Problem<T>& p, const DeviceInputs<T>& inputs,
                                   bool own_weights) {
  const int64_t size = p.pairs() * p.pixels(), items = batch_.count;
  weights_ = {nullptr, p.weight};
  if (p.edge_weights != nullptr)
    weights_ = {p.edge_weights + first_ * p.edge_weights_batch_stride, T(1)};
  batch_.edge_weights = p.edge_weights != nullptr ? p.edge_weights_batch_stride : 0;
  if (inputs.weight != nullptr) {
    const int64_t copies = own_weights ? items : 1;
    weights_memory_ = this->template zeroed<T>(copies * size);
    check(solvers_.fill(inputs.weight, copies * size, weights_memory_.data(), stream_), "fill");
    weights_ = {weights_memory_.data(), T(1)};
    batch_.edge_weights = own_weights ? size : 0;
  } else if (own_weights && batch_.edge_weights == 0 && items > 1) {
    weights_memory_ = this->template zeroed<T>(items * size);
    for (int64_t i = 0; i < items; ++i)
      this->copy_values(weights_memory_.data() + i * size, weights_.per_edge, size);
    weights_ = {weights_memory_.data(), T(1)};
    batch_.edge_weights = size;
  }
}

template <class T>
Item<T> DeviceBackend<T>::item(const Problem<T>& p, const Options& o, cpu::Control* control) {
  const int64_t items = batch_.count;
  Item<T> made{.problem = p,
               .options = o,
               .backend = *this,
               .index = first_,
               .items = items,
               .threads = 1,
               .control = control,
               .shape = {p.height, p.width, static_cast<int>(p.labels), p.labels, p.connectivity},
               .weights = weights_,
               .unary = nullptr,
               .padded = {},
               .layer = {}};
  made.padded = made.new_volume();
  check(solvers_.finite_unary(made.raw_unary(), made.padded.data(), batch_.volume, items,
                              report_.bad, stream_),
        "finite_unary");
  made.unary = made.padded.data();
  if (weights_.per_edge != nullptr) {
    check(solvers_.check_weights(weights_.per_edge, made.shape, batch_, report_.bad, stream_),
          "check_weights");
  }
  if (table_ != nullptr) {
    check(solvers_.check_table(table_, p.labels * p.labels, items, report_.bad, stream_),
          "check_table");
  }
  return made;
}

template <class T>
void DeviceBackend<T>::check_row(int code, const char* operation,
                                 const cpu::GridShape& shape) const {
  constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue: the kernel refuses its arguments
  if (code == kInvalidValue) {
    throw std::invalid_argument("unary: L = " + std::to_string(shape.labels) +
                                " labels are more than " + operation +
                                " can hold on this GPU; expected fewer, or an array on the CPU");
  }
  check(code, operation);
}

template <class T>
void DeviceBackend<T>::sweep_pair(const cpu::SweepArgs<T>& args) {
  check_row(solvers_.sweep_pair(args, batch_for(args.shape), stream_), "sweep_pair", args.shape);
}

template <class T>
void DeviceBackend<T>::adjoint_pair(const cpu::AdjointArgs<T>& args) {
  const bool table = args.gradient.values != nullptr, soft = args.temperature > T(0);
  const int wanted = table ? (soft ? 4 : 2) : 0;
  for (int i = 0; i < wanted; ++i) {
    if (!left_behind_[i]) left_behind_[i] = this->template zeroed<T>(batch_.count * batch_.volume);
  }
  const MessageGradients<T> left{left_behind_[0].data(), left_behind_[1].data(),
                                 left_behind_[2].data(), left_behind_[3].data()};
  check_row(solvers_.adjoint_pair(args, batch_, left, stream_), "adjoint_pair", args.shape);
  if (!table) return;
  check(solvers_.table_gradient(args, batch_, left, args.gradient.values, args.gradient.bins,
                                stream_),
        "table_gradient");
}

template <class T>
void DeviceBackend<T>::gather(const cpu::GatherArgs<T>& args) {
  check(solvers_.gather(args, batch_for(args.shape), report_.bad, stream_), "gather");
}

template <class T>
void DeviceBackend<T>::trws_pass(const cpu::TrwsArgs<T>& args) {
  if (!progress_)
    progress_ = this->template zeroed<int32_t>(batch_.count * (args.shape.height + 1));
  check_row(solvers_.trws_pass(args, batch_, progress_.data(), stream_), "trws_pass", args.shape);
}

template <class T>
void DeviceBackend<T>::trws_labels(const cpu::LabellingArgs<T>& args) {
  if (!progress_)
    progress_ = this->template zeroed<int32_t>(batch_.count * (args.shape.height + 1));
  check(solvers_.trws_labels(args, batch_, progress_.data(), stream_), "trws_labels");
}

template <class T>
void DeviceBackend<T>::mean_field_step(const cpu::MeanFieldArgs<T>& args) {
  check(solvers_.mean_field_step(args, batch_, stream_), "mean_field_step");
}

template <class T>
void DeviceBackend<T>::mean_field_adjoint(const cpu::MeanFieldAdjointArgs<T>& args) {
  check(solvers_.mean_field_adjoint(args, batch_, stream_), "mean_field_adjoint");
}

template <class T>
void DeviceBackend<T>::icm_sweep(const cpu::IcmArgs<T>& args) {
  check(solvers_.icm_sweep(args, batch_, stream_), "icm_sweep");
}

template <class T>
void DeviceBackend<T>::feed_back(const Item<T>& item, const T* sum, T share, T* unary,
                                 void* minima) {
  check(solvers_.feed_back(item.shape, sum, share, unary, minima, batch_, stream_), "feed_back");
}

template <class T>
void DeviceBackend<T>::feed_back_adjoint(const Item<T>& item, const T* grad_unary, T share,
                                         const void* minima, T* grad_sum) {
  check(
      solvers_.feed_back_adjoint(item.shape, grad_unary, share, minima, grad_sum, batch_, stream_),
      "feed_back_adjoint");
}

template <class T>
void DeviceBackend<T>::level_costs(const Item<T>& item, const int32_t* labels, T* costs) {
  evaluate(item, labels);
  check(solvers_.level_costs(item.shape, report_.energy, costs, batch_, stream_), "level_costs");
}

template <class T>
void DeviceBackend<T>::add(T* to, const T* from, int64_t count) {
  check(solvers_.add(to, from, count, stream_), "add");
}

template <class T>
const DevicePotential<double>& DeviceBackend<T>::exact_potential(const Item<T>& item) {
  if (!exact_) {
    exact_ = std::make_unique<DevicePotential<double>>(
        functions_, stream_, memory(), item.problem.pairwise, item.problem.labels, nullptr);
  }
  return *exact_;
}

template <class T>
void DeviceBackend<T>::evaluate(const Item<T>& item, const int32_t* labels) {
  if (!rows_) rows_ = this->template zeroed<double>(batch_.count * item.shape.height);
  const DevicePotential<double>& v = exact_potential(item);
  check(solvers_.energy({item.shape, item.weights, v.differences(), v.values(), item.unary, labels,
                         rows_.data(), report_.energy},
                        batch_, stream_),
        "energy");
}

template <class T>
std::vector<double> DeviceBackend<T>::energies(const Item<T>& item, const int32_t* labels) {
  evaluate(item, labels);
  std::vector<std::byte> host(static_cast<size_t>(report_memory_.size()));
  check(functions_.runtime.to_host(host.data(), report_memory_.data(), report_memory_.size(),
                                   stream_),
        "minimize");
  const auto* energy = reinterpret_cast<const double*>(host.data());
  throw_if_bad(reinterpret_cast<const int32_t*>(energy + batch_.count));
  return {energy, energy + batch_.count};
}

template <class T>
void DeviceBackend<T>::throw_if_bad(const int32_t* bad) const {
  for (int64_t i = 0; i < batch_.count; ++i) {
    if (bad[i] == 0) continue;
    const std::string item = " in item " + std::to_string(first_ + i);
    if ((bad[i] & kBadUnary) != 0) {
      throw std::invalid_argument(std::string("unary: expected numbers below ") +
                                  (sizeof(T) == 4 ? "1e26" : "1e196") +
                                  " in magnitude or +inf (a forbidden label), got NaN, -inf or a "
                                  "larger number" +
                                  item);
    }
    if ((bad[i] & kBadWeight) != 0)
      throw std::invalid_argument("weights: expected numbers in [0, 1e12), got others" + item);
    throw std::invalid_argument("pairwise: expected finite values below 1e12 in magnitude");
  }
}

template <class T>
std::vector<double> DeviceBackend<T>::read(const double* sums, int64_t count) {
  std::vector<double> host(static_cast<size_t>(count));
  check(functions_.runtime.to_host(host.data(), sums, count * static_cast<int64_t>(sizeof(double)),
                                   stream_),
        "minimize");
  return host;
}

/// See CpuBackend::chain_bounds. Sums of all pairs are read in one go.
template <class T>
std::vector<double> DeviceBackend<T>::chain_bounds(const Item<T>& item,
                                                   const void* const* messages) {
  const cpu::GridShape& shape = item.shape;
  const cpu::MinConvolutionPlan<double> plan =
      exact_potential(item).plan(memory(), item.options.min_convolution, 0.0, exact_tables_);
  const double rho = 1.0 / core::pairs_inside(shape.connectivity, shape.height, shape.width);
  const int64_t items = batch_.count, pairs = item.problem.pairs();
  if (!minima_) minima_ = this->template zeroed<double>(items * most_scanlines(shape));
  if (!bounds_) bounds_ = this->template zeroed<double>(pairs * items);
  for (int pair = 0; pair < static_cast<int>(pairs); ++pair) {
    if (!core::pair_inside(pair, shape.height, shape.width)) continue;
    const int64_t lines = core::scanlines(core::pair_geometry(pair, shape.height, shape.width));
    check_row(solvers_.chain_bound(
                  {shape, pair, item.weights, &plan, item.unary, messages, rho, minima_.data()},
                  batch_, stream_),
              "chain_bound", shape);
    check(functions_.sum_rows(minima_.data(), lines, items, bounds_.data() + pair * items, stream_),
          "sum_rows");
  }
  const std::vector<double> sums = read(bounds_.data(), pairs * items);
  std::vector<double> bounds(static_cast<size_t>(items));
  for (size_t i = 0; i < sums.size(); ++i) bounds[i % bounds.size()] += sums[i];
  return bounds;
}

template <class T>
std::vector<double> DeviceBackend<T>::row_sums(const Item<T>& item, const double* rows) {
  check(functions_.sum_rows(rows, item.shape.height, batch_.count, report_.energy, stream_),
        "sum_rows");
  return read(report_.energy, batch_.count);
}

template <class T>
OwnedPlan<T> DeviceBackend<T>::plan(const Item<T>& item, T) {
  return OwnedPlan<T>(potential_.plan(memory(), item.options.min_convolution,
                                      item.layer.temperature, plan_tables_));
}

template <class T>
PotentialTables<T> DeviceBackend<T>::tables(const Item<T>&, T factor) {
  // One factor per solver: schedules that are made again find the tables there.
  if (!tables_.table || tables_factor_ != factor) {
    tables_ = potential_.tables(memory(), factor);
    tables_factor_ = factor;
  }
  PotentialTables<T> shared;
  const int64_t size = tables_.table.size();
  shared.table = Buffer<T>::borrowed(tables_.table.data(), size);
  if (tables_.transposed) shared.transposed = Buffer<T>::borrowed(tables_.transposed.data(), size);
  return shared;
}

template <class T>
void DeviceBackend<T>::clear(void* to, int64_t bytes) {
  check(functions_.clear(to, bytes, stream_), "clear");
}

template <class T>
void DeviceBackend<T>::copy(void* to, const void* from, int64_t bytes) {
  check(functions_.copy(to, from, bytes, stream_), "copy");
}

int64_t most_scanlines(const cpu::GridShape& shape) {
  int64_t most = 0;
  for (int pair = 0; pair < shape.connectivity / 2; ++pair) {
    most = std::max(most, core::scanlines(core::pair_geometry(pair, shape.height, shape.width)));
  }
  return most;
}

bool takes_tables(const Options& o) {
  return o.min_convolution == MinConvolution::General || o.solver == Solver::TRWS ||
         o.solver == Solver::MeanField || o.solver == Solver::ICM || o.solver == Solver::Chain;
}

template <class T>
int64_t backend_bytes(const Problem<T>& p, const Options& o, int64_t items, bool needs_tables) {
  constexpr int64_t kPieces = 32, kAlignment = 64, kDouble = sizeof(double), kElement = sizeof(T);
  const cpu::GridShape shape{p.height, p.width, static_cast<int>(p.labels), p.labels,
                             p.connectivity};
  const bool given = p.pairwise.kind() == PotentialKind::Table;
  const int64_t all = p.labels * p.labels;
  const bool polishes = polish_labellings(o, p.height, p.width) > 0;
  const int64_t table = given || needs_tables || polishes || takes_tables(o) ? all : 0;
  int64_t bytes = kPieces * kAlignment;
  bytes += items * (kDouble + 4);                            // report
  bytes += (given ? all : p.labels) * (kDouble + kElement);  // V as given, in both precisions
  bytes += 4 * table * kElement;                             // of plan and schedule
  if (o.lower_bound || o.gap_tolerance)
    bytes += 2 * table * kDouble + items * (most_scanlines(shape) + p.pairs()) * kDouble;
  bytes += items * p.pairs() * p.pixels() * kElement;   // weights
  bytes += items * (p.height + 1) * (2 * kDouble + 4);  // rows of energies and bounds, progress
  bytes += 2 * items * p.pixels() * 4;                  // labels: ICM's, the best
  if (polishes) bytes += items * p.pixels() * (4 + kDouble);  // proposal, changes
  if (const int grids = coarse_grids(o, p.height, p.width); grids > 0) {
    bytes += coarse_bytes(shape, grids, true, items, kElement, kElement);
    bytes += int64_t{grids} * (p.connectivity + 3) * kAlignment;
  }
  return bytes;
}

#define MRF_INSTANTIATE(T)         \
  template class DeviceBackend<T>; \
  template int64_t backend_bytes<T>(const Problem<T>&, const Options&, int64_t, bool);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
