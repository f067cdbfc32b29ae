// SPDX-License-Identifier: Apache-2.0
//
// Pooling over superpixels and back. A map says of every pixel which superpixel it belongs to; maps
// ids are [batch, height, width], values [batch, channels, height, width], superpixels
// [batch, channels, num], all contiguous. Every sum has one order, whatever the machine.
#pragma once

#include <cstdint>

namespace mrfcore {

enum class IdType { Int32, Int64 };

/// Which pixel belongs to which superpixel: ids in 0..num-1, any of which may be empty.
struct SuperpixelMap {
  const void* ids = nullptr;
  IdType type = IdType::Int64;
  int64_t batch = 1, height = 0, width = 0;
  /// 0: consistency() only, which then takes the largest id + 1.
  int64_t num = 0;
};

enum class SuperpixelReduce { Mean, Sum, Max };

/// z[b, c, s] = mean, sum or maximum of x over superpixel s; 0 where it is empty. NaN spreads.
/// `winners` (Max only, may be null): [batch, channels, num], the first pixel y * width + x that
/// has the maximum, -1 where there is none.
/// Throws std::invalid_argument: sizes, ids out of range, null pointers.
template <class T>
void superpixel_pool(const SuperpixelMap& map, int64_t channels, const T* x,
                     SuperpixelReduce reduce, int threads, T* z, int64_t* winners = nullptr);

/// out[b, c, p] = z[b, c, ids[b, p]], divided by the superpixel's number of pixels if `divide`:
/// then it is the adjoint of the mean, else of the sum.
template <class T>
void superpixel_unpool(const SuperpixelMap& map, int64_t channels, const T* z, bool divide,
                       int threads, T* out);

/// What to do where no pixel of a superpixel is valid.
enum class NoValidPixel { Keep, Zero };

struct ConsistencyOptions {
  /// [batch, height, width], not 0: the pixel counts in the mean. Null: all do.
  const uint8_t* valid = nullptr;
  NoValidPixel empty = NoValidPixel::Keep;
  bool adjoint = false;  ///< the transposed map, which takes gradients back
  int threads = 0;
};

/// Eq 4.13-4.14 in one pass: out[b, c, p] = mean of x[b, c, .] over the valid pixels of p's
/// superpixel. Without `valid` an orthogonal projection, hence its own adjoint.
template <class T>
void superpixel_consistency(const SuperpixelMap& map, int64_t channels, const T* x,
                            const ConsistencyOptions& options, T* out);

}  // namespace mrfcore
