// SPDX-License-Identifier: Apache-2.0
#include "mrfcore/disparity.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/disparity.hpp"
#include "ops/dispatch.hpp"

namespace mrfcore {
namespace {

const cpu::DisparityKernels& kernels() {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::disparity_kernels();
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::disparity_kernels();
#endif
    default:
      return cpu::baseline::disparity_kernels();
  }
}

void expect(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

void check_positive(const char* name, float value) {
  expect(value > 0.0F && std::isfinite(value),
         std::string(name) + " is " + std::to_string(value) + ", expected a finite number > 0");
}

/// [height, width, channels] of any pixel type to float [channels, height, width].
template <class Pixel>
std::vector<float> planes(const ImageView& image) {
  const auto* pixels = static_cast<const Pixel*>(image.data);
  const auto area = static_cast<std::size_t>(image.height * image.width);
  const auto channels = static_cast<std::size_t>(image.channels);
  std::vector<float> out(area * channels);
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t i = 0; i < area; ++i) {
      out[c * area + i] = static_cast<float>(pixels[i * channels + c]);
    }
  }
  return out;
}

/// Grows the patch that starts at `seed` over unvisited neighbours; `patch` returns its pixels.
void grow_patch(const float* disparity, int64_t height, int64_t width, float max_difference,
                int64_t seed, std::vector<bool>& visited, std::vector<int64_t>& patch) {
  patch.assign(1, seed);
  visited[static_cast<std::size_t>(seed)] = true;
  for (std::size_t next = 0; next < patch.size(); ++next) {
    const int64_t p = patch[next], y = p / width, x = p % width;
    const std::array<std::pair<bool, int64_t>, 4> neighbours{
        {{x > 0, p - 1}, {x + 1 < width, p + 1}, {y > 0, p - width}, {y + 1 < height, p + width}}};
    for (const auto& [inside, q] : neighbours) {
      if (!inside || visited[static_cast<std::size_t>(q)]) continue;
      if (!(std::fabs(disparity[q] - disparity[p]) <= max_difference)) continue;  // or NaN
      visited[static_cast<std::size_t>(q)] = true;
      patch.push_back(q);
    }
  }
}

}  // namespace

void smooth_disparity(const float* disparity, const ImageView& guide, const SmoothOptions& options,
                      float* out) {
  expect(disparity != nullptr && guide.data != nullptr && out != nullptr,
         "disparity, guide or out has no data");
  expect(guide.height >= 1 && guide.width >= 1 && (guide.channels == 1 || guide.channels == 3),
         "guide: expected [height >= 1, width >= 1, 1 or 3]");
  expect(options.radius >= 0,
         "radius is " + std::to_string(options.radius) + ", expected a number >= 0");
  check_positive("max_difference", options.max_difference);
  check_positive("colour_scale", options.colour_scale);
  const std::vector<float> colours =
      guide.type == PixelType::UInt8 ? planes<uint8_t>(guide) : planes<float>(guide);
  std::vector<float> rows(static_cast<std::size_t>(guide.height * guide.width));
  kernels().smooth({.disparity = disparity,
                    .guide = colours.data(),
                    .height = guide.height,
                    .width = guide.width,
                    .channels = guide.channels,
                    .radius = options.radius,
                    .max_difference = options.max_difference,
                    .colour_scale = options.colour_scale,
                    .threads = resolve_threads(options.threads),
                    .rows = rows.data(),
                    .out = out});
}

void remove_speckles(float* disparity, int64_t height, int64_t width, int64_t max_size,
                     float max_difference) {
  expect(disparity != nullptr, "disparity has no data");
  expect(height >= 1 && width >= 1, "disparity is empty");
  expect(max_size >= 0, "max_size is " + std::to_string(max_size) + ", expected a number >= 0");
  expect(max_difference >= 0.0F, "max_difference: expected a number >= 0");
  const int64_t area = height * width;
  std::vector<bool> visited(static_cast<std::size_t>(area));
  std::vector<int64_t> patch;
  for (int64_t p = 0; p < area; ++p) {
    if (visited[static_cast<std::size_t>(p)] || std::isnan(disparity[p])) continue;
    grow_patch(disparity, height, width, max_difference, p, visited, patch);
    if (static_cast<int64_t>(patch.size()) > max_size) continue;
    for (const int64_t q : patch) disparity[q] = std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace mrfcore
