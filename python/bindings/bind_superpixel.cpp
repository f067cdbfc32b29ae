// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/superpixel.hpp; mrfcore.ops checks tensors and allocates everything.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <string>

#include "bindings.hpp"
#include "mrfcore/soft_superpixel.hpp"
#include "mrfcore/superpixel.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T, size_t N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
template <class Id>
using Ids = Array<const Id, 3>;

template <class Id>
mrfcore::SuperpixelMap map_of(const Ids<Id>& ids, int64_t num) {
  return {.ids = ids.data(),
          .type = sizeof(Id) == 4 ? mrfcore::IdType::Int32 : mrfcore::IdType::Int64,
          .batch = static_cast<int64_t>(ids.shape(0)),
          .height = static_cast<int64_t>(ids.shape(1)),
          .width = static_cast<int64_t>(ids.shape(2)),
          .num = num};
}

void require(bool fits, const char* name, const char* expected) {
  if (!fits) throw nb::value_error((std::string(name) + ": expected " + expected).c_str());
}

template <class Id, class Values>
void require_pixels(const char* name, const Values& values, const Ids<Id>& ids) {
  require(values.shape(0) == ids.shape(0) && values.shape(2) == ids.shape(1) &&
              values.shape(3) == ids.shape(2),
          name, "[B, C, H, W] with ids [B, H, W]");
}

template <class T, class Id>
void pool(const Array<const T, 4>& x, const Ids<Id>& ids, mrfcore::SuperpixelReduce reduce,
          int threads, const Array<T, 3>& z, const std::optional<Array<int64_t, 3>>& winners) {
  require_pixels("x", x, ids);
  require(z.shape(0) == x.shape(0) && z.shape(1) == x.shape(1), "z", "[B, C, S] as x [B, C, H, W]");
  require(!winners || winners->size() == z.size(), "winners", "the shape of z");
  const nb::gil_scoped_release release;
  mrfcore::superpixel_pool<T>(map_of(ids, static_cast<int64_t>(z.shape(2))),
                              static_cast<int64_t>(x.shape(1)), x.data(), reduce, threads, z.data(),
                              winners ? winners->data() : nullptr);
}

template <class T, class Id>
void unpool(const Array<const T, 3>& z, const Ids<Id>& ids, bool divide, int threads,
            const Array<T, 4>& out) {
  require_pixels("out", out, ids);
  require(z.shape(0) == out.shape(0) && z.shape(1) == out.shape(1), "z",
          "[B, C, S] as out [B, C, H, W]");
  const nb::gil_scoped_release release;
  mrfcore::superpixel_unpool<T>(map_of(ids, static_cast<int64_t>(z.shape(2))),
                                static_cast<int64_t>(z.shape(1)), z.data(), divide, threads,
                                out.data());
}

template <class T, class Id>
void consistency(const Array<const T, 4>& x, const Ids<Id>& ids, int64_t num,
                 const std::optional<Array<const uint8_t, 3>>& valid, bool keep, bool adjoint,
                 int threads, const Array<T, 4>& out) {
  require_pixels("x", x, ids);
  require_pixels("out", out, ids);
  require(out.shape(1) == x.shape(1), "out", "the shape of x");
  require(!valid || valid->size() == ids.size(), "valid", "the shape of ids");
  const mrfcore::ConsistencyOptions options{
      .valid = valid ? valid->data() : nullptr,
      .empty = keep ? mrfcore::NoValidPixel::Keep : mrfcore::NoValidPixel::Zero,
      .adjoint = adjoint,
      .threads = threads};
  const nb::gil_scoped_release release;
  mrfcore::superpixel_consistency<T>(map_of(ids, num), static_cast<int64_t>(x.shape(1)), x.data(),
                                     options, out.data());
}

/// The grid of `pixels` [B, C, H, W], with z [B, C, S] and nine associations beside it.
template <class T, class U>
mrfcore::SoftSuperpixels grid_of(const Array<T, 4>& pixels, const Array<U, 4>& q, size_t z_batch,
                                 size_t z_channels, size_t z_cells, int64_t cell, int threads) {
  require(cell >= 1, "cell", "a number >= 1");
  const mrfcore::SoftSuperpixels grid{.batch = static_cast<int64_t>(pixels.shape(0)),
                                      .channels = static_cast<int64_t>(pixels.shape(1)),
                                      .height = static_cast<int64_t>(pixels.shape(2)),
                                      .width = static_cast<int64_t>(pixels.shape(3)),
                                      .cell = cell,
                                      .threads = threads};
  require(q.shape(0) == pixels.shape(0) && q.shape(1) == 9 && q.shape(2) == pixels.shape(2) &&
              q.shape(3) == pixels.shape(3),
          "q", "[B, 9, H, W]");
  require(z_batch == pixels.shape(0) && z_channels == pixels.shape(1) &&
              static_cast<int64_t>(z_cells) == grid.rows() * grid.columns(),
          "z", "[B, C, rows * columns]");
  return grid;
}

template <class T>
void soft_pool(const Array<const T, 4>& q, const Array<const T, 4>& x, int64_t cell, int threads,
               const Array<T, 3>& z) {
  const auto grid = grid_of(x, q, z.shape(0), z.shape(1), z.shape(2), cell, threads);
  const nb::gil_scoped_release release;
  mrfcore::soft_superpixel_pool<T>(grid, q.data(), x.data(), z.data());
}

template <class T>
void soft_unpool(const Array<const T, 4>& q, const Array<const T, 3>& z, int64_t cell, int threads,
                 const Array<T, 4>& y) {
  const auto grid = grid_of(y, q, z.shape(0), z.shape(1), z.shape(2), cell, threads);
  const nb::gil_scoped_release release;
  mrfcore::soft_superpixel_unpool<T>(grid, q.data(), z.data(), y.data());
}

template <class T>
void soft_product(const Array<const T, 4>& x, const Array<const T, 3>& z, int64_t cell, int threads,
                  const Array<T, 4>& g) {
  const auto grid = grid_of(x, g, z.shape(0), z.shape(1), z.shape(2), cell, threads);
  const nb::gil_scoped_release release;
  mrfcore::soft_superpixel_product<T>(grid, x.data(), z.data(), g.data());
}

template <class T>
void define_soft(nb::module_& m) {
  m.def("soft_superpixel_pool", &soft_pool<T>, "q"_a.noconvert(), "x"_a.noconvert(), "cell"_a,
        "threads"_a, "z"_a.noconvert());
  m.def("soft_superpixel_unpool", &soft_unpool<T>, "q"_a.noconvert(), "z"_a.noconvert(), "cell"_a,
        "threads"_a, "y"_a.noconvert());
  m.def("soft_superpixel_product", &soft_product<T>, "x"_a.noconvert(), "z"_a.noconvert(), "cell"_a,
        "threads"_a, "g"_a.noconvert());
}

template <class T, class Id>
void define(nb::module_& m) {
  m.def("superpixel_pool", &pool<T, Id>, "x"_a.noconvert(), "ids"_a.noconvert(), "reduce"_a,
        "threads"_a, "z"_a.noconvert(), "winners"_a.noconvert().none());
  m.def("superpixel_unpool", &unpool<T, Id>, "z"_a.noconvert(), "ids"_a.noconvert(), "divide"_a,
        "threads"_a, "out"_a.noconvert());
  m.def("superpixel_consistency", &consistency<T, Id>, "x"_a.noconvert(), "ids"_a.noconvert(),
        "num"_a, "valid"_a.noconvert().none(), "keep"_a, "adjoint"_a, "threads"_a,
        "out"_a.noconvert());
}

}  // namespace

void bind_superpixel(nb::module_& m) {
  nb::enum_<mrfcore::SuperpixelReduce>(m, "SuperpixelReduce")
      .value("mean", mrfcore::SuperpixelReduce::Mean)
      .value("sum", mrfcore::SuperpixelReduce::Sum)
      .value("max", mrfcore::SuperpixelReduce::Max);
  define<float, int32_t>(m);
  define<float, int64_t>(m);
  define<double, int32_t>(m);
  define<double, int64_t>(m);
  define_soft<float>(m);
  define_soft<double>(m);
}
