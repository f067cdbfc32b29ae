// SPDX-License-Identifier: Apache-2.0
// Memory set, copied and filled. What comes from the host travels as kernel parameters: 4 KiB a
// launch, the most that every architecture and driver takes. A table of 256 x 256 floats is 66
// launches, once per solve.
#include <algorithm>

#include "device.cuh"
#include "kernels.hpp"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 12;
constexpr int64_t kChunkBytes = 4032;  // leaves room for the other parameters

template <class T>
struct Chunk {
  T at[kChunkBytes / sizeof(T)];
};

template <class T>
__global__ void write_kernel(const __grid_constant__ Chunk<T> chunk, int count, T* to) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) to[i] = chunk.at[i];
}

template <class T>
__global__ void fill_kernel(const T* value, int64_t size, T* to) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  const T all = *value;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size; i += step)
    to[i] = all;
}

/// A block per row m at a time.
template <class T>
__global__ void fill_tables_kernel(const T* differences, const T* values, int labels, T factor,
                                   T* table, T* transposed) {
  for (int64_t m = blockIdx.x; m < labels; m += gridDim.x) {
    for (int64_t l = threadIdx.x; l < labels; l += kThreads) {
      const int64_t at = m * labels + l, mirrored = l * labels + m;
      const T v = differences == nullptr ? values[at] : differences[m < l ? l - m : m - l];
      table[at] = factor * v;
      if (transposed == nullptr) continue;
      transposed[at] = factor * (differences == nullptr ? values[mirrored] : v);
    }
  }
}

}  // namespace

int clear(void* to, int64_t bytes, Stream stream) {
  if (bytes == 0) return 0;
  return forgotten(
      cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), static_cast<cudaStream_t>(stream)));
}

int copy(void* to, const void* from, int64_t bytes, Stream stream) {
  if (bytes == 0) return 0;
  return forgotten(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice,
                                   static_cast<cudaStream_t>(stream)));
}

template <class T>
int write_values(const T* host, int64_t count, T* to, Stream stream) {
  constexpr int64_t kMost = kChunkBytes / static_cast<int64_t>(sizeof(T));
  for (int64_t begin = 0; begin < count; begin += kMost) {
    Chunk<T> chunk;
    const int64_t size = std::min(count - begin, kMost);
    for (int64_t i = 0; i < kMost; ++i) chunk.at[i] = i < size ? host[begin + i] : T(0);
    MRF_LAUNCH(write_kernel<T>, dim3(1), dim3(kThreads), 0, static_cast<cudaStream_t>(stream),
               chunk, static_cast<int>(size), to + begin);
    if (const cudaError_t code = cudaGetLastError(); code != cudaSuccess)
      return static_cast<int>(code);
  }
  return 0;
}

template <class T>
int fill_tables(const T* differences, const T* values, int labels, T factor, T* table,
                T* transposed, Stream stream) {
  const int64_t blocks = std::min<int64_t>(labels, kMostBlocks);
  MRF_LAUNCH(fill_tables_kernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
             static_cast<cudaStream_t>(stream), differences, values, labels, factor, table,
             transposed);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int fill(const T* value, int64_t size, T* to, Stream stream) {
  if (size == 0) return 0;
  const int64_t blocks = (size + kThreads - 1) / kThreads;
  MRF_LAUNCH(fill_kernel<T>, dim3(static_cast<unsigned>(std::min(blocks, kMostBlocks))),
             dim3(kThreads), 0, static_cast<cudaStream_t>(stream), value, size, to);
  return static_cast<int>(cudaGetLastError());
}

template int write_values<float>(const float*, int64_t, float*, Stream);
template int write_values<double>(const double*, int64_t, double*, Stream);
template int write_values<int32_t>(const int32_t*, int64_t, int32_t*, Stream);
template int fill_tables<float>(const float*, const float*, int, float, float*, float*, Stream);
template int fill_tables<double>(const double*, const double*, int, double, double*, double*,
                                 Stream);
template int fill<float>(const float*, int64_t, float*, Stream);
template int fill<double>(const double*, int64_t, double*, Stream);

}  // namespace mrfcore::cuda
