// SPDX-License-Identifier: Apache-2.0
//
// What ops/superpixel.cpp calls: tables of functions per instruction set. Superpixels lie in one
// piece as a rule, so kernels see a map as runs, pixels of a row that follow each other with one
// id. Arguments are checked by the caller; kernels do not throw.
#pragma once

#include <cstdint>

#include "mrfcore/superpixel.hpp"

namespace mrfcore::cpu {

/// `length` pixels from `begin` on. Runs do not cross rows, cover the image and are in its order.
struct Run {
  int32_t begin, length;
  int32_t id;  ///< ~id where the pixels are not valid

  [[gnu::always_inline]] int32_t superpixel() const { return id < 0 ? ~id : id; }
  [[gnu::always_inline]] bool valid() const { return id >= 0; }
};

struct RunsArgs {
  SuperpixelMap map;
  const uint8_t* valid;  ///< or null
  int threads;
};

struct IdRange {
  int64_t lowest, highest;
};

/// The map of a batch as runs, and how to sum over them.
struct SuperpixelArgs {
  const Run* runs;
  const int64_t* begins;  ///< [batch + 1]: image b has runs[begins[b]..begins[b + 1])
  /// [batch, num], pixels of a superpixel, of the valid ones only if some are not.
  const int32_t* counts;
  int64_t batch, channels, pixels, num;
  /// Sums in 16 interleaved parts: for long runs. A property of the map, never of the machine.
  bool interleaved;
  int threads;
};

struct SuperpixelRunsKernels {
  /// Number of runs of every row, [batch * height]; the least and greatest id.
  IdRange (*count)(const RunsArgs& args, int64_t* rows);
  /// Writes row i's runs from runs[offsets[i]] on.
  void (*fill)(const RunsArgs& args, const int64_t* offsets, Run* runs);
};

template <class T>
struct SuperpixelKernels {
  void (*pool)(const SuperpixelArgs& args, const T* x, SuperpixelReduce reduce, T* z,
               int64_t* winners);
  void (*unpool)(const SuperpixelArgs& args, const T* z, bool divide, T* out);
  void (*consistency)(const SuperpixelArgs& args, const T* x, bool keep, bool adjoint, T* out);
};

namespace baseline {
const SuperpixelRunsKernels& superpixel_runs_kernels();
template <class T>
const SuperpixelKernels<T>& superpixel_kernels();
}  // namespace baseline
namespace avx2 {
const SuperpixelRunsKernels& superpixel_runs_kernels();
template <class T>
const SuperpixelKernels<T>& superpixel_kernels();
}  // namespace avx2
namespace avx512 {
const SuperpixelRunsKernels& superpixel_runs_kernels();
template <class T>
const SuperpixelKernels<T>& superpixel_kernels();
}  // namespace avx512

}  // namespace mrfcore::cpu
