// SPDX-License-Identifier: Apache-2.0
//
// One row at a time, one neighbour offset after the other: the inner loop runs over the pixels of a
// row, contiguous for both passes, and vectorises. Every pixel adds its neighbours in the same
// order on every instruction set.
#include "cpu/disparity.hpp"

#include <cstdint>

#include "cpu/parallel.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

inline float magnitude(float v) { return v < 0.0F ? -v : v; }

struct Row {
  const float* disparity;
  const float* guide;  ///< first channel; the others follow at `plane`
};

struct Sums {
  float* __restrict weighted;
  float* __restrict weights;
};

/// Adds pixel x of `other` to the sums of pixel x of `centre`, for x in [0, count).
template <int kChannels>
void accumulate(const SmoothArgs& args, Row centre, Row other, int64_t count, Sums sums) {
  const int64_t plane = args.height * args.width;
  const float per_difference = 1.0F / args.max_difference;
  const float per_colour = 1.0F / (args.colour_scale * static_cast<float>(kChannels));
  for (int64_t x = 0; x < count; ++x) {
    float colour = 0.0F;
    for (int c = 0; c < kChannels; ++c) {
      colour += magnitude(other.guide[x + c * plane] - centre.guide[x + c * plane]);
    }
    colour *= per_colour;
    const float value = other.disparity[x];
    const float near = 1.0F - magnitude(value - centre.disparity[x]) * per_difference;
    const bool counts = near > 0.0F;  // false for NaN on either side
    const float weight = counts ? near / (1.0F + colour * colour) : 0.0F;
    sums.weights[x] += weight;
    sums.weighted[x] += counts ? weight * value : 0.0F;
  }
}

void start(const float* disparity, int64_t width, Sums sums) {
  for (int64_t x = 0; x < width; ++x) {
    sums.weighted[x] = disparity[x];
    sums.weights[x] = 1.0F;
  }
}

void finish(Sums sums, int64_t width, float* out) {
  for (int64_t x = 0; x < width; ++x) out[x] = sums.weighted[x] / sums.weights[x];
}

Sums row_sums(ThreadMemory& memory, int64_t width) {
  auto* data = static_cast<float*>(memory.reserve(2 * width * static_cast<int64_t>(sizeof(float))));
  return {data, data + width};
}

template <int kChannels>
void along_row(const SmoothArgs& args, ThreadMemory& memory, int64_t y) {
  const int64_t width = args.width, start_of_row = y * width;
  const Sums sums = row_sums(memory, width);
  const float* disparity = args.disparity + start_of_row;
  const float* guide = args.guide + start_of_row;
  start(disparity, width, sums);
  for (int64_t k = 1; k <= args.radius && k < width; ++k) {
    const Row near{disparity, guide}, far{disparity + k, guide + k};
    accumulate<kChannels>(args, near, far, width - k, sums);
    accumulate<kChannels>(args, far, near, width - k, {sums.weighted + k, sums.weights + k});
  }
  finish(sums, width, args.rows + start_of_row);
}

template <int kChannels>
void along_columns(const SmoothArgs& args, ThreadMemory& memory, int64_t y) {
  const int64_t width = args.width;
  const Sums sums = row_sums(memory, width);
  const auto row = [&](int64_t i) { return Row{args.rows + i * width, args.guide + i * width}; };
  start(row(y).disparity, width, sums);
  for (int64_t k = 1; k <= args.radius; ++k) {
    if (y + k < args.height) accumulate<kChannels>(args, row(y), row(y + k), width, sums);
    if (y - k >= 0) accumulate<kChannels>(args, row(y), row(y - k), width, sums);
  }
  finish(sums, width, args.out + y * width);
}

template <int kChannels>
void smooth_channels(const SmoothArgs& args) {
  parallel_strips(args.height, args.threads, nullptr,
                  [&](ThreadMemory& memory, int64_t y) { along_row<kChannels>(args, memory, y); });
  parallel_strips(args.height, args.threads, nullptr, [&](ThreadMemory& memory, int64_t y) {
    along_columns<kChannels>(args, memory, y);
  });
}

void smooth(const SmoothArgs& args) {
  args.channels == 1 ? smooth_channels<1>(args) : smooth_channels<3>(args);
}

}  // namespace

const DisparityKernels& disparity_kernels() {
  static constexpr DisparityKernels table{smooth};
  return table;
}

}  // namespace mrfcore::cpu::MRF_ISA
