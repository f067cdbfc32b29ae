// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/layer.hpp; mrfcore.ops checks tensors and allocates everything.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include "bindings.hpp"
#include "mrfcore/layer.hpp"
#include "problem.hpp"

using namespace nb::literals;

namespace {

using Bytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ConstBytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void require_bytes(const char* name, size_t got, int64_t needed) {
  if (static_cast<int64_t>(got) >= needed) return;
  throw nb::value_error((std::string(name) + ": expected " + std::to_string(needed) +
                         " bytes, got " + std::to_string(got))
                            .c_str());
}

template <class A, class B>
void require_same_shape(const char* name, const A& got, const B& expected) {
  for (size_t i = 0; i < expected.ndim(); ++i) {
    if (got.shape(i) == expected.shape(i)) continue;
    throw nb::value_error((std::string(name) + ": axis " + std::to_string(i) + " has length " +
                           std::to_string(got.shape(i)) + ", expected " +
                           std::to_string(expected.shape(i)))
                              .c_str());
  }
}

template <class T>
void require_weights(const Volume<const T>& unary, const std::optional<Volume<const T>>& weights,
                     int connectivity) {
  if (!weights) return;
  const auto pairs = static_cast<size_t>(connectivity) / 2;
  const bool fits = (weights->shape(0) == 1 || weights->shape(0) == unary.shape(0)) &&
                    weights->shape(1) == pairs && weights->shape(2) == unary.shape(1) &&
                    weights->shape(3) == unary.shape(2);
  if (!fits) throw nb::value_error("edge_weights: expected [1 or B, connectivity / 2, H, W]");
}

template <class T>
void forward(const Volume<const T>& unary, const mrfcore::Potential& pairwise, double weight,
             const std::optional<Volume<const T>>& edge_weights, int connectivity,
             mrfcore::LayerOptions options, const Volume<T>& costs,
             const std::optional<Bytes>& tape, const Bytes& workspace) {
  require_weights(unary, edge_weights, connectivity);
  require_same_shape("costs", costs, unary);
  const auto problem = make_problem<T>(unary, pairwise, weight, edge_weights, connectivity);
  if (tape) require_bytes("tape", tape->size(), mrfcore::layer_tape_bytes(problem, options));
  require_bytes("workspace", workspace.size(),
                mrfcore::layer_workspace_bytes(problem, options, false));
  options.interrupted = signal_pending;
  try {
    const nb::gil_scoped_release release;
    mrfcore::layer_forward<T>(problem, options, costs.data(), tape ? tape->data() : nullptr,
                              workspace.data());
  } catch (const mrfcore::Interrupted&) {
    throw nb::python_error();  // PyErr_CheckSignals has set it
  }
}

template <class T>
void backward(const Volume<const T>& unary, const mrfcore::Potential& pairwise, double weight,
              const std::optional<Volume<const T>>& edge_weights, int connectivity,
              mrfcore::LayerOptions options, const ConstBytes& tape,
              const Volume<const T>& grad_costs, const std::optional<Volume<T>>& grad_unary,
              const std::optional<Volume<T>>& grad_edge_weights,
              const std::optional<Vector<T>>& grad_weight,
              const std::optional<Matrix<T>>& grad_table, const Bytes& workspace) {
  require_weights(unary, edge_weights, connectivity);
  require_same_shape("grad_costs", grad_costs, unary);
  const auto problem = make_problem<T>(unary, pairwise, weight, edge_weights, connectivity);
  mrfcore::Gradients<T> wanted;
  if (grad_unary) {
    require_same_shape("grad_unary", *grad_unary, unary);
    wanted.unary = grad_unary->data();
  }
  if (grad_edge_weights) {
    if (!edge_weights) throw nb::value_error("grad_edge_weights: there are no edge weights");
    require_same_shape("grad_edge_weights", *grad_edge_weights, *edge_weights);
    wanted.edge_weights = grad_edge_weights->data();
  }
  if (grad_weight) {
    require_bytes("grad_weight", grad_weight->size() * sizeof(T), sizeof(T));
    wanted.weight = grad_weight->data();
  }
  if (grad_table) {
    if (grad_table->shape(0) != unary.shape(3) || grad_table->shape(1) != unary.shape(3))
      throw nb::value_error("grad_table: expected [L, L]");
    wanted.table = grad_table->data();
  }
  require_bytes("tape", tape.size(), mrfcore::layer_tape_bytes(problem, options));
  require_bytes("workspace", workspace.size(),
                mrfcore::layer_workspace_bytes(problem, options, true));
  options.interrupted = signal_pending;
  try {
    const nb::gil_scoped_release release;
    mrfcore::layer_backward<T>(problem, options, tape.data(), grad_costs.data(), wanted,
                               workspace.data());
  } catch (const mrfcore::Interrupted&) {
    throw nb::python_error();
  }
}

template <class T>
int64_t tape_bytes(int64_t batch, int64_t height, int64_t width, int64_t labels,
                   const mrfcore::Potential& pairwise, bool, int connectivity,
                   const mrfcore::LayerOptions& options) {
  return mrfcore::layer_tape_bytes(
      make_shape<T>(batch, height, width, labels, pairwise, connectivity), options);
}

template <class T>
int64_t workspace_bytes(int64_t batch, int64_t height, int64_t width, int64_t labels,
                        const mrfcore::Potential& pairwise, bool, int connectivity,
                        const mrfcore::LayerOptions& options, bool backward) {
  return mrfcore::layer_workspace_bytes(
      make_shape<T>(batch, height, width, labels, pairwise, connectivity), options, backward);
}

template <class T>
void define(nb::module_& m) {
  m.def("layer_forward", &forward<T>, "unary"_a.noconvert(), "pairwise"_a, "weight"_a,
        "edge_weights"_a.noconvert().none(), "connectivity"_a, "options"_a, "costs"_a.noconvert(),
        "tape"_a.noconvert().none(), "workspace"_a.noconvert());
  m.def("layer_backward", &backward<T>, "unary"_a.noconvert(), "pairwise"_a, "weight"_a,
        "edge_weights"_a.noconvert().none(), "connectivity"_a, "options"_a, "tape"_a.noconvert(),
        "grad_costs"_a.noconvert(), "grad_unary"_a.noconvert().none(),
        "grad_edge_weights"_a.noconvert().none(), "grad_weight"_a.noconvert().none(),
        "grad_table"_a.noconvert().none(), "workspace"_a.noconvert());
  constexpr bool kSingle = sizeof(T) == 4;
  m.def(kSingle ? "layer_tape_bytes_f32" : "layer_tape_bytes_f64", &tape_bytes<T>);
  m.def(kSingle ? "layer_workspace_bytes_f32" : "layer_workspace_bytes_f64", &workspace_bytes<T>);
}

}  // namespace

void bind_layer(nb::module_& m) {
  nb::class_<mrfcore::LayerOptions, mrfcore::Options>(m, "LayerOptions")
      .def(nb::init<>())
      .def_rw("temperature", &mrfcore::LayerOptions::temperature)
      .def_rw("store_every", &mrfcore::LayerOptions::store_every);
  define<float>(m);
  define<double>(m);
}
