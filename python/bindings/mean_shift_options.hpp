// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "mrfcore/mean_shift.hpp"

/// Throws nb::value_error for an unknown kernel.
inline mrfcore::MeanShiftOptions mean_shift_options(const std::string& kernel, int steps,
                                                    double kappa, double step_size, int threads) {
  mrfcore::MeanShiftOptions options;
  if (kernel == "gaussian") {
    options.kernel = mrfcore::MeanShiftKernel::Gaussian;
  } else if (kernel == "flat") {
    options.kernel = mrfcore::MeanShiftKernel::Flat;
  } else if (kernel != "sphere") {
    throw nanobind::value_error("kernel: expected sphere, gaussian or flat");
  }
  options.steps = steps;
  options.kappa = kappa;
  options.step_size = step_size;
  options.threads = threads;
  return options;
}
