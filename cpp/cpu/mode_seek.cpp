// SPDX-License-Identifier: Apache-2.0
//
// Cells that a seed's ball may touch form runs of points that lie behind each other; a run is read
// in vectors, points outside of the ball with weight 0. Sums are kept in 16 interleaved parts by
// the place in the run: the same bits for any vector length.
#include "cpu/mode_seek.hpp"

#include "core/exponential.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

constexpr int kParts = 16 / kLanes<double>;
using Doubles = Vec<double>;

/// Sums of weights and of weighted points; kDims 0: any number of dimensions.
template <int kDims>
struct Sums {
  Doubles mass[kParts];
  Doubles mean[kDims > 0 ? kDims : 1][kParts];
};

inline double smaller(double a, double b) { return a < b ? a : b; }
inline double larger(double a, double b) { return a > b ? a : b; }

inline int64_t floor_of(double x) {
  const auto whole = static_cast<int64_t>(x);
  return static_cast<double>(whole) > x ? whole - 1 : whole;
}

inline Doubles weights_of(const ModeSeekArgs& args, Doubles square, int64_t left) {
  const Doubles limit = splat<double>(args.radius * args.radius);
  Doubles w = square <= limit ? splat<double>(1.0) : Doubles{};
  if (args.kernel == ModeKernel::Gaussian) {
    const double scale = -0.5 / (args.bandwidth * args.bandwidth);
    double each[kLanes<double>];
    store(each, square * scale);
    for (int i = 0; i < kLanes<double>; ++i) each[i] = core::exp_nonpositive(each[i]);
    w = w * load(each);
  }
  return only_labels<double>(w, 0, left);
}

/// Adds points [begin, end).
template <int kDims>
void add_run(const ModeSeekArgs& args, const double* at, int64_t begin, int64_t end,
             Sums<kDims>& sums, Doubles* more) {
  const ModeGrid& grid = args.grid;
  const int64_t dims = kDims > 0 ? kDims : grid.dims;
  for (int64_t chunk = begin; chunk < end; chunk += 16) {
    for (int part = 0; part < kParts; ++part) {
      const int64_t n = chunk + part * kLanes<double>;
      if (n >= end) break;
      Doubles square{};
      for (int64_t d = 0; d < dims; ++d) {
        const Doubles difference = load(grid.points + d * grid.stride + n) - at[d];
        square = square + difference * difference;
      }
      const Doubles w = weights_of(args, square, end - n);
      sums.mass[part] = sums.mass[part] + w;
      for (int64_t d = 0; d < dims; ++d) {
        Doubles& to = kDims > 0 ? sums.mean[d][part] : more[d * kParts + part];
        to = to + w * load(grid.points + d * grid.stride + n);
      }
    }
  }
}

inline double total(const Doubles* parts) {
  Doubles sums[kParts];
  for (int i = 0; i < kParts; ++i) sums[i] = parts[i];
  for (int width = kParts / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) sums[i] = sums[i] + sums[i + width];
  }
  return halving_sum<double>(sums[0]);
}

/// Cells of one axis that [at - radius, at + radius] touches.
struct CellRange {
  int64_t begin, end;

  CellRange(const ModeGrid& grid, int axis, double at, double radius) {
    const double low = (at - radius - grid.origin[axis]) / grid.side;
    const double high = (at + radius - grid.origin[axis]) / grid.side;
    const auto cells = static_cast<double>(grid.cells[axis]);
    // Wider than rounding may have cut off; clipped before the conversion.
    begin = floor_of(smaller(larger(low - 1e-9, 0.0), cells));
    end = floor_of(smaller(larger(high + 1e-9, -1.0), cells - 1)) + 1;
  }
};

/// Weighted mean of the points around `at` to `mean`; returns the sum of weights.
template <int kDims>
double mean_around(const ModeSeekArgs& args, const double* at, double* mean, Doubles* more) {
  const ModeGrid& grid = args.grid;
  const int64_t dims = kDims > 0 ? kDims : grid.dims;
  Sums<kDims> sums{};
  if (kDims == 0) {
    for (int64_t n = 0; n < dims * kParts; ++n) more[n] = Doubles{};
  }
  const CellRange z(grid, 0, at[0], args.radius);
  const CellRange y(grid, 1, dims > 1 ? at[1] : grid.origin[1], args.radius);
  const CellRange x(grid, 2, dims > 2 ? at[2] : grid.origin[2], args.radius);
  for (int64_t i = z.begin; i < z.end; ++i) {
    for (int64_t j = y.begin; j < y.end; ++j) {
      if (x.begin >= x.end) continue;
      const int64_t* row = grid.first + (i * grid.cells[1] + j) * grid.cells[2];
      add_run<kDims>(args, at, row[x.begin], row[x.end], sums, more);
    }
  }
  const double mass = total(sums.mass);
  for (int64_t d = 0; d < dims; ++d)
    mean[d] = total(kDims > 0 ? sums.mean[d] : more + d * kParts) / mass;
  return mass;
}

template <int kDims>
void climb(const ModeSeekArgs& args, ThreadMemory& memory, int64_t seed) {
  const int64_t dims = args.grid.dims;
  auto* more = static_cast<Doubles*>(
      memory.reserve(dims * (kParts * kVectorBytes + static_cast<int64_t>(sizeof(double)))));
  auto* mean = reinterpret_cast<double*>(more + dims * kParts);
  double* at = args.modes + seed * dims;
  for (int64_t d = 0; d < dims; ++d) at[d] = args.seeds[seed * dims + d];
  int moves = 0;
  for (;; ++moves) {
    args.mass[seed] = mean_around<kDims>(args, at, mean, more);
    if (!(args.mass[seed] > 0)) break;
    double square = 0;
    for (int64_t d = 0; d < dims; ++d) {
      square += (mean[d] - at[d]) * (mean[d] - at[d]);
      at[d] = mean[d];
    }
    if (square <= args.stop * args.stop || moves == args.max_iterations) break;
  }
  args.iterations[seed] = moves;
}

template <int kDims>
void climb_all(const ModeSeekArgs& args) {
  constexpr int64_t kAtOnce = 16;  // seeds a thread takes at a time
  parallel_strips((args.num_seeds + kAtOnce - 1) / kAtOnce, args.threads, args.control,
                  [&](ThreadMemory& memory, int64_t n) {
                    const int64_t end = (n + 1) * kAtOnce;
                    const int64_t last = end < args.num_seeds ? end : args.num_seeds;
                    for (int64_t seed = n * kAtOnce; seed < last; ++seed)
                      climb<kDims>(args, memory, seed);
                  });
}

}  // namespace

void seek_modes(const ModeSeekArgs& args) {
  switch (args.grid.dims) {
    case 1:
      return climb_all<1>(args);
    case 2:
      return climb_all<2>(args);
    case 3:
      return climb_all<3>(args);
    default:
      return climb_all<0>(args);
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
