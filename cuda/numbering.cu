// SPDX-License-Identifier: Apache-2.0
// Numbers for what is marked: a block per item goes through its marks, 2^14 at a time. A warp has
// 512 of them, asked for at once, and keeps them as bits: one round of barriers for the block, no
// sums by shuffles but for the 32 warps'. Bytes a mark: 8. 4096 x 4096 marks are 1024 rounds.
#include "numbering.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 1024, kWarps = kThreads / kWarp;
constexpr int kLines = 16;  ///< of 32 marks that a warp has at a time

__global__ void __launch_bounds__(kThreads) number_kernel(const __grid_constant__ Numbering n) {
  MRF_SHARED(int32_t, warps);  // sums of the warps up to each
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = lane_index();
  const int32_t* marks = n.marks + blockIdx.y * n.count;
  int32_t* numbers = n.numbers + blockIdx.y * n.count;
  int32_t before = 0;
  for (int64_t base = 0; base < n.count; base += kThreads * kLines) {
    const int64_t first = base + warp * kWarp * kLines + lane;
    int32_t mark[kLines];
#pragma unroll
    for (int k = 0; k < kLines; ++k)
      mark[k] = first + k * kWarp < n.count ? marks[first + k * kWarp] : 0;
    unsigned line[kLines];
    int32_t own = 0;
#pragma unroll
    for (int k = 0; k < kLines; ++k) {
      line[k] = __ballot_sync(kAllLanes, mark[k] != 0);
      own += __popc(line[k]);
    }
    if (lane == 0) warps[warp] = own;
    __syncthreads();
    if (warp == 0) warps[lane] = sum_up_to_lane(warps[lane]);
    __syncthreads();
    int32_t number = before + warps[warp] - own;
#pragma unroll
    for (int k = 0; k < kLines; ++k) {
      if (first + k * kWarp < n.count)
        numbers[first + k * kWarp] = number + __popc(line[k] & ((1U << lane) - 1));
      number += __popc(line[k]);
    }
    before += warps[kWarps - 1];
    __syncthreads();  // sums have been read
  }
  if (threadIdx.x == 0) n.counts[blockIdx.y] = before;
}

}  // namespace

void number_marks(const Numbering& numbering, int64_t items, cudaStream_t stream) {
  static_assert(kWarps == kWarp, "a lane for each warp");
  MRF_LAUNCH(number_kernel, dim3(1, static_cast<unsigned>(items)), dim3(kThreads),
             kWarps * sizeof(int32_t), stream, numbering);
}

}  // namespace mrfcore::cuda
