// SPDX-License-Identifier: Apache-2.0
// What kernels that give each warp a scanline have in common: how many blocks, how many labels a
// lane holds, and where a batch item's arg-mins are. Which scanline a warp has is left to the
// kernels: as a function that returns an empty one beyond the last, it cost registers everywhere.
#pragma once

#include "core/scanline.hpp"
#include "kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {

constexpr int kWarpsPerBlock = 4;

/// A warp for every scanline of every item.
inline dim3 scanline_grid(const core::PairGeometry& geometry, const Batch& batch) {
  const int64_t blocks = (core::scanlines(geometry) + kWarpsPerBlock - 1) / kWarpsPerBlock;
  return dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(batch.count));
}

/// Neither soft minima nor the envelope, for which callers use Shift with a wide band.
constexpr bool has_hard_kernel(cpu::MinConvolutionKind kind) {
  return kind != cpu::MinConvolutionKind::SoftTable && kind != cpu::MinConvolutionKind::Envelope;
}

/// body.template operator()<NK>() with NK labels in each lane; what it returns, or
/// cudaErrorInvalidValue beyond kMostLabels.
template <class T, class Body>
int with_labels_per_lane(int labels, const Body& body) {
  if (labels <= 32) return body.template operator()<1>();
  if (labels <= 64) return body.template operator()<2>();
  if (labels <= 96) return body.template operator()<3>();
  if (labels <= 128) return body.template operator()<4>();
  if (labels <= 256) return body.template operator()<8>();
  if constexpr (sizeof(T) == 4) {  // doubles of 16 labels per lane would not fit the registers
    if (labels <= 512) return body.template operator()<16>();
  }
  return static_cast<int>(cudaErrorInvalidValue);
}

/// Arg-mins of one direction and one item, bytes or 16-bit numbers. kMost: labels at most, where
/// that is known when compiling.
template <int kMost = 65536>
struct Tape {
  void* argmin;
  void* minimum;
  int labels;

  __device__ __forceinline__ Tape(const cpu::ArgminTape& tape, const Batch& batch, int64_t item,
                                  int label_count)
      : labels(label_count) {
    const int64_t bytes = wide() ? 2 : 1;
    argmin = static_cast<char*>(tape.argmin) + item * batch.tape_argmin * bytes;
    minimum = static_cast<char*>(tape.minimum) + item * batch.tape_minimum * bytes;
  }

  __device__ __forceinline__ void keep_label(int64_t pixel, int l, int from) const {
    put(argmin, pixel * labels + l, existing(from));
  }
  template <int NK>
  __device__ __forceinline__ void keep(int64_t pixel, const WarpRow<int, NK>& from) const {
    const int64_t first = pixel * labels + lane_index();
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      if (WarpRow<int, NK>::label(k) < labels) put(argmin, first + k * kWarp, existing(from.at[k]));
    }
  }
  __device__ __forceinline__ void keep_minimum(int64_t pixel, int label) const {
    if (lane_index() == 0) put(minimum, pixel, label);
  }
  __device__ __forceinline__ int of(int64_t pixel, int label) const {
    return get(argmin, pixel * labels + label);
  }
  /// As kept by keep().
  template <int NK>
  __device__ __forceinline__ WarpRow<int, NK> row(int64_t pixel) const {
    WarpRow<int, NK> from;
    const int64_t first = pixel * labels + lane_index();
#pragma unroll
    for (int k = 0; k < NK; ++k)
      from.at[k] = WarpRow<int, NK>::label(k) < labels ? get(argmin, first + k * kWarp) : 0;
    return from;
  }
  __device__ __forceinline__ int minimum_of(int64_t pixel) const { return get(minimum, pixel); }

 private:
  /// Labels of forbidden ones may lie outside: any label will do for them.
  __device__ __forceinline__ int existing(int from) const {
    return from < 0 ? 0 : (from >= labels ? labels - 1 : from);
  }
  __device__ __forceinline__ bool wide() const {
    return kMost > cpu::kByteLabels && labels > cpu::kByteLabels;
  }
  __device__ __forceinline__ void put(void* to, int64_t at, int label) const {
    if (wide()) {
      static_cast<uint16_t*>(to)[at] = static_cast<uint16_t>(label);
    } else {
      static_cast<uint8_t*>(to)[at] = static_cast<uint8_t>(label);
    }
  }
  __device__ __forceinline__ int get(const void* from, int64_t at) const {
    return wide() ? static_cast<const uint16_t*>(from)[at] : static_cast<const uint8_t*>(from)[at];
  }
};

/// Of rows that a warp holds.
template <int NK>
using WarpTape = Tape<NK * kWarp>;

}  // namespace mrfcore::cuda
