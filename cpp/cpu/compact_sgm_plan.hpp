// SPDX-License-Identifier: Apache-2.0
// What semi-global matching in whole numbers keeps, in which type, and where.
//
// A path cost is the pixel's cost plus a message of 0 .. p2, and what travels on is at most the
// largest cost plus p2: a byte holds it, without ever saturating, if that sum is at most 255. Half
// of the paths, those of one pass, are kept as the sum of their messages: a byte again if they add
// up to at most 255, as they do with the default penalties.
#pragma once

#include <cstdint>

#include "cpu/compact_sgm.hpp"
#include "cpu/label_lanes.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Hands out pieces of a block of memory, or just counts them.
class Pieces {
 public:
  explicit Pieces(void* memory) : memory_(static_cast<uint8_t*>(memory)) {}
  template <class T>
  T* take(int64_t count) {
    T* piece = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return piece;
  }
  int64_t used() const { return used_; }

 private:
  uint8_t* memory_;
  int64_t used_ = 0;
};

/// Asks for memory that will be read.
inline void prefetch(const void* data, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(data) + i);
}

inline constexpr int64_t kSgmBlock = 32;  ///< pixels whose costs and sums are in cache together
inline constexpr int kMostVectors = 256 / kRowLanes;

/// Vectors for that many labels: few enough kinds to have code for each.
inline int sgm_vectors(int labels) {
  const int needed = (labels + kRowLanes - 1) / kRowLanes;
  for (const int vectors : {1, 2, 3, 4, 6, 8})
    if (vectors >= needed) return vectors;
  return 16;
}

/// body.operator()<V>() with that many vectors.
template <class Body>
inline void with_vectors(int vectors, const Body& body) {
  const auto offer = [&]<int V>() {
    if constexpr (V <= kMostVectors) {
      if (vectors == V) body.template operator()<V>();
    }
  };
  offer.template operator()<1>();
  offer.template operator()<2>();
  offer.template operator()<3>();
  offer.template operator()<4>();
  offer.template operator()<6>();
  offer.template operator()<8>();
  offer.template operator()<16>();
}

/// Bytes that a pixel is compared by: of a census code, rounded up to a count there is code for;
/// else of each channel the pixel, and for Birchfield-Tomasi the ends of its interval, too.
inline int sgm_planes(const CompactSgmArgs& a) {
  if (a.cost == StereoCost::Absolute) return static_cast<int>(a.channels);
  if (a.cost == StereoCost::BirchfieldTomasi) return static_cast<int>(3 * a.channels);
  const int64_t bits = a.window_height * a.window_width - 1;
  return bits <= 8 ? 1 : bits <= 24 ? 3 : bits <= 48 ? 6 : 8;
}

/// What pixels are compared by. A plane of the right image is mirrored, so that labels and memory
/// grow the same way, and dealt out to `vectors` stripes, as rows of labels are.
struct SgmFeatures {
  int planes, vectors;
  int64_t left_stride, right_stride;  ///< of a plane; of a stripe
  uint8_t* left_data;
  uint8_t* right_data;

  /// Of plane 0; the next ones follow at left_stride.
  uint8_t* left(int64_t y) const { return left_data + y * planes * left_stride; }
  /// Column 0 of stripe 0 of plane 0; stripes follow at right_stride, planes at right_plane().
  /// kRowLanes columns before and after a stripe may be read, and mean nothing.
  uint8_t* right(int64_t y) const { return right_data + y * planes * right_plane() + kRowLanes; }
  int64_t right_plane() const { return vectors * right_stride; }
  /// Rows are many short streams, which the machine does not foresee.
  void fetch(int64_t y) const {
    prefetch(left(y), planes * left_stride);
    prefetch(right(y), planes * right_plane());
  }
};

inline SgmFeatures take_features(const CompactSgmArgs& a, Pieces& pieces) {
  SgmFeatures f{};
  f.planes = sgm_planes(a);
  f.vectors = sgm_vectors(a.labels);
  f.left_stride = (a.width + 63) / 64 * 64;
  f.right_stride = ((a.width + f.vectors - 1) / f.vectors + 2 * kRowLanes + 63) / 64 * 64;
  f.left_data = pieces.take<uint8_t>(a.height * f.planes * f.left_stride);
  f.right_data = pieces.take<uint8_t>(a.height * f.planes * f.right_plane() + kRowLanes);
  return f;
}

struct SgmTypes {
  bool wide_messages;  ///< 16 bits; also of the sums
  bool wide_sums;      ///< 16 bits for the sum of a pass's messages
};
inline SgmTypes sgm_types(const CompactSgmArgs& a) {
  const int largest = a.truncation > a.border ? a.truncation : a.border;
  const bool wide = largest + a.p2 > 255;
  return {wide, wide || a.paths / 2 * a.p2 > 255};
}

/// Fills features; needs memory of its own only while it runs.
void sgm_features(const CompactSgmArgs& args, const SgmFeatures& features, void* memory);
int64_t sgm_features_bytes(const CompactSgmArgs& args);

}  // namespace mrfcore::cpu::MRF_ISA
