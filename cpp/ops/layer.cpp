// SPDX-License-Identifier: Apache-2.0
// Solvers as differentiable layers on the CPU: checks, memory, the batch.
#include "mrfcore/layer.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "ops/check.hpp"
#include "ops/cpu_backend.hpp"
#include "ops/dispatch.hpp"
#include "ops/layer_passes.hpp"

namespace mrfcore {
namespace {

/// What the tape was made with: a backward pass with anything else would read nonsense.
struct TapeHeader {
  static constexpr uint64_t kMagic = 0x6d72666c61796572;  // "mrflayer"
  uint64_t magic;
  int64_t batch, height, width, labels, stride;
  int32_t connectivity, solver, iterations, segment, element_bytes, soft;
  bool operator==(const TapeHeader&) const = default;
};
static_assert(sizeof(TapeHeader) <= kTapeHeaderBytes);

/// Everything forward and backward share.
template <class T>
struct Call {
  const Problem<T>& problem;
  const LayerOptions& options;
  const cpu::Kernels<T>& kernels;
  TapeLayout<T> layout;
  int threads;
  cpu::Control control;

  Call(const Problem<T>& p, const LayerOptions& o)
      : problem(p),
        options(o),
        kernels(kernels_for_labels<T>(p.labels)),
        layout(p, o, round_up(p.labels, kernels.lanes)),
        threads(worthwhile_threads(resolve_threads(o.threads), p.cells())) {
    control.poll = o.interrupted;
  }

  TapeHeader header() const {
    return {TapeHeader::kMagic,
            problem.batch,
            problem.height,
            problem.width,
            problem.labels,
            round_up(problem.labels, kernels.lanes),
            problem.connectivity,
            static_cast<int32_t>(options.solver),
            options.iterations,
            layout.segment,
            static_cast<int32_t>(sizeof(T)),
            layout.soft ? 1 : 0};
  }
  std::byte* item_tape(void* tape, int64_t b) const {
    return static_cast<std::byte*>(tape) + kTapeHeaderBytes + b * layout.item_bytes();
  }
  Item<T> item(CpuBackend<T>& backend, int64_t b, bool may_forbid) {
    Item<T> made = cpu_item(problem, options, kernels, backend, b, threads, &control, may_forbid);
    made.layer.temperature = static_cast<T>(options.temperature);
    return made;
  }
  int64_t cells() const { return problem.cells(); }
};

[[noreturn]] void bad(const std::string& message) { throw std::invalid_argument(message); }

void check_tape(const void* tape) {
  if (reinterpret_cast<uintptr_t>(tape) % alignof(double) != 0)
    bad("tape: expected memory aligned to 8 bytes");
}

}  // namespace

template <class T>
int64_t layer_tape_bytes(const Problem<T>& problem, const LayerOptions& options) {
  check_layer(problem, options);
  const Call<T> call(problem, options);
  return kTapeHeaderBytes + problem.batch * call.layout.item_bytes();
}

template <class T>
int64_t layer_workspace_bytes(const Problem<T>& problem, const LayerOptions& options,
                              bool backward) {
  check_layer(problem, options);
  const Call<T> call(problem, options);
  return layer_pass_bytes(call.layout, options, backward);
}

template <class T>
void layer_forward(const Problem<T>& problem, const LayerOptions& options, T* costs, void* tape,
                   void* workspace) {
  const int64_t workspace_size = layer_workspace_bytes(problem, options, false);  // checks, too
  check_problem(problem);
  if (costs == nullptr) bad("costs: expected an array to write to, got a null pointer");
  check_tape(tape);
  Call<T> call(problem, options);
  prefer_huge_pages(costs, problem.batch * call.cells() * static_cast<int64_t>(sizeof(T)));
  prefer_huge_pages(workspace, workspace_size);
  if (tape != nullptr)
    prefer_huge_pages(tape, kTapeHeaderBytes + problem.batch * call.layout.item_bytes());
  const bool may_forbid = check_unary_values(problem, call.threads);
  if (options.iterations == 0) {
    std::copy_n(problem.unary, problem.batch * call.cells(), costs);
  } else {
    for (int64_t b = 0; b < problem.batch; ++b) {
      Arena arena(workspace, workspace_size);
      CpuBackend<T> backend(call.kernels, call.threads, &arena);
      Item<T> item = call.item(backend, b, may_forbid);
      run_forward(item, call.layout, costs + b * call.cells(),
                  tape == nullptr ? nullptr : call.item_tape(tape, b));
    }
  }
  if (tape == nullptr) return;
  const TapeHeader header = call.header();
  std::memcpy(tape, &header, sizeof(header));
}

template <class T>
void layer_backward(const Problem<T>& problem, const LayerOptions& options, const void* tape,
                    const T* grad_costs, const Gradients<T>& gradients, void* workspace) {
  const int64_t workspace_size = layer_workspace_bytes(problem, options, true);
  check_problem(problem);
  check_gradients(problem, tape, grad_costs, gradients);
  check_tape(tape);
  Call<T> call(problem, options);
  TapeHeader header;
  std::memcpy(&header, tape, sizeof(header));
  if (!(header == call.header()))
    bad("tape: was not written by layer_forward() with this problem and these options");
  prefer_huge_pages(gradients.unary,
                    problem.batch * call.cells() * static_cast<int64_t>(sizeof(T)));
  prefer_huge_pages(workspace, workspace_size);
  const bool reads_unary = call.layout.soft || call.layout.recomputes();
  const bool may_forbid = reads_unary && check_unary_values(problem, call.threads);
  const bool needs_table = call.layout.soft || options.solver == Solver::MeanField;
  CpuPairwiseAdjoint<T> pairwise(problem, round_up(problem.labels, call.kernels.lanes), gradients,
                                 needs_table);
  for (int64_t b = 0; b < problem.batch; ++b) {
    Arena arena(workspace, workspace_size);
    CpuBackend<T> backend(call.kernels, call.threads, &arena);
    Item<T> item = call.item(backend, b, may_forbid);
    run_backward(item, call.layout, call.item_tape(const_cast<void*>(tape), b), pairwise,
                 grad_costs + b * call.cells(),
                 gradients.unary == nullptr ? nullptr : gradients.unary + b * call.cells());
  }
  pairwise.finish(gradients);
}

#define MRF_INSTANTIATE(T)                                                                       \
  template int64_t layer_tape_bytes<T>(const Problem<T>&, const LayerOptions&);                  \
  template int64_t layer_workspace_bytes<T>(const Problem<T>&, const LayerOptions&, bool);       \
  template void layer_forward<T>(const Problem<T>&, const LayerOptions&, T*, void*, void*);      \
  template void layer_backward<T>(const Problem<T>&, const LayerOptions&, const void*, const T*, \
                                  const Gradients<T>&, void*);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore
