// SPDX-License-Identifier: Apache-2.0
#include "mrfcore/slic.hpp"

#include <memory>
#include <stdexcept>
#include <string>

#include "cpu/slic.hpp"
#include "ops/buffer.hpp"
#include "ops/dispatch.hpp"
#include "ops/slic_parts.hpp"
#include "ops/slic_plan.hpp"

namespace mrfcore {
namespace {

constexpr int16_t kLargestFeature = 4095;

#if defined(MRFCORE_HAVE_AVX512)
#define MRF_AVX512(call) \
  case Isa::Avx512:      \
    return cpu::avx512::call;
#else
#define MRF_AVX512(call)
#endif
#if defined(MRFCORE_HAVE_AVX2)
#define MRF_AVX2(call) \
  case Isa::Avx2:      \
    return cpu::avx2::call;
#else
#define MRF_AVX2(call)
#endif
#define MRF_OF_ACTIVE_ISA(call)   \
  switch (active_isa()) {         \
    MRF_AVX512(call)              \
    MRF_AVX2(call)                \
    default:                      \
      return cpu::baseline::call; \
  }

const cpu::SlicKernels& kernels() { MRF_OF_ACTIVE_ISA(slic_kernels()) }
const cpu::SlicBlurKernels& blur_kernels() { MRF_OF_ACTIVE_ISA(slic_blur_kernels()) }
template <class T>
const cpu::SlicFeatureKernels<T>& feature_kernels() {
  MRF_OF_ACTIVE_ISA(slic_feature_kernels<T>())
}

void require(const char* name, const void* data) {
  if (data == nullptr) throw std::invalid_argument(std::string(name) + " has no data");
}

void check_features(const int16_t* features, int64_t count) {
  int low = 0, high = 0;
  for (int64_t i = 0; i < count; ++i) {
    low = features[i] < low ? features[i] : low;
    high = features[i] > high ? features[i] : high;
  }
  if (low >= -kLargestFeature && high <= kLargestFeature) return;
  throw std::invalid_argument("features has values " + std::to_string(low) + ".." +
                              std::to_string(high) + ", expected within -4095..4095");
}

/// The first value outside 0..1.
template <class T>
[[noreturn]] void refuse_values(const SlicImage<T>& image) {
  for (int64_t b = 0; b < image.batch; ++b) {
    for (int64_t c = 0; c < image.channels; ++c) {
      for (int64_t p = 0; p < image.height * image.width; ++p) {
        const int64_t y = p / image.width, x = p % image.width;
        const T value = image.data[b * image.batch_stride + c * image.channel_stride +
                                   y * image.row_stride + x * image.column_stride];
        if (value >= T(0) && value <= T(1)) continue;
        throw std::invalid_argument("image is " + std::to_string(value) + " at (" +
                                    std::to_string(y) + ", " + std::to_string(x) + ") of channel " +
                                    std::to_string(c) + ", expected numbers in 0..1");
      }
    }
  }
  throw std::invalid_argument("image changed while it was read");
}

void blur(double sigma, int64_t planes, int64_t height, int64_t width, int threads,
          int16_t* features) {
  Buffer<int32_t> taps(2 * kSlicRadius + 1);
  const int64_t radius = slic_taps(sigma, taps.data());
  if (radius == 0) return;
  Buffer<int16_t> between(planes * height * width);
  const cpu::SlicBlur pass{planes, height, width, taps.data(), radius, threads};
  blur_kernels().rows(pass, features, between.data());
  blur_kernels().columns(pass, between.data(), features);
}

int64_t padded(int64_t width) { return (width + 2 * cpu::kSlicPadding - 1) / 16 * 16; }

/// All working memory of a call: 4 (pairs + 1) bytes a pixel, and what cells have. Rows of pixels
/// come from the heap and as they are: fresh pages for an image would take as long as two
/// iterations.
class Memory {
 public:
  Memory(const SlicOptions& options, const SlicPlan& plan, const int16_t* features)
      : words_(rows(options, (plan.channels + 2) / 2)),
        slots_(rows(options, 1)),
        centres_(options.batch * plan.cells() * plan.centre_size()),
        moved_(options.batch * plan.cells()),
        sums_(options.batch * plan.cells() * kSlicSlots * plan.sum_size()),
        work_{plan,         options.batch,         resolve_threads(options.threads),
              features,     padded(options.width), words_.get(),
              slots_.get(), centres_.data(),       moved_.data(),
              sums_.data()} {}
  const cpu::SlicWork& work() const { return work_; }

 private:
  using Rows = std::unique_ptr<int32_t[]>;

  static Rows rows(const SlicOptions& options, int64_t planes) {
    const int64_t size = options.batch * planes * options.height * padded(options.width);
    return std::make_unique_for_overwrite<int32_t[]>(static_cast<size_t>(size));
  }

  Rows words_, slots_;
  Buffer<int32_t> centres_;
  Buffer<uint8_t> moved_;
  Buffer<int64_t> sums_;
  cpu::SlicWork work_;
};

}  // namespace

template <class T>
void slic_features(const SlicImage<T>& image, SlicColors colors, double sigma, int threads,
                   int16_t* features) {
  check_slic_features(image.batch, image.channels, image.height, image.width, colors, sigma);
  require("image", image.data);
  require("features", features);
  const int resolved = resolve_threads(threads);
  if (!feature_kernels<T>().convert(image, colors, resolved, features)) refuse_values(image);
  blur(sigma, image.batch * image.channels, image.height, image.width, resolved, features);
}

template void slic_features<uint8_t>(const SlicImage<uint8_t>&, SlicColors, double, int, int16_t*);
template void slic_features<float>(const SlicImage<float>&, SlicColors, double, int, int16_t*);

void slic(const SlicOptions& options, const int16_t* features, int32_t* ids, int32_t* counts) {
  check_slic(options);
  require("features", features);
  require("ids", ids);
  require("counts", counts);
  const int64_t pixels = options.height * options.width;
  check_features(features, options.batch * options.channels * pixels);
  const SlicPlan plan = plan_slic(options);
  {
    const Memory memory(options, plan, features);
    const cpu::SlicKernels& run = kernels();
    run.start(memory.work());
    for (int i = 0; i < options.iterations; ++i) {
      run.assign(memory.work());
      run.update(memory.work());
    }
    run.cells(memory.work(), ids);
  }
  const int64_t smallest = slic_min_size(options);
  for (int64_t b = 0; b < options.batch; ++b) {
    int32_t* item = ids + b * pixels;
    const SlicPicture picture{features + b * options.channels * pixels, options.channels,
                              options.height, options.width};
    counts[b] = options.connected ? slic_connect(picture, smallest, item)
                                  : slic_compact(item, pixels, plan.cells());
  }
}

}  // namespace mrfcore
