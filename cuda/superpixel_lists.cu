// SPDX-License-Identifier: Apache-2.0
// Pixels sorted by superpixel, stable, once for all channels: sums have one order then, whatever
// runs first, without atomics on floats. A counting sort: an image is cut into chunks of
// neighbouring pixels, cells[s, chunk] counts the pixels of superpixel s in a chunk, and the sums
// of all cells before say where they go. Within a chunk a warp places 32 pixels after the other.
// Since a chunk has no fewer pixels than there are superpixels, cells are O(H W), never a matrix of
// superpixels by pixels. Counts are integers: their atomics have no order to depend on.
//
// Bytes a pixel: ids twice (16 for int64; three times where num is to be found), order 4, cells at
// most 12; nearly all of it in L2.
// Operations: a warp looks for equal ids among its 32 in as many rounds as there are different
// ones, 1 to 3 as a rule. Placing is a chain of chunk / 32 steps, each a load and a store in L1 and
// two shuffles: 8 steps for 255 superpixels in up to 2^18 pixels, 32 for 1000. Five launches.
#include <algorithm>

#include "numbering.cuh"
#include "superpixel_lists.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kScanThreads = 1024;
constexpr int kPlaceWarps = 2;  ///< few: chunks on all multiprocessors
constexpr int kRowBatch = 8;
constexpr int64_t kMostBlocks = 1 << 11;

unsigned blocks_for(int64_t size, int64_t each) {
  return static_cast<unsigned>(std::min((size + each - 1) / each, kMostBlocks));
}

/// Lanes that have the same number as this one.
__device__ __forceinline__ unsigned equal_lanes(int32_t number) {
  unsigned mine = 0, todo = kAllLanes;
  while (todo != 0) {
    const int32_t one = __shfl_sync(kAllLanes, number, __ffs(static_cast<int>(todo)) - 1);
    const unsigned same = __ballot_sync(kAllLanes, number == one);
    if (number == one) mine = same;
    todo &= ~same;
  }
  return mine;
}

/// The list of pixel p: a superpixel, num where its id is outside, -1 beyond the image.
__device__ __forceinline__ int32_t list_of(const SuperpixelLists& lists, const ImageLists& image,
                                           int64_t p) {
  if (p >= image.pixels) return -1;
  const int32_t s = superpixel_at(lists, image.item * lists.pixels + p, image.num);
  return s < 0 ? static_cast<int32_t>(image.num) : s;
}

__device__ __forceinline__ bool valid_at(const SuperpixelLists& lists, int64_t item, int64_t p) {
  return p < lists.pixels && (lists.valid == nullptr || lists.valid[item * lists.pixels + p] != 0);
}

__global__ void highest_kernel(const __grid_constant__ SuperpixelLists lists, int32_t* highest) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads, item = blockIdx.y;
  int32_t found = 0;
  for (int64_t p = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; p < lists.pixels;
       p += step) {
    found = max(found, superpixel_at(lists, item * lists.pixels + p, lists.num));
  }
  found = __reduce_max_sync(kAllLanes, found);
  if (lane_index() == 0) atomicMax(highest + item, found);
}

__global__ void count_kernel(const __grid_constant__ SuperpixelLists lists) {
  const ImageLists image(lists, blockIdx.y);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t p = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
       p - lane_index() < lists.pixels; p += step) {
    const int32_t s = list_of(lists, image, p);
    const unsigned equal = equal_lanes(s);
    const unsigned valid = __ballot_sync(kAllLanes, valid_at(lists, image.item, p));
    if (s >= 0 && __ffs(static_cast<int>(equal)) - 1 == lane_index()) {
      atomicAdd(image.cells + int64_t{s} * image.chunks + p / image.chunk, __popc(equal));
      if (image.counts != nullptr) atomicAdd(image.counts + s, __popc(equal & valid));
    }
  }
}

/// A warp per list: cells become sums of those before them in the list, begins[s] its length.
__global__ void rows_kernel(const __grid_constant__ SuperpixelLists lists) {
  const ImageLists image(lists, blockIdx.y);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t s = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; s <= image.num;
       s += step) {
    int32_t* row = image.cells + s * image.chunks;
    int32_t before = 0;
    for (int32_t i = lane_index(); i - lane_index() < image.chunks; i += kRowBatch * kWarp) {
      int32_t own[kRowBatch];  // all asked for at once
#pragma unroll
      for (int k = 0; k < kRowBatch; ++k) {
        own[k] = i + k * kWarp < image.chunks ? row[i + k * kWarp] : 0;
      }
#pragma unroll
      for (int k = 0; k < kRowBatch; ++k) {
        const int32_t sum = sum_up_to_lane(own[k]);
        if (i + k * kWarp < image.chunks) row[i + k * kWarp] = before + sum - own[k];
        before += __shfl_sync(kAllLanes, sum, kWarp - 1);
      }
    }
    if (lane_index() == 0) image.begins[s] = before;
  }
}

/// Sum over the threads of a block up to this one, and over all of them.
__device__ __forceinline__ int32_t sum_up_to_thread(int32_t x, int32_t* shared, int32_t* all) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int32_t sum = sum_up_to_lane(x);
  if (lane_index() == kWarp - 1) shared[warp] = sum;
  __syncthreads();
  if (warp == 0) shared[lane_index()] = sum_up_to_lane(shared[lane_index()]);
  __syncthreads();
  const int32_t before = warp == 0 ? 0 : shared[warp - 1];
  *all = shared[kScanThreads / kWarp - 1];
  __syncthreads();
  return before + sum;
}

/// A block per image: lengths become beginnings, lists become pieces.
__global__ void __launch_bounds__(kScanThreads)
    begins_kernel(const __grid_constant__ SuperpixelLists lists, Pieces which) {
  MRF_SHARED(int32_t, shared);
  const ImageLists image(lists, blockIdx.y);
  int32_t places = 0, pieces = 0;
  for (int64_t first = 0; first <= image.num; first += kScanThreads) {
    const int64_t s = first + threadIdx.x;
    const int32_t length = s <= image.num ? image.begins[s] : 0;
    auto own = static_cast<int32_t>((length + kPiecePixels - 1) / kPiecePixels);
    if (which == Pieces::Superpixels) own = s < image.num ? max(own, 1) : 0;
    int32_t all_places = 0, all_pieces = 0;
    const int32_t begin = places + sum_up_to_thread(length, shared, &all_places) - length;
    const int32_t piece = pieces + sum_up_to_thread(own, shared, &all_pieces) - own;
    if (s <= image.num) image.begins[s] = begin;
    for (int32_t i = 0; i < own; ++i) {
      image.pieces[piece + i] = {static_cast<int32_t>(s),
                                 begin + i * static_cast<int32_t>(kPiecePixels)};
    }
    places += all_places;
    pieces += all_pieces;
  }
  if (threadIdx.x != 0) return;
  image.begins[image.num + 1] = places;
  lists.piece_counts[image.item] = pieces;
}

/// A warp per chunk. Cells hand out places, each warp those of its own chunk. The next 32 pixels
/// are asked for before these are placed.
__global__ void place_kernel(const __grid_constant__ SuperpixelLists lists) {
  const ImageLists image(lists, blockIdx.y);
  const int64_t chunk = static_cast<int64_t>(blockIdx.x) * kPlaceWarps + threadIdx.x / kWarp;
  if (chunk >= image.chunks) return;
  const int lane = lane_index();
  const int64_t end = min((chunk + 1) * image.chunk, int64_t{image.pixels});
  int64_t p = chunk * image.chunk + lane;
  int32_t next = list_of(lists, image, p);
  bool next_valid = valid_at(lists, image.item, p);
  for (; p - lane < end; p += kWarp) {
    const int32_t s = next, pixel = static_cast<int32_t>(p), entry = next_valid ? pixel : ~pixel;
    next = list_of(lists, image, p + kWarp);
    next_valid = valid_at(lists, image.item, p + kWarp);
    const unsigned equal = equal_lanes(s);
    const int leader = __ffs(static_cast<int>(equal)) - 1;
    int32_t place = 0;
    if (s >= 0 && lane == leader) {
      int32_t* cell = image.cells + int64_t{s} * image.chunks + chunk;
      place = *cell;
      *cell = place + __popc(equal);
      place += image.begins[s];
    }
    place = __shfl_sync(kAllLanes, place, leader) + __popc(equal & ((1U << lane) - 1));
    if (s >= 0) image.order[place] = entry;
    __syncwarp();  // the next leader of a list may be another lane
  }
}

dim3 grid_for(int64_t size, int64_t each, int64_t items) {
  return {blocks_for(size, each), static_cast<unsigned>(items)};
}

}  // namespace

SuperpixelLists superpixel_lists(const SuperpixelMap& map, const kernels::SuperpixelScratch& at,
                                 const uint8_t* valid, bool find_num, void* scratch) {
  auto* bytes = static_cast<unsigned char*>(scratch);
  const auto array = [bytes](int64_t offset) { return reinterpret_cast<int32_t*>(bytes + offset); };
  return {.ids = map.ids,
          .wide = map.type == IdType::Int64,
          .valid = valid,
          .pixels = map.height * map.width,
          .num = map.num,
          .highest = find_num ? array(at.highest) : nullptr,
          .chunk = 0,
          .counts = valid == nullptr ? nullptr : array(at.counts),
          .cells = array(at.cells),
          .begins = array(at.begins),
          .pieces = reinterpret_cast<Piece*>(bytes + at.pieces),
          .piece_counts = array(at.piece_counts),
          .order = array(at.order),
          .most_cells = at.most_cells,
          .most_pieces = at.most_pieces,
          .slots = at.slots};
}

int count_pixels(const SuperpixelLists& lists, int64_t items, Stream stream) {
  MRF_LAUNCH(count_kernel, grid_for(lists.pixels, kThreads, items), dim3(kThreads), 0,
             static_cast<cudaStream_t>(stream), lists);
  return static_cast<int>(cudaGetLastError());
}

int build_lists(const SuperpixelLists& lists, int64_t items, const kernels::SuperpixelScratch& at,
                Pieces which, void* scratch, Stream stream) {
  const auto queue = static_cast<cudaStream_t>(stream);
  const dim3 threads(kThreads);
  if (const int code = clear(scratch, at.zeroed, stream); code != 0) return code;
  if (lists.highest != nullptr) {
    auto* highest = reinterpret_cast<int32_t*>(static_cast<unsigned char*>(scratch) + at.highest);
    MRF_LAUNCH(highest_kernel, grid_for(lists.pixels, 8 * kThreads, items), threads, 0, queue,
               lists, highest);
  }
  MRF_LAUNCH(count_kernel, grid_for(lists.pixels, kThreads, items), threads, 0, queue, lists);
  // Where num is not known, a small image has few.
  const int64_t rows =
      lists.highest == nullptr ? lists.num + 1 : std::max<int64_t>(lists.pixels, 512);
  MRF_LAUNCH(rows_kernel, grid_for(rows, kWarps, items), threads, 0, queue, lists);
  MRF_LAUNCH(begins_kernel, grid_for(1, 1, items), dim3(kScanThreads),
             sizeof(int32_t) * (kScanThreads / kWarp), queue, lists, which);
  const int64_t chunks = std::min((lists.pixels + kLeastChunk - 1) / kLeastChunk, kMostChunks);
  MRF_LAUNCH(place_kernel, grid_for(chunks, kPlaceWarps, items), dim3(kPlaceWarps * kWarp), 0,
             queue, lists);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace mrfcore::cuda
