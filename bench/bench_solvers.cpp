// SPDX-License-Identifier: Apache-2.0
// One iteration of every message-passing solver at 256 x 512, by number of labels and potential.
//
// Names read solver/potential/L:labels/threads:n. The time is manual: (time of n + 1 iterations -
// time of 1) / n, through the public interface. "GB/s" counts the bytes of
// counted_bytes_per_cell().
#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <vector>

#include "instance.hpp"
#include "mrfcore/runtime.hpp"
#include "registration.hpp"

namespace mrfcore::bench {
namespace {

constexpr int64_t kHeight = 256, kWidth = 512;
constexpr int kConnectivity = 4;
constexpr float kWeight = 10.0f;

struct Case {
  Solver solver;
  std::string potential;
  int64_t labels;
  int threads;
};

/// The latest instance only: those with many labels are large, and cases are sorted by labels.
const Instance& instance(int64_t labels) {
  static std::map<int64_t, Instance> latest;
  if (!latest.contains(labels)) {
    latest.clear();
    latest.emplace(labels, Instance(kHeight, kWidth, labels));
  }
  return latest.at(labels);
}

void iteration(benchmark::State& state, const Case& c) {
  const Instance& input = instance(c.labels);
  const auto problem = input.problem(make_potential(c.potential, c.labels), kWeight, kConnectivity);
  Options options;
  options.solver = c.solver;
  options.threads = c.threads;
  std::vector<int32_t> labels;
  const int n = 1 + static_cast<int>(512 / c.labels);  // long enough to be told from the set-up
  time_per_iteration(problem, options, 1, labels);     // memory, caches and threads are there
  for (auto _ : state) {
    const Elapsed t = time_per_iteration(problem, options, n, labels);
    state.SetIterationTime(c.threads == 1 ? t.cpu : t.wall);
  }
  const auto rate = [](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  const auto cells = static_cast<double>(input.cells());
  const auto bytes = static_cast<double>(counted_bytes_per_cell(c.solver, kConnectivity));
  state.counters["bytes/s"] = rate(cells * bytes);
  state.counters["messages/s"] = rate(cells * kConnectivity);  // entries of messages
  if (c.potential == "table") {
    state.counters["pairs/s"] = rate(cells * kConnectivity * static_cast<double>(c.labels));
  }
}

void add(const std::string& solver, const Case& c) {
  const std::string name = solver + "/" + c.potential + "/L:" + std::to_string(c.labels) +
                           "/threads:" + std::to_string(c.threads);
  benchmark::RegisterBenchmark(name.c_str(), [c](benchmark::State& s) { iteration(s, c); })
      ->UseManualTime()
      ->Iterations(1)
      ->Unit(benchmark::kMillisecond);
}

}  // namespace

void register_solvers() {
  const std::vector<std::pair<std::string, Solver>> solvers = {{"trwp", Solver::TRWP},
                                                               {"isgmr", Solver::ISGMR},
                                                               {"trws", Solver::TRWS},
                                                               {"sgm", Solver::SGM},
                                                               {"bp", Solver::BP}};
  for (const int64_t labels : {16, 32, 96, 256}) {
    for (const auto& [name, solver] : solvers) {
      for (const char* potential :
           {"table", "truncated_linear", "potts", "sgm_penalty", "truncated_quadratic"}) {
        add(name, {solver, potential, labels, 1});
        if (default_threads() > 1) add(name, {solver, potential, labels, default_threads()});
      }
    }
  }
}
}  // namespace mrfcore::bench
