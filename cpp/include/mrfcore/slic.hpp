// SPDX-License-Identifier: Apache-2.0
//
// SLIC superpixels (Achanta et al., "SLIC Superpixels Compared to State-of-the-art Superpixel
// Methods", TPAMI 2012): k-means in colour and place, in which a pixel looks at the nine nearest
// cells of a grid only. Computed in integers: the same superpixels on every machine, to the pixel.
#pragma once

#include <cstdint>

namespace mrfcore {

/// Pixels in any order: value (b, c, y, x) is data[b * batch_stride + c * channel_stride + ...].
template <class T>
struct SlicImage {
  const T* data = nullptr;
  int64_t batch = 1, channels = 3, height = 0, width = 0;
  int64_t batch_stride = 0, channel_stride = 0, row_stride = 0, column_stride = 0;
};

enum class SlicColors {
  Lab,  ///< 3 channels are sRGB and become CIE L*a*b*; 1 channel is grey and becomes L*
  Raw,  ///< 1 to 8 channels as they are, 1 counted as 100
};

/// Colours as SLIC measures them, [batch, channels, height, width] in 1/32: of L*a*b* (L* 0..100),
/// or of 100 times the channels. uint8_t is 0..255, float 0..1. sigma >= 0: standard deviation, in
/// pixels, of a Gaussian that smooths them (up to 4 sigma; the border repeats). `threads` 0:
/// MRFCORE_NUM_THREADS, else OpenMP's default. Throws std::invalid_argument: sizes, null pointers,
/// values that are NaN or outside 0..1. For T in uint8_t, float.
template <class T>
void slic_features(const SlicImage<T>& image, SlicColors colors, double sigma, int threads,
                   int16_t* features);

struct SlicOptions {
  int64_t batch = 1, channels = 3, height = 0, width = 0;
  int64_t num = 225;        ///< superpixels wanted; the grid has about as many cells
  double compactness = 10;  ///< 0..100: colour distance that is worth a distance of one cell
  int iterations = 10;      ///< >= 0
  bool connected = true;    ///< give parts smaller than min_size to a neighbour, number parts
  int64_t min_size = -1;    ///< of parts that stay; -1: a quarter of a cell
  int threads = 0;

  /// Cells of the grid, as square as can be: about num of them.
  int64_t rows() const;
  int64_t columns() const;
};

/// features as slic_features() makes them, with values in -4095..4095; ids [batch, height, width]:
/// numbers 0 .. counts[b] - 1 of superpixels, in order of their first pixels if `connected`, else
/// of their cells; counts [batch].
///
/// Centres start at the pixel of least gradient among the 3 x 3 around each cell's middle. Every
/// iteration each pixel takes the nearest centre by D^2 = |colour|^2 + (compactness / S)^2
/// |place|^2 among those of its own cell and the eight around it, S being the cell's longer side
/// (ties: the first in raster order), and centres become means. Superpixels are then 4-connected
/// parts; a part of less than min_size pixels joins, of its neighbours that are large or begin
/// before it, the one of most similar mean colour. The part in the image's upper left corner stays,
/// and the largest part of a cell of min_size pixels, which noise may have torn to smaller ones.
///
/// Throws std::invalid_argument: sizes, options, null pointers.
void slic(const SlicOptions& options, const int16_t* features, int32_t* ids, int32_t* counts);

}  // namespace mrfcore
