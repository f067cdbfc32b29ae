// SPDX-License-Identifier: Apache-2.0
// Mean shift on a GPU: checks, memory, loops.
#include <cstdint>
#include <stdexcept>
#include <string>

// First: its table takes addresses of kernels, some of which are called as what is declared below.
#include "device/point_memory.hpp"

#include "mrfcore/cuda_mean_shift.hpp"

namespace mrfcore::cuda {
namespace {

using kernels::PointLayout;

/// Kernels read 16 bytes at a time.
void expect_aligned_tape(const void* tape) {
  const auto beyond = reinterpret_cast<uintptr_t>(tape) % 16;
  if (beyond == 0) return;
  throw std::invalid_argument("tape begins " + std::to_string(beyond) +
                              " bytes after a multiple of 16, expected memory aligned to 16 bytes");
}

template <class T>
MeanShiftRecords<T> records(const MeanShiftShape& shape, int steps, bool every, T* memory) {
  return {mean_shift_layout<T>(shape), steps, every, memory};
}

template <class T>
struct ForwardMemory {
  T *states, *offset, *parts, *mass_parts;

  ForwardMemory(const MeanShiftShape& shape, const MeanShiftOptions& options, bool tape,
                Pieces& pieces) {
    const PointLayout layout = point_layout<T>(shape);
    const bool centred = options.kernel != MeanShiftKernel::Sphere;
    const int64_t kept = tape ? 0 : records<T>(shape, options.steps, false, nullptr).size();
    const int64_t splits = options.steps > 0 ? layout.splits() : 0;
    states = pieces.take<T>(kept);
    offset = pieces.take<T>(centred ? layout.batch * layout.dims : 0);
    parts = pieces.take<T>(splits * layout.rows_size());
    mass_parts = pieces.take<T>(splits * layout.numbers());
    if (!centred) offset = nullptr;
  }
};

template <class T>
struct BackwardMemory {
  T *gradient, *pulled, *centre, *parts, *row_sums;
  double *kappa_sums, *scratch;
  int64_t kappa_count;

  BackwardMemory(const MeanShiftShape& shape, Pieces& pieces) {
    const PointLayout layout = point_layout<T>(shape);
    kappa_count = layout.splits() * layout.batch * layout.blocks;
    gradient = pieces.take<T>(layout.rows_size());
    pulled = pieces.take<T>(layout.rows_size());
    centre = pieces.take<T>(layout.numbers());
    parts = pieces.take<T>(layout.splits() * layout.rows_size());
    row_sums = pieces.take<T>(layout.splits() * layout.numbers());
    kappa_sums = pieces.take<double>(kappa_count);
    scratch = pieces.take<double>(kSumScratch);
  }
};

}  // namespace

template <class T>
int64_t mean_shift_forward_workspace_bytes(const MeanShiftShape& shape,
                                           const MeanShiftOptions& options, bool tape) {
  check_mean_shift<T>(shape, options, false);
  Pieces pieces;
  ForwardMemory<T>(shape, options, tape, pieces);
  return pieces.bytes();
}

template <class T>
int64_t mean_shift_backward_workspace_bytes(const MeanShiftShape& shape,
                                            const MeanShiftOptions& options) {
  check_mean_shift<T>(shape, options, false);
  Pieces pieces;
  BackwardMemory<T>(shape, pieces);
  return pieces.bytes();
}

template <class T>
void mean_shift_forward(const T* x, const MeanShiftShape& shape, const MeanShiftOptions& options,
                        const T* kappa, T* out, T* tape, const Queue& queue) {
  expect_workspace(queue, mean_shift_forward_workspace_bytes<T>(shape, options, tape != nullptr));
  expect_memory("x", x);
  expect_memory("kappa", kappa);
  expect_memory("out", out);
  expect_aligned_tape(tape);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  const Embeddings<T>& run = functions.embeddings<T>();
  Pieces pieces(queue);
  const ForwardMemory<T> memory(shape, options, tape != nullptr, pieces);
  const PointLayout layout = point_layout<T>(shape);
  const auto kept =
      records(shape, options.steps, tape != nullptr, tape != nullptr ? tape : memory.states);
  if (memory.offset != nullptr)
    check(functions, run.point_means(layout, x, memory.offset, queue.stream), "means of points");
  check(functions, run.load_points(layout, x, memory.offset, kept.state(0), queue.stream),
        "loading points");
  if (options.kernel == MeanShiftKernel::Sphere) {
    check(functions,
          run.normalise_points(layout, nullptr, kept.state(0), kept.length(0), queue.stream),
          "norms of points");
  }
  for (int t = 0; t < options.steps; ++t) {
    check(functions,
          run.mean_shift_step(layout,
                              {options.kernel, static_cast<T>(options.step_size), kappa,
                               kept.state(t), kept.state(t + 1), kept.mass(t), kept.length(t + 1),
                               memory.parts, memory.mass_parts},
                              queue.stream),
          "a loop of mean shift");
  }
  check(functions,
        run.unload_points(layout, kept.state(options.steps), memory.offset, out, queue.stream),
        "storing points");
}

template <class T>
void mean_shift_backward(const MeanShiftShape& shape, const MeanShiftOptions& options,
                         const T* kappa, const T* tape, const T* grad_out, T* grad_x,
                         double* grad_kappa, const Queue& queue) {
  expect_workspace(queue, mean_shift_backward_workspace_bytes<T>(shape, options));
  expect_memory("kappa", kappa);
  expect_memory("tape", tape);
  expect_aligned_tape(tape);
  expect_memory("grad_out", grad_out);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  const Embeddings<T>& run = functions.embeddings<T>();
  Pieces pieces(queue);
  const BackwardMemory<T> m(shape, pieces);
  const PointLayout layout = point_layout<T>(shape);
  // Nothing below writes to the tape.
  const auto kept = records(shape, options.steps, true, const_cast<T*>(tape));
  const auto bytes = m.kappa_count * static_cast<int64_t>(sizeof(double));
  check(functions, functions.clear(m.kappa_sums, bytes, queue.stream), "clearing sums");
  check(functions, run.load_points(layout, grad_out, nullptr, m.gradient, queue.stream),
        "loading gradients");
  for (int t = options.steps - 1; t >= 0; --t) {
    check(functions,
          run.mean_shift_step_back(
              layout,
              {options.kernel, static_cast<T>(options.step_size), kappa, kept.state(t),
               kept.state(t + 1), kept.mass(t), kept.length(t + 1), m.gradient, m.pulled, m.centre,
               m.parts, m.row_sums, m.kappa_sums},
              queue.stream),
          "the adjoint of a loop of mean shift");
  }
  if (grad_kappa != nullptr) {
    check(
        functions,
        functions.float64.sum_all(m.kappa_sums, m.kappa_count, m.scratch, grad_kappa, queue.stream),
        "the gradient of kappa");
  }
  if (grad_x == nullptr) return;
  if (options.kernel == MeanShiftKernel::Sphere) {
    check(functions,
          run.through_norm(layout, kept.state(0), kept.length(0), m.gradient, queue.stream),
          "the gradient of norms");
  }
  check(functions, run.unload_points(layout, m.gradient, nullptr, grad_x, queue.stream),
        "storing gradients");
}

#define MRF_INSTANTIATE(T)                                                                       \
  template int64_t mean_shift_forward_workspace_bytes<T>(const MeanShiftShape&,                  \
                                                         const MeanShiftOptions&, bool);         \
  template int64_t mean_shift_backward_workspace_bytes<T>(const MeanShiftShape&,                 \
                                                          const MeanShiftOptions&);              \
  template void mean_shift_forward<T>(const T*, const MeanShiftShape&, const MeanShiftOptions&,  \
                                      const T*, T*, T*, const Queue&);                           \
  template void mean_shift_backward<T>(const MeanShiftShape&, const MeanShiftOptions&, const T*, \
                                       const T*, const T*, T*, double*, const Queue&)
MRF_INSTANTIATE(float);
MRF_INSTANTIATE(double);
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
