// SPDX-License-Identifier: Apache-2.0
//
// What ops/slic.cpp and ops/slic_features.cpp call. Arguments are checked by the caller; kernels do
// not throw.
#pragma once

#include "core/slic.hpp"
#include "mrfcore/slic.hpp"

namespace mrfcore::cpu {

/// Int32s readable behind a row of words or slots, so that vectors may pass its end.
inline constexpr int64_t kSlicPadding = 16;

struct SlicWork {
  SlicPlan plan;
  int64_t batch;
  int threads;
  const int16_t* features;  ///< [batch, channels, height, width]
  int64_t stride;           ///< of rows of words and slots
  int32_t* words;           ///< [batch, pairs(), height, stride]: colours and x, two to a word
  int32_t* slots;           ///< [batch, height, stride]: which of its nine cells a pixel is in
  int32_t* centres;         ///< [batch, cells, centre_size()]
  uint8_t* moved;           ///< [batch, cells]: whether the last update changed it
  int64_t* sums;            ///< [batch, cells, 9, sum_size()]

  int pairs() const { return (plan.channels + 2) / 2; }
};

struct SlicKernels {
  /// Words; every pixel in its own cell; sums; centres where they start.
  void (*start)(const SlicWork& work);
  /// Every pixel to its nearest centre.
  void (*assign)(const SlicWork& work);
  /// Centres to the mean of their pixels; those without pixels stay.
  void (*update)(const SlicWork& work);
  /// ids [batch, height, width]: numbers of cells.
  void (*cells)(const SlicWork& work, int32_t* ids);
};

template <class T>
struct SlicFeatureKernels {
  /// False: a value is not in 0..1.
  bool (*convert)(const SlicImage<T>& image, SlicColors colors, int threads, int16_t* features);
};

/// One pass of a blur: taps [2 * radius + 1] sum up to 2^14; from and to [planes, height, width].
struct SlicBlur {
  int64_t planes, height, width;
  const int32_t* taps;
  int64_t radius;
  int threads;
};

struct SlicBlurKernels {
  void (*rows)(const SlicBlur& blur, const int16_t* from, int16_t* to);
  void (*columns)(const SlicBlur& blur, const int16_t* from, int16_t* to);
};

#define MRF_SLIC_KERNELS(isa)                          \
  namespace isa {                                      \
  const SlicKernels& slic_kernels();                   \
  template <class T>                                   \
  const SlicFeatureKernels<T>& slic_feature_kernels(); \
  const SlicBlurKernels& slic_blur_kernels();          \
  }
MRF_SLIC_KERNELS(baseline)
MRF_SLIC_KERNELS(avx2)
MRF_SLIC_KERNELS(avx512)
#undef MRF_SLIC_KERNELS

}  // namespace mrfcore::cpu
