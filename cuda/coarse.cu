// SPDX-License-Identifier: Apache-2.0
// Grids of half the size, and what a change of labels changes: cpp/ops/cpu_polish.cpp, expression
// by expression. Every value is read and written once: bound by memory.
#include "neighbours.cuh"
#include "warp_row.cuh"

#include "kernels.hpp"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 256;

inline dim3 grid_for(int64_t count, int64_t items) {
  return dim3(static_cast<unsigned>((count + kThreads - 1) / kThreads),
              static_cast<unsigned>(items));
}
__device__ __forceinline__ int64_t thread_number() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

template <class T>
struct CoarsenParameters {
  CoarsenArgs<T> args;
  Batch fine, coarse;
  Neighbourhood near;
};

/// A thread per label of a coarse node.
template <class T>
__global__ void __launch_bounds__(kThreads)
    coarsen_unary_kernel(const __grid_constant__ CoarsenParameters<T> p) {
  const cpu::GridShape &fine = p.args.fine, &coarse = p.args.coarse;
  const int64_t i = thread_number();
  if (i >= coarse.pixels() * coarse.labels) return;
  const int64_t node = i / coarse.labels, l = i % coarse.labels;
  const int64_t y = 2 * (node / coarse.width), x = 2 * (node % coarse.width);
  const T* unary = p.args.fine_unary + blockIdx.y * p.fine.volume + l;
  T sum = T(0);
  int nodes = 0;
  for (int64_t fy = y; fy < min(y + 2, fine.height); ++fy) {
    for (int64_t fx = x; fx < min(x + 2, fine.width); ++fx, ++nodes) {
      const T from = __ldg(unary + (fy * fine.width + fx) * fine.labels);
      sum = nodes == 0 ? from : sum + from;
    }
  }
  const T shared = sum * (T(2) / static_cast<T>(nodes));
  p.args.coarse_unary[blockIdx.y * p.coarse.volume + i] =
      kForbidden<T> < shared ? kForbidden<T> : shared;
}

/// A thread per edge of the coarser grid.
template <class T>
__global__ void __launch_bounds__(kThreads)
    coarsen_weights_kernel(const __grid_constant__ CoarsenParameters<T> p) {
  const cpu::GridShape &fine = p.args.fine, &coarse = p.args.coarse;
  const int64_t i = thread_number();
  if (i >= coarse.pixels() * (coarse.connectivity / 2)) return;
  const int pair = static_cast<int>(i / coarse.pixels());
  const int64_t node = i % coarse.pixels();
  const int64_t y = 2 * (node / coarse.width), x = 2 * (node % coarse.width);
  const T* weights = p.args.fine_weights + blockIdx.y * p.fine.edge_weights + pair * fine.pixels();
  T sum = T(0);
  int edges = 0;
  for (int64_t fy = y; fy < min(y + 2, fine.height); ++fy) {
    for (int64_t fx = x; fx < min(x + 2, fine.width); ++fx) {
      if (!p.near.inside(2 * pair, fy, fx)) continue;
      sum += __ldg(weights + fy * fine.width + fx);
      ++edges;
    }
  }
  p.args.coarse_weights[blockIdx.y * p.coarse.edge_weights + i] =
      edges > 0 ? sum / static_cast<T>(edges) : T(0);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    prolong_kernel(int64_t height, int64_t width, int64_t labels, const T* from, T* to) {
  const int64_t i = thread_number();
  if (i >= height * width * labels) return;
  const int64_t node = i / labels, y = node / width, x = node % width;
  const int64_t coarse_height = (height + 1) / 2, coarse_width = (width + 1) / 2;
  const int64_t coarse = y / 2 * coarse_width + x / 2;
  to[blockIdx.y * (height * width * labels) + i] = __ldg(
      from + blockIdx.y * (coarse_height * coarse_width * labels) + coarse * labels + i % labels);
}

template <class T>
struct ChangeParameters {
  ChangeArgs<T> args;
  Batch batch;
  Neighbourhood near;
};

template <class T>
class Change {
 public:
  __device__ __forceinline__ explicit Change(const ChangeParameters<T>& parameters)
      : p_(parameters),
        from_(p_.args.from + blockIdx.y * p_.args.shape.pixels()),
        to_(p_.args.to + blockIdx.y * p_.args.shape.pixels()) {}

  __device__ __forceinline__ double of(int64_t y, int64_t x) const {
    const cpu::GridShape& s = p_.args.shape;
    const int64_t i = y * s.width + x;
    if (from_[i] == to_[i]) return 0.0;
    const T* unary = p_.args.unary + blockIdx.y * p_.batch.volume + i * s.labels;
    double sum = static_cast<double>(unary[to_[i]]) - static_cast<double>(unary[from_[i]]);
    for (int r = 0; r < p_.near.count; ++r) {
      if (!p_.near.inside(r, y, x)) continue;
      const int64_t j = i + p_.near.offset(r);
      // An edge whose both ends change is its owner's to count.
      if (core::is_backward(r) && from_[j] != to_[j]) continue;
      sum += core::is_backward(r) ? edge(core::pair_of(r), j, i) : edge(core::pair_of(r), i, j);
    }
    return sum;
  }

 private:
  __device__ __forceinline__ double edge(int pair, int64_t owner, int64_t other) const {
    double w = static_cast<double>(p_.args.weights.scale);
    if (p_.args.weights.per_edge != nullptr) {
      w *= static_cast<double>(p_.args.weights.per_edge[blockIdx.y * p_.batch.edge_weights +
                                                        pair * p_.args.shape.pixels() + owner]);
    }
    return w * (value(to_[owner], to_[other]) - value(from_[owner], from_[other]));
  }
  __device__ __forceinline__ double value(int64_t l, int64_t m) const {
    if (p_.args.differences != nullptr) return p_.args.differences[l < m ? m - l : l - m];
    return p_.args.table[l * p_.args.shape.labels + m];
  }

  const ChangeParameters<T>& p_;
  const int32_t* from_;
  const int32_t* to_;
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    label_changes_kernel(const __grid_constant__ ChangeParameters<T> p) {
  const int64_t i = thread_number(), width = p.args.shape.width;
  if (i >= p.args.shape.pixels()) return;
  p.args.change[blockIdx.y * p.args.shape.pixels() + i] = Change<T>(p).of(i / width, i % width);
}

}  // namespace

template <class T>
int coarsen(const CoarsenArgs<T>& args, const Batch& fine, const Batch& coarse, Stream stream) {
  const CoarsenParameters<T> p{args, fine, coarse, Neighbourhood(args.fine)};
  const cpu::GridShape& s = args.coarse;
  MRF_LAUNCH(coarsen_unary_kernel<T>, grid_for(s.pixels() * s.labels, coarse.count), dim3(kThreads),
             0, static_cast<cudaStream_t>(stream), p);
  if (args.fine_weights != nullptr) {
    const int64_t sets = coarse.edge_weights == 0 ? 1 : coarse.count;
    MRF_LAUNCH(coarsen_weights_kernel<T>, grid_for(s.pixels() * (s.connectivity / 2), sets),
               dim3(kThreads), 0, static_cast<cudaStream_t>(stream), p);
  }
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int prolong(const cpu::GridShape& fine, const T* coarse_messages, T* messages, int64_t items,
            Stream stream) {
  MRF_LAUNCH(prolong_kernel<T>, grid_for(fine.pixels() * fine.labels, items), dim3(kThreads), 0,
             static_cast<cudaStream_t>(stream), fine.height, fine.width,
             static_cast<int64_t>(fine.labels), coarse_messages, messages);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int label_changes(const ChangeArgs<T>& args, const Batch& batch, Stream stream) {
  const ChangeParameters<T> p{args, batch, Neighbourhood(args.shape)};
  MRF_LAUNCH(label_changes_kernel<T>, grid_for(args.shape.pixels(), batch.count), dim3(kThreads), 0,
             static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

#define MRF_INSTANTIATE(T)                                                            \
  template int coarsen<T>(const CoarsenArgs<T>&, const Batch&, const Batch&, Stream); \
  template int prolong<T>(const cpu::GridShape&, const T*, T*, int64_t, Stream);      \
  template int label_changes<T>(const ChangeArgs<T>&, const Batch&, Stream);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
