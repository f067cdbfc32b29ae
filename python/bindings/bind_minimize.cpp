// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/minimize.hpp; _minimize.py makes arrays contiguous, names options and builds
// the Result.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "mrfcore/minimize.hpp"
#include "problem.hpp"

using namespace nb::literals;

namespace {

using Labels = nb::ndarray<int32_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using ConstLabels = nb::ndarray<const int32_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <class T>
std::vector<mrfcore::ItemReport> minimize(const Volume<const T>& unary,
                                          const mrfcore::Potential& pairwise, double weight,
                                          const std::optional<Volume<const T>>& edge_weights,
                                          int connectivity, mrfcore::Options options,
                                          const std::optional<ConstLabels>& init,
                                          nb::object callback, const Labels& labels,
                                          const Volume<T>& costs) {
  const mrfcore::Problem<T> problem =
      make_problem(unary, pairwise, weight, edge_weights, connectivity);
  if (init) options.init_labels = init->data();
  options.interrupted = signal_pending;
  if (!callback.is_none()) options.callback = python_callback(callback);
  try {
    const nb::gil_scoped_release release;
    return mrfcore::minimize<T>(problem, options, {labels.data(), costs.data()});
  } catch (const mrfcore::Interrupted&) {
    throw nb::python_error();  // PyErr_CheckSignals has set it
  }
}

template <class T>
std::vector<double> energy(const ConstLabels& labels, const Volume<const T>& unary,
                           const mrfcore::Potential& pairwise, double weight,
                           const std::optional<Volume<const T>>& edge_weights, int connectivity,
                           int threads) {
  const mrfcore::Problem<T> problem =
      make_problem(unary, pairwise, weight, edge_weights, connectivity);
  const nb::gil_scoped_release release;
  return mrfcore::energy(problem, labels.data(), threads);
}

template <class T>
int64_t workspace_bytes(int64_t batch, int64_t height, int64_t width, int64_t labels,
                        const mrfcore::Potential& pairwise, bool edge_weights, int connectivity,
                        const mrfcore::Options& options) {
  mrfcore::Problem<T> p = make_shape<T>(batch, height, width, labels, pairwise, connectivity);
  p.edge_weights = edge_weights ? p.unary : nullptr;
  return mrfcore::workspace_bytes(p, options);
}

template <class T>
void define(nb::module_& m) {
  m.def("minimize", &minimize<T>, "unary"_a.noconvert(), "pairwise"_a, "weight"_a,
        "edge_weights"_a.noconvert().none(), "connectivity"_a, "options"_a,
        "init"_a.noconvert().none(), "callback"_a.none(), "labels"_a.noconvert(),
        "costs"_a.noconvert());
  m.def("energy", &energy<T>, "labels"_a.noconvert(), "unary"_a.noconvert(), "pairwise"_a,
        "weight"_a, "edge_weights"_a.noconvert().none(), "connectivity"_a, "threads"_a);
  m.def(sizeof(T) == 4 ? "workspace_bytes_f32" : "workspace_bytes_f64", &workspace_bytes<T>);
}

}  // namespace

void bind_minimize(nb::module_& m) {
  using namespace mrfcore;
  nb::enum_<Solver>(m, "Solver")
      .value("sgm", Solver::SGM)
      .value("isgmr", Solver::ISGMR)
      .value("trwp", Solver::TRWP)
      .value("bp", Solver::BP)
      .value("trws", Solver::TRWS)
      .value("mean_field", Solver::MeanField)
      .value("icm", Solver::ICM)
      .value("chain", Solver::Chain);
  nb::enum_<SGMHead>(m, "SGMHead").value("unary", SGMHead::Unary).value("zero", SGMHead::Zero);
  nb::enum_<MinConvolution>(m, "MinConvolution")
      .value("auto", MinConvolution::Auto)
      .value("general", MinConvolution::General);
  nb::enum_<MessageDtype>(m, "MessageDtype")
      .value("full", MessageDtype::Full)
      .value("float16", MessageDtype::Float16)
      .value("bfloat16", MessageDtype::BFloat16);
  nb::class_<Options>(m, "Options")
      .def(nb::init<>())
      .def_rw("solver", &Options::solver)
      .def_rw("iterations", &Options::iterations)
      .def_rw("threads", &Options::threads)
      .def_rw("rho", &Options::rho)
      .def_rw("damping", &Options::damping)
      .def_rw("head", &Options::head)
      .def_rw("normalise_directions", &Options::normalise_directions)
      .def_rw("min_convolution", &Options::min_convolution)
      .def_rw("keep_best", &Options::keep_best)
      .def_rw("polish", &Options::polish, nb::arg().none())
      .def_rw("coarse", &Options::coarse, nb::arg().none())
      .def_rw("message_dtype", &Options::message_dtype)
      .def_rw("trace", &Options::trace)
      .def_rw("lower_bound", &Options::lower_bound)
      .def_rw("tolerance", &Options::tolerance, nb::arg().none())
      .def_rw("gap_tolerance", &Options::gap_tolerance, nb::arg().none());
  nb::class_<ItemReport>(m, "ItemReport")
      .def_ro("energy", &ItemReport::energy)
      .def_ro("lower_bound", &ItemReport::lower_bound)
      .def_ro("iterations", &ItemReport::iterations)
      .def_ro("trace_energy", &ItemReport::trace_energy)
      .def_ro("trace_bound", &ItemReport::trace_bound)
      .def_ro("trace_seconds", &ItemReport::trace_seconds);
  m.def("default_iterations", &default_iterations);
  define<float>(m);
  define<double>(m);
}
