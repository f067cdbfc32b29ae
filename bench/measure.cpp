// SPDX-License-Identifier: Apache-2.0
// Measures one thing and prints it as JSON, for the scripts of this folder:
//
//   mrfcore_measure ceilings
//   mrfcore_measure solver --solver trwp --potential table --height 256 --width 512 --labels 96
//
// The second runs one solver on a synthetic problem, on one thread and on all, and beside it the
// plain loop of the published algorithm: A B A B in one process, which is this case's alone, so
// that the peak of its memory is, too.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "ceilings.hpp"
#include "instance.hpp"
#include "memory.hpp"
#include "mrfcore/runtime.hpp"
#include "mrfcore/version.hpp"
#include "plain_run.hpp"

namespace mrfcore::bench {
namespace {

constexpr float kWeight = 10.0f;
constexpr int kMostIterations = 200;

const std::map<std::string, Solver> kSolvers = {
    {"sgm", Solver::SGM}, {"isgmr", Solver::ISGMR}, {"trwp", Solver::TRWP},
    {"bp", Solver::BP},   {"trws", Solver::TRWS},   {"mean_field", Solver::MeanField},
    {"icm", Solver::ICM},
};

const std::map<std::string, MessageDtype> kStorages = {
    {"float32", MessageDtype::Full},
    {"float16", MessageDtype::Float16},
    {"bfloat16", MessageDtype::BFloat16},
};

struct Job {
  std::string solver = "trwp", potential = "truncated_linear", messages = "float32";
  int64_t height = 256, width = 512, labels = 32;
  int connectivity = 4;
  int rounds = 5;
  double seconds = 0.25;   ///< how long the iterations of one sample should take
  int one_thread = 0;      ///< not 0: nothing on all threads
  int64_t plain_rows = 0;  ///< height of the plain loop's problem; 0: no plain loop
};

/// Calls of one and of n + 1 iterations. Kept apart: what setting up takes varies much more than
/// what an iteration takes, so medians are taken before they are subtracted.
struct Calls {
  std::vector<Elapsed> one, more;
};

/// In the order measured.
struct Samples {
  int n = 1;
  int64_t peak_bytes = -1;
  std::vector<Elapsed> plain;  // of one iteration
  Calls one_thread, all_threads;
};

/// Iterations that take about as long as asked; at least four, or two where V is a table: fewer may
/// take no longer than setting up, which varies with how the system hands memory out.
int iterations_for(double seconds, const Problem<float>& problem, const Options& options,
                   std::vector<int32_t>& labels) {
  const double least = problem.pairwise.kind() == PotentialKind::Table ? 2.0 : 4.0;
  const double one = time_of(problem, options, 1, labels).cpu;
  const double each = (time_of(problem, options, 3, labels).cpu - one) / 2;
  return static_cast<int>(
      std::clamp(each > 0 ? seconds / each : 0.0, least, double{kMostIterations}));
}

Samples measure(const Job& job, const Problem<float>& problem, int threads) {
  Options options;
  options.solver = kSolvers.at(job.solver);
  options.polish = options.coarse = 0;  // iterations are what is measured
  options.message_dtype = kStorages.at(job.messages);
  options.threads = 1;
  std::vector<int32_t> labels(static_cast<std::size_t>(problem.pixels()));
  Samples samples;
  const int64_t before = forget_peak();
  time_of(problem, options, 1, labels);  // also brings the unaries in
  if (before >= 0) samples.peak_bytes = std::max<int64_t>(0, peak_bytes() - before);
  samples.n = iterations_for(job.seconds, problem, options, labels);
  const auto call = [&](Calls& calls, int count) {
    options.threads = count;
    calls.one.push_back(time_of(problem, options, 1, labels));
    calls.more.push_back(time_of(problem, options, samples.n + 1, labels));
  };
  std::unique_ptr<PlainRun> plain;
  if (job.plain_rows > 0) {
    Problem<float> fewer_rows = problem;
    fewer_rows.height = std::min(job.plain_rows, job.height);
    plain = std::make_unique<PlainRun>(fewer_rows, options.solver);
  }
  for (int k = 0; k < job.rounds; ++k) {
    call(samples.one_thread, 1);
    if (plain) samples.plain.push_back(plain->time_of_next_iteration());
    if (threads > 1) call(samples.all_threads, threads);
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
  return "{\"one\": " + json(calls.one) + ", \"more\": " + json(calls.more) + "}";
}

void print_solver(const Job& job) {
  const int threads = job.one_thread != 0 ? 1 : default_threads();
  const Instance input(job.height, job.width, job.labels);
  const Potential pairwise = make_potential(job.potential, job.labels);
  const Samples s = measure(job, input.problem(pairwise, kWeight, job.connectivity), threads);
  const Solver solver = kSolvers.at(job.solver);
  const Work work = work_per_cell(solver, pairwise, job.labels, job.connectivity);
  std::printf("{\"isa\": \"%s\", \"threads\": %d, \"cells\": %lld, \"bytes_per_cell\": %lld,\n",
              cpu_isa().c_str(), threads, static_cast<long long>(input.cells()),
              static_cast<long long>(
                  counted_bytes_per_cell(solver, job.connectivity, kStorages.at(job.messages))));
  std::printf(" \"operations_per_cell\": %g, \"multiply_adds_per_cell\": %g, \"n\": %d,\n",
              work.operations, work.multiply_adds, s.n);
  std::printf(" \"plain_operations_per_cell\": %g,\n",
              plain_operations_per_cell(solver, job.labels, job.connectivity));
  std::printf(" \"peak_bytes\": %lld, \"plain_rows\": %lld,\n \"plain_s\": %s,\n",
              static_cast<long long>(s.peak_bytes),
              static_cast<long long>(std::min(job.plain_rows, job.height)), json(s.plain).c_str());
  std::printf(" \"one_thread_s\": %s,\n \"all_threads_s\": %s}\n", json(s.one_thread).c_str(),
              json(s.all_threads).c_str());
}

void print_ceilings() {
  std::vector<int> counts{1};
  if (default_threads() > 1) counts.push_back(default_threads());
#if defined(__clang__)
  const char* compiler = "";  // __VERSION__ begins with its name
#else
  const char* compiler = "GCC ";
#endif
  std::printf("{\"version\": \"%s\", \"compiler\": \"%s%s\", \"isa\": \"%s\", \"ceilings\": [",
              MRFCORE_VERSION, compiler, __VERSION__, cpu_isa().c_str());
  StreamArrays arrays;
  const char* separator = "\n";
  for (const CeilingKernels& k : ceiling_kernels()) {
    for (const int threads : counts) {
      std::printf(
          "%s {\"isa\": \"%s\", \"threads\": %d, \"copy_bytes_per_s\": %.4g, "
          "\"update_bytes_per_s\": %.4g, \"min_plus_pairs_per_s\": %.4g, "
          "\"multiply_adds_per_s\": %.4g}",
          separator, k.isa, threads, arrays.bytes_per_second(k, Stream::Copy, threads),
          arrays.bytes_per_second(k, Stream::Update, threads),
          min_plus_pairs_per_second(k, threads), multiply_adds_per_second(k, threads));
      separator = ",\n";
    }
  }
  std::printf("\n]}\n");
}

Job parse(int argc, char** argv) {
  Job job;
  const std::map<std::string, std::string*> words = {
      {"--solver", &job.solver}, {"--potential", &job.potential}, {"--messages", &job.messages}};
  const std::map<std::string, int64_t*> sizes = {{"--height", &job.height},
                                                 {"--width", &job.width},
                                                 {"--labels", &job.labels},
                                                 {"--plain-rows", &job.plain_rows}};
  const std::map<std::string, int*> counts = {{"--connectivity", &job.connectivity},
                                              {"--rounds", &job.rounds},
                                              {"--one-thread", &job.one_thread}};
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (words.contains(name)) {
      *words.at(name) = value;
    } else if (sizes.contains(name)) {
      *sizes.at(name) = std::stoll(value);
    } else if (counts.contains(name)) {
      *counts.at(name) = std::stoi(value);
    } else if (name == "--seconds") {
      job.seconds = std::stod(value);
    } else {
      throw std::invalid_argument(name + ": no such option");
    }
  }
  if (argc % 2 != 0) throw std::invalid_argument(std::string(argv[argc - 1]) + ": value missing");
  if (!kSolvers.contains(job.solver)) throw std::invalid_argument("--solver: no " + job.solver);
  if (!kStorages.contains(job.messages))
    throw std::invalid_argument("--messages: no " + job.messages);
  if (job.rounds < 1) throw std::invalid_argument("--rounds: expected 1 or more");
  return job;
}

}  // namespace
}  // namespace mrfcore::bench

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  try {
    if (what == "ceilings" && argc == 2) {
      mrfcore::bench::print_ceilings();
    } else if (what == "solver") {
      mrfcore::bench::print_solver(mrfcore::bench::parse(argc, argv));
    } else {
      std::fprintf(stderr, "usage: %s ceilings | solver [--solver NAME] ...\n", argv[0]);
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
