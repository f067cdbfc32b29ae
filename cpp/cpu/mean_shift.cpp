// SPDX-License-Identifier: Apache-2.0
//
// Recurrent mean shift, tiled as attention is: a block of the kernel matrix lives in cache only.
// The matrix is symmetric, so a pair of blocks is computed once and used for both sides, forward
// (1 + 2 products of N^2 D / 2) and backward (E: 1, w: 2, gradients: 4). See block_pairs.hpp for
// how threads share the sums.
//
// Backward of a loop (Eq C.6 as corrected, with products by element and gS + gS^T), G = gradient:
//   gY = (G - x+ (x+ . G)) / |Y|,  u_j = eta gY_j / d_j,  c_j = u_j . m_j,
//   H_ij = kappa K_ij (u_j . x_i + u_i . x_j - c_i - c_j),
//   gradient_i = (1 - eta) gY_i + sum_j K_ij u_j + H_ij x_j   (Gaussian: H_ij (x_j - x_i)).
#include "cpu/mean_shift.hpp"

#include "cpu/block_pairs.hpp"
#include "cpu/mean_shift_tile.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

template <class T>
inline T* scratch(ThreadMemory& memory, int64_t elements) {
  return static_cast<T*>(memory.reserve(elements * static_cast<int64_t>(sizeof(T))));
}

template <class T>
inline T dot(const T* a, const T* b, int64_t n) {
  OrderedSum<T> sum;
  for (int64_t d = 0; d < n; d += kLanes<T>) sum.add(d, load(a + d) * load(b + d));
  return sum.total();
}

inline double root(double x) { return __builtin_sqrt(x); }
inline float root(float x) { return __builtin_sqrtf(x); }

/// Vectors shorter than this have no direction.
template <class T>
inline constexpr T kShortest = T(1e-12);

/// body(row) for every point that is no padding, by blocks.
template <class Body>
void for_each_block(const MeanShiftLayout& layout, const Body& body) {
  parallel_strips(layout.batch * layout.blocks, layout.threads, nullptr,
                  [&](ThreadMemory&, int64_t n) {
                    const int64_t first = n % layout.blocks * kSide;
                    const int64_t left = layout.points - first;
                    body(n / layout.blocks, n, first, left < kSide ? left : kSide);
                  });
}

/// Rows -> [blocks, stride, kSide]: what multiply() reads along points.
template <class T>
void transpose_blocks(const MeanShiftLayout& layout, const T* rows, T* columns) {
  for_each_block(layout, [&](int64_t, int64_t n, int64_t, int64_t) {
    const T* from = rows + n * kSide * layout.stride;
    T* to = columns + n * kSide * layout.stride;
    for (int64_t d = 0; d < layout.stride; ++d) {
      for (int64_t p = 0; p < kSide; ++p) to[d * kSide + p] = from[p * layout.stride + d];
    }
  });
}

template <class T>
BlockView<T> block_view(const MeanShiftLayout& layout, const T* rows, const T* columns,
                        int64_t item, int64_t block) {
  const int64_t left = layout.points - block * kSide;
  const int64_t at = (item * layout.blocks + block) * kSide * layout.stride;
  return {left < kSide ? left : kSide, rows + at, columns + at};
}

template <class T>
void clear(T* to, int64_t size) {
  for (int64_t n = 0; n < size; ++n) to[n] = 0;
}

// ---------------------------------------------------------------- in and out

template <class T>
void load_points(const MeanShiftLayout& layout, const T* x, const T* offset, T* rows, T* length) {
  const int64_t stride = layout.stride;
  for_each_block(layout, [&](int64_t item, int64_t n, int64_t first, int64_t count) {
    T* to = rows + n * kSide * stride;
    clear(to, kSide * stride);
    clear(length + n * kSide, kSide);
    for (int64_t d = 0; d < layout.dims; ++d) {
      const T* from = x + (item * layout.dims + d) * layout.points + first;
      const T shift = offset[item * layout.dims + d];
      for (int64_t p = 0; p < count; ++p) to[p * stride + d] = from[p] - shift;
    }
    if (layout.kernel != MeanShiftKernel::Sphere) return;
    for (int64_t p = 0; p < count; ++p) {
      T* row = to + p * stride;
      const T norm = root(dot(row, row, stride));
      const bool direction = norm > kShortest<T>;
      length[n * kSide + p] = direction ? norm : 0;
      const T scale = direction ? T(1) / norm : T(0);
      for (int64_t d = 0; d < stride; ++d) row[d] = row[d] * scale;
    }
  });
}

template <class T>
void unload_points(const MeanShiftLayout& layout, const T* rows, const T* offset, T* out) {
  for_each_block(layout, [&](int64_t item, int64_t n, int64_t first, int64_t count) {
    const T* from = rows + n * kSide * layout.stride;
    for (int64_t d = 0; d < layout.dims; ++d) {
      T* to = out + (item * layout.dims + d) * layout.points + first;
      const T shift = offset[item * layout.dims + d];
      for (int64_t p = 0; p < count; ++p) to[p] = from[p * layout.stride + d] + shift;
    }
  });
}

/// g <- (g - x (x . g)) / length: gradient through x = y / |y|. Length 0: no gradient.
template <class T>
inline void project(const T* x, T length, int64_t stride, T* g) {
  const T along = dot(x, g, stride), scale = length > 0 ? T(1) / length : T(0);
  for (int64_t d = 0; d < stride; ++d) g[d] = (g[d] - x[d] * along) * scale;
}

template <class T>
void through_norm(const MeanShiftLayout& layout, const T* rows, const T* length, T* gradient) {
  const int64_t stride = layout.stride;
  for_each_block(layout, [&](int64_t, int64_t n, int64_t, int64_t count) {
    for (int64_t p = n * kSide; p < n * kSide + count; ++p)
      project(rows + p * stride, length[p], stride, gradient + p * stride);
  });
}

// ---------------------------------------------------------------- forward

template <MeanShiftKernel kKernel, class T>
void add_pair(const MeanShiftLayout& layout, const MeanShiftStep<T>& args, ThreadMemory& memory,
              int64_t item, int64_t i, int64_t j) {
  T* k = scratch<T>(memory, kTile);
  const auto a = block_view(layout, args.from, args.columns, item, i);
  const auto b = block_view(layout, args.from, args.columns, item, j);
  exponents<kKernel>(layout, a, b, k);
  weights<kKernel>(args.kappa, k, a.count, b.count, k);
  const int64_t at_i = (item * layout.blocks + i) * kSide;
  const int64_t at_j = (item * layout.blocks + j) * kSide;
  add_row_sums(k, args.mass + at_i);
  add_products(layout, k, false, b.rows, args.to + at_i * layout.stride);
  if (i == j) return;
  add_column_sums(k, args.mass + at_j);
  add_products(layout, k, true, a.rows, args.to + at_j * layout.stride);
}

/// Sums of K x -> next state.
template <class T>
void finish_point(const MeanShiftLayout& layout, const MeanShiftStep<T>& args, int64_t p) {
  const int64_t stride = layout.stride;
  const T* x = args.from + p * stride;
  T* y = args.to + p * stride;
  const T mass = args.mass[p], keep = T(1) - args.step_size;
  const T share = mass > 0 ? args.step_size / mass : T(0);
  for (int64_t d = 0; d < stride; ++d) y[d] = keep * x[d] + share * y[d];
  T length = 1, scale = 1;
  bool moves = mass > 0;
  if (layout.kernel == MeanShiftKernel::Sphere) {
    length = root(dot(y, y, stride));
    moves = moves && length > kShortest<T>;
    scale = moves ? T(1) / length : T(0);
  }
  args.length[p] = moves ? length : T(0);
  for (int64_t d = 0; d < stride; ++d) y[d] = moves ? y[d] * scale : x[d];
}

template <MeanShiftKernel kKernel, class T>
void step_of(const MeanShiftLayout& layout, const MeanShiftStep<T>& args) {
  transpose_blocks(layout, args.from, args.columns);
  for_each_block(layout, [&](int64_t, int64_t n, int64_t, int64_t) {
    clear(args.to + n * kSide * layout.stride, kSide * layout.stride);
    clear(args.mass + n * kSide, kSide);
    clear(args.length + n * kSide, kSide);
  });
  for_each_block_pair(layout.batch, layout.blocks, layout.threads, layout.control,
                      [&](ThreadMemory& memory, int64_t item, int64_t i, int64_t j) {
                        add_pair<kKernel>(layout, args, memory, item, i, j);
                      });
  for_each_block(layout, [&](int64_t, int64_t n, int64_t, int64_t count) {
    for (int64_t p = n * kSide; p < n * kSide + count; ++p) finish_point(layout, args, p);
  });
}

template <class T>
void step(const MeanShiftLayout& layout, const MeanShiftStep<T>& args) {
  switch (layout.kernel) {
    case MeanShiftKernel::Sphere:
      return step_of<MeanShiftKernel::Sphere>(layout, args);
    case MeanShiftKernel::Gaussian:
      return step_of<MeanShiftKernel::Gaussian>(layout, args);
    case MeanShiftKernel::Flat:
      return step_of<MeanShiftKernel::Flat>(layout, args);
  }
}

// ---------------------------------------------------------------- backward

/// gradient: G -> (1 - eta) gY; pulled: u; centre: c.
template <class T>
void pull_point(const MeanShiftLayout& layout, const MeanShiftStepBack<T>& args, int64_t p) {
  const int64_t stride = layout.stride;
  const T* x = args.from + p * stride;
  const T* next = args.to + p * stride;
  T* g = args.gradient + p * stride;
  T* u = args.pulled + p * stride;
  const T eta = args.step_size, keep = T(1) - eta;
  if (layout.kernel == MeanShiftKernel::Sphere) project(next, args.length[p], stride, g);
  const T share = args.mass[p] > 0 ? eta / args.mass[p] : T(0);
  for (int64_t d = 0; d < stride; ++d) {
    u[d] = share * g[d];
    g[d] = keep * g[d];
  }
  // m = (Y - (1 - eta) x) / eta with Y = |Y| x+
  args.centre[p] = (args.length[p] * dot(u, next, stride) - keep * dot(u, x, stride)) / eta;
}

template <MeanShiftKernel kKernel, class T>
void add_pair_back(const MeanShiftLayout& layout, const MeanShiftStepBack<T>& args,
                   ThreadMemory& memory, int64_t item, int64_t i, int64_t j) {
  constexpr bool kEuclidean = kKernel == MeanShiftKernel::Gaussian;
  T* k = scratch<T>(memory, 2 * kTile);
  T* h = k + kTile;
  const int64_t stride = layout.stride;
  const auto a = block_view(layout, args.from, args.columns, item, i);
  const auto b = block_view(layout, args.from, args.columns, item, j);
  const auto ua = block_view<T>(layout, args.pulled, args.pulled_columns, item, i);
  const auto ub = block_view<T>(layout, args.pulled, args.pulled_columns, item, j);
  const int64_t at_i = (item * layout.blocks + i) * kSide;
  const int64_t at_j = (item * layout.blocks + j) * kSide;
  T* to_i = args.gradient + at_i * stride;
  T* to_j = args.gradient + at_j * stride;
  exponents<kKernel>(layout, a, b, k);
  if constexpr (kKernel == MeanShiftKernel::Flat) {  // the weights have no slope
    weights<kKernel>(args.kappa, k, a.count, b.count, k);
    add_products(layout, k, false, ub.rows, to_i);
    if (i != j) add_products(layout, k, true, ua.rows, to_j);
  } else {
    multiply<Product, false>(kSide, kSide, layout.dims, Strided<T>{a.rows, stride, 1}, ub.columns,
                             kSide, h, kSide);
    multiply<Product, true>(kSide, kSide, layout.dims, Strided<T>{ua.rows, stride, 1}, b.columns,
                            kSide, h, kSide);
    const T sum = kernel_gradient<kKernel>(args.kappa, args.centre + at_i, args.centre + at_j,
                                           a.count, b.count, k, h);
    double& total = args.kappa_sums[item * layout.blocks + i];
    total += static_cast<double>(i == j ? sum / 2 : sum);  // a diagonal block has both orders
    add_products(layout, k, false, ub.rows, to_i);
    add_products(layout, h, false, b.rows, to_i);
    if (kEuclidean) add_row_sums(h, args.row_sum + at_i);
    if (i == j) return;
    add_products(layout, k, true, ua.rows, to_j);
    add_products(layout, h, true, a.rows, to_j);
    if (kEuclidean) add_column_sums(h, args.row_sum + at_j);
  }
}

template <MeanShiftKernel kKernel, class T>
void step_back_of(const MeanShiftLayout& layout, const MeanShiftStepBack<T>& args) {
  const int64_t stride = layout.stride;
  for_each_block(layout, [&](int64_t, int64_t n, int64_t, int64_t count) {
    clear(args.pulled + n * kSide * stride, kSide * stride);
    clear(args.centre + n * kSide, kSide);
    clear(args.row_sum + n * kSide, kSide);
    for (int64_t p = n * kSide; p < n * kSide + count; ++p) pull_point(layout, args, p);
  });
  transpose_blocks<T>(layout, args.from, args.columns);
  transpose_blocks<T>(layout, args.pulled, args.pulled_columns);
  for_each_block_pair(layout.batch, layout.blocks, layout.threads, layout.control,
                      [&](ThreadMemory& memory, int64_t item, int64_t i, int64_t j) {
                        add_pair_back<kKernel>(layout, args, memory, item, i, j);
                      });
  if (kKernel != MeanShiftKernel::Gaussian) return;
  for_each_block(layout, [&](int64_t, int64_t n, int64_t, int64_t count) {
    for (int64_t p = n * kSide; p < n * kSide + count; ++p) {
      for (int64_t d = p * stride; d < (p + 1) * stride; ++d)
        args.gradient[d] = args.gradient[d] - args.row_sum[p] * args.from[d];
    }
  });
}

template <class T>
void step_back(const MeanShiftLayout& layout, const MeanShiftStepBack<T>& args) {
  switch (layout.kernel) {
    case MeanShiftKernel::Sphere:
      return step_back_of<MeanShiftKernel::Sphere>(layout, args);
    case MeanShiftKernel::Gaussian:
      return step_back_of<MeanShiftKernel::Gaussian>(layout, args);
    case MeanShiftKernel::Flat:
      return step_back_of<MeanShiftKernel::Flat>(layout, args);
  }
}

}  // namespace

template <class T>
const MeanShiftKernels<T>& mean_shift_kernels() {
  static constexpr MeanShiftKernels<T> table{load_points<T>, step<T>, step_back<T>,
                                             unload_points<T>, through_norm<T>};
  return table;
}

template const MeanShiftKernels<float>& mean_shift_kernels<float>();
template const MeanShiftKernels<double>& mean_shift_kernels<double>();

}  // namespace mrfcore::cpu::MRF_ISA
