// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/mean_shift.hpp; mrfcore.ops checks tensors and allocates everything.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <string>

#include "bindings.hpp"
#include "mean_shift_options.hpp"
#include "mrfcore/error.hpp"
#include "mrfcore/mean_shift.hpp"
#include "problem.hpp"

using namespace nb::literals;

namespace {

template <class T>
using Points = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
template <class T>
using Numbers = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
mrfcore::MeanShiftShape shape_of(const Points<T>& x) {
  return {static_cast<int64_t>(x.shape(0)), static_cast<int64_t>(x.shape(1)),
          static_cast<int64_t>(x.shape(2))};
}

mrfcore::MeanShiftOptions make_options(const std::string& kernel, int steps, double kappa,
                                       double step_size, int threads) {
  mrfcore::MeanShiftOptions options = mean_shift_options(kernel, steps, kappa, step_size, threads);
  options.interrupted = signal_pending;
  return options;
}

template <class A, class B>
void require_same_shape(const char* name, const A& got, const B& expected) {
  for (size_t i = 0; i < expected.ndim(); ++i) {
    if (got.shape(i) == expected.shape(i)) continue;
    throw nb::value_error((std::string(name) + ": other shape than its partner").c_str());
  }
}

template <class Call>
void without_gil(const Call& call) {
  try {
    const nb::gil_scoped_release release;
    call();
  } catch (const mrfcore::Interrupted&) {
    throw nb::python_error();  // PyErr_CheckSignals has set it
  }
}

template <class T>
void require_tape(size_t got, const mrfcore::MeanShiftShape& shape, int steps) {
  const int64_t needed = mrfcore::mean_shift_tape_size<T>(shape, steps);
  if (static_cast<int64_t>(got) == needed) return;
  throw nb::value_error(
      ("tape: expected " + std::to_string(needed) + " elements, got " + std::to_string(got))
          .c_str());
}

template <class T>
void forward(const Points<const T>& x, const std::string& kernel, int steps, double kappa,
             double step_size, int threads, const Points<T>& out,
             const std::optional<Numbers<T>>& tape) {
  const auto options = make_options(kernel, steps, kappa, step_size, threads);
  require_same_shape("out", out, x);
  if (tape) require_tape<T>(tape->size(), shape_of(x), steps);
  without_gil([&] {
    mrfcore::mean_shift_forward<T>(x.data(), shape_of(x), options, out.data(),
                                   tape ? tape->data() : nullptr);
  });
}

template <class T>
double backward(const Points<const T>& grad_out, const std::string& kernel, int steps, double kappa,
                double step_size, int threads, const Numbers<const T>& tape,
                const std::optional<Points<T>>& grad_x) {
  const auto options = make_options(kernel, steps, kappa, step_size, threads);
  if (grad_x) require_same_shape("grad_x", *grad_x, grad_out);
  require_tape<T>(tape.size(), shape_of(grad_out), steps);
  double grad_kappa = 0;
  without_gil([&] {
    mrfcore::mean_shift_backward<T>(shape_of(grad_out), options, tape.data(), grad_out.data(),
                                    grad_x ? grad_x->data() : nullptr, &grad_kappa);
  });
  return grad_kappa;
}

template <class T>
void define(nb::module_& m) {
  m.def("mean_shift_forward", &forward<T>, "x"_a.noconvert(), "kernel"_a, "steps"_a, "kappa"_a,
        "step_size"_a, "threads"_a, "out"_a.noconvert(), "tape"_a.noconvert().none());
  m.def("mean_shift_backward", &backward<T>, "grad_out"_a.noconvert(), "kernel"_a, "steps"_a,
        "kappa"_a, "step_size"_a, "threads"_a, "tape"_a.noconvert(), "grad_x"_a.noconvert().none());
}

}  // namespace

void bind_mean_shift(nb::module_& m) {
  define<float>(m);
  define<double>(m);
}
