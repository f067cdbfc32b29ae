// SPDX-License-Identifier: Apache-2.0
// One raster pass of TRW-S: cpp/cpu/trws.cpp, expression by expression. A block walks along an
// image row, one warp for each pair of directions; rows follow one another as a wavefront, each a
// few pixels behind the row before it, which keeps the sequential result to the bit.
//
// Per label and node, 1 + D values are read and D / 2 written (28 bytes in float with 4
// directions), with 2 D + D / 2 operations besides D / 2 min-convolutions. What limits a pass is
// the chain of W + lead * H dependent nodes, so that everything else is taken out of it: the
// message along the row stays in shared memory, the other messages of the next node are fetched
// while the present one is convolved, and two further warps do nothing but tell how far the row is
// and look how far the row before it is.
#include <limits>

#include "core/scanline.hpp"
#include "scanlines.cuh"
#include "trws_row.cuh"

namespace mrfcore::cuda {
namespace {

template <class T, int NK, int D>
__global__ void __launch_bounds__(TrwsRow<T, NK, D>::kThreads, 1)
    trws_kernel(const __grid_constant__ TrwsParameters<T> p) {
  using Row = TrwsRow<T, NK, D>;
  MRF_SHARED(double, shared);
  const TrwsBoard<T> board(shared, NK * kWarp, D / 2);
  if (threadIdx.x == 0) *board.ticket = atomicAdd(p.progress + p.shape.height, 1);
  __syncthreads();
  const RowTicket ticket(*board.ticket, p.batch.count);
  Row row(p, board, ticket);
  row.start();
  __syncthreads();
  row.read_first();
  for (int x = 0; x < p.shape.width; ++x) {
    row.add_up(x);
    __syncthreads();  // sums are complete
    row.send(x);
    __syncthreads();  // messages are written, the row before is far enough
    row.read_late(x);
  }
  row.finish();
}

template <class T, int NK, int D>
int launch(const TrwsParameters<T>& p, cudaStream_t stream) {
  const auto kernel = trws_kernel<T, NK, D>;
  const auto blocks = static_cast<unsigned>(p.shape.height * p.batch.count);
  MRF_LAUNCH(kernel, dim3(blocks), dim3(TrwsRow<T, NK, D>::kThreads),
             TrwsBoard<T>::bytes(NK * kWarp, D / 2), stream, p);
  return static_cast<int>(cudaGetLastError());
}

template <class T, int NK>
int launch_connectivity(const TrwsParameters<T>& p, cudaStream_t stream) {
  switch (p.shape.connectivity) {
    case 4:
      return launch<T, NK, 4>(p, stream);
    case 8:
      return launch<T, NK, 8>(p, stream);
    default:
      return launch<T, NK, 16>(p, stream);
  }
}

}  // namespace

template <class T>
int trws_pass(const cpu::TrwsArgs<T>& args, const Batch& batch, int32_t* progress, Stream stream) {
  const cpu::GridShape& shape = args.shape;
  if (!has_hard_kernel(args.plan->kind)) return static_cast<int>(cudaErrorInvalidValue);
  const int64_t rows = shape.height * batch.count, most = std::numeric_limits<int32_t>::max() - 16;
  if (rows > most || shape.width > most) return static_cast<int>(cudaErrorInvalidValue);
  TrwsParameters<T> p{};
  p.shape = shape;
  p.batch = batch;
  p.plan = *args.plan;
  p.backward = args.backward;
  p.lead = shape.connectivity == 4 ? 1 : (shape.connectivity == 8 ? 2 : 3);
  p.gamma =
      T(1) / static_cast<T>(core::pairs_inside(shape.connectivity, shape.height, shape.width));
  p.weights = args.weights;
  p.unary = args.unary;
  for (int r = 0; r < shape.connectivity; ++r) {
    p.messages[r] = static_cast<T*>(args.messages[r]);
    p.directions[r] = core::direction(r);
  }
  p.row_bound = args.row_bound;
  p.progress = progress;
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  const auto words = static_cast<size_t>((shape.height + 1) * batch.count);
  const cudaError_t error = cudaMemsetAsync(progress, 0, words * sizeof(int32_t), cuda_stream);
  if (error != cudaSuccess) return forgotten(error);
  if (shape.labels > kMostLabels<T>) return wide_trws_pass(p, stream);
  return with_labels_per_lane<T>(
      shape.labels, [&]<int NK>() { return launch_connectivity<T, NK>(p, cuda_stream); });
}

template int trws_pass<float>(const cpu::TrwsArgs<float>&, const Batch&, int32_t*, Stream);
template int trws_pass<double>(const cpu::TrwsArgs<double>&, const Batch&, int32_t*, Stream);

}  // namespace mrfcore::cuda
