// SPDX-License-Identifier: Apache-2.0
// Public functions of superpixels on a GPU: checks, parts of the batch, memory.
#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "device/parts.hpp"
#include "mrfcore/cuda_superpixel.hpp"
#include "ops/superpixel.hpp"

namespace mrfcore::cuda {
namespace {

void check_items(int64_t items) {
  if (items >= 1) return;
  throw std::invalid_argument("items is " + std::to_string(items) + ", expected >= 1");
}

SuperpixelMap some_of(SuperpixelMap map, int64_t first, int64_t count) {
  const int64_t bytes = map.type == IdType::Int32 ? 4 : 8;
  map.ids = static_cast<const std::byte*>(map.ids) + first * map.height * map.width * bytes;
  map.batch = count;
  return map;
}

SoftSuperpixels some_of(SoftSuperpixels grid, int64_t count) {
  grid.batch = count;
  return grid;
}

template <class T>
int64_t list_bytes(const SuperpixelMap& map, int64_t channels, bool empty_too, int64_t items) {
  return aligned(
      kernels::SuperpixelScratch(some_of(map, 0, items), channels, sizeof(T), empty_too).total);
}

}  // namespace

template <class T>
int64_t superpixel_pool_workspace_bytes(const SuperpixelMap& map, int64_t channels, int64_t items) {
  check_superpixel_map(map, channels, true);
  check_items(items);
  return list_bytes<T>(map, channels, true, items);
}

template <class T>
void superpixel_pool(const SuperpixelMap& map, int64_t channels, const T* x,
                     SuperpixelReduce reduce, T* z, int64_t* winners, const Queue& queue) {
  check_superpixel_map(map, channels, true);
  expect_memory("x", x);
  expect_memory("z", z);
  const int64_t plane = map.height * map.width;
  in_parts(
      map.batch, queue, "pooling over superpixels",
      [&](int64_t items) { return list_bytes<T>(map, channels, true, items); },
      [&](const Functions& functions, int64_t first, int64_t count, void* scratch) {
        const int64_t before = first * channels * map.num;
        return functions.superpixels<T>().pool(
            some_of(map, first, count), channels, x + first * channels * plane, reduce, z + before,
            winners == nullptr ? nullptr : winners + before, scratch, queue.stream);
      });
}

int64_t superpixel_unpool_workspace_bytes(const SuperpixelMap& map, bool divide, int64_t items) {
  check_superpixel_map(map, 1, true);
  check_items(items);
  return aligned(kernels::superpixel_unpool_bytes(some_of(map, 0, items), divide));
}

template <class T>
void superpixel_unpool(const SuperpixelMap& map, int64_t channels, const T* z, bool divide, T* out,
                       const Queue& queue) {
  check_superpixel_map(map, channels, true);
  expect_memory("z", z);
  expect_memory("out", out);
  in_parts(
      map.batch, queue, "unpooling of superpixels",
      [&](int64_t items) { return superpixel_unpool_workspace_bytes(map, divide, items); },
      [&](const Functions& functions, int64_t first, int64_t count, void* scratch) {
        return functions.superpixels<T>().unpool(
            some_of(map, first, count), channels, z + first * channels * map.num, divide,
            out + first * channels * map.height * map.width, scratch, queue.stream);
      });
}

template <class T>
int64_t superpixel_consistency_workspace_bytes(const SuperpixelMap& map, int64_t channels,
                                               int64_t items) {
  check_superpixel_map(map, channels, true);
  check_items(items);
  return list_bytes<T>(map, channels, false, items);
}

template <class T>
void superpixel_consistency(const SuperpixelMap& map, int64_t channels, const T* x,
                            const ConsistencyOptions& options, T* out, const Queue& queue) {
  check_superpixel_map(map, channels, true);
  expect_memory("x", x);
  expect_memory("out", out);
  const int64_t plane = map.height * map.width;
  in_parts(
      map.batch, queue, "consistency of superpixels",
      [&](int64_t items) { return list_bytes<T>(map, channels, false, items); },
      [&](const Functions& functions, int64_t first, int64_t count, void* scratch) {
        ConsistencyOptions some = options;
        if (some.valid != nullptr) some.valid += first * plane;
        const int64_t before = first * channels * plane;
        return functions.superpixels<T>().consistency(some_of(map, first, count), channels,
                                                      x + before, some, out + before, scratch,
                                                      queue.stream);
      });
}

template <class T>
int64_t soft_superpixel_pool_workspace_bytes(const SoftSuperpixels& grid, int64_t items) {
  check_soft_superpixels(grid);
  check_items(items);
  return aligned(kernels::soft_superpixel_pool_bytes<T>(some_of(grid, items)));
}

template <class T>
void soft_superpixel_pool(const SoftSuperpixels& grid, const T* q, const T* x, T* z,
                          const Queue& queue) {
  check_soft_superpixels(grid);
  expect_memory("q", q);
  expect_memory("x", x);
  expect_memory("z", z);
  const int64_t plane = grid.height * grid.width;
  in_parts(
      grid.batch, queue, "pooling over soft superpixels",
      [&](int64_t items) { return soft_superpixel_pool_workspace_bytes<T>(grid, items); },
      [&](const Functions& functions, int64_t first, int64_t count, void* scratch) {
        return functions.superpixels<T>().soft_pool(
            some_of(grid, count), q + first * 9 * plane, x + first * grid.channels * plane,
            z + first * grid.channels * grid.rows() * grid.columns(), scratch, queue.stream);
      });
}

template <class T>
void soft_superpixel_unpool(const SoftSuperpixels& grid, const T* q, const T* z, T* y,
                            const Queue& queue) {
  check_soft_superpixels(grid);
  expect_memory("q", q);
  expect_memory("z", z);
  expect_memory("y", y);
  const int64_t plane = grid.height * grid.width;
  in_parts(
      grid.batch, queue, "unpooling of soft superpixels", [](int64_t) { return int64_t{0}; },
      [&](const Functions& functions, int64_t first, int64_t count, void*) {
        return functions.superpixels<T>().soft_unpool(
            some_of(grid, count), q + first * 9 * plane,
            z + first * grid.channels * grid.rows() * grid.columns(),
            y + first * grid.channels * plane, queue.stream);
      });
}

template <class T>
void soft_superpixel_product(const SoftSuperpixels& grid, const T* x, const T* z, T* g,
                             const Queue& queue) {
  check_soft_superpixels(grid);
  expect_memory("x", x);
  expect_memory("z", z);
  expect_memory("g", g);
  const int64_t plane = grid.height * grid.width;
  in_parts(
      grid.batch, queue, "gradient of soft associations", [](int64_t) { return int64_t{0}; },
      [&](const Functions& functions, int64_t first, int64_t count, void*) {
        return functions.superpixels<T>().soft_product(
            some_of(grid, count), x + first * grid.channels * plane,
            z + first * grid.channels * grid.rows() * grid.columns(), g + first * 9 * plane,
            queue.stream);
      });
}

#define MRF_SUPERPIXEL(T)                                                                         \
  template int64_t superpixel_pool_workspace_bytes<T>(const SuperpixelMap&, int64_t, int64_t);    \
  template void superpixel_pool<T>(const SuperpixelMap&, int64_t, const T*, SuperpixelReduce, T*, \
                                   int64_t*, const Queue&);                                       \
  template void superpixel_unpool<T>(const SuperpixelMap&, int64_t, const T*, bool, T*,           \
                                     const Queue&);                                               \
  template int64_t superpixel_consistency_workspace_bytes<T>(const SuperpixelMap&, int64_t,       \
                                                             int64_t);                            \
  template void superpixel_consistency<T>(const SuperpixelMap&, int64_t, const T*,                \
                                          const ConsistencyOptions&, T*, const Queue&);           \
  template int64_t soft_superpixel_pool_workspace_bytes<T>(const SoftSuperpixels&, int64_t);      \
  template void soft_superpixel_pool<T>(const SoftSuperpixels&, const T*, const T*, T*,           \
                                        const Queue&);                                            \
  template void soft_superpixel_unpool<T>(const SoftSuperpixels&, const T*, const T*, T*,         \
                                          const Queue&);                                          \
  template void soft_superpixel_product<T>(const SoftSuperpixels&, const T*, const T*, T*,        \
                                           const Queue&);
MRF_SUPERPIXEL(float)
MRF_SUPERPIXEL(double)
#undef MRF_SUPERPIXEL

}  // namespace mrfcore::cuda
