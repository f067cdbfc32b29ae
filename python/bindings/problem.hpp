// SPDX-License-Identifier: Apache-2.0
// Arrays of the Python side as the core's Problem.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include "mrfcore/minimize.hpp"

namespace nb = nanobind;

template <class T>
using Volume = nb::ndarray<T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

template <class T>
mrfcore::Problem<T> make_problem(const Volume<const T>& unary, const mrfcore::Potential& pairwise,
                                 double weight, const std::optional<Volume<const T>>& edge_weights,
                                 int connectivity) {
  mrfcore::Problem<T> p;
  p.batch = static_cast<int64_t>(unary.shape(0));
  p.height = static_cast<int64_t>(unary.shape(1));
  p.width = static_cast<int64_t>(unary.shape(2));
  p.labels = static_cast<int64_t>(unary.shape(3));
  p.connectivity = connectivity;
  p.unary = unary.data();
  p.pairwise = pairwise;
  p.weight = static_cast<T>(weight);
  if (edge_weights) {
    p.edge_weights = edge_weights->data();
    const bool shared = edge_weights->shape(0) == 1;
    p.edge_weights_batch_stride =
        shared ? 0 : static_cast<int64_t>(edge_weights->size() / edge_weights->shape(0));
  }
  return p;
}

/// A problem of which only the sizes count.
template <class T>
mrfcore::Problem<T> make_shape(int64_t batch, int64_t height, int64_t width, int64_t labels,
                               const mrfcore::Potential& pairwise, int connectivity) {
  static const T marker{};
  mrfcore::Problem<T> p;
  p.batch = batch;
  p.height = height;
  p.width = width;
  p.labels = labels;
  p.connectivity = connectivity;
  p.pairwise = pairwise;
  p.unary = &marker;
  return p;
}

/// Signals are only looked at between bytecodes, and there are none inside a solve.
inline bool signal_pending() {
  const nb::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

/// Options::callback that calls a Python function, which must outlive it.
inline auto python_callback(const nb::object& callback) {
  return [&callback](const mrfcore::Progress& p) {
    const nb::gil_scoped_acquire gil;
    const nb::object stop =
        callback(p.item, p.iteration, p.iterations, p.energy, p.lower_bound, p.seconds);
    return nb::cast<bool>(stop);
  };
}
