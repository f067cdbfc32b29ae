// SPDX-License-Identifier: Apache-2.0
//
// SLIC's iterations. A block works on a part of one cell: nine centres in shared memory, a thread a
// pixel, and sums of those that chose the same centre: over a warp first, then in shared memory,
// then one addition a value and block to the centre's sums. All of it in whole numbers: additions
// by atomics have no order to depend on, and the result is the CPU's.
//
// An iteration reads 2 C and writes 4 bytes a pixel; 9 (2 C + 4) operations for distances, 2 to 3
// rounds of C + 3 warp sums. 481 x 321, C = 3: 1.5 MB, in L2, and 14 million operations: launches
// are most of it. Sums: 54 atomics a block at most.
#include <algorithm>

#include "device.cuh"
#include "slic_kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kPartPixels = 2048;  ///< of a cell, for one block
/// Of a pixel, in registers and shared memory: y, x, colours.
constexpr int kColours = 2, kMostValues = kColours + kSlicChannels;

using Sum = unsigned long long;  // what atomicAdd takes; two's complement

struct Assignment {
  SlicJob job;
  int32_t* centres;  ///< [items, cells, centre_size]
  Sum* sums;         ///< [items, cells, sum_size]: from the middle of the cell that they belong to
  int64_t parts;     ///< of a cell
};

__global__ void seed_kernel(const __grid_constant__ Assignment a) {
  const SlicPlan& plan = a.job.plan;
  const int64_t cell = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (cell >= plan.cells()) return;
  const int64_t item = blockIdx.y, at = item * plan.cells() + cell;
  slic_seed(plan, a.job.features + item * plan.channels * plan.y.count * plan.x.count,
            cell / plan.x.cells, cell % plan.x.cells, a.centres + at * plan.centre_size());
  for (int i = 0; i < plan.sum_size(); ++i) a.sums[at * plan.sum_size() + i] = 0;
}

/// What a block needs of its cell.
struct Shared {
  int32_t number[kSlicSlots];  ///< of the cell in a slot, -1: outside the grid
  int32_t count[kSlicSlots];
  int32_t centre[kSlicSlots][kMostValues];  ///< place from the middle of the block's cell
  int32_t sums[kSlicSlots][kMostValues];    ///< 2048 pixels of 2^13 at most
};

struct Cell {
  int64_t row, column, top, left, height, width;

  __device__ Cell(const SlicPlan& plan, int64_t cell)
      : row(cell / plan.x.cells),
        column(cell % plan.x.cells),
        top(plan.y.begin(row)),
        left(plan.x.begin(column)),
        height(plan.y.begin(row + 1) - top),
        width(plan.x.begin(column + 1) - left) {}
};

__device__ void load_centre(const Assignment& a, const Cell& cell, int slot, Shared& shared) {
  const SlicPlan& plan = a.job.plan;
  const int64_t row = cell.row + slot / 3 - 1, column = cell.column + slot % 3 - 1;
  const bool inside = row >= 0 && row < plan.y.cells && column >= 0 && column < plan.x.cells;
  const int64_t number = row * plan.x.cells + column;
  shared.number[slot] = inside ? static_cast<int32_t>(number) : -1;
  shared.count[slot] = 0;
  for (int i = 0; i < kMostValues; ++i) shared.centre[slot][i] = shared.sums[slot][i] = 0;
  if (!inside) return;
  const int32_t* from = a.centres + (blockIdx.y * plan.cells() + number) * plan.centre_size();
  int32_t* to = shared.centre[slot];
  to[0] = from[plan.channels] + plan.y.between(cell.row, row);
  to[1] = from[plan.channels + 1] + plan.x.between(cell.column, column);
  for (int c = 0; c < plan.channels; ++c) to[kColours + c] = from[c];
}

/// The first slot of the nearest centre.
template <int kValues>
__device__ __forceinline__ int nearest(const Shared& shared, const int32_t (&value)[kValues]) {
  int32_t best = INT32_MAX;
  int slot = 0;
  for (int s = 0; s < kSlicSlots; ++s) {
    int32_t distance = shared.number[s] < 0 ? kSlicNowhere : 0;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const int32_t d = value[i] - shared.centre[s][i];
      distance += d * d;
    }
    if (distance < best) slot = s;
    best = distance < best ? distance : best;
  }
  return slot;
}

/// Sums of the lanes of each slot; slot -1 has nothing.
template <int kValues>
__device__ __forceinline__ void add_warp(Shared& shared, int slot,
                                         const int32_t (&value)[kValues]) {
  unsigned todo = __ballot_sync(kAllLanes, slot >= 0);
  while (todo != 0) {
    const int one = __shfl_sync(kAllLanes, slot, __ffs(static_cast<int>(todo)) - 1);
    const bool mine = slot == one;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const int32_t sum = __reduce_add_sync(kAllLanes, mine ? value[i] : 0);
      if (lane_index() == 0) atomicAdd(&shared.sums[one][i], sum);
    }
    const unsigned same = __ballot_sync(kAllLanes, mine);
    if (lane_index() == 0) atomicAdd(&shared.count[one], static_cast<int32_t>(__popc(same)));
    todo &= ~same;
  }
}

/// Sum i of a slot, now from the middle of the slot's cell.
__device__ void add_to_centre(const Assignment& a, const Cell& cell, const Shared& shared, int slot,
                              int i) {
  const SlicPlan& plan = a.job.plan;
  const int64_t count = shared.count[slot];
  if (count == 0) return;
  int64_t sum = count;
  if (i < plan.channels) {
    sum = shared.sums[slot][kColours + i];
  } else if (i == plan.channels) {
    sum = shared.sums[slot][0] - count * plan.y.between(cell.row, cell.row + slot / 3 - 1);
  } else if (i == plan.channels + 1) {
    sum = shared.sums[slot][1] - count * plan.x.between(cell.column, cell.column + slot % 3 - 1);
  }
  const int64_t to = (blockIdx.y * plan.cells() + shared.number[slot]) * plan.sum_size() + i;
  atomicAdd(a.sums + to, static_cast<Sum>(sum));
}

/// kMost: no fewer than there are channels; those beyond are 0 for pixels and centres.
template <int kMost>
__global__ void __launch_bounds__(kThreads) assign_kernel(const __grid_constant__ Assignment a) {
  MRF_SHARED(Shared, memory);
  Shared& shared = *memory;
  const SlicPlan& plan = a.job.plan;
  const int thread = static_cast<int>(threadIdx.x);
  const Cell cell(plan, blockIdx.x / a.parts);
  if (thread < kSlicSlots) load_centre(a, cell, thread, shared);
  __syncthreads();
  const int64_t plane = plan.y.count * plan.x.count, end = cell.height * cell.width;
  const int16_t* features = a.job.features + blockIdx.y * plan.channels * plane;
  const int64_t begin = blockIdx.x % a.parts * kPartPixels;
  for (int64_t base = begin; base < begin + kPartPixels && base < end; base += kThreads) {
    const int64_t i = base + thread;
    int slot = -1;
    int32_t value[kColours + kMost] = {};
    if (i < end) {
      const int64_t y = cell.top + i / cell.width, x = cell.left + i % cell.width;
      const int64_t p = y * plan.x.count + x;
      value[0] = plan.y.place_in(y, cell.row);
      value[1] = plan.x.place_in(x, cell.column);
#pragma unroll
      for (int c = 0; c < kMost; ++c)
        if (c < plan.channels) value[kColours + c] = features[c * plane + p];
      slot = nearest(shared, value);
      a.job.ids[blockIdx.y * plane + p] = shared.number[slot];
    }
    add_warp(shared, slot, value);
  }
  __syncthreads();
  const int values = plan.sum_size();
  for (int i = thread; i < kSlicSlots * values; i += kThreads)
    add_to_centre(a, cell, shared, i / values, i % values);
}

void assign(const Assignment& a, dim3 blocks, cudaStream_t on) {
  if (a.job.plan.channels == 1) {
    MRF_LAUNCH(assign_kernel<1>, blocks, kThreads, sizeof(Shared), on, a);
  } else if (a.job.plan.channels <= 3) {
    MRF_LAUNCH(assign_kernel<3>, blocks, kThreads, sizeof(Shared), on, a);
  } else {
    MRF_LAUNCH(assign_kernel<kSlicChannels>, blocks, kThreads, sizeof(Shared), on, a);
  }
}

/// Centres become means; sums begin anew.
__global__ void update_kernel(const __grid_constant__ Assignment a) {
  const SlicPlan& plan = a.job.plan;
  const int64_t cell = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (cell >= plan.cells()) return;
  const int64_t at = blockIdx.y * plan.cells() + cell;
  Sum* sums = a.sums + at * plan.sum_size();
  const auto count = static_cast<int64_t>(sums[plan.centre_size()]);
  for (int i = 0; i < plan.sum_size(); ++i) {
    if (count > 0 && i < plan.centre_size())
      a.centres[at * plan.centre_size() + i] = slic_mean(static_cast<int64_t>(sums[i]), count);
    sums[i] = 0;
  }
}

/// Every pixel in its own cell: where there are no iterations.
__global__ void own_cell_kernel(const __grid_constant__ SlicJob job) {
  const SlicPlan& plan = job.plan;
  const int64_t plane = plan.y.count * plan.x.count;
  const int64_t p = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (p >= plane) return;
  const int64_t y = p / plan.x.count, x = p % plan.x.count;
  job.ids[blockIdx.y * plane + p] =
      static_cast<int32_t>(plan.y.cell_of(y) * plan.x.cells + plan.x.cell_of(x));
}

unsigned blocks_for(int64_t size) {
  return static_cast<unsigned>((size + kThreads - 1) / kThreads);
}

/// Blocks that the largest cell takes.
int64_t parts_of(const SlicPlan& plan) {
  const auto side = [](const SlicAxis& axis) { return (axis.count + axis.cells - 1) / axis.cells; };
  return (side(plan.y) * side(plan.x) + kPartPixels - 1) / kPartPixels;
}

}  // namespace

int slic(const SlicJob& job, void* scratch, Stream stream) {
  const SlicScratch at(job.plan, job.items, job.connected);
  auto* const on = static_cast<cudaStream_t>(stream);
  auto* const memory = static_cast<unsigned char*>(scratch);
  const SlicPlan& plan = job.plan;
  const Assignment a{job, reinterpret_cast<int32_t*>(memory + at.centres),
                     reinterpret_cast<Sum*>(memory + at.sums), parts_of(plan)};
  const auto items = static_cast<unsigned>(job.items);
  const dim3 cells(blocks_for(plan.cells()), items);
  const dim3 blocks(static_cast<unsigned>(plan.cells() * a.parts), items);
  if (job.iterations == 0) {
    const dim3 pixels(blocks_for(plan.y.count * plan.x.count), items);
    MRF_LAUNCH(own_cell_kernel, pixels, kThreads, 0, on, job);
  } else {
    MRF_LAUNCH(seed_kernel, cells, kThreads, 0, on, a);
  }
  for (int i = 0; i < job.iterations; ++i) {
    assign(a, blocks, on);
    if (i + 1 < job.iterations) MRF_LAUNCH(update_kernel, cells, kThreads, 0, on, a);
  }
  const int code = slic_numbers(job, at, scratch, stream);
  return code != cudaSuccess ? code : cudaGetLastError();
}

}  // namespace mrfcore::cuda::kernels
