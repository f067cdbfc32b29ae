// SPDX-License-Identifier: Apache-2.0
#include "ops/cost_volume.hpp"

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "ops/dispatch.hpp"

namespace mrfcore {
namespace {

constexpr int64_t kMaxCensusPixels = 65;  // 64 neighbours, one bit each
// Column arithmetic such as x - min_disparity - l must not overflow, whatever the image.
constexpr int64_t kMaxExtent = int64_t{1} << 31;

const cpu::CostVolumeKernels& kernels() {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::cost_volume_kernels();
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::cost_volume_kernels();
#endif
    default:
      return cpu::baseline::cost_volume_kernels();
  }
}

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

std::string shape_of(const ImageView& image) {
  return "[" + std::to_string(image.height) + ", " + std::to_string(image.width) + ", " +
         std::to_string(image.channels) + "]";
}

void check_image(const char* name, const ImageView& image) {
  if (image.data == nullptr) fail(std::string(name) + " has no data");
  const bool sizes = image.height >= 1 && image.height <= kMaxExtent && image.width >= 1 &&
                     image.width <= kMaxExtent && (image.channels == 1 || image.channels == 3);
  if (!sizes) {
    fail(std::string(name) + " has shape " + shape_of(image) +
         ", expected [height >= 1, width >= 1, 1 or 3]");
  }
}

void check_pair(const ImageView& left, const ImageView& right) {
  check_image("left", left);
  check_image("right", right);
  if (left.height != right.height || left.width != right.width || left.channels != right.channels) {
    fail("left and right differ in shape: " + shape_of(left) + " against " + shape_of(right));
  }
  if (left.type != right.type) fail("left and right differ in pixel type");
}

void check_range(int64_t num_disparities, int64_t min_disparity) {
  check_extent("num_disparities", num_disparities, 1, kMaxExtent);
  check_extent("min_disparity", min_disparity, -kMaxExtent, kMaxExtent);
}

void check_options(const CostVolumeOptions& options) {
  check_range(options.num_disparities, options.min_disparity);
  if (!(options.truncation >= 0)) {
    fail("truncation is " + std::to_string(options.truncation) + ", expected a number >= 0");
  }
  if (options.border && std::isnan(*options.border)) fail("border is NaN");
  if (!(options.scale > 0 && std::isfinite(options.scale))) {
    fail("scale is " + std::to_string(options.scale) + ", expected a finite number > 0");
  }
  if (options.cost == StereoCost::Census) {
    const int64_t h = options.window_height, w = options.window_width;
    const bool odd = h >= 1 && w >= 1 && h % 2 == 1 && w % 2 == 1;
    if (!odd || h > kMaxCensusPixels || w > kMaxCensusPixels || h * w > kMaxCensusPixels ||
        h * w < 3) {
      fail("window is " + std::to_string(h) + " x " + std::to_string(w) + ", " +
           std::to_string(h * w) + " pixels; expected odd sides, 3.." +
           std::to_string(kMaxCensusPixels) + " pixels in all");
    }
  }
}

}  // namespace

Grey::Grey(const ImageView& image, bool convert) : data_(image.data) {
  if (!convert || image.channels == 1) return;
  const auto pixels = static_cast<std::size_t>(image.height * image.width);
  if (image.type == PixelType::UInt8) {
    const auto* rgb = static_cast<const uint8_t*>(image.data);
    bytes_.resize(pixels);
    for (std::size_t i = 0; i < pixels; ++i) {
      const int sum = 299 * rgb[3 * i] + 587 * rgb[3 * i + 1] + 114 * rgb[3 * i + 2];
      bytes_[i] = static_cast<uint8_t>((sum + 500) / 1000);
    }
    data_ = bytes_.data();
  } else {
    const auto* rgb = static_cast<const float*>(image.data);
    floats_.resize(pixels);
    for (std::size_t i = 0; i < pixels; ++i) {
      floats_[i] = 0.299F * rgb[3 * i] + 0.587F * rgb[3 * i + 1] + 0.114F * rgb[3 * i + 2];
    }
    data_ = floats_.data();
  }
}

void check_extent(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return;
  fail(std::string(name) + " is " + std::to_string(value) + ", expected " + std::to_string(least) +
       ".." + std::to_string(most));
}

void check_cost_volume(const ImageView& left, const ImageView& right,
                       const CostVolumeOptions& options) {
  check_pair(left, right);
  check_options(options);
}

void check_right_view(const float* costs, int64_t height, int64_t width, int64_t num_disparities,
                      int64_t min_disparity) {
  if (costs == nullptr) fail("costs has no data");
  check_extent("height", height, 1, kMaxExtent);
  check_extent("width", width, 1, kMaxExtent);
  check_range(num_disparities, min_disparity);
}

cpu::CostVolumeArgs cost_volume_args(const ImageView& left, const ImageView& right,
                                     const CostVolumeOptions& options, float* out) {
  const float worst =
      worst_cost(options.cost, left.channels, options.window_height, options.window_width);
  return {.left = left.data,
          .right = right.data,
          .type = left.type,
          .cost = options.cost,
          .height = left.height,
          .width = left.width,
          .channels = left.channels,
          .num_disparities = options.num_disparities,
          .min_disparity = options.min_disparity,
          .window_height = options.window_height,
          .window_width = options.window_width,
          .truncation = options.truncation,
          .border = options.border.value_or(std::fmin(worst, options.truncation)),
          .scale = options.scale,
          .accumulate = options.accumulate,
          .threads = 1,
          .out = out};
}

float worst_cost(StereoCost cost, int64_t channels, int64_t window_height, int64_t window_width) {
  const auto each = [&]() -> int64_t {
    switch (cost) {
      case StereoCost::BirchfieldTomasi:
      case StereoCost::Absolute:
        return 255;
      case StereoCost::BirchfieldTomasiSquared:
      case StereoCost::Squared:
        return 255 * 255;
      case StereoCost::Census:
        return window_height * window_width - 1;
    }
    return 0;
  };
  return static_cast<float>(each() * (cost == StereoCost::Census ? 1 : channels));
}

void cost_volume(const ImageView& left, const ImageView& right, const CostVolumeOptions& options,
                 float* out) {
  check_cost_volume(left, right, options);
  if (out == nullptr) fail("out has no data");
  const bool census = options.cost == StereoCost::Census;
  const Grey left_grey(left, census), right_grey(right, census);
  cpu::CostVolumeArgs args = cost_volume_args(left, right, options, out);
  args.left = left_grey.data();
  args.right = right_grey.data();
  if (census) args.channels = 1;
  args.threads = threads_for(args.height * args.width * args.num_disparities, options.threads);
  kernels().cost_volume(args);
}

void right_view_minimum(const float* costs, int64_t height, int64_t width, int64_t num_disparities,
                        int64_t min_disparity, int threads, int32_t* labels, float* costs_out) {
  check_right_view(costs, height, width, num_disparities, min_disparity);
  if (labels == nullptr) fail("labels has no data");
  std::vector<float> own;
  if (costs_out == nullptr) {
    own.resize(static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
    costs_out = own.data();
  }
  kernels().right_view_minimum(
      {costs, height, width, num_disparities, min_disparity, resolve_threads(threads)}, labels,
      costs_out);
}

void right_view_volume(const float* costs, int64_t height, int64_t width, int64_t num_disparities,
                       int64_t min_disparity, float border, int threads, float* out) {
  check_right_view(costs, height, width, num_disparities, min_disparity);
  if (out == nullptr) fail("out has no data");
  kernels().right_view_volume(
      {costs, height, width, num_disparities, min_disparity, resolve_threads(threads)}, border,
      out);
}

}  // namespace mrfcore
