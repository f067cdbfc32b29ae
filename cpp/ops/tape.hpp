// SPDX-License-Identifier: Apache-2.0
// What a forward pass keeps for its backward pass, laid out in memory that the caller gives.
#pragma once

#include <cstddef>

#include "cpu/kernels.hpp"
#include "mrfcore/layer.hpp"

namespace mrfcore {

/// Sizes and offsets, in bytes, of one item, or of several that are worked on side by side: their
/// rows follow each other in every part. Per iteration: arg-mins (hard minima), messages (soft
/// ones) or beliefs (mean field).
template <class T>
struct TapeLayout {
  TapeLayout(const Problem<T>& problem, const LayerOptions& options, int64_t stride,
             int64_t items = 1);

  int directions;
  int64_t labels, stride, pixels, volume;  ///< volume: elements of a padded one
  Solver solver;
  bool soft;
  int iterations;
  int segment;  ///< iterations whose records exist at a time: all, or store_every

  bool recomputes() const { return segment < iterations; }
  int segments() const { return iterations == 0 ? 0 : (iterations + segment - 1) / segment; }
  int segment_begin(int s) const { return s * segment; }
  int segment_end(int s) const;

  int64_t index_bytes() const { return labels <= cpu::kByteLabels ? 1 : 2; }
  int64_t argmin_bytes() const;   ///< of one direction
  int64_t minimum_bytes() const;  ///< of one direction
  int64_t iteration_bytes() const;
  int64_t records_bytes() const { return segment * iteration_bytes(); }  ///< of one segment
  int64_t snapshot_volumes() const;
  int64_t snapshot_bytes() const;
  /// What has to be kept between forward and backward pass.
  int64_t item_bytes() const;
};

/// The records of one segment.
template <class T>
class Records {
 public:
  Records(const TapeLayout<T>& layout, std::byte* data) : layout_(layout), data_(data) {}

  /// Hard minima of direction r in iteration k of the segment.
  cpu::ArgminTape argmins(int k, int r) const;
  /// SGM: labels of the minima taken off the costs before iteration k, [H, W].
  void* cost_minima(int k) const;
  /// Soft minima: messages of direction r after iteration k.
  T* messages(int k, int r) const;
  /// Mean field: beliefs that iteration k read.
  T* beliefs(int k) const;

 private:
  std::byte* iteration(int k) const { return data_ + k * layout_.iteration_bytes(); }

  const TapeLayout<T>& layout_;
  std::byte* data_;
};

/// Kept free at the start of a tape: the CPU notes there what the tape is of.
inline constexpr int64_t kTapeHeaderBytes = 128;

/// Offsets of parts are multiples of this.
inline constexpr int64_t kTapeAlignment = 64;

}  // namespace mrfcore
