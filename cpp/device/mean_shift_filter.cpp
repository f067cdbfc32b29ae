// SPDX-License-Identifier: Apache-2.0
// Mean-shift filtering on a GPU: checks, parts of the batch, memory, the order of the levels.
#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

// First: its table takes addresses of kernels.
#include "device/parts.hpp"

#include "mrfcore/cuda_mean_shift_filter.hpp"
#include "ops/mean_shift_filter.hpp"

namespace mrfcore::cuda {
namespace {

struct Problem {
  const ImageView& image;
  const MeanShiftFilterOptions& options;

  bool bytes() const { return image.type == PixelType::UInt8; }
  bool luv() const { return options.space == FilterSpace::LUV; }
  bool gaussian() const { return options.kernel == FilterKernel::Gaussian; }
  /// Whole numbers, in words.
  bool words() const { return bytes() && !luv() && !gaussian(); }
  /// The caller's own memory serves as the first level.
  bool in_place() const { return !bytes() && !luv(); }
  int64_t pixel_bytes() const { return words() ? 4 : 4 * image.channels; }
  int64_t item_bytes() const {
    return image.height * image.width * image.channels * (bytes() ? 1 : 4);
  }
  kernels::FilterLevel level(int number) const {
    kernels::FilterLevel size{image.height, image.width, static_cast<int>(image.channels)};
    for (; number > 0; --number) {
      size.height = (size.height + 1) / 2;
      size.width = (size.width + 1) / 2;
    }
    return size;
  }
  int64_t pixels(int number) const {
    const kernels::FilterLevel size = level(number);
    return size.height * size.width;
  }
};

/// Pieces of the workspace, in bytes, for `items` images: of each level the image and the result,
/// then what marks pixels to filter again, and the Gaussian's table.
std::vector<int64_t> pieces(const Problem& p, int64_t items) {
  std::vector<int64_t> sizes;
  const int levels = p.options.levels;
  for (int level = 0; level <= levels; ++level) {
    const bool callers = level == 0 && p.in_place();
    const int64_t size = callers ? 0 : items * p.pixels(level) * p.pixel_bytes();
    sizes.push_back(size);
    sizes.push_back(size);
  }
  sizes.push_back(levels > 0 ? items * p.pixels(0) : 0);
  sizes.push_back(levels > 0 ? items * p.pixels(1) : 0);
  sizes.push_back(p.gaussian() ? 4 * (int64_t{p.options.spatial_radius} + 1) : 0);
  return sizes;
}

int64_t bytes_needed(const Problem& p, int64_t items) {
  int64_t sum = 0;
  for (const int64_t size : pieces(p, items)) sum += aligned(size);
  return sum;
}

/// One part of the batch. P: uint32_t for words, or float.
template <class P>
class Part {
 public:
  Part(const Problem& problem, int64_t items, const Queue& queue)
      : p_(problem), items_(items), stream_(queue.stream), functions_(library()) {
    Arena arena(queue.workspace, queue.workspace_bytes);
    std::vector<void*> taken;
    for (const int64_t size : pieces(problem, items))
      taken.push_back(size == 0 ? nullptr : arena.take(size));
    size_t next = 0;
    for (int level = 0; level <= problem.options.levels; ++level) {
      images_.push_back(static_cast<P*>(taken[next++]));
      results_.push_back(static_cast<P*>(taken[next++]));
    }
    wanted_ = static_cast<uint8_t*>(taken[next++]);
    differs_ = static_cast<uint8_t*>(taken[next++]);
    distance_ = static_cast<float*>(taken[next]);
  }

  void run(const void* image, void* out) {
    const P* first = load(image);
    if (p_.in_place()) results_[0] = static_cast<P*>(out);
    std::vector<const P*> pyramid{first};
    const int levels = p_.options.levels;
    for (int level = 0; level < levels; ++level) {
      P* to = images_[static_cast<size_t>(level) + 1];
      expect(pixels().halve_image(p_.level(level), pyramid.back(), items_, to, stream_));
      pyramid.push_back(to);
    }
    filter(pyramid.back(), levels, nullptr);
    for (int level = levels - 1; level >= 0; --level) {
      const auto at = static_cast<size_t>(level);
      const kernels::FilterLevel size = p_.level(level);
      const double radius = p_.options.color_radius;
      expect(pixels().near_edges(size, results_[at + 1], items_, radius * radius, differs_, wanted_,
                                 stream_));
      expect(pixels().double_image(size, results_[at + 1], items_, results_[at], stream_));
      filter(pyramid[at], level, wanted_);
    }
    if (!p_.in_place()) store(out);
  }

 private:
  const ImageFilters& table() const { return functions_.image_filters; }
  const FilterPixels<P>& pixels() const {
    if constexpr (std::is_same_v<P, uint32_t>) {
      return table().words;
    } else {
      return table().floats;
    }
  }
  void expect(int code) const { check(functions_, code, "mean-shift filter"); }
  int64_t all_pixels() const { return items_ * p_.pixels(0); }
  int channels() const { return static_cast<int>(p_.image.channels); }

  const P* load(const void* image) {
    if (p_.in_place()) return static_cast<const P*>(image);
    P* to = images_[0];
    if (p_.bytes()) {
      expect(pixels().pixels_of_bytes(static_cast<const uint8_t*>(image), all_pixels(), channels(),
                                      to, stream_));
    }
    if constexpr (std::is_same_v<P, float>) {
      const auto* from = p_.bytes() ? to : static_cast<const float*>(image);
      if (p_.luv()) expect(table().convert_luv(from, all_pixels(), false, to, stream_));
    }
    return to;
  }

  void store(void* out) {
    P* from = results_[0];
    if constexpr (std::is_same_v<P, float>) {
      float* to = p_.bytes() ? from : static_cast<float*>(out);
      if (p_.luv()) expect(table().convert_luv(from, all_pixels(), true, to, stream_));
    }
    if (p_.bytes()) {
      expect(pixels().bytes_of_pixels(from, all_pixels(), channels(), static_cast<uint8_t*>(out),
                                      stream_));
    }
  }

  void filter(const P* image, int level, const uint8_t* wanted) {
    const kernels::FilterLevel size = p_.level(level);
    const kernels::ImageFilter how{.height = size.height,
                                   .width = size.width,
                                   .channels = size.channels,
                                   .radius = std::max(1, p_.options.spatial_radius >> level),
                                   .iterations = p_.options.iterations,
                                   .tolerance = p_.options.tolerance,
                                   .wanted = wanted};
    P* out = results_[static_cast<size_t>(level)];
    if constexpr (std::is_same_v<P, uint32_t>) {
      const int64_t most = filter_most_whole(p_.options.color_radius, size.channels);
      expect(table().filter_words(how, most, image, items_, out, stream_));
    } else {
      if (p_.gaussian()) expect(table().filter_distances(how.radius, distance_, stream_));
      const kernels::FilterWeights weights{.most = filter_most(p_.options.color_radius),
                                           .gaussian = p_.gaussian(),
                                           .scale = filter_scale(p_.options.color_radius),
                                           .distance = distance_};
      expect(table().filter_floats(how, weights, image, items_, out, stream_));
    }
  }

  const Problem& p_;
  int64_t items_;
  Stream stream_;
  const Functions& functions_;
  std::vector<P*> images_, results_;
  uint8_t *wanted_ = nullptr, *differs_ = nullptr;
  float* distance_ = nullptr;
};

void check_problem(const ImageView& image, const MeanShiftFilterOptions& options, int64_t items) {
  check_filter_shape(image);
  check_filter_options(options, image.channels);
  if (image.height > INT32_MAX / image.width)
    throw std::invalid_argument("image: expected fewer than 2^31 pixels on a GPU");
  if (items < 1)
    throw std::invalid_argument("items is " + std::to_string(items) + ", expected >= 1");
}

}  // namespace

int64_t mean_shift_filter_workspace_bytes(const ImageView& image,
                                          const MeanShiftFilterOptions& options, int64_t items) {
  check_problem(image, options, items);
  return bytes_needed({image, options}, items);
}

void mean_shift_filter(const ImageView& image, int64_t items, const MeanShiftFilterOptions& options,
                       void* out, const Queue& queue) {
  check_problem(image, options, items);
  expect_memory("out", out);
  const Problem problem{image, options};
  const DeviceGuard guard(library(), queue.device);
  const int64_t at_a_time = items_at_a_time(items, queue, "one image",
                                            [&](int64_t n) { return bytes_needed(problem, n); });
  for (int64_t b = 0; b < items; b += at_a_time) {
    const int64_t count = std::min(at_a_time, items - b);
    const int64_t before = b * problem.item_bytes();
    const void* from = static_cast<const std::byte*>(image.data) + before;
    void* to = static_cast<std::byte*>(out) + before;
    if (problem.words()) {
      Part<uint32_t>(problem, count, queue).run(from, to);
    } else {
      Part<float>(problem, count, queue).run(from, to);
    }
  }
}

}  // namespace mrfcore::cuda
