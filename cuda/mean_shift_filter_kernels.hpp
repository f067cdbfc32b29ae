// SPDX-License-Identifier: Apache-2.0
// Mean-shift filtering of images on the GPU. Conventions are those of kernels.hpp: device pointers,
// launches on `stream`, nothing allocated or waited for, a cudaError_t returned. Batches are dense:
// item i follows item i - 1; at most 65535 of them.
//
// Images are kept in two forms: bytes as words [items, H, W], channel c in bits 8 c and up, and
// floats [items, H, W, C]. P is uint32_t or float.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace mrfcore::cuda::kernels {

/// Size of an image, and how its pixels move; see mrfcore/mean_shift_filter.hpp.
struct ImageFilter {
  int64_t height, width;  ///< together below 2^31 pixels
  int channels;           ///< 1 or 3
  int radius;             ///< 1 .. 1024
  int iterations;
  double tolerance;
  const uint8_t* wanted;  ///< [items, H, W], 0: the pixel's output is left alone; null: all
};

/// Of floats, as cpu::FloatFilterArgs has them.
struct FilterWeights {
  float most;
  bool gaussian;
  float scale;
  const float* distance;  ///< [radius + 1]
};

/// The flat kernel on words; colours at most sqrt(most) apart are near.
int filter_words(const ImageFilter& filter, int64_t most, const uint32_t* image, int64_t items,
                 uint32_t* out, Stream stream);
int filter_floats(const ImageFilter& filter, const FilterWeights& weights, const float* image,
                  int64_t items, float* out, Stream stream);
/// FilterWeights::distance for a radius.
int filter_distances(int radius, float* to, Stream stream);

/// Bytes [pixels, channels] into words or floats and back; floats are rounded, halves to even.
template <class P>
int pixels_of_bytes(const uint8_t* bytes, int64_t pixels, int channels, P* to, Stream stream);
template <class P>
int bytes_of_pixels(const P* image, int64_t pixels, int channels, uint8_t* to, Stream stream);
/// sRGB 0..255 to L*u*v*, or back, of [pixels, 3]; `to` may be `image`.
int convert_luv(const float* image, int64_t pixels, bool back, float* to, Stream stream);

/// Size of an image of a pyramid, and of the one that is made of it.
struct FilterLevel {
  int64_t height, width;
  int channels;
};

/// halved() and doubled() of ops/image_planes.hpp.
template <class P>
int halve_image(const FilterLevel& from, const P* image, int64_t items, P* to, Stream stream);
template <class P>
int double_image(const FilterLevel& to_size, const P* image, int64_t items, P* to, Stream stream);
/// wanted [items, H, W] of to_size: 1 within two pixels of one of the image of half the size that
/// differs from one of its eight neighbours by more than sqrt(most). differs: scratch, a byte a
/// pixel of that image.
template <class P>
int near_edges(const FilterLevel& to_size, const P* image, int64_t items, double most,
               uint8_t* differs, uint8_t* wanted, Stream stream);

}  // namespace mrfcore::cuda::kernels
