// SPDX-License-Identifier: Apache-2.0
#include "cpu/soft_superpixel.hpp"

#include <stdexcept>
#include <string>

#include "ops/buffer.hpp"
#include "ops/dispatch.hpp"
#include "ops/superpixel.hpp"

namespace mrfcore {
namespace {

// Indices such as channels * pixels and pixels + cell must not overflow.
constexpr int64_t kMost = int64_t{1} << 31;

template <class T>
const cpu::SoftSuperpixelKernels<T>& kernels() {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::soft_superpixel_kernels<T>();
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::soft_superpixel_kernels<T>();
#endif
    default:
      return cpu::baseline::soft_superpixel_kernels<T>();
  }
}

void require(const char* name, const void* data) {
  if (data == nullptr) throw std::invalid_argument(std::string(name) + " has no data");
}

void check(const char* name, int64_t value) {
  if (value >= 1 && value < kMost) return;
  throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) +
                              ", expected 1.." + std::to_string(kMost - 1));
}

/// The grid with its threads resolved.
SoftSuperpixels checked(SoftSuperpixels grid) {
  check_soft_superpixels(grid);
  const int64_t weights = grid.batch * cpu::kSlots * grid.height * grid.width;
  grid.threads = threads_for(weights * grid.channels, grid.threads);
  return grid;
}

/// [batch, rows, columns, channels, 9]; 9 / cell^2 of x.
template <class T>
class Scratch {
 public:
  explicit Scratch(const SoftSuperpixels& grid)
      : bytes_(grid.batch * grid.rows() * grid.columns() * grid.channels * cpu::kSlots *
               static_cast<int64_t>(sizeof(T))),
        data_(allocate_zeroed(bytes_)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { release(data_, bytes_); }
  T* get() const { return static_cast<T*>(data_); }

 private:
  int64_t bytes_;
  void* data_;
};

template <class T>
void fresh(const SoftSuperpixels& grid, int64_t planes, const T* out) {
  prefer_huge_pages(
      out, grid.batch * planes * grid.height * grid.width * static_cast<int64_t>(sizeof(T)));
}

}  // namespace

void check_soft_superpixels(const SoftSuperpixels& grid) {
  check("batch", grid.batch);
  check("channels", grid.channels);
  check("height", grid.height);
  check("width", grid.width);
  check("cell", grid.cell);
}

template <class T>
void soft_superpixel_pool(const SoftSuperpixels& grid, const T* q, const T* x, T* z) {
  const SoftSuperpixels g = checked(grid);
  require("q", q);
  require("x", x);
  require("z", z);
  const Scratch<T> partial(g);
  kernels<T>().pool(g, q, x, partial.get(), z);
}

template <class T>
void soft_superpixel_unpool(const SoftSuperpixels& grid, const T* q, const T* z, T* y) {
  const SoftSuperpixels g = checked(grid);
  require("q", q);
  require("z", z);
  require("y", y);
  fresh(g, g.channels, y);
  const Scratch<T> values(g);
  kernels<T>().unpool(g, q, z, values.get(), y);
}

template <class T>
void soft_superpixel_product(const SoftSuperpixels& grid, const T* x, const T* z, T* g) {
  const SoftSuperpixels checked_grid = checked(grid);
  require("x", x);
  require("z", z);
  require("g", g);
  fresh(checked_grid, cpu::kSlots, g);
  const Scratch<T> values(checked_grid);
  kernels<T>().product(checked_grid, x, z, values.get(), g);
}

#define MRF_SOFT_SUPERPIXEL(T)                                                             \
  template void soft_superpixel_pool<T>(const SoftSuperpixels&, const T*, const T*, T*);   \
  template void soft_superpixel_unpool<T>(const SoftSuperpixels&, const T*, const T*, T*); \
  template void soft_superpixel_product<T>(const SoftSuperpixels&, const T*, const T*, T*);
MRF_SOFT_SUPERPIXEL(float)
MRF_SOFT_SUPERPIXEL(double)
#undef MRF_SOFT_SUPERPIXEL

}  // namespace mrfcore
