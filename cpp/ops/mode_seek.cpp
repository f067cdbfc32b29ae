// SPDX-License-Identifier: Apache-2.0
#include "mrfcore/mode_seek.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/mode_seek.hpp"
#include "ops/buffer.hpp"
#include "ops/control.hpp"
#include "ops/dispatch.hpp"

namespace mrfcore {
namespace {

constexpr double kGaussianReach = 6.0;  // bandwidths; exp(-18) = 1.5e-8

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

void run(const cpu::ModeSeekArgs& args) {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::seek_modes(args);
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::seek_modes(args);
#endif
    default:
      return cpu::baseline::seek_modes(args);
  }
}

void check_values(const char* name, const double* x, int64_t count, int64_t dims) {
  if (x == nullptr) fail(std::string(name) + " has no data");
  for (int64_t n = 0; n < count * dims; ++n) {
    if (std::fabs(x[n]) < 1e150) continue;  // squares must not overflow; NaN fails, too
    fail(std::string(name) + " is " + std::to_string(x[n]) + " at [" + std::to_string(n / dims) +
         ", " + std::to_string(n % dims) + "], expected finite numbers below 1e150");
  }
}

void check(const double* points, int64_t count, int64_t dims, const double* seeds,
           int64_t num_seeds, const ModeSeekOptions& options) {
  if (count < 1 || dims < 1) {
    fail("points has shape [" + std::to_string(count) + ", " + std::to_string(dims) +
         "], expected at least one point of one dimension");
  }
  if (!(options.bandwidth >= 1e-150 && options.bandwidth <= 1e150)) {  // nor may its square be 0
    fail("bandwidth is " + std::to_string(options.bandwidth) + ", expected 1e-150 .. 1e150");
  }
  if (options.max_iterations < 0) {
    fail("max_iterations is " + std::to_string(options.max_iterations) + ", expected >= 0");
  }
  if (!(options.tolerance >= 0)) {
    fail("tolerance is " + std::to_string(options.tolerance) + ", expected >= 0");
  }
  check_values("points", points, count, dims);
  if (num_seeds > 0) check_values("seeds", seeds, num_seeds, dims);
}

/// Points sorted by cell. Cells have half the radius, or so much more that there are about as many
/// as points: what a ball touches then has at most a few times its volume.
class Grid {
 public:
  Grid(const double* points, int64_t count, int64_t dims, double radius)
      : sorted_(dims * (count + cpu::kModePadding)) {
    grid_.dims = dims;
    grid_.stride = count + cpu::kModePadding;
    lay_out(points, count, radius);
    sort(points, count);
    grid_.points = sorted_.data();
    grid_.first = first_.data();
  }

  const cpu::ModeGrid& view() const { return grid_; }

 private:
  void lay_out(const double* points, int64_t count, double radius) {
    double extent[cpu::kGridAxes] = {};
    for (int axis = 0; axis < cpu::kGridAxes; ++axis) {
      grid_.origin[axis] = 0;
      if (axis >= grid_.dims) continue;
      double low = points[axis], high = points[axis];
      for (int64_t n = 1; n < count; ++n) {
        low = std::min(low, points[n * grid_.dims + axis]);
        high = std::max(high, points[n * grid_.dims + axis]);
      }
      grid_.origin[axis] = low;
      extent[axis] = high - low;
    }
    const double most = 2.0 * static_cast<double>(count) + 64;
    const auto cells = [&extent](double side) {
      double product = 1;
      for (const double e : extent) product *= std::floor(e / side) + 1;
      return product;
    };
    grid_.side = radius / 2;
    while (cells(grid_.side) > most) grid_.side *= 1.25;
    for (int axis = 0; axis < cpu::kGridAxes; ++axis)
      grid_.cells[axis] = static_cast<int64_t>(extent[axis] / grid_.side) + 1;
  }

  int64_t cell_of(const double* point) const {
    int64_t cell = 0;
    for (int axis = 0; axis < cpu::kGridAxes; ++axis) {
      int64_t at = 0;
      if (axis < grid_.dims)
        at = static_cast<int64_t>((point[axis] - grid_.origin[axis]) / grid_.side);
      cell = cell * grid_.cells[axis] + std::min(at, grid_.cells[axis] - 1);
    }
    return cell;
  }

  void sort(const double* points, int64_t count) {
    const int64_t cells = grid_.cells[0] * grid_.cells[1] * grid_.cells[2];
    first_.assign(static_cast<size_t>(cells) + 1, 0);
    for (int64_t n = 0; n < count; ++n)
      ++first_[static_cast<size_t>(cell_of(points + n * grid_.dims)) + 1];
    for (size_t c = 1; c < first_.size(); ++c) first_[c] += first_[c - 1];
    std::vector<int64_t> next(first_.begin(), first_.end() - 1);
    for (int64_t n = 0; n < count; ++n) {
      const int64_t to = next[static_cast<size_t>(cell_of(points + n * grid_.dims))]++;
      for (int64_t d = 0; d < grid_.dims; ++d)
        sorted_.data()[d * grid_.stride + to] = points[n * grid_.dims + d];
    }
  }

  cpu::ModeGrid grid_{};
  Buffer<double> sorted_;
  std::vector<int64_t> first_;
};

}  // namespace

void seek_modes(const double* points, int64_t count, int64_t dims, const double* seeds,
                int64_t num_seeds, const ModeSeekOptions& options, double* modes, double* mass,
                int32_t* iterations) {
  check(points, count, dims, seeds, num_seeds, options);
  if (num_seeds == 0) return;
  if (modes == nullptr || mass == nullptr || iterations == nullptr)
    fail("modes, mass or iterations has no data");
  const bool flat = options.kernel == ModeKernel::Flat;
  const double radius = options.bandwidth * (flat ? 1.0 : kGaussianReach);
  const Grid grid(points, count, dims, radius);
  cpu::Control control;
  control.poll = options.interrupted;
  run({grid.view(), options.kernel, options.bandwidth, radius,
       options.tolerance * options.bandwidth, options.max_iterations, seeds, num_seeds, modes, mass,
       iterations, resolve_threads(options.threads), &control});
  cpu::throw_if_stopped(control);
}

}  // namespace mrfcore
