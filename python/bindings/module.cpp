// SPDX-License-Identifier: Apache-2.0
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "bindings.hpp"
#include "mrfcore/error.hpp"
#include "mrfcore/runtime.hpp"
#include "mrfcore/version.hpp"

namespace nb = nanobind;

NB_MODULE(_core, m) {
  // Registries that outlive the interpreter's modules (torch's operators, test parametrisations)
  // may hold a Potential until the process ends; that is no leak worth a user's attention.
  nb::set_leak_warnings(false);
  m.attr("version") = MRFCORE_VERSION;  // no dunder: stubgen would leave it out of _core.pyi
  m.def("cpu_isa", &mrfcore::cpu_isa);
  m.def("default_threads", &mrfcore::default_threads);
  m.def("available_bytes", &mrfcore::available_bytes);
  bind_potential(m);
  bind_minimize(m);
  bind_layer(m);
  bind_mean_shift(m);
  bind_mean_shift_filter(m);
  bind_mode_seek(m);
  bind_pairwise_margin(m);
  bind_cuda(m);
  bind_cost_volume(m);
  bind_stereo_sgm(m);
  bind_cuda_filter_flow(m);
  bind_cuda_mean_shift(m);
  bind_cuda_slic(m);
  bind_cuda_stereo(m);
  bind_cuda_mean_shift_filter(m);
  bind_cuda_superpixel(m);
  bind_disparity(m);
  bind_filter_flow(m);
  bind_warp(m);
  bind_superpixel(m);
  bind_slic(m);
}
