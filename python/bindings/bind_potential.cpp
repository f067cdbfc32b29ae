// SPDX-License-Identifier: Apache-2.0
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bindings.hpp"
#include "mrfcore/potential.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using mrfcore::Potential;

namespace {

Potential table(const nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>& v) {
  return Potential::table({v.data(), v.data() + v.size()}, static_cast<int64_t>(v.shape(0)));
}

}  // namespace

void bind_potential(nb::module_& m) {
  nb::class_<Potential>(m, "Potential")
      .def_static("potts", &Potential::potts)
      .def_static("truncated_linear", &Potential::truncated_linear, "truncation"_a)
      .def_static("truncated_quadratic", &Potential::truncated_quadratic, "truncation"_a)
      .def_static("sgm_penalty", &Potential::sgm_penalty, "p1"_a, "p2"_a)
      .def_static("huber", &Potential::huber, "delta"_a)
      .def_static("cauchy", &Potential::cauchy, "scale"_a)
      .def_static("table", &table, "values"_a)
      .def("__call__", &Potential::operator(), "l"_a, "m"_a);
}
