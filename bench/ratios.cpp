// SPDX-License-Identifier: Apache-2.0
// The library and the plain loops side by side in one process: A B A B, all samples to stdout as
// JSON. bench/run.py runs this, judges and prints.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "ceilings.hpp"
#include "instance.hpp"
#include "mrfcore/runtime.hpp"
#include "mrfcore/version.hpp"

namespace mrfcore::bench {
namespace {

constexpr int64_t kHeight = 256, kWidth = 512;
constexpr int kConnectivity = 4;
constexpr float kWeight = 10.0f;
constexpr float kRho = 2.0f / kConnectivity;

struct Case {
  const char* solver_name;
  Solver solver;
  const char* potential;
  int64_t labels;
  double target;  ///< least ratio asked of one thread; 0: none
  bool quick;     ///< also part of the quick run
};

constexpr Case kCases[] = {
    {"trwp", Solver::TRWP, "table", 96, 60.0, true},
    {"trwp", Solver::TRWP, "truncated_linear", 96, 150.0, true},
    {"trwp", Solver::TRWP, "linear", 96, 0.0, false},
    {"trwp", Solver::TRWP, "table", 32, 0.0, true},
    {"trwp", Solver::TRWP, "truncated_linear", 32, 0.0, true},
    {"isgmr", Solver::ISGMR, "table", 32, 0.0, false},
    {"isgmr", Solver::ISGMR, "truncated_linear", 32, 0.0, false},
    {"sgm", Solver::SGM, "table", 32, 0.0, false},
    {"sgm", Solver::SGM, "truncated_linear", 32, 0.0, false},
};

/// Calls of one and of n + 1 iterations. Kept apart: what setting up takes varies much more than
/// what an iteration takes, so medians are taken before they are subtracted.
struct Calls {
  std::vector<Elapsed> one, more;
};

/// In the order measured.
struct Samples {
  int n;
  std::vector<Elapsed> plain;  // of one iteration
  Calls one_thread, all_threads;
};

/// State of a plain loop; messages are in memory before the clock starts.
class PlainRun {
 public:
  PlainRun(const Problem<float>& problem, Solver solver)
      : instance_(problem), solver_(solver), messages_(size()) {
    if (solver == Solver::ISGMR) fresh_.resize(size());
  }

  Elapsed time_of_next_iteration() {
    const Stopwatch watch;
    if (solver_ == Solver::TRWP) {
      plain_trwp_iteration(instance_.problem(), kRho, messages_.data());
    } else if (solver_ == Solver::ISGMR) {
      plain_isgmr_iteration(instance_.problem(), messages_.data(), fresh_.data());
      std::swap(messages_, fresh_);
    } else {
      plain_sgm(instance_.problem(), messages_.data());
    }
    return watch.elapsed();
  }

 private:
  std::size_t size() const {
    return static_cast<std::size_t>(kConnectivity) * instance_.problem().volume();
  }

  PlainInstance instance_;
  Solver solver_;
  std::vector<float> messages_, fresh_;
};

Samples measure(const Case& c, int repetitions, int threads) {
  const Instance input(kHeight, kWidth, c.labels);
  const auto problem = input.problem(make_potential(c.potential, c.labels), kWeight, kConnectivity);
  Options options;
  options.solver = c.solver;
  std::vector<int32_t> labels;
  Samples samples;
  samples.n = 2 + static_cast<int>(1024 / c.labels);
  const auto call = [&](Calls& calls, int count) {
    options.threads = count;
    calls.one.push_back(time_of(problem, options, 1, labels));
    calls.more.push_back(time_of(problem, options, samples.n + 1, labels));
  };
  PlainRun plain(problem, c.solver);
  time_of(problem, options, 1, labels);  // brings the unaries in and starts the threads
  for (int k = 0; k < repetitions; ++k) {
    call(samples.one_thread, 1);
    samples.plain.push_back(plain.time_of_next_iteration());
    call(samples.one_thread, 1);
    call(samples.all_threads, threads);
  }
  return samples;
}

std::string json(const std::vector<Elapsed>& samples) {
  std::string wall, cpu;
  const auto append = [](std::string& list, double value) {
    char number[32];
    std::snprintf(number, sizeof(number), "%s%.6g", list.empty() ? "" : ", ", value);
    list += number;
  };
  for (const Elapsed& e : samples) {
    append(wall, e.wall);
    append(cpu, e.cpu);
  }
  return "{\"wall\": [" + wall + "], \"cpu\": [" + cpu + "]}";
}

std::string json(const Calls& calls) {
  return "{\"one\": " + json(calls.one) + ",\n      \"more\": " + json(calls.more) + "}";
}

void print_case(const Case& c, const Samples& s, bool last) {
  const Potential pairwise = make_potential(c.potential, c.labels);
  std::printf("    {\"solver\": \"%s\", \"potential\": \"%s\", \"labels\": %lld, ", c.solver_name,
              c.potential, static_cast<long long>(c.labels));
  std::printf("\"cells\": %lld, \"bytes_per_cell\": %lld, ",
              static_cast<long long>(kHeight * kWidth * c.labels),
              static_cast<long long>(counted_bytes_per_cell(c.solver, kConnectivity)));
  std::printf("\"operations_per_cell\": %g, \"plain_operations_per_cell\": %g, ",
              convolution_operations_per_cell(pairwise, c.labels, kConnectivity),
              plain_operations_per_cell(c.solver, c.labels, kConnectivity));
  std::printf("\"target\": %g, \"n\": %d,\n     \"plain_s\": %s,\n", c.target, s.n,
              json(s.plain).c_str());
  std::printf("     \"one_thread_s\": %s,\n", json(s.one_thread).c_str());
  std::printf("     \"all_threads_s\": %s}%s\n", json(s.all_threads).c_str(), last ? "" : ",");
  std::fflush(stdout);
}

/// Yardsticks, taken before and after the cases: the better of both counts.
struct Ceilings {
  double copy = 0.0, update = 0.0, update_all = 0.0, pairs = 0.0;

  void measure(int threads) {
    copy = std::max(copy, stream_bytes_per_second(Stream::Copy, 1));
    update = std::max(update, stream_bytes_per_second(Stream::Update, 1));
    update_all = std::max(update_all, stream_bytes_per_second(Stream::Update, threads));
    for (const CeilingKernels& k : ceiling_kernels()) {
      if (k.isa == cpu_isa()) pairs = std::max(pairs, min_plus_pairs_per_second(k));
    }
  }
};

int run(bool quick, int repetitions) {
  const int threads = default_threads();
  Ceilings ceilings;
  ceilings.measure(threads);
  std::printf("{\n  \"version\": \"%s\", \"isa\": \"%s\", \"threads\": %d, \"compiler\": \"%s\",\n",
              MRFCORE_VERSION, cpu_isa().c_str(), threads, __VERSION__);
  std::printf("  \"height\": %lld, \"width\": %lld, \"connectivity\": %d,\n  \"cases\": [\n",
              static_cast<long long>(kHeight), static_cast<long long>(kWidth), kConnectivity);
  std::vector<Case> cases;
  std::copy_if(std::begin(kCases), std::end(kCases), std::back_inserter(cases),
               [&](const Case& c) { return c.quick || !quick; });
  for (const Case& c : cases) {
    std::fprintf(stderr, "%s, %s, %lld labels ...\n", c.solver_name, c.potential,
                 static_cast<long long>(c.labels));
    print_case(c, measure(c, repetitions, threads), &c == &cases.back());
  }
  ceilings.measure(threads);
  std::printf("  ],\n  \"copy_bytes_per_s\": %.4g, \"update_bytes_per_s\": %.4g, ", ceilings.copy,
              ceilings.update);
  std::printf("\"update_bytes_per_s_all_threads\": %.4g, \"min_plus_pairs_per_s\": %.4g\n}\n",
              ceilings.update_all, ceilings.pairs);
  return 0;
}

}  // namespace
}  // namespace mrfcore::bench

int main(int argc, char** argv) {
  bool quick = false;
  int repetitions = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      quick = true;
    } else if (std::strcmp(argv[i], "--repetitions") == 0 && i + 1 < argc) {
      repetitions = std::atoi(argv[++i]);
    } else {
      std::fprintf(stderr, "usage: %s [--quick] [--repetitions N]\n", argv[0]);
      return 2;
    }
  }
  if (repetitions < 1) repetitions = quick ? 2 : 5;
  return mrfcore::bench::run(quick, repetitions);
}
