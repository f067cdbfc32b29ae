// SPDX-License-Identifier: Apache-2.0
// A loop of recurrent mean shift: the kernel matrix in tiles (point_tile.cuh), then every point for
// itself.
//
// Per pair of points 2 D fused multiply-adds (D more for each 64 dimensions beyond the first 64,
// whose blocks make the tile again; 3 D for squared differences) and some 20 operations for the
// exponential; the CPU, which uses the symmetry of K, has 1.5 D of these, but two blocks that add
// to one another's sums would need an order. At N = 4800, D = 64: 2.9e9 fused multiply-adds
// and 2.3e7 exponentials. Bytes of device memory: rows in, `splits` partial sums out and in, next
// rows out, (2 + 2 splits) 4 N D, 12 MB there: arithmetic is the limit.
#include "mean_shift_rows.cuh"
#include "point_tile.cuh"

namespace mrfcore::cuda::kernels {
namespace {

using namespace points;

template <class T>
struct StepParameters {
  PointLayout layout;
  MeanShiftStep<T> args;
};

template <class T, bool kEuclidean, int W>
__global__ void __launch_bounds__(Tile<T>::kThreads, Tile<T>::kResident)
    step_kernel(const __grid_constant__ StepParameters<T> p) {
  MRF_SHARED(T, shared);
  using Of = Tile<T>;
  const PointLayout& layout = p.layout;
  const auto place = Place<T>::template of<W>(layout);
  const Weights<T> weights(layout, place, p.args.kernel, *p.args.kappa);
  const T* own = p.args.from + place.own_rows * layout.stride;
  Sums<T, W> sums;
  T mass[Of::kColumns] = {};
  for (int64_t t = place.tile; t < place.end; ++t) {
    const T* others = p.args.from + place.tile_rows(layout, t) * layout.stride;
    Part<T> k;
    products<kEuclidean, T>(layout, others, own, shared, k);
    const int rows = Weights<T>::rows(layout, t);
#pragma unroll
    for (int i = 0; i < Of::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Of::kColumns; ++j) {
        k[i][j] = weights(exponent<kEuclidean>(k[i][j]), i < rows && j < weights.columns);
        mass[j] += k[i][j];
      }
    }
    __syncthreads();
    store_part<T>(k, shared);
    __syncthreads();
    sums.add(shared, others, layout, place.dim);
  }
  sums.store(layout, place, p.args.parts);
  if (!place.first_chunk) return;
  const T total = column_sum<T>(mass, shared);
  if (threadIdx.x < Of::kOwn)
    p.args.mass_parts[place.split * layout.batch * layout.blocks * kPointBlock + place.own_rows +
                      threadIdx.x] = total;
}

/// A warp per point: sums of K x -> next state.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    finish_kernel(const __grid_constant__ StepParameters<T> p, int splits) {
  const PointLayout& layout = p.layout;
  const MeanShiftStep<T>& a = p.args;
  const int64_t points = layout.batch * layout.blocks * kPointBlock, point = row_of_warp();
  if (point >= points) return;
  const int64_t stride = layout.stride, at = point * stride;
  const T mass = sum_of_parts(a.mass_parts + point, points, splits);
  const T share = mass == T(0) ? T(0) : a.step_size / mass, keep = T(1) - a.step_size;
  T square = T(0);
  for (int64_t d = lane_index(); d < stride; d += kWarp) {
    const T sum = sum_of_parts(a.parts + at + d, points * stride, splits);
    const T y = fused(share, sum, keep * a.from[at + d]);
    a.to[at + d] = y;
    square = fused(y, y, square);
  }
  T length = T(1);
  bool moves = !(mass == T(0));  // NaN moves: it must not go unseen
  if (a.kernel == MeanShiftKernel::Sphere) {
    length = root(warp_sum(square));
    moves = moves && !(length <= kShortest<T>);
  }
  if (lane_index() == 0) {
    a.mass[point] = mass;
    a.length[point] = moves ? length : T(0);
  }
  const T scale = T(1) / length;
  for (int64_t d = lane_index(); d < stride; d += kWarp)
    a.to[at + d] = moves ? a.to[at + d] * scale : a.from[at + d];
}

}  // namespace

template <class T>
int mean_shift_step(const PointLayout& layout, const MeanShiftStep<T>& args, Stream stream) {
  const StepParameters<T> p{layout, args};
  const auto on = static_cast<cudaStream_t>(stream);
  const bool euclidean = args.kernel != MeanShiftKernel::Sphere;
  const int64_t splits = layout.splits();
  const int failed = with_dimensions(layout, splits, [&]<int W>(dim3 grid) {
    const auto kernel = euclidean ? step_kernel<T, true, W> : step_kernel<T, false, W>;
    MRF_LAUNCH(kernel, grid, dim3(Tile<T>::kThreads), Tile<T>::kShared * sizeof(T), on, p);
    return static_cast<int>(cudaGetLastError());
  });
  if (failed != 0) return failed;
  MRF_LAUNCH(finish_kernel<T>, rows_grid(layout), dim3(kRowThreads), 0, on, p,
             static_cast<int>(splits));
  return static_cast<int>(cudaGetLastError());
}

template int mean_shift_step<float>(const PointLayout&, const MeanShiftStep<float>&, Stream);
template int mean_shift_step<double>(const PointLayout&, const MeanShiftStep<double>&, Stream);

}  // namespace mrfcore::cuda::kernels
