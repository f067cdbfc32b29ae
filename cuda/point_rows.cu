// SPDX-License-Identifier: Apache-2.0
// Points in and out of rows, and through their norms. Every number is read once or twice and
// written once: bytes decide, some 16 to 24 for a number of x, next to nothing beside a loop's
// N^2 D operations.
#include "mean_shift_rows.cuh"

namespace mrfcore::cuda::kernels {
namespace {

using namespace points;

constexpr int kSide = 32, kStrips = 8;  ///< a tile of 32 x 32, four rows a thread
constexpr int kMeanThreads = 256;

/// Block of 32 points (x; of an item's padded ones) by 32 dimensions (y).
struct Corner {
  int64_t item, point, dim;

  __device__ __forceinline__ explicit Corner(const PointLayout& layout) {
    const int64_t tiles = layout.blocks * kPointBlock / kSide;
    item = blockIdx.x / tiles;
    point = blockIdx.x % tiles * kSide;
    dim = static_cast<int64_t>(blockIdx.y) * kSide;
  }
};

/// Reads along points, writes along dimensions, padding included.
template <class T>
__global__ void load_kernel(PointLayout layout, const T* x, const T* offset, T* rows) {
  MRF_SHARED(T, tile);
  const Corner at(layout);
  const int lane = static_cast<int>(threadIdx.x), strip = static_cast<int>(threadIdx.y);
#pragma unroll
  for (int d = strip; d < kSide; d += kStrips) {
    const int64_t dim = at.dim + d, point = at.point + lane;
    T value = T(0);
    if (dim < layout.dims && point < layout.points) {
      const int64_t plane = at.item * layout.dims + dim;
      value = x[plane * layout.points + point];
      if (offset != nullptr) value = value - __ldg(offset + plane);
    }
    tile[d * (kSide + 1) + lane] = value;
  }
  __syncthreads();
  if (at.dim + lane >= layout.stride) return;
  T* to = rows + (at.item * layout.blocks * kPointBlock + at.point) * layout.stride + at.dim + lane;
#pragma unroll
  for (int p = strip; p < kSide; p += kStrips) to[p * layout.stride] = tile[lane * (kSide + 1) + p];
}

template <class T>
__global__ void unload_kernel(PointLayout layout, const T* rows, const T* offset, T* out) {
  MRF_SHARED(T, tile);
  const Corner at(layout);
  const int lane = static_cast<int>(threadIdx.x), strip = static_cast<int>(threadIdx.y);
  const T* from =
      rows + (at.item * layout.blocks * kPointBlock + at.point) * layout.stride + at.dim + lane;
#pragma unroll
  for (int p = strip; p < kSide; p += kStrips) {
    if (at.dim + lane < layout.stride) tile[lane * (kSide + 1) + p] = from[p * layout.stride];
  }
  __syncthreads();
#pragma unroll
  for (int d = strip; d < kSide; d += kStrips) {
    const int64_t dim = at.dim + d, point = at.point + lane;
    if (dim >= layout.dims || point >= layout.points) continue;
    const int64_t plane = at.item * layout.dims + dim;
    const T value = tile[d * (kSide + 1) + lane];
    out[plane * layout.points + point] = offset == nullptr ? value : value + __ldg(offset + plane);
  }
}

/// A block per item and dimension.
template <class T>
__global__ void means_kernel(const T* x, int64_t points, T* to) {
  MRF_SHARED(double, of_warp);
  const T* row = x + blockIdx.x * points;
  double sum = 0.0;
  for (int64_t p = threadIdx.x; p < points; p += kMeanThreads) sum += static_cast<double>(row[p]);
  sum = warp_sum(sum);
  if (lane_index() == 0) of_warp[threadIdx.x / kWarp] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  double total = 0.0;
  for (int warp = 0; warp < kMeanThreads / kWarp; ++warp) total += of_warp[warp];
  to[blockIdx.x] = static_cast<T>(total / static_cast<double>(points));
}

/// A warp per point.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    normalise_kernel(PointLayout layout, const T* weights, T* rows, T* length) {
  const int64_t padded = layout.blocks * kPointBlock, point = row_of_warp();
  if (point >= layout.batch * padded) return;
  const int64_t item = point / padded, p = point % padded;
  T* row = rows + point * layout.stride;
  const T norm = root(warp_dot(row, row, layout.stride));
  const bool counts =
      weights == nullptr || p >= layout.points || !(weights[item * layout.points + p] == T(0));
  const bool direction = counts && !(norm <= kShortest<T>);
  T scale = direction ? T(1) / norm : T(0);
  if (direction && !(norm - norm == T(0))) scale = norm - norm;  // NaN
  if (lane_index() == 0) length[point] = direction ? norm : T(0);
  for (int64_t d = lane_index(); d < layout.stride; d += kWarp)
    row[d] = direction ? row[d] * scale : T(0);
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    through_norm_kernel(PointLayout layout, const T* rows, const T* length, T* gradient) {
  const int64_t point = row_of_warp(), at = point * layout.stride;
  if (point >= layout.batch * layout.blocks * kPointBlock) return;
  project(rows + at, length[point], layout.stride, gradient + at);
}

/// Of blocks of 32 x 32; refused where a grid cannot have it.
template <class Launch>
int with_corners(const PointLayout& layout, const Launch& launch) {
  const int64_t tiles = layout.numbers() / kSide, strips = (layout.stride + kSide - 1) / kSide;
  if (tiles >= int64_t{1} << 31 || strips > 65535) return static_cast<int>(cudaErrorInvalidValue);
  launch(dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(strips)), dim3(kSide, kStrips));
  return static_cast<int>(cudaGetLastError());
}

template <class T>
constexpr size_t kCornerBytes = kSide * (kSide + 1) * sizeof(T);

}  // namespace

template <class T>
int point_means(const PointLayout& layout, const T* x, T* to, Stream stream) {
  const int64_t planes = layout.batch * layout.dims;
  if (planes >= int64_t{1} << 31) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(means_kernel<T>, dim3(static_cast<unsigned>(planes)), dim3(kMeanThreads),
             kMeanThreads / kWarp * sizeof(double), static_cast<cudaStream_t>(stream), x,
             layout.points, to);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int load_points(const PointLayout& layout, const T* x, const T* offset, T* rows, Stream stream) {
  return with_corners(layout, [&](dim3 grid, dim3 block) {
    MRF_LAUNCH(load_kernel<T>, grid, block, kCornerBytes<T>, static_cast<cudaStream_t>(stream),
               layout, x, offset, rows);
  });
}

template <class T>
int unload_points(const PointLayout& layout, const T* rows, const T* offset, T* out,
                  Stream stream) {
  return with_corners(layout, [&](dim3 grid, dim3 block) {
    MRF_LAUNCH(unload_kernel<T>, grid, block, kCornerBytes<T>, static_cast<cudaStream_t>(stream),
               layout, rows, offset, out);
  });
}

template <class T>
int normalise_points(const PointLayout& layout, const T* weights, T* rows, T* length,
                     Stream stream) {
  MRF_LAUNCH(normalise_kernel<T>, rows_grid(layout), dim3(kRowThreads), 0,
             static_cast<cudaStream_t>(stream), layout, weights, rows, length);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int through_norm(const PointLayout& layout, const T* rows, const T* length, T* gradient,
                 Stream stream) {
  MRF_LAUNCH(through_norm_kernel<T>, rows_grid(layout), dim3(kRowThreads), 0,
             static_cast<cudaStream_t>(stream), layout, rows, length, gradient);
  return static_cast<int>(cudaGetLastError());
}

#define MRF_INSTANTIATE(T)                                                           \
  template int point_means<T>(const PointLayout&, const T*, T*, Stream);             \
  template int load_points<T>(const PointLayout&, const T*, const T*, T*, Stream);   \
  template int unload_points<T>(const PointLayout&, const T*, const T*, T*, Stream); \
  template int normalise_points<T>(const PointLayout&, const T*, T*, T*, Stream);    \
  template int through_norm<T>(const PointLayout&, const T*, const T*, T*, Stream)
MRF_INSTANTIATE(float);
MRF_INSTANTIATE(double);
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda::kernels
