// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/pairwise_margin.hpp; mrfcore.ops checks tensors and allocates everything.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include "bindings.hpp"
#include "mrfcore/pairwise_margin.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T, int kDims>
using Array = nb::ndarray<T, nb::ndim<kDims>, nb::c_contig, nb::device::cpu>;

template <class T>
void loss_and_gradient(const Array<const T, 3>& x, const Array<const int64_t, 2>& labels,
                       const Array<const T, 2>& weights, double alpha, double neg_weight,
                       int threads, const Array<double, 1>& loss,
                       const std::optional<Array<T, 3>>& grad) {
  const auto fits = [&x](const auto& array) {
    return array.shape(0) == x.shape(0) && array.shape(1) == x.shape(2);
  };
  if (!fits(labels) || !fits(weights) || loss.shape(0) != x.shape(0) ||
      (grad && (grad->size() != x.size()))) {
    throw nb::value_error("labels, weights, loss or grad: shapes do not fit x");
  }
  mrfcore::PairwiseMarginOptions options;
  options.alpha = alpha;
  options.neg_weight = neg_weight;
  options.threads = threads;
  const nb::gil_scoped_release release;
  mrfcore::pairwise_margin_loss<T>(
      x.data(), labels.data(), weights.data(), static_cast<int64_t>(x.shape(0)),
      static_cast<int64_t>(x.shape(1)), static_cast<int64_t>(x.shape(2)), options, loss.data(),
      grad ? grad->data() : nullptr);
}

template <class T>
void define(nb::module_& m) {
  m.def("pairwise_margin_loss", &loss_and_gradient<T>, "x"_a.noconvert(), "labels"_a.noconvert(),
        "weights"_a.noconvert(), "alpha"_a, "neg_weight"_a, "threads"_a, "loss"_a.noconvert(),
        "grad"_a.noconvert().none());
}

}  // namespace

void bind_pairwise_margin(nb::module_& m) {
  define<float>(m);
  define<double>(m);
}
