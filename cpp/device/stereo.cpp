// SPDX-License-Identifier: Apache-2.0
// Public functions of stereo on a GPU: checks, chunks of the batch, memory.
#include <algorithm>

// First: its table takes addresses of kernels, some of which are called as what is declared below.
#include "device/parts.hpp"

#include "mrfcore/cuda_stereo.hpp"
#include "ops/stereo_sgm.hpp"

namespace mrfcore::cuda {
namespace {

static_assert(kMostSgmLabels == kMostCompactLabels && kMostSgmPenalty == kMostCompactPenalty);

void check_items(int64_t items) { check_extent("items", items, 1, INT32_MAX); }

bool census(const CostVolumeOptions& options) { return options.cost == StereoCost::Census; }

int64_t code_bytes(const ImageView& image, const CostVolumeOptions& options, int64_t items) {
  return census(options) ? census_bytes(image.height, image.width, items) : 0;
}

CompactSgm compact_args(const ImageView& left, const StereoSgmOptions& options) {
  const auto labels = static_cast<int>(options.costs.num_disparities);
  return {.height = left.height,
          .width = left.width,
          .labels = labels,
          .paths = options.paths,
          .p1 = static_cast<int>(options.p1),
          .p2 = static_cast<int>(options.p2),
          .stride = compact_stride(labels),
          .costs = nullptr,
          .scratch = nullptr};
}

/// Pieces of the workspace, in bytes. Codes are done with when messages begin.
struct SgmMemory {
  int64_t costs, scratch;
  int64_t total() const { return aligned(costs) + aligned(scratch); }
};

SgmMemory sgm_memory(const Functions& functions, const ImageView& left,
                     const StereoSgmOptions& options, int64_t items) {
  const CompactSgm args = compact_args(left, options);
  return {items * left.height * left.width * args.stride,
          std::max(functions.stereo.compact_sgm_bytes(args, items),
                   code_bytes(left, options.costs, items))};
}

CompactWinners winners(const StereoSgmOptions& o, const StereoSgmOutputs& outputs, int64_t before) {
  const auto from = [before](auto* map) { return map == nullptr ? map : map + before; };
  return {.min_disparity = o.costs.min_disparity,
          .labels = from(outputs.labels),
          .sums = nullptr,
          .right_labels = from(outputs.right_labels),
          .disparity = from(outputs.disparity),
          .subpixel = o.subpixel,
          .uniqueness = o.uniqueness,
          .left_right_check = o.left_right_check,
          .max_difference = o.max_difference};
}

/// All of the batch that fits side by side, from pixel `before` of the maps on.
void match_some(const Functions& functions, const ImageView& left, const ImageView& right,
                int64_t items, int64_t before, const StereoSgmOptions& options,
                const StereoSgmOutputs& outputs, const Queue& queue) {
  const SgmMemory memory = sgm_memory(functions, left, options, items);
  Arena arena(queue.workspace, queue.workspace_bytes);
  auto* costs = static_cast<uint8_t*>(arena.take(memory.costs));
  CompactSgm args = compact_args(left, options);
  args.costs = costs;
  args.scratch = arena.take(memory.scratch);
  const Stereo& kernels = functions.stereo;
  check(functions,
        kernels.byte_cost_volume(
            byte_cost_args(left, right, options.costs), items,
            census(options.costs) ? static_cast<uint64_t*>(args.scratch) : nullptr, costs,
            args.stride, queue.stream),
        "matching costs");
  check(functions, kernels.compact_sgm(args, items, queue.stream), "semi-global matching");
  check(functions,
        kernels.compact_sgm_winners(args, winners(options, outputs, before), items, queue.stream),
        "disparities");
}

cpu::RightViewArgs right_view_args(const float* costs, int64_t items, int64_t height, int64_t width,
                                   int64_t num_disparities, int64_t min_disparity) {
  check_right_view(costs, height, width, num_disparities, min_disparity);
  check_extent("items", items, 1, kMostItems);
  return {costs, height, width, num_disparities, min_disparity, 1};
}

}  // namespace

int64_t cost_volume_workspace_bytes(const ImageView& left, const CostVolumeOptions& options,
                                    int64_t items) {
  check_items(items);
  check_cost_volume(left, left, options);
  return aligned(code_bytes(left, options, items));
}

void cost_volume(const ImageView& left, const ImageView& right, int64_t items,
                 const CostVolumeOptions& options, float* out, const Queue& queue) {
  check_items(items);
  check_cost_volume(left, right, options);
  expect_memory("out", out);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  const int64_t volume = left.height * left.width * options.num_disparities;
  const int64_t at_a_time = items_at_a_time(items, queue, "one pair of images", [&](int64_t n) {
    return aligned(code_bytes(left, options, n));
  });
  for (int64_t b = 0; b < items; b += at_a_time) {
    const int64_t count = std::min(at_a_time, items - b);
    Arena arena(queue.workspace, queue.workspace_bytes);
    void* codes = census(options) ? arena.take(code_bytes(left, options, count)) : nullptr;
    check(functions,
          functions.stereo.cost_volume(
              cost_volume_args(item_of(left, b), item_of(right, b), options, out + b * volume),
              count, static_cast<uint64_t*>(codes), queue.stream),
          "matching costs");
  }
}

void right_view_minimum(const float* costs, int64_t items, int64_t height, int64_t width,
                        int64_t num_disparities, int64_t min_disparity, int32_t* labels,
                        float* minima, const Queue& queue) {
  const cpu::RightViewArgs args =
      right_view_args(costs, items, height, width, num_disparities, min_disparity);
  expect_memory("labels", labels);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  check(functions, functions.stereo.right_view_minimum(args, items, labels, minima, queue.stream),
        "labels of the right view");
}

void right_view_volume(const float* costs, int64_t items, int64_t height, int64_t width,
                       int64_t num_disparities, int64_t min_disparity, float border, float* out,
                       const Queue& queue) {
  const cpu::RightViewArgs args =
      right_view_args(costs, items, height, width, num_disparities, min_disparity);
  expect_memory("out", out);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  check(functions, functions.stereo.right_view_volume(args, items, border, out, queue.stream),
        "costs of the right view");
}

int64_t stereo_sgm_workspace_bytes(const ImageView& left, const StereoSgmOptions& options,
                                   int64_t items) {
  check_stereo_sgm(left, left, items, options);
  return sgm_memory(library(), left, options, items).total();
}

void stereo_sgm(const ImageView& left, const ImageView& right, int64_t items,
                const StereoSgmOptions& options, const StereoSgmOutputs& outputs,
                const Queue& queue) {
  check_stereo_sgm(left, right, items, options);
  expect_memory("labels", outputs.labels);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  const int64_t at_a_time = items_at_a_time(items, queue, "one pair of images", [&](int64_t n) {
    return sgm_memory(functions, left, options, n).total();
  });
  for (int64_t b = 0; b < items; b += at_a_time) {
    match_some(functions, item_of(left, b), item_of(right, b), std::min(at_a_time, items - b),
               b * left.height * left.width, options, outputs, queue);
  }
}

}  // namespace mrfcore::cuda
