// SPDX-License-Identifier: Apache-2.0
// The adjoint of a loop of mean shift (mean_shift.cu; the formulas are those of
// cpp/cpu/mean_shift.cpp): K is computed again, and with it
//   H_ij = kappa K_ij (u_j . x_i + u_i . x_j - c_i - c_j),
//   gradient_j = (1 - eta) gY_j + sum_i K_ij u_i + H_ij x_i   (Gaussian: H_ij (x_i - x_j)).
//
// Per pair of points 5 D fused multiply-adds (3 D more for each 64 dimensions beyond the first 64;
// squared differences D more; flat weights, which have no slope, 2 D in all) and an exponential,
// 2.5 times a loop forward. At N = 4800, D = 64: 7.4e9. Bytes: (6 + 2 splits) 4 N D. K and H are
// side by side in 34 KiB of shared memory.
#include "mean_shift_rows.cuh"
#include "point_tile.cuh"

namespace mrfcore::cuda::kernels {
namespace {

using namespace points;

template <class T>
struct BackParameters {
  PointLayout layout;
  MeanShiftStepBack<T> args;
};

/// A warp per point. gradient: G -> (1 - eta) gY; pulled: u; centre: c.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    pull_kernel(const __grid_constant__ BackParameters<T> p) {
  const PointLayout& layout = p.layout;
  const MeanShiftStepBack<T>& a = p.args;
  const int64_t point = row_of_warp(), stride = layout.stride, at = point * stride;
  if (point >= layout.batch * layout.blocks * kPointBlock) return;
  const T length = a.length[point], mass = a.mass[point];
  T* g = a.gradient + at;
  if (a.kernel == MeanShiftKernel::Sphere) project(a.to + at, length, stride, g);
  const T share = mass == T(0) ? T(0) : a.step_size / mass, keep = T(1) - a.step_size;
  T with_next = T(0), with_this = T(0);
  for (int64_t d = lane_index(); d < stride; d += kWarp) {
    const T u = share * g[d];
    with_next = fused(u, a.to[at + d], with_next);
    with_this = fused(u, a.from[at + d], with_this);
    a.pulled[at + d] = u;
    g[d] = keep * g[d];
  }
  // m = (Y - (1 - eta) x) / eta with Y = |Y| x+
  const T centre = (length * warp_sum(with_next) - keep * warp_sum(with_this)) / a.step_size;
  if (lane_index() == 0) a.centre[point] = centre;
}

/// Of a tile: u_j . x_i + u_i . x_j, and what products() gives.
template <bool kEuclidean, class T>
__device__ __forceinline__ void both_products(const PointLayout& layout, const T* x, const T* u,
                                              int64_t others, int64_t own, T* shared, Part<T>& e,
                                              Part<T>& w) {
  using Of = Tile<T>;
  T* x_others = shared;
  T* u_others = x_others + Of::kDepth * (Of::kOthers + Of::kPad);
  T* x_own = u_others + Of::kDepth * (Of::kOthers + Of::kPad);
  T* u_own = x_own + Of::kDepth * Of::kWidth;
  clear<T>(e);
  clear<T>(w);
  for (int64_t first = 0; first < layout.dims; first += Of::kDepth) {
    __syncthreads();
    load_columns<T, Of::kOthers>(x + others, layout.stride, first, x_others);
    load_columns<T, Of::kOthers>(u + others, layout.stride, first, u_others);
    load_columns<T, Of::kOwn>(x + own, layout.stride, first, x_own);
    load_columns<T, Of::kOwn>(u + own, layout.stride, first, u_own);
    __syncthreads();
    const int depth = depth_of<T>(layout, first);
    add_columns<kEuclidean, T>(x_others, x_own, depth, e);
    add_columns<false, T>(x_others, u_own, depth, w);
    add_columns<false, T>(u_others, x_own, depth, w);
  }
}

/// e becomes K, w becomes H. Adds H by columns to row_sum; returns the sum of E H / kappa.
template <bool kEuclidean, class T>
__device__ __forceinline__ T kernel_gradient(const Weights<T>& weights, int rows,
                                             const T* centre_others, const T* centre_own,
                                             Part<T>& e, Part<T>& w,
                                             T (&row_sum)[Tile<T>::kColumns]) {
  using Of = Tile<T>;
  const auto own = several<Of::kColumns>(centre_own + Place<T>::column());
  T total = T(0);
#pragma unroll
  for (int i = 0; i < Of::kRows; ++i) {
    const T centre = __ldg(centre_others + Place<T>::row() + i);
#pragma unroll
    for (int j = 0; j < Of::kColumns; ++j) {
      const T both = centre + own.at[j];
      const T exponent_ij = exponent<kEuclidean>(e[i][j]);
      const T k = weights(exponent_ij, i < rows && j < weights.columns);
      const T kw = k * (w[i][j] - both);
      total = fused(exponent_ij, kw, total);
      e[i][j] = k;
      w[i][j] = weights.kappa * kw;
      if constexpr (kEuclidean) row_sum[j] += w[i][j];
    }
  }
  return total;
}

template <class T, bool kEuclidean, int W>
__global__ void __launch_bounds__(Tile<T>::kThreads, Tile<T>::kResident)
    back_kernel(const __grid_constant__ BackParameters<T> p) {
  MRF_SHARED(T, shared);
  using Of = Tile<T>;
  const PointLayout& layout = p.layout;
  const MeanShiftStepBack<T>& a = p.args;
  const auto place = Place<T>::template of<W>(layout);
  const Weights<T> weights(layout, place, a.kernel, *a.kappa);
  T* const h_tile = shared + Of::kTileSize;
  Sums<T, W> sums;
  T row_sum[Of::kColumns] = {};
  double kappa_sum = 0.0;
  for (int64_t t = place.tile; t < place.end; ++t) {
    const int64_t others = place.tile_rows(layout, t);
    Part<T> k, h;
    both_products<kEuclidean, T>(layout, a.from, a.pulled, others * layout.stride,
                                 place.own_rows * layout.stride, shared, k, h);
    kappa_sum += static_cast<double>(
        kernel_gradient<kEuclidean, T>(weights, Weights<T>::rows(layout, t), a.centre + others,
                                       a.centre + place.own_rows, k, h, row_sum));
    __syncthreads();
    store_part<T>(k, shared);
    store_part<T>(h, h_tile);
    __syncthreads();
    sums.add(shared, a.pulled + others * layout.stride, layout, place.dim);
    sums.add(h_tile, a.from + others * layout.stride, layout, place.dim);
  }
  sums.store(layout, place, a.parts);
  if (!place.first_chunk) return;
  if constexpr (kEuclidean) {
    const T total = column_sum<T>(row_sum, shared);
    if (threadIdx.x < Of::kOwn)
      a.row_sums[place.split * layout.batch * layout.blocks * kPointBlock + place.own_rows +
                 threadIdx.x] = total;
  }
  kappa_sum = block_sum<T>(kappa_sum, shared);
  if (threadIdx.x == 0)  // both orders of a pair were here
    a.kappa_sums[blockIdx.y * gridDim.x + blockIdx.x] += 0.5 * kappa_sum;
}

/// Flat weights: K alone.
template <class T, int W>
__global__ void __launch_bounds__(Tile<T>::kThreads, Tile<T>::kResident)
    flat_back_kernel(const __grid_constant__ BackParameters<T> p) {
  MRF_SHARED(T, shared);
  using Of = Tile<T>;
  const PointLayout& layout = p.layout;
  const MeanShiftStepBack<T>& a = p.args;
  const auto place = Place<T>::template of<W>(layout);
  const Weights<T> weights(layout, place, a.kernel, *a.kappa);
  Sums<T, W> sums;
  for (int64_t t = place.tile; t < place.end; ++t) {
    const int64_t others = place.tile_rows(layout, t) * layout.stride;
    Part<T> k;
    products<true, T>(layout, a.from + others, a.from + place.own_rows * layout.stride, shared, k);
    const int rows = Weights<T>::rows(layout, t);
#pragma unroll
    for (int i = 0; i < Of::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Of::kColumns; ++j)
        k[i][j] = weights(exponent<true>(k[i][j]), i < rows && j < weights.columns);
    }
    __syncthreads();
    store_part<T>(k, shared);
    __syncthreads();
    sums.add(shared, a.pulled + others, layout, place.dim);
  }
  sums.store(layout, place, a.parts);
}

/// A warp per point: (1 - eta) gY and the parts -> gradient with respect to `from`.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    gather_kernel(const __grid_constant__ BackParameters<T> p, int splits) {
  const PointLayout& layout = p.layout;
  const MeanShiftStepBack<T>& a = p.args;
  const int64_t points = layout.batch * layout.blocks * kPointBlock, point = row_of_warp();
  if (point >= points) return;
  const int64_t at = point * layout.stride, size = points * layout.stride;
  T row_sum = T(0);
  if (a.kernel == MeanShiftKernel::Gaussian)
    row_sum = sum_of_parts(a.row_sums + point, points, splits);
  for (int64_t d = at + lane_index(); d < at + layout.stride; d += kWarp)
    a.gradient[d] =
        fused(-row_sum, a.from[d], a.gradient[d] + sum_of_parts(a.parts + d, size, splits));
}

template <class T, int W>
auto* back_kernel_of(MeanShiftKernel kernel) {
  if (kernel == MeanShiftKernel::Sphere) return &back_kernel<T, false, W>;
  return kernel == MeanShiftKernel::Gaussian ? &back_kernel<T, true, W> : &flat_back_kernel<T, W>;
}

}  // namespace

template <class T>
int mean_shift_step_back(const PointLayout& layout, const MeanShiftStepBack<T>& args,
                         Stream stream) {
  const BackParameters<T> p{layout, args};
  const auto on = static_cast<cudaStream_t>(stream);
  const int64_t splits = layout.splits();
  MRF_LAUNCH(pull_kernel<T>, rows_grid(layout), dim3(kRowThreads), 0, on, p);
  if (const cudaError_t code = cudaGetLastError(); code != cudaSuccess)
    return static_cast<int>(code);
  const int failed = with_dimensions(layout, splits, [&]<int W>(dim3 grid) {
    auto* const kernel = back_kernel_of<T, W>(args.kernel);
    MRF_LAUNCH(kernel, grid, dim3(Tile<T>::kThreads), 2 * Tile<T>::kShared * sizeof(T), on, p);
    return static_cast<int>(cudaGetLastError());
  });
  if (failed != 0) return failed;
  MRF_LAUNCH(gather_kernel<T>, rows_grid(layout), dim3(kRowThreads), 0, on, p,
             static_cast<int>(splits));
  return static_cast<int>(cudaGetLastError());
}

template int mean_shift_step_back<float>(const PointLayout&, const MeanShiftStepBack<float>&,
                                         Stream);
template int mean_shift_step_back<double>(const PointLayout&, const MeanShiftStepBack<double>&,
                                          Stream);

}  // namespace mrfcore::cuda::kernels
