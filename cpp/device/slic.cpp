// SPDX-License-Identifier: Apache-2.0
// SLIC on a GPU: checks, parts of the batch, memory.
#include <algorithm>

#include "device/parts.hpp"
#include "mrfcore/cuda_slic.hpp"
#include "ops/slic_plan.hpp"

namespace mrfcore::cuda {
namespace {

static_assert(kernels::kSlicTaps == kSlicRadius);

template <class T>
kernels::SlicColourJob colour_job(const SlicImage<T>& image, SlicColors colors, double sigma) {
  kernels::SlicColourJob job{};
  job.items = image.batch;
  job.channels = image.channels;
  job.height = image.height;
  job.width = image.width;
  job.item_stride = image.batch_stride;
  job.channel_stride = image.channel_stride;
  job.row_stride = image.row_stride;
  job.column_stride = image.column_stride;
  job.lab = colors == SlicColors::Lab;
  Buffer<int32_t> taps(2 * kSlicRadius + 1);
  job.radius = static_cast<int32_t>(slic_taps(sigma, taps.data()));
  std::copy_n(taps.data() + job.radius, job.radius + 1, job.taps);
  return job;
}

int run_features(const Functions& f, const kernels::SlicColourJob& job, const uint8_t* image,
                 Stream stream) {
  return f.slic.features_of_bytes(job, image, stream);
}
int run_features(const Functions& f, const kernels::SlicColourJob& job, const float* image,
                 Stream stream) {
  return f.slic.features_of_floats(job, image, stream);
}

}  // namespace

template <class T>
int64_t slic_features_workspace_bytes(const SlicImage<T>& image, double sigma, int64_t items) {
  if (sigma == 0) return 0;
  return items * image.channels * image.height * image.width * 2 + kArenaAlignment;
}

template <class T>
void slic_features(const SlicImage<T>& image, SlicColors colors, double sigma, int16_t* features,
                   const Queue& queue) {
  check_slic_features(image.batch, image.channels, image.height, image.width, colors, sigma);
  expect_memory("image", image.data);
  expect_memory("features", features);
  const kernels::SlicColourJob job = colour_job(image, colors, sigma);
  const int64_t values = image.channels * image.height * image.width;
  in_parts(
      image.batch, queue, "colours of superpixels",
      [&](int64_t items) { return slic_features_workspace_bytes(image, sigma, items); },
      [&](const Functions& functions, int64_t first, int64_t count, void* scratch) {
        kernels::SlicColourJob some = job;
        some.items = count;
        some.features = features + first * values;
        some.between = static_cast<int16_t*>(scratch);
        return run_features(functions, some, image.data + first * image.batch_stride, queue.stream);
      });
}

int64_t slic_workspace_bytes(const SlicOptions& options, int64_t items) {
  check_slic(options);
  return kernels::SlicScratch(plan_slic(options), items, options.connected).total + kArenaAlignment;
}

void slic(const SlicOptions& options, const int16_t* features, int32_t* ids, int32_t* counts,
          const Queue& queue) {
  check_slic(options);
  expect_memory("features", features);
  expect_memory("ids", ids);
  expect_memory("counts", counts);
  const int64_t pixels = options.height * options.width;
  in_parts(
      options.batch, queue, "superpixels",
      [&](int64_t items) { return slic_workspace_bytes(options, items); },
      [&](const Functions& functions, int64_t first, int64_t count, void* scratch) {
        return functions.slic.superpixels(
            {plan_slic(options), count, options.iterations, options.connected,
             slic_min_size(options), features + first * options.channels * pixels,
             ids + first * pixels, counts + first},
            scratch, queue.stream);
      });
}

#define MRF_SLIC(T)                                                                        \
  template int64_t slic_features_workspace_bytes<T>(const SlicImage<T>&, double, int64_t); \
  template void slic_features<T>(const SlicImage<T>&, SlicColors, double, int16_t*, const Queue&);
MRF_SLIC(uint8_t)
MRF_SLIC(float)
#undef MRF_SLIC

}  // namespace mrfcore::cuda
