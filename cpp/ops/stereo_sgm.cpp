// SPDX-License-Identifier: Apache-2.0
#include "ops/stereo_sgm.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "cpu/compact_sgm.hpp"
#include "mrfcore/error.hpp"
#include "mrfcore/runtime.hpp"
#include "ops/control.hpp"
#include "ops/dispatch.hpp"
#include "ops/kept_memory.hpp"

namespace mrfcore {
namespace {

/// Cells for which another thread is worth its start.
constexpr int64_t kCellsOfThread = int64_t{1} << 17;

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

const cpu::CompactSgmKernels& kernels() {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::compact_sgm_kernels();
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::compact_sgm_kernels();
#endif
    default:
      return cpu::baseline::compact_sgm_kernels();
  }
}

bool whole(double value) { return value == std::floor(value); }

void check_byte_costs(const ImageView& left, const CostVolumeOptions& costs) {
  if (left.type != PixelType::UInt8 && costs.cost != StereoCost::Census)
    fail("left and right have float pixels, expected uint8 unless costs are of census");
  check_extent("num_disparities", costs.num_disparities, 1, kMostSgmLabels);
  if (!whole(costs.truncation))
    fail("truncation is " + std::to_string(costs.truncation) + ", expected a whole number");
  if (costs.border && !(*costs.border >= 0 && *costs.border <= 255 && whole(*costs.border)))
    fail("border is " + std::to_string(*costs.border) + ", expected a whole number in 0..255");
  if (costs.scale != 1.0F || costs.accumulate) fail("scale, accumulate: expected 1 and false");
}

void check_host(const StereoSgmOptions& options) {
  const StereoCost cost = options.costs.cost;
  if (cost == StereoCost::Squared || cost == StereoCost::BirchfieldTomasiSquared)
    fail("cost is a squared one, expected Census, Absolute or BirchfieldTomasi");
}

cpu::CompactSgmArgs host_args(const ImageView& left, const ImageView& right,
                              const StereoSgmOptions& o, int threads) {
  const cpu::CostVolumeArgs costs = byte_cost_args(left, right, o.costs);
  const bool census = o.costs.cost == StereoCost::Census;
  const float worst =
      worst_cost(costs.cost, left.channels, costs.window_height, costs.window_width);
  return {.left = left.data,
          .right = right.data,
          .type = left.type,
          .cost = costs.cost,
          .height = left.height,
          .width = left.width,
          .channels = census ? 1 : left.channels,
          .window_height = costs.window_height,
          .window_width = costs.window_width,
          .labels = static_cast<int>(costs.num_disparities),
          .min_disparity = costs.min_disparity,
          .truncation = static_cast<int>(std::fmin(costs.truncation, worst)),
          .border = static_cast<int>(costs.border),
          .paths = o.paths,
          .p1 = static_cast<int>(o.p1),
          .p2 = static_cast<int>(o.p2),
          .subpixel = o.subpixel,
          .uniqueness = o.uniqueness > 0.0 ? static_cast<float>(1.0 + o.uniqueness) : 0.0F,
          .left_right_check = o.left_right_check,
          .max_difference = static_cast<int>(std::fmin(o.max_difference, kMostSgmLabels)),
          .threads = threads,
          .control = nullptr,
          .memory = nullptr,
          .labels_out = nullptr,
          .disparity = nullptr,
          .right_labels = nullptr};
}

int threads_for(const ImageView& left, const StereoSgmOptions& options) {
  const int64_t cells = left.height * left.width * options.costs.num_disparities;
  const int64_t useful = std::max<int64_t>(1, cells / kCellsOfThread);
  return static_cast<int>(std::min<int64_t>(resolve_threads(options.costs.threads), useful));
}

void check_memory(int64_t bytes) {
  constexpr int64_t kNotWorthAsking = int64_t{64} << 20;
  if (bytes < kNotWorthAsking) return;
  const int64_t available = available_bytes();
  if (available < 0 || bytes <= available) return;
  throw OutOfMemory("semi-global matching needs " + std::to_string(bytes) +
                    " bytes of working memory, " + std::to_string(available) +
                    " are available; use fewer disparities or a smaller image");
}

}  // namespace

void check_stereo_sgm(const ImageView& left, const ImageView& right, int64_t items,
                      const StereoSgmOptions& o) {
  check_extent("items", items, 1, INT32_MAX);
  check_cost_volume(left, right, o.costs);
  check_byte_costs(left, o.costs);
  if (o.paths != 4 && o.paths != 8)
    fail("paths is " + std::to_string(o.paths) + ", expected 4 or 8");
  check_extent("p2", o.p2, 0, kMostSgmPenalty);
  check_extent("p1", o.p1, 0, o.p2);
  if (!(o.uniqueness >= 0 && std::isfinite(o.uniqueness)))
    fail("uniqueness is " + std::to_string(o.uniqueness) + ", expected a finite number >= 0");
  if (!(o.max_difference >= 0))
    fail("max_difference is " + std::to_string(o.max_difference) + ", expected a number >= 0");
}

cpu::CostVolumeArgs byte_cost_args(const ImageView& left, const ImageView& right,
                                   CostVolumeOptions costs) {
  costs.truncation = std::fmin(costs.truncation, 255.0F);
  return cost_volume_args(left, right, costs, nullptr);
}

ImageView item_of(ImageView image, int64_t item) {
  const int64_t pixel = image.channels * (image.type == PixelType::UInt8 ? 1 : 4);
  image.data =
      static_cast<const std::byte*>(image.data) + item * image.height * image.width * pixel;
  return image;
}

int64_t stereo_sgm_bytes(const ImageView& left, const StereoSgmOptions& options) {
  check_stereo_sgm(left, left, 1, options);
  check_host(options);
  return kernels().bytes(host_args(left, left, options, threads_for(left, options)));
}

void stereo_sgm(const ImageView& left, const ImageView& right, int64_t items,
                const StereoSgmOptions& options, const StereoSgmOutputs& outputs) {
  check_stereo_sgm(left, right, items, options);
  check_host(options);
  if (outputs.labels == nullptr) fail("labels has no data");
  const int threads = threads_for(left, options);
  cpu::CompactSgmArgs args = host_args(left, right, options, threads);
  const cpu::CompactSgmKernels& run = kernels();
  const int64_t bytes = run.bytes(args), pixels = left.height * left.width;
  const bool census = options.costs.cost == StereoCost::Census;
  check_memory(bytes);
  const KeptMemory memory(bytes);
  cpu::Control control;
  control.poll = options.interrupted;
  args.memory = memory.data();
  args.control = &control;
  for (int64_t b = 0; b < items; ++b) {
    const Grey first(item_of(left, b), census), second(item_of(right, b), census);
    const auto of_item = [&](auto* maps) { return maps == nullptr ? maps : maps + b * pixels; };
    args.left = first.data();
    args.right = second.data();
    args.labels_out = of_item(outputs.labels);
    args.disparity = of_item(outputs.disparity);
    args.right_labels = of_item(outputs.right_labels);
    run.match(args);
    cpu::throw_if_stopped(control);
  }
}

}  // namespace mrfcore
