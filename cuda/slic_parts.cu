// SPDX-License-Identifier: Apache-2.0
//
// From cells to superpixels, cpp/ops/slic_parts.cpp to the pixel. Parts by union-find with integer
// minima: a part's root is its first pixel, whatever runs first. Small parts ask all their
// neighbours by a minimum of (distance, root), then follow each other to one that stays; that chain
// only goes to earlier roots, so it ends. A cell's largest part stays, if the cell is large enough.
//
// Bytes a pixel, C = 3: about 200, most of it in L2 and by atomics that a warp has added up before;
// 11 launches. Rows are linked 32 pixels at a time: in a part W wide nobody walks more than W / 32.
#include "device.cuh"
#include "numbering.cuh"
#include "slic_kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int32_t kNever = INT32_MAX;

using Wide = unsigned long long;

/// Of all images; at() moves to one.
struct Parts {
  SlicPlan plan;
  int64_t pixels, min_size;
  const int16_t* features;
  int32_t* ids;
  int32_t *roots, *sizes, *first, *numbers;
  Wide *means, *nearest;

  __device__ Parts at(int64_t item) const {
    Parts p = *this;
    p.features += item * plan.channels * pixels;
    p.ids += item * pixels;
    p.roots += item * pixels;
    p.sizes += item * pixels;
    p.first += item * pixels;
    p.numbers += item * pixels;
    p.means += item * plan.channels * pixels;
    p.nearest += item * pixels;
    return p;
  }
  __device__ bool stays(int32_t root) const { return root == 0 || sizes[root] >= min_size; }
};

__device__ __forceinline__ int64_t pixel_of_thread() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

/// Pixels are linked along rows: to the first of their run among the warp's 32, or to the pixel
/// before those. Long runs are not to be walked pixel by pixel.
__device__ __forceinline__ int32_t first_link(const Parts& p, int64_t i) {
  const bool joined = i < p.pixels && i % p.plan.x.count > 0 && p.ids[i] == p.ids[i - 1];
  const int lane = lane_index();
  const unsigned firsts = __ballot_sync(kAllLanes, !joined) & (kAllLanes >> (31 - lane));
  const int back = firsts == 0 ? lane + 1 : lane - 31 + __clz(static_cast<int>(firsts));
  return static_cast<int32_t>(i - back);
}

__global__ void begin_kernel(const __grid_constant__ Parts all) {
  const Parts p = all.at(blockIdx.y);
  const int64_t i = pixel_of_thread();
  const int32_t link = first_link(p, i);
  if (i >= p.pixels) return;
  p.roots[i] = link;
  p.sizes[i] = 0;
  p.first[i] = 0;
  p.nearest[i] = 0;
  for (int c = 0; c < p.plan.channels; ++c) p.means[c * p.pixels + i] = 0;
}

/// Others may shorten the way meanwhile; every link goes to an earlier pixel of the same part.
__device__ __forceinline__ int32_t root_of(const int32_t* roots, int32_t i) {
  const volatile int32_t* links = roots;
  for (int32_t up = links[i]; up != i; up = links[i]) i = up;
  return i;
}

__global__ void unite_kernel(const __grid_constant__ Parts all) {
  const Parts p = all.at(blockIdx.y);
  const int64_t i = pixel_of_thread(), width = p.plan.x.count;
  if (i >= p.pixels || i < width || p.ids[i] != p.ids[i - width]) return;
  // Runs that touch further left have been united there.
  if (i % width > 0 && p.ids[i - 1] == p.ids[i] && p.ids[i - width - 1] == p.ids[i]) return;
  auto a = static_cast<int32_t>(i), b = static_cast<int32_t>(i - width);
  for (;;) {
    a = root_of(p.roots, a);
    b = root_of(p.roots, b);
    if (a == b) return;
    const int32_t later = a > b ? a : b, earlier = a > b ? b : a;
    const int32_t before = atomicMin(p.roots + later, earlier);
    if (before == later) return;  // it was a root: now it is linked
    a = before;
    b = earlier;
  }
}

/// Roots; sizes and sums of features at them, the lanes of one root added up first.
__global__ void measure_kernel(const __grid_constant__ Parts all) {
  const Parts p = all.at(blockIdx.y);
  const int64_t i = pixel_of_thread();
  const bool inside = i < p.pixels;
  const int32_t root = inside ? root_of(p.roots, static_cast<int32_t>(i)) : -1;
  unsigned todo = __ballot_sync(kAllLanes, inside);
  while (todo != 0) {
    const int32_t one = __shfl_sync(kAllLanes, root, __ffs(static_cast<int>(todo)) - 1);
    const bool mine = root == one;
    const unsigned same = __ballot_sync(kAllLanes, mine);
    if (lane_index() == 0) atomicAdd(p.sizes + one, static_cast<int32_t>(__popc(same)));
    for (int c = 0; c < p.plan.channels; ++c) {
      const int32_t value = mine ? p.features[c * p.pixels + i] : 0;
      const int32_t sum = __reduce_add_sync(kAllLanes, value);
      if (lane_index() == 0)
        atomicAdd(p.means + c * p.pixels + one, static_cast<Wide>(static_cast<int64_t>(sum)));
    }
    todo &= ~same;
  }
  if (!inside) return;
  if (root == i) p.numbers[i] = p.ids[i];
  p.ids[i] = root;  // links stay as they are: others still follow them
}

/// Means of parts; of every cell its pixels, at `first`, and its largest part, at `nearest`.
__global__ void mean_kernel(const __grid_constant__ Parts all) {
  const Parts p = all.at(blockIdx.y);
  const int64_t i = pixel_of_thread();
  if (i >= p.pixels || p.sizes[i] == 0) return;
  for (int c = 0; c < p.plan.channels; ++c) {
    Wide& mean = p.means[c * p.pixels + i];
    mean = static_cast<Wide>(int64_t{slic_mean(static_cast<int64_t>(mean), p.sizes[i])});
  }
  const int32_t cell = p.numbers[i];
  atomicAdd(p.first + cell, p.sizes[i]);
  const auto before_others = static_cast<Wide>(kNever - i);
  atomicMax(p.nearest + cell, static_cast<Wide>(p.sizes[i]) << 32 | before_others);
}

/// The largest part of a cell of min_size pixels counts as large, the first of equals; first and
/// nearest get their own meanings back.
__global__ void keep_kernel(const __grid_constant__ Parts all) {
  const Parts p = all.at(blockIdx.y);
  const int64_t i = pixel_of_thread();
  if (i >= p.pixels) return;
  if (p.nearest[i] != 0 && p.first[i] >= p.min_size) {
    int32_t& size = p.sizes[kNever - static_cast<int32_t>(p.nearest[i] & 0xffffffffU)];
    size = size < p.min_size ? static_cast<int32_t>(p.min_size) : size;
  }
  p.first[i] = kNever;
  p.nearest[i] = ~Wide{0};
}

/// `from` may join `to` if that is large, or before it. Distances stay below 2^31.
__device__ void offer(const Parts& p, int32_t from, int32_t to) {
  if (p.stays(from) || (to > from && !p.stays(to))) return;
  Wide distance = 0;
  for (int c = 0; c < p.plan.channels; ++c) {
    const Wide* means = p.means + c * p.pixels;
    const auto d = static_cast<int64_t>(means[from] - means[to]);
    distance += static_cast<Wide>(d * d);
  }
  atomicMin(p.nearest + from, distance << 32 | static_cast<Wide>(to));
}

__global__ void offer_kernel(const __grid_constant__ Parts all) {
  const Parts p = all.at(blockIdx.y);
  const int64_t i = pixel_of_thread(), width = p.plan.x.count;
  if (i >= p.pixels) return;
  const int32_t own = p.ids[i];
  const auto meet = [&](int64_t other) {
    const int32_t root = p.ids[other];
    if (root == own) return;
    offer(p, own, root);
    offer(p, root, own);
  };
  if (i % width > 0) meet(i - 1);
  if (i >= width) meet(i - width);
}

/// Roots go to where they stay, and say which pixel of theirs is the first.
__global__ void join_kernel(const __grid_constant__ Parts all) {
  const Parts p = all.at(blockIdx.y);
  const int64_t i = pixel_of_thread();
  if (i >= p.pixels || p.ids[i] != i) return;
  auto to = static_cast<int32_t>(i);
  while (!p.stays(to)) to = static_cast<int32_t>(p.nearest[to] & 0xffffffffU);
  p.roots[i] = to;
  atomicMin(p.first + to, static_cast<int32_t>(i));
}

/// First pixels of superpixels, in the memory of sizes.
__global__ void mark_first_kernel(const __grid_constant__ Parts all) {
  const Parts p = all.at(blockIdx.y);
  const int64_t i = pixel_of_thread();
  if (i < p.pixels && p.first[i] != kNever) p.sizes[p.first[i]] = 1;
}

__global__ void write_parts_kernel(const __grid_constant__ Parts all) {
  const Parts p = all.at(blockIdx.y);
  const int64_t i = pixel_of_thread();
  if (i < p.pixels) p.ids[i] = p.numbers[p.first[p.roots[p.ids[i]]]];
}

__global__ void clear_kernel(int32_t* to, int64_t count) {
  const int64_t i = pixel_of_thread();
  if (i < count) to[i] = 0;
}

__global__ void mark_cells_kernel(const int32_t* ids, int64_t pixels, int64_t cells,
                                  int32_t* marks) {
  const int64_t i = pixel_of_thread();
  if (i < pixels) marks[blockIdx.y * cells + ids[blockIdx.y * pixels + i]] = 1;
}

__global__ void write_cells_kernel(int32_t* ids, int64_t pixels, int64_t cells,
                                   const int32_t* numbers) {
  const int64_t i = pixel_of_thread();
  if (i >= pixels) return;
  int32_t& id = ids[blockIdx.y * pixels + i];
  id = numbers[blockIdx.y * cells + id];
}

unsigned blocks_for(int64_t size) {
  return static_cast<unsigned>((size + kThreads - 1) / kThreads);
}

void connect(const SlicJob& job, const Parts& parts, cudaStream_t on) {
  const auto items = static_cast<unsigned>(job.items);
  const dim3 grid(blocks_for(parts.pixels), items);
  MRF_LAUNCH(begin_kernel, grid, kThreads, 0, on, parts);
  MRF_LAUNCH(unite_kernel, grid, kThreads, 0, on, parts);
  MRF_LAUNCH(measure_kernel, grid, kThreads, 0, on, parts);
  MRF_LAUNCH(mean_kernel, grid, kThreads, 0, on, parts);
  MRF_LAUNCH(keep_kernel, grid, kThreads, 0, on, parts);
  MRF_LAUNCH(offer_kernel, grid, kThreads, 0, on, parts);
  MRF_LAUNCH(join_kernel, grid, kThreads, 0, on, parts);
  const int64_t all = job.items * parts.pixels;
  MRF_LAUNCH(clear_kernel, blocks_for(all), kThreads, 0, on, parts.sizes, all);
  MRF_LAUNCH(mark_first_kernel, grid, kThreads, 0, on, parts);
  number_marks({parts.sizes, parts.numbers, parts.pixels, job.counts}, job.items, on);
  MRF_LAUNCH(write_parts_kernel, grid, kThreads, 0, on, parts);
}

void compact(const SlicJob& job, const Parts& parts, cudaStream_t on) {
  const auto items = static_cast<unsigned>(job.items);
  const dim3 grid(blocks_for(parts.pixels), items);
  const int64_t cells = job.plan.cells(), all = job.items * cells;
  MRF_LAUNCH(clear_kernel, blocks_for(all), kThreads, 0, on, parts.first, all);
  MRF_LAUNCH(mark_cells_kernel, grid, kThreads, 0, on, job.ids, parts.pixels, cells, parts.first);
  number_marks({parts.first, parts.numbers, cells, job.counts}, job.items, on);
  MRF_LAUNCH(write_cells_kernel, grid, kThreads, 0, on, job.ids, parts.pixels, cells,
             parts.numbers);
}

}  // namespace

int slic_numbers(const SlicJob& job, const SlicScratch& at, void* scratch, Stream stream) {
  auto* const memory = static_cast<unsigned char*>(scratch);
  const auto ints = [memory](int64_t offset) {
    return reinterpret_cast<int32_t*>(memory + offset);
  };
  const auto wides = [memory](int64_t offset) { return reinterpret_cast<Wide*>(memory + offset); };
  const Parts parts{job.plan,         job.plan.y.count * job.plan.x.count,
                    job.min_size,     job.features,
                    job.ids,          ints(at.roots),
                    ints(at.sizes),   ints(at.first),
                    ints(at.numbers), wides(at.means),
                    wides(at.nearest)};
  auto* const on = static_cast<cudaStream_t>(stream);
  if (job.connected) {
    connect(job, parts, on);
  } else {
    compact(job, parts, on);
  }
  return cudaGetLastError();
}

}  // namespace mrfcore::cuda::kernels
