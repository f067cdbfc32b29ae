// SPDX-License-Identifier: Apache-2.0
#include "mrfcore/mean_shift.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "cpu/mean_shift.hpp"
#include "ops/buffer.hpp"
#include "ops/control.hpp"
#include "ops/dispatch.hpp"
#include "ops/mean_shift.hpp"

namespace mrfcore {
namespace {

using cpu::MeanShiftLayout;

template <class T>
const cpu::MeanShiftKernels<T>& kernels() {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::mean_shift_kernels<T>();
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::mean_shift_kernels<T>();
#endif
    default:
      return cpu::baseline::mean_shift_kernels<T>();
  }
}

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

/// Squares must not overflow; +inf and NaN fail, too.
template <class T>
void check_values(const char* name, const T* x, const MeanShiftShape& shape) {
  constexpr T kLimit = sizeof(T) == 4 ? T(1e16) : T(1e150);
  const int64_t size = shape.batch * shape.dims * shape.points;
  for (int64_t n = 0; n < size; ++n) {
    if (x[n] > -kLimit && x[n] < kLimit) continue;
    const int64_t plane = shape.dims * shape.points;
    fail(std::string(name) + " is " + std::to_string(x[n]) + " at [" + std::to_string(n / plane) +
         ", " + std::to_string(n % plane / shape.points) + ", " + std::to_string(n % shape.points) +
         "], expected finite numbers below " + (sizeof(T) == 4 ? "1e16" : "1e150"));
  }
}

template <class T>
MeanShiftLayout layout_of(const MeanShiftShape& shape, const MeanShiftOptions& options,
                          cpu::Control& control) {
  MeanShiftLayout layout = mean_shift_layout<T>(shape);
  layout.kernel = options.kernel;
  const int64_t others = std::min<int64_t>(shape.points, 1 << 16);  // far enough, without overflow
  layout.threads = threads_for(shape.batch * shape.points * others, options.threads);
  control.poll = options.interrupted;
  layout.control = &control;
  return layout;
}

/// Mean of each dimension, which Euclidean kernels work around: differences of large numbers lose
/// digits. Zero on the sphere.
template <class T>
Buffer<T> offsets(const T* x, const MeanShiftShape& shape, MeanShiftKernel kernel) {
  Buffer<T> means(shape.batch * shape.dims);
  if (kernel == MeanShiftKernel::Sphere) return means;
  for (int64_t n = 0; n < means.size(); ++n) {
    double sum = 0;
    for (int64_t p = 0; p < shape.points; ++p) sum += static_cast<double>(x[n * shape.points + p]);
    means.data()[n] = static_cast<T>(sum / static_cast<double>(shape.points));
  }
  return means;
}

}  // namespace

void check_mean_shift_shape(const MeanShiftShape& shape, int steps) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const auto fits = [](int64_t n) { return n >= 1 && n <= kMost; };
  if (!fits(shape.batch) || !fits(shape.dims) || !fits(shape.points)) {
    fail("x has shape [" + std::to_string(shape.batch) + ", " + std::to_string(shape.dims) + ", " +
         std::to_string(shape.points) + "], expected [batch, dims, points], each >= 1");
  }
  if (steps < 0) fail("steps is " + std::to_string(steps) + ", expected >= 0");
}

template <class T>
void check_mean_shift(const MeanShiftShape& shape, const MeanShiftOptions& options, bool of_kappa) {
  check_mean_shift_shape(shape, options.steps);
  const T kappa = static_cast<T>(options.kappa);
  const bool sphere = options.kernel == MeanShiftKernel::Sphere;
  if (of_kappa && (!std::isfinite(kappa) || (sphere ? kappa < 0 : kappa <= 0))) {
    fail("kappa is " + std::to_string(options.kappa) + ", expected a finite number " +
         (sphere ? ">= 0" : "> 0"));
  }
  if (!(options.step_size > 0 && options.step_size <= 1)) {
    fail("step_size is " + std::to_string(options.step_size) + ", expected 0 < step_size <= 1");
  }
}

template <class T>
int64_t mean_shift_tape_size(const MeanShiftShape& shape, int steps) {
  check_mean_shift_shape(shape, steps);
  return MeanShiftRecords<T>(mean_shift_layout<T>(shape), steps, true, nullptr).size();
}

template <class T>
void mean_shift_forward(const T* x, const MeanShiftShape& shape, const MeanShiftOptions& options,
                        T* out, T* tape) {
  if (x == nullptr || out == nullptr) fail("x or out has no data");
  check_mean_shift<T>(shape, options, true);
  check_values("x", x, shape);
  cpu::Control control;
  const MeanShiftLayout layout = layout_of<T>(shape, options, control);
  const auto& k = kernels<T>();
  Buffer<T> own;
  if (tape == nullptr) {
    own = Buffer<T>(MeanShiftRecords<T>(layout, options.steps, false, nullptr).size());
  }
  const MeanShiftRecords<T> records(layout, options.steps, tape != nullptr,
                                    tape ? tape : own.data());
  Buffer<T> columns(layout.rows_size());
  const Buffer<T> offset = offsets(x, shape, options.kernel);
  k.load(layout, x, offset.data(), records.state(0), records.length(0));
  for (int t = 0; t < options.steps; ++t) {
    k.step(layout,
           {static_cast<T>(options.kappa), static_cast<T>(options.step_size), records.state(t),
            records.state(t + 1), records.mass(t), records.length(t + 1), columns.data()});
    cpu::throw_if_stopped(control);
  }
  k.unload(layout, records.state(options.steps), offset.data(), out);
}

template <class T>
void mean_shift_backward(const MeanShiftShape& shape, const MeanShiftOptions& options,
                         const T* tape, const T* grad_out, T* grad_x, double* grad_kappa) {
  if (tape == nullptr || grad_out == nullptr) fail("tape or grad_out has no data");
  check_mean_shift<T>(shape, options, true);
  cpu::Control control;
  MeanShiftLayout layout = layout_of<T>(shape, options, control);
  const auto& k = kernels<T>();
  // Nothing below writes to the tape.
  const MeanShiftRecords<T> records(layout, options.steps, true, const_cast<T*>(tape));
  const int64_t numbers = layout.batch * layout.padded();
  Buffer<T> gradient(layout.rows_size()), pulled(layout.rows_size()), columns(layout.rows_size()),
      pulled_columns(layout.rows_size()), centre(numbers), row_sum(numbers);
  Buffer<double> sums(layout.batch * layout.blocks);
  const Buffer<T> zero(shape.batch * shape.dims);
  MeanShiftLayout plain = layout;  // a gradient is copied, not normalised
  plain.kernel = MeanShiftKernel::Flat;
  k.load(plain, grad_out, zero.data(), gradient.data(), centre.data());
  for (int t = options.steps - 1; t >= 0; --t) {
    k.step_back(layout, {static_cast<T>(options.kappa), static_cast<T>(options.step_size),
                         records.state(t), records.state(t + 1), records.mass(t),
                         records.length(t + 1), gradient.data(), pulled.data(), columns.data(),
                         pulled_columns.data(), centre.data(), row_sum.data(), sums.data()});
    cpu::throw_if_stopped(control);
  }
  if (grad_kappa != nullptr) {
    *grad_kappa = 0;
    for (int64_t n = 0; n < sums.size(); ++n) *grad_kappa += sums.data()[n];
  }
  if (grad_x == nullptr) return;
  if (options.kernel == MeanShiftKernel::Sphere)
    k.through_norm(layout, records.state(0), records.length(0), gradient.data());
  k.unload(layout, gradient.data(), zero.data(), grad_x);
}

template void check_mean_shift<float>(const MeanShiftShape&, const MeanShiftOptions&, bool);
template void check_mean_shift<double>(const MeanShiftShape&, const MeanShiftOptions&, bool);
template int64_t mean_shift_tape_size<float>(const MeanShiftShape&, int);
template int64_t mean_shift_tape_size<double>(const MeanShiftShape&, int);
template void mean_shift_forward<float>(const float*, const MeanShiftShape&,
                                        const MeanShiftOptions&, float*, float*);
template void mean_shift_forward<double>(const double*, const MeanShiftShape&,
                                         const MeanShiftOptions&, double*, double*);
template void mean_shift_backward<float>(const MeanShiftShape&, const MeanShiftOptions&,
                                         const float*, const float*, float*, double*);
template void mean_shift_backward<double>(const MeanShiftShape&, const MeanShiftOptions&,
                                          const double*, const double*, double*, double*);

}  // namespace mrfcore
