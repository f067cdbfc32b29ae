// SPDX-License-Identifier: Apache-2.0
// Are edge weights numbers in [0, 1e12), is a table finite? A warp per row of a pair, lanes along
// it; entries of edges that leave the image are not looked at. Reads each weight once; the flag is
// written only where something is wrong.
#include "core/directions.hpp"
#include "kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarps = 8;

template <class T>
struct CheckParameters {
  const T* per_edge;
  cpu::GridShape shape;
  Batch batch;
  core::Direction pairs[core::kMaxDirections / 2];
  int32_t* bad;
};

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    check_weights_kernel(const __grid_constant__ CheckParameters<T> p) {
  const int64_t height = p.shape.height, width = p.shape.width;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (row >= p.shape.connectivity / 2 * height) return;
  const core::Direction d = p.pairs[row / height];
  if (row % height + d.dy >= height) return;
  const T* w = p.per_edge + blockIdx.y * p.batch.edge_weights + row * width;
  const int64_t begin = d.dx < 0 ? -d.dx : 0, end = d.dx > 0 ? width - d.dx : width;
  bool good = true;
  for (int64_t x = begin + lane_index(); x < end; x += kWarp)
    good = good && w[x] >= T(0) && w[x] < T(1e12);  // NaN fails both
  if (good) return;
  if (p.batch.edge_weights != 0) {
    atomicOr(p.bad + blockIdx.y, kBadWeight);
  } else {
    for (int64_t item = 0; item < p.batch.count; ++item) atomicOr(p.bad + item, kBadWeight);
  }
}

/// NaN fails the comparison, too.
template <class T>
__global__ void check_table_kernel(const T* table, int64_t size, int64_t items, int32_t* bad) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= size || (table[i] < T(1e12) && table[i] > T(-1e12))) return;
  for (int64_t item = 0; item < items; ++item) atomicOr(bad + item, kBadTable);
}

}  // namespace

template <class T>
int check_table(const T* table, int64_t size, int64_t items, int32_t* bad, Stream stream) {
  constexpr int64_t kThreads = 256;
  MRF_LAUNCH(check_table_kernel<T>, dim3(static_cast<unsigned>((size + kThreads - 1) / kThreads)),
             dim3(kThreads), 0, static_cast<cudaStream_t>(stream), table, size, items, bad);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int check_weights(const T* per_edge, const cpu::GridShape& shape, const Batch& batch, int32_t* bad,
                  Stream stream) {
  CheckParameters<T> p{per_edge, shape, batch, {}, bad};
  const int pairs = shape.connectivity / 2;
  for (int pair = 0; pair < pairs; ++pair) p.pairs[pair] = core::direction(2 * pair);
  const int64_t blocks = (pairs * shape.height + kWarps - 1) / kWarps;
  const dim3 grid(static_cast<unsigned>(blocks),
                  static_cast<unsigned>(batch.edge_weights == 0 ? 1 : batch.count));
  MRF_LAUNCH(check_weights_kernel<T>, grid, dim3(kWarps * kWarp), 0,
             static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

template int check_weights<float>(const float*, const cpu::GridShape&, const Batch&, int32_t*,
                                  Stream);
template int check_weights<double>(const double*, const cpu::GridShape&, const Batch&, int32_t*,
                                   Stream);

template int check_table<float>(const float*, int64_t, int64_t, int32_t*, Stream);
template int check_table<double>(const double*, int64_t, int64_t, int32_t*, Stream);

}  // namespace mrfcore::cuda
