// SPDX-License-Identifier: Apache-2.0
// The pairwise margin loss over all ordered pairs, and its gradient in the same pass: tiles of
// d loss / d (x_i . x_j) as in point_tile.cuh. Points are taken as they come, equal and different
// labels side by side: sorting them by group, as the CPU does to skip tiles, would cost a sort and
// save little while groups are mixed.
//
// Per pair of points 2 D fused multiply-adds with the gradient, D without. At N = 4800, D = 64:
// 2.9e9, and 12 MB of device memory: arithmetic is the limit. Costs of a tile are added up by
// thread, tiles in double.
#include "mean_shift_rows.cuh"
#include "point_tile.cuh"

namespace mrfcore::cuda::kernels {
namespace {

using namespace points;

template <class T>
struct MarginParameters {
  PointLayout layout;
  PairwiseMargin<T> args;
};

/// What a point brings to its pairs.
template <class T>
struct Member {
  int64_t label;
  T weight;  ///< 0 beyond the last point, NaN where it cannot be one

  static __device__ __forceinline__ Member of(const PointLayout& layout, const PairwiseMargin<T>& a,
                                              int64_t item, int64_t point) {
    if (point >= layout.points) return {0, T(0)};
    const T weight = __ldg(a.weights + item * layout.points + point);
    return {__ldg(a.labels + item * layout.points + point),
            nan_unless(weight >= T(0) && weight - weight == T(0), weight)};
  }
};

/// dots: x_i . x_j -> d loss / d (x_i . x_j) of both orders; the sum of the part's costs.
template <class T>
__device__ __forceinline__ T slopes(const PointLayout& layout, const PairwiseMargin<T>& a,
                                    const Place<T>& place, int64_t t,
                                    const Member<T> (&own)[Tile<T>::kColumns], Part<T>& dots) {
  using Of = Tile<T>;
  const int64_t first = t * Of::kOthers + Place<T>::row();
  const int64_t apart = first - place.first - Place<T>::column();
  T total = T(0);
#pragma unroll
  for (int i = 0; i < Of::kRows; ++i) {
    const auto other = Member<T>::of(layout, a, place.item, first + i);
#pragma unroll
    for (int j = 0; j < Of::kColumns; ++j) {
      const T s = fused(T(0.5), dots[i][j], T(0.5)), over = s - a.alpha;
      const T pair = apart + i == j ? T(0) : own[j].weight * other.weight;
      const bool equal = own[j].label == other.label;
      const T slope = equal ? -pair : (over <= T(0) ? T(0) : a.neg_weight * pair);
      total = fused(equal ? s - T(1) : over, slope, total);
      dots[i][j] = slope;
    }
  }
  return total;
}

template <class T, int W>
__global__ void __launch_bounds__(Tile<T>::kThreads, Tile<T>::kResident)
    margin_kernel(const __grid_constant__ MarginParameters<T> p) {
  MRF_SHARED(T, shared);
  const PointLayout& layout = p.layout;
  const PairwiseMargin<T>& a = p.args;
  const auto place = Place<T>::template of<W>(layout);
  const T* own = a.rows + place.own_rows * layout.stride;
  Sums<T, W> sums;
  Member<T> members[Tile<T>::kColumns];
#pragma unroll
  for (int j = 0; j < Tile<T>::kColumns; ++j)
    members[j] = Member<T>::of(layout, a, place.item, place.first + Place<T>::column() + j);
  double loss = 0.0;
  for (int64_t t = place.tile; t < place.end; ++t) {
    const T* others = a.rows + place.tile_rows(layout, t) * layout.stride;
    Part<T> slope;
    products<false, T>(layout, others, own, shared, slope);
    loss += static_cast<double>(slopes(layout, a, place, t, members, slope));
    if (a.gradient == nullptr) continue;
    __syncthreads();
    store_part<T>(slope, shared);
    __syncthreads();
    sums.add(shared, others, layout, place.dim);
  }
  if (a.gradient != nullptr) sums.store(layout, place, a.parts);
  if (!place.first_chunk) return;
  loss = block_sum<T>(loss, shared);
  if (threadIdx.x == 0) a.loss[static_cast<int64_t>(blockIdx.x) * gridDim.y + blockIdx.y] = loss;
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    add_parts_kernel(const T* parts, int64_t size, int splits, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kRowThreads + threadIdx.x;
  if (i < size) to[i] = sum_of_parts(parts + i, size, splits);
}

}  // namespace

template <class T>
int pairwise_margin(const PointLayout& layout, const PairwiseMargin<T>& args, Stream stream) {
  const MarginParameters<T> p{layout, args};
  const auto on = static_cast<cudaStream_t>(stream);
  const int64_t splits = layout.splits(), size = layout.rows_size();
  const int failed = with_dimensions(layout, splits, [&]<int W>(dim3 grid) {
    if (args.gradient == nullptr) grid.z = 1;  // nothing but the loss
    MRF_LAUNCH((margin_kernel<T, W>), grid, dim3(Tile<T>::kThreads), Tile<T>::kShared * sizeof(T),
               on, p);
    return static_cast<int>(cudaGetLastError());
  });
  if (failed != 0 || args.gradient == nullptr) return failed;
  const int64_t blocks = (size + kRowThreads - 1) / kRowThreads;
  if (blocks >= int64_t{1} << 31) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(add_parts_kernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(kRowThreads), 0, on,
             args.parts, size, static_cast<int>(splits), args.gradient);
  return static_cast<int>(cudaGetLastError());
}

template int pairwise_margin<float>(const PointLayout&, const PairwiseMargin<float>&, Stream);
template int pairwise_margin<double>(const PointLayout&, const PairwiseMargin<double>&, Stream);

}  // namespace mrfcore::cuda::kernels
