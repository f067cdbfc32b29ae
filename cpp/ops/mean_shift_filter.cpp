// SPDX-License-Identifier: Apache-2.0
#include "mrfcore/mean_shift_filter.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/exponential.hpp"
#include "core/luv.hpp"
#include "cpu/mean_shift_filter.hpp"
#include "ops/control.hpp"
#include "ops/dispatch.hpp"
#include "ops/image_planes.hpp"
#include "ops/mean_shift_filter.hpp"

namespace mrfcore {
namespace {

constexpr float kLargest = 1e15F;  // squares and sums stay finite

const cpu::MeanShiftFilterKernels& kernels() {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::mean_shift_filter_kernels();
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::mean_shift_filter_kernels();
#endif
    default:
      return cpu::baseline::mean_shift_filter_kernels();
  }
}

template <class T, class Pixel>
ImagePlanes<T> planes_of(const ImageView& image) {
  ImagePlanes<T> out(image.height, image.width, static_cast<int>(image.channels),
                     cpu::kFilterPadding);
  const auto* pixels = static_cast<const Pixel*>(image.data);
  for (int64_t i = 0; i < image.height * image.width; ++i) {
    for (int c = 0; c < out.channels; ++c)
      out.channel(c)[i] = static_cast<T>(pixels[i * out.channels + c]);
  }
  return out;
}

uint8_t to_byte(float value) {
  return static_cast<uint8_t>(std::lrint(std::clamp(value, 0.0F, 255.0F)));
}
uint8_t to_byte(uint16_t value) { return static_cast<uint8_t>(value); }

template <class T>
void write(const ImagePlanes<T>& image, PixelType type, void* out) {
  const int channels = image.channels;
  for (int64_t i = 0; i < image.height * image.width; ++i) {
    for (int c = 0; c < channels; ++c) {
      const T value = image.channel(c)[i];
      if (type == PixelType::UInt8) {
        static_cast<uint8_t*>(out)[i * channels + c] = to_byte(value);
      } else {
        static_cast<float*>(out)[i * channels + c] = static_cast<float>(value);
      }
    }
  }
}

/// converts(pixel [3], to [3]) in place, rows in parallel.
template <class Convert>
void convert_colours(ImagePlanes<float>& image, int threads, const Convert& convert) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t i = y * image.width; i < (y + 1) * image.width; ++i) {
      double from[3], to[3];
      for (int c = 0; c < 3; ++c) from[c] = static_cast<double>(image.channel(c)[i]);
      convert(from, to);
      for (int c = 0; c < 3; ++c) image.channel(c)[i] = static_cast<float>(to[c]);
    }
  }
}

void to_luv(ImagePlanes<float>& image, int threads) {
  convert_colours(image, threads, [](const double (&rgb)[3], double (&luv)[3]) {
    double linear[3];
    for (int c = 0; c < 3; ++c) linear[c] = core::srgb_to_linear(rgb[c] / 255);
    core::linear_to_luv(linear, luv);
  });
}

void from_luv(ImagePlanes<float>& image, int threads) {
  convert_colours(image, threads, [](const double (&luv)[3], double (&rgb)[3]) {
    double linear[3];
    core::luv_to_linear(luv, linear);
    for (int c = 0; c < 3; ++c) rgb[c] = 255 * core::linear_to_srgb(linear[c]);
  });
}

template <class T>
double squared_distance(const ImagePlanes<T>& image, int64_t a, int64_t b) {
  double sum = 0;
  for (int c = 0; c < image.channels; ++c) {
    const double d =
        static_cast<double>(image.channel(c)[a]) - static_cast<double>(image.channel(c)[b]);
    sum += d * d;
  }
  return sum;
}

/// 1 where a pixel of the larger image lies within two pixels of one of the smaller that differs
/// from one of its eight neighbours by more than the radius.
template <class T>
std::vector<uint8_t> near_edges(const ImagePlanes<T>& small, double most, int64_t height,
                                int64_t width) {
  std::vector<uint8_t> wanted(static_cast<size_t>(height * width));
  const auto mark = [&](int64_t y, int64_t x) {
    for (int64_t v = std::max<int64_t>(2 * y - 2, 0); v <= std::min(2 * y + 2, height - 1); ++v) {
      for (int64_t u = std::max<int64_t>(2 * x - 2, 0); u <= std::min(2 * x + 2, width - 1); ++u)
        wanted[static_cast<size_t>(v * width + u)] = 1;
    }
  };
  constexpr int kAhead[4][2] = {{0, 1}, {1, -1}, {1, 0}, {1, 1}};
  for (int64_t y = 0; y < small.height; ++y) {
    for (int64_t x = 0; x < small.width; ++x) {
      for (const auto& [dy, dx] : kAhead) {
        const int64_t v = y + dy, u = x + dx;
        if (v >= small.height || u < 0 || u >= small.width) continue;
        if (squared_distance(small, y * small.width + x, v * small.width + u) <= most) continue;
        mark(y, x);
        mark(v, u);
      }
    }
  }
  return wanted;
}

class Filter {
 public:
  explicit Filter(const MeanShiftFilterOptions& options) : options_(options) {
    control_.poll = options.interrupted;
  }

  template <class T>
  ImagePlanes<T> run(ImagePlanes<T> image) {
    std::vector<ImagePlanes<T>> pyramid;
    pyramid.push_back(std::move(image));
    for (int level = 0; level < options_.levels; ++level)
      pyramid.push_back(halved(pyramid.back(), cpu::kFilterPadding));
    const ImagePlanes<T>& smallest = pyramid.back();
    ImagePlanes<T> out(smallest.height, smallest.width, smallest.channels, cpu::kFilterPadding);
    filter(smallest, options_.levels, nullptr, out);
    for (int level = options_.levels - 1; level >= 0; --level) {
      const ImagePlanes<T>& from = pyramid[static_cast<size_t>(level)];
      const std::vector<uint8_t> wanted =
          near_edges(out, options_.color_radius * options_.color_radius, from.height, from.width);
      out = doubled(out, from.height, from.width, cpu::kFilterPadding);
      filter(from, level, wanted.data(), out);
    }
    return out;
  }

 private:
  template <class T>
  cpu::FilterFrame frame(const ImagePlanes<T>& from, int level, const uint8_t* wanted) {
    return {.height = from.height,
            .width = from.width,
            .plane = from.plane,
            .channels = from.channels,
            .radius = std::max(1, options_.spatial_radius >> level),
            .iterations = options_.iterations,
            .tolerance = options_.tolerance,
            .wanted = wanted,
            .threads = resolve_threads(options_.threads),
            .control = &control_};
  }

  void filter(const ImagePlanes<uint16_t>& from, int level, const uint8_t* wanted,
              ImagePlanes<uint16_t>& to) {
    kernels().bytes({.frame = frame(from, level, wanted),
                     .planes = from.data.data(),
                     .most = filter_most_whole(options_.color_radius, from.channels),
                     .out = to.data.data()});
    cpu::throw_if_stopped(control_);
  }

  void filter(const ImagePlanes<float>& from, int level, const uint8_t* wanted,
              ImagePlanes<float>& to) {
    const cpu::FilterFrame frame = this->frame(from, level, wanted);
    const std::vector<float> distance = filter_distances(frame.radius);
    kernels().floats({.frame = frame,
                      .planes = from.data.data(),
                      .most = filter_most(options_.color_radius),
                      .gaussian = options_.kernel == FilterKernel::Gaussian,
                      .scale = filter_scale(options_.color_radius),
                      .distance = distance.data(),
                      .out = to.data.data()});
    cpu::throw_if_stopped(control_);
  }

  const MeanShiftFilterOptions& options_;
  cpu::Control control_;
};

}  // namespace

int64_t filter_most_whole(double color_radius, int channels) {
  const double most = color_radius * color_radius;  // whole squares: the fraction does not matter
  const int64_t greatest = int64_t{255} * 255 * channels;
  return most < static_cast<double>(greatest) ? static_cast<int64_t>(most) : greatest;
}

float filter_most(double radius) { return static_cast<float>(std::min(radius * radius, 3e38)); }
float filter_scale(double radius) {
  return static_cast<float>(-2 / std::max(radius * radius, 1e-30));
}

std::vector<float> filter_distances(int radius) {
  std::vector<float> weights;
  for (int d = 0; d <= radius; ++d) {
    const double share = static_cast<double>(d) / radius;
    weights.push_back(static_cast<float>(core::exp_nonpositive(-2 * share * share)));
  }
  return weights;
}

void check_filter_options(const MeanShiftFilterOptions& options, int64_t channels) {
  const auto expect = [](bool holds, const std::string& message) {
    if (!holds) throw std::invalid_argument(message);
  };
  const auto within = [&expect](const char* name, int value, int least, int most) {
    expect(value >= least && value <= most, std::string(name) + " is " + std::to_string(value) +
                                                ", expected " + std::to_string(least) + " .. " +
                                                std::to_string(most));
  };
  within("spatial_radius", options.spatial_radius, 1, kMostSpatialRadius);
  within("levels", options.levels, 0, kMostFilterLevels);
  expect(
      options.color_radius > 0 && std::isfinite(options.color_radius),
      "color_radius is " + std::to_string(options.color_radius) + ", expected a finite number > 0");
  expect(options.iterations >= 0,
         "iterations is " + std::to_string(options.iterations) + ", expected >= 0");
  expect(options.tolerance >= 0,
         "tolerance is " + std::to_string(options.tolerance) + ", expected >= 0");
  check_filter_space(options.space, channels);
}

void check_filter_space(FilterSpace space, int64_t channels) {
  if (space == FilterSpace::RGB || channels == 3) return;
  throw std::invalid_argument("color_space: LUV needs three channels, got " +
                              std::to_string(channels));
}

void check_filter_shape(const ImageView& image) {
  if (image.data == nullptr || image.height < 1 || image.width < 1 ||
      (image.channels != 1 && image.channels != 3)) {
    throw std::invalid_argument("image: expected [height >= 1, width >= 1, 1 or 3], with data");
  }
}

void check_filter_image(const ImageView& image) {
  check_filter_shape(image);
  if (image.type == PixelType::UInt8) return;
  const auto* pixels = static_cast<const float*>(image.data);
  for (int64_t i = 0; i < image.height * image.width * image.channels; ++i) {
    if (std::fabs(pixels[i]) < kLargest) continue;  // false for NaN
    throw std::invalid_argument("image is " + std::to_string(pixels[i]) + " at value " +
                                std::to_string(i) + ", expected finite numbers below 1e15");
  }
}

std::vector<float> luv_pixels(const ImageView& image) {
  auto planes = image.type == PixelType::UInt8 ? planes_of<float, uint8_t>(image)
                                               : planes_of<float, float>(image);
  to_luv(planes, 1);
  std::vector<float> pixels(static_cast<size_t>(image.height * image.width * 3));
  write(planes, PixelType::Float32, pixels.data());
  return pixels;
}

void mean_shift_filter(const ImageView& image, const MeanShiftFilterOptions& options, void* out) {
  check_filter_image(image);
  check_filter_options(options, image.channels);
  if (out == nullptr) throw std::invalid_argument("out has no data");
  Filter filter(options);
  const bool bytes = image.type == PixelType::UInt8;
  const bool luv = options.space == FilterSpace::LUV;
  if (bytes && !luv && options.kernel == FilterKernel::Flat)
    return write(filter.run(planes_of<uint16_t, uint8_t>(image)), image.type, out);
  ImagePlanes<float> planes =
      bytes ? planes_of<float, uint8_t>(image) : planes_of<float, float>(image);
  const int threads = resolve_threads(options.threads);
  if (luv) to_luv(planes, threads);
  planes = filter.run(std::move(planes));
  if (luv) from_luv(planes, threads);
  write(planes, image.type, out);
}

}  // namespace mrfcore
