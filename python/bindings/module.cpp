// SPDX-License-Identifier: Apache-2.0
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "bindings.hpp"
#include "mrfcore/error.hpp"
#include "mrfcore/runtime.hpp"
#include "mrfcore/version.hpp"

namespace nb = nanobind;

NB_MODULE(_core, m) {
  m.attr("version") = MRFCORE_VERSION;  // no dunder: stubgen would leave it out of _core.pyi
  m.def("cpu_isa", &mrfcore::cpu_isa);
  m.def("default_threads", &mrfcore::default_threads);
  m.def("available_bytes", &mrfcore::available_bytes);
  bind_potential(m);
  bind_minimize(m);
  bind_layer(m);
  bind_cost_volume(m);
  bind_disparity(m);
}
