// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "counts.hpp"
#include "mrfcore/filter_flow.hpp"
#include "mrfcore/mean_shift.hpp"
#include "mrfcore/mean_shift_filter.hpp"
#include "mrfcore/pairwise_margin.hpp"
#include "mrfcore/slic.hpp"
#include "mrfcore/soft_superpixel.hpp"
#include "mrfcore/superpixel.hpp"
#include "mrfcore/warp.hpp"

namespace mrfcore::bench {
namespace {

constexpr int64_t kHeight = 64, kWidth = 96, kChannels = 3;

/// The same smooth numbers everywhere.
std::vector<float> numbers(int64_t count) {
  std::vector<float> x(static_cast<size_t>(count));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 101) / 50.0f - 1.0f;
  return x;
}

std::vector<float> room(int64_t count) { return std::vector<float>(static_cast<size_t>(count)); }

/// Squares of 8 x 8 pixels.
std::vector<int32_t> squares() {
  std::vector<int32_t> ids;
  for (int64_t y = 0; y < kHeight; ++y) {
    for (int64_t x = 0; x < kWidth; ++x)
      ids.push_back(static_cast<int32_t>(y / 8 * (kWidth / 8) + x / 8));
  }
  return ids;
}

constexpr int64_t kSquares = kHeight / 8 * kWidth / 8;

CountedWork superpixels() {
  constexpr int64_t kFeatures = 21;
  return {"superpixel/pool_unpool_consistency",
          [ids = squares(), x = numbers(kFeatures * kHeight * kWidth),
           z = room(kFeatures * kSquares), y = room(kFeatures * kHeight * kWidth)]() mutable {
            const SuperpixelMap map{.ids = ids.data(),
                                    .type = IdType::Int32,
                                    .height = kHeight,
                                    .width = kWidth,
                                    .num = kSquares};
            superpixel_pool(map, kFeatures, x.data(), SuperpixelReduce::Mean, 1, z.data());
            superpixel_unpool(map, kFeatures, z.data(), true, 1, y.data());
            superpixel_consistency(map, kFeatures, x.data(), {.threads = 1}, y.data());
          }};
}

CountedWork filter_flow_both_ways() {
  constexpr int64_t kSide = 7, kTaps = kSide * kSide, kPixels = kHeight * kWidth;
  return {"filter_flow/softmax",
          [filters = numbers(kTaps * kPixels), image = numbers(kChannels * kPixels),
           out = room(kChannels * kPixels), flow = room(2 * kPixels), peak = room(kPixels),
           scale = room(kPixels), grad_image = room(kChannels * kPixels),
           grad_filters = room(kTaps * kPixels)]() mutable {
            const FilterFlowProblem problem{.batch = 1,
                                            .channels = kChannels,
                                            .height = kHeight,
                                            .width = kWidth,
                                            .side = kSide,
                                            .filters = filters.data(),
                                            .softmax = true,
                                            .threads = 1};
            const SoftmaxStatistics<const float> kept{peak.data(), scale.data()};
            filter_flow<float>(problem, image.data(), out.data(), flow.data(),
                               {peak.data(), scale.data()});
            filter_flow_transpose<float>(problem, out.data(), kept, grad_image.data());
            filter_flow_filter_gradient<float>(
                problem, image.data(), kept,
                {.out = out.data(), .grad_out = image.data(), .flow = flow.data()},
                grad_filters.data());
          }};
}

CountedWork warp_both_ways() {
  constexpr int64_t kPixels = kHeight * kWidth;
  return {"warp", [image = numbers(kChannels * kPixels), flow = numbers(2 * kPixels),
                   out = room(kChannels * kPixels), grad_image = room(kChannels * kPixels),
                   grad_flow = room(2 * kPixels)]() mutable {
            const WarpProblem problem{.batch = 1,
                                      .channels = kChannels,
                                      .height = kHeight,
                                      .width = kWidth,
                                      .out_height = kHeight,
                                      .out_width = kWidth,
                                      .threads = 1};
            warp<float>(problem, image.data(), flow.data(), out.data(), nullptr);
            warp_gradient<float>(problem, image.data(), flow.data(), out.data(), grad_image.data(),
                                 grad_flow.data());
          }};
}

CountedWork mean_shift_both_ways() {
  static constexpr MeanShiftShape kShape{.batch = 1, .dims = 64, .points = 300};
  std::vector<float> x = numbers(kShape.dims * kShape.points);
  for (int64_t i = 0; i < kShape.points; ++i) {  // unit vectors
    double square = 0.0;
    for (int64_t d = 0; d < kShape.dims; ++d) {
      const double v = x[static_cast<size_t>(d * kShape.points + i)];
      square += v * v;
    }
    for (int64_t d = 0; d < kShape.dims; ++d)
      x[static_cast<size_t>(d * kShape.points + i)] /= static_cast<float>(std::sqrt(square));
  }
  constexpr int kSteps = 2;
  return {"mean_shift", [x, out = room(kShape.dims * kShape.points),
                         tape = room(mean_shift_tape_size<float>(kShape, kSteps)),
                         grad = room(kShape.dims * kShape.points)]() mutable {
            MeanShiftOptions options;
            options.steps = kSteps;
            options.threads = 1;
            double grad_kappa = 0.0;
            mean_shift_forward<float>(x.data(), kShape, options, out.data(), tape.data());
            mean_shift_backward<float>(kShape, options, tape.data(), x.data(), grad.data(),
                                       &grad_kappa);
          }};
}

/// Waves, so that superpixels and regions have something to follow.
std::vector<uint8_t> picture() {
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < kHeight * kWidth * kChannels; ++i) {
    const int64_t x = i / kChannels % kWidth, y = i / kChannels / kWidth;
    pixels.push_back(static_cast<uint8_t>((x / 11 + y / 7) % 5 * 40 + i * i % 13));
  }
  return pixels;
}

CountedWork slic_superpixels() {
  return {"slic",
          [pixels = picture(),
           features = std::vector<int16_t>(static_cast<size_t>(kHeight * kWidth * kChannels)),
           ids = std::vector<int32_t>(static_cast<size_t>(kHeight * kWidth))]() mutable {
            int32_t count = 0;
            const SlicImage<uint8_t> image{.data = pixels.data(),
                                           .channels = kChannels,
                                           .height = kHeight,
                                           .width = kWidth,
                                           .channel_stride = 1,
                                           .row_stride = kWidth * kChannels,
                                           .column_stride = kChannels};
            slic_features(image, SlicColors::Lab, 0.0, 1, features.data());
            slic({.height = kHeight, .width = kWidth, .num = 96, .threads = 1}, features.data(),
                 ids.data(), &count);
          }};
}

CountedWork filtered_picture() {
  return {"mean_shift_filter", [pixels = picture(), out = picture()]() mutable {
            MeanShiftFilterOptions options;
            options.threads = 1;
            mean_shift_filter({pixels.data(), PixelType::UInt8, kHeight, kWidth, kChannels},
                              options, out.data());
          }};
}

CountedWork soft_superpixels() {
  static constexpr SoftSuperpixels kGrid{.batch = 1,
                                         .channels = kChannels,
                                         .height = kHeight,
                                         .width = kWidth,
                                         .cell = 8,
                                         .threads = 1};
  return {"superpixel/soft",
          [q = numbers(9 * kHeight * kWidth), x = numbers(kChannels * kHeight * kWidth),
           z = room(kChannels * kSquares)]() mutable {
            soft_superpixel_pool<float>(kGrid, q.data(), x.data(), z.data());
            soft_superpixel_unpool<float>(kGrid, q.data(), z.data(), x.data());
            soft_superpixel_product<float>(kGrid, x.data(), z.data(), q.data());
          }};
}

CountedWork margin_loss() {
  constexpr int64_t kDims = 16, kPoints = 1000;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < kPoints; ++i) labels.push_back(i % 7);
  return {"pairwise_margin",
          [labels, x = numbers(kDims * kPoints),
           weights = [] { return std::vector<float>(static_cast<size_t>(kPoints), 1.0f); }(),
           grad = room(kDims * kPoints)]() mutable {
            double loss = 0.0;
            pairwise_margin_loss<float>(x.data(), labels.data(), weights.data(), 1, kDims, kPoints,
                                        {.threads = 1}, &loss, grad.data());
          }};
}

}  // namespace

std::vector<CountedWork> counted_operators() {
  return {superpixels(),    soft_superpixels(),     slic_superpixels(), filter_flow_both_ways(),
          warp_both_ways(), mean_shift_both_ways(), filtered_picture(), margin_loss()};
}

}  // namespace mrfcore::bench
