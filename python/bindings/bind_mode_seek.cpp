// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/mode_seek.hpp; mrfcore.cluster checks arrays and allocates everything.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bindings.hpp"
#include "mrfcore/error.hpp"
#include "mrfcore/mode_seek.hpp"
#include "problem.hpp"

using namespace nb::literals;

namespace {

template <class T, int kDims>
using Array = nb::ndarray<T, nb::ndim<kDims>, nb::c_contig, nb::device::cpu>;

void seek_modes(const Array<const double, 2>& points, const Array<const double, 2>& seeds,
                bool gaussian, double bandwidth, int max_iterations, double tolerance, int threads,
                const Array<double, 2>& modes, const Array<double, 1>& mass,
                const Array<int32_t, 1>& iterations) {
  const size_t count = seeds.shape(0);
  if (seeds.shape(1) != points.shape(1) || modes.shape(0) != count ||
      modes.shape(1) != points.shape(1) || mass.shape(0) != count || iterations.shape(0) != count) {
    throw nb::value_error("seeds, modes, mass or iterations: shapes do not fit points");
  }
  mrfcore::ModeSeekOptions options;
  options.kernel = gaussian ? mrfcore::ModeKernel::Gaussian : mrfcore::ModeKernel::Flat;
  options.bandwidth = bandwidth;
  options.max_iterations = max_iterations;
  options.tolerance = tolerance;
  options.threads = threads;
  options.interrupted = signal_pending;
  try {
    const nb::gil_scoped_release release;
    mrfcore::seek_modes(points.data(), static_cast<int64_t>(points.shape(0)),
                        static_cast<int64_t>(points.shape(1)), seeds.data(),
                        static_cast<int64_t>(count), options, modes.data(), mass.data(),
                        iterations.data());
  } catch (const mrfcore::Interrupted&) {
    throw nb::python_error();  // PyErr_CheckSignals has set it
  }
}

}  // namespace

void bind_mode_seek(nb::module_& m) {
  m.def("seek_modes", &seek_modes, "points"_a.noconvert(), "seeds"_a.noconvert(), "gaussian"_a,
        "bandwidth"_a, "max_iterations"_a, "tolerance"_a, "threads"_a, "modes"_a.noconvert(),
        "mass"_a.noconvert(), "iterations"_a.noconvert());
}
