// SPDX-License-Identifier: Apache-2.0
#include "mrfcore/superpixel.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/superpixel.hpp"
#include "ops/buffer.hpp"
#include "ops/dispatch.hpp"
#include "ops/superpixel.hpp"

namespace mrfcore {
namespace {

constexpr int64_t kMostPixels = std::numeric_limits<int32_t>::max() - 64;
// Interleaved sums want runs as long as a quarter of the 16 parts, and parts that take a quarter of
// a plane at most.
constexpr int64_t kLeastRun = 4, kLeastSuperpixel = 64;

template <class Of>
decltype(auto) for_isa(const Of& of) {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return of([] { return &cpu::avx512::superpixel_runs_kernels(); },
                [](auto zero) { return &cpu::avx512::superpixel_kernels<decltype(zero)>(); });
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return of([] { return &cpu::avx2::superpixel_runs_kernels(); },
                [](auto zero) { return &cpu::avx2::superpixel_kernels<decltype(zero)>(); });
#endif
    default:
      return of([] { return &cpu::baseline::superpixel_runs_kernels(); },
                [](auto zero) { return &cpu::baseline::superpixel_kernels<decltype(zero)>(); });
  }
}

const cpu::SuperpixelRunsKernels& runs_kernels() {
  return *for_isa([](const auto& runs, const auto&) { return runs(); });
}

template <class T>
const cpu::SuperpixelKernels<T>& kernels() {
  return *for_isa([](const auto&, const auto& of) { return of(T(0)); });
}

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

void require(const char* name, const void* data) {
  if (data == nullptr) fail(std::string(name) + " has no data");
}

void check_range(const cpu::IdRange& range, int64_t num, int64_t pixels) {
  if (range.lowest >= 0 && range.highest < num) return;
  const bool low = range.lowest < 0;
  std::string hint = "negative ids: relabel them first";
  if (!low) hint = "ids that are sparse: relabel them first";
  if (!low && range.highest < pixels)
    hint = "num, how many superpixels there are, must be at least " +
           std::to_string(range.highest + 1);
  fail("ids: " + std::to_string(low ? range.lowest : range.highest) + " is there, expected 0.." +
       std::to_string(num - 1) + " (" + hint + ")");
}

/// What largest id + 1 may be where the caller does not say it: memory grows with it.
int64_t most_ids(int64_t pixels) { return std::max(int64_t{1} << 20, pixels); }

/// The runs of a batch and the pixels of each superpixel.
class RunMap {
 public:
  RunMap(const SuperpixelMap& map, const uint8_t* valid, int64_t channels, int threads) {
    const int64_t rows = map.batch * map.height, pixels = map.height * map.width;
    const cpu::RunsArgs args{
        .map = map, .valid = valid, .threads = threads_for(rows * map.width * channels, threads)};
    std::vector<int64_t> offsets(static_cast<size_t>(rows) + 1);
    const cpu::IdRange range = runs_kernels().count(args, offsets.data());
    check_range(range, map.num > 0 ? map.num : most_ids(pixels), pixels);
    const int64_t num = map.num > 0 ? map.num : range.highest + 1;
    add_up(offsets);
    runs_.resize(static_cast<size_t>(offsets.back()));
    runs_kernels().fill(args, offsets.data(), runs_.data());
    for (int64_t b = 0; b <= map.batch; ++b) {
      begins_.push_back(offsets[static_cast<size_t>(b * map.height)]);
    }
    count(map.batch, num);
    const bool interleaved =
        offsets.back() <= map.batch * pixels / kLeastRun && num <= pixels / kLeastSuperpixel;
    args_ = {.runs = runs_.data(),
             .begins = begins_.data(),
             .counts = counts_.data(),
             .batch = map.batch,
             .channels = channels,
             .pixels = pixels,
             .num = num,
             .interleaved = interleaved,
             .threads = args.threads};
  }

  const cpu::SuperpixelArgs& args() const { return args_; }

 private:
  /// Numbers of runs become where they begin.
  static void add_up(std::vector<int64_t>& offsets) {
    int64_t sum = 0;
    for (int64_t& offset : offsets) {
      const int64_t own = offset;
      offset = sum;
      sum += own;
    }
  }

  void count(int64_t batch, int64_t num) {
    counts_.resize(static_cast<size_t>(batch * num));
    for (int64_t b = 0; b < batch; ++b) {
      int32_t* counts = counts_.data() + b * num;
      const auto end = runs_.begin() + begins_[static_cast<size_t>(b) + 1];
      for (auto run = runs_.begin() + begins_[static_cast<size_t>(b)]; run != end; ++run) {
        if (run->valid()) counts[run->id] += run->length;
      }
    }
  }

  std::vector<cpu::Run> runs_;
  std::vector<int64_t> begins_;
  std::vector<int32_t> counts_;
  cpu::SuperpixelArgs args_{};
};

/// bad_alloc where a thread would not get its partial sums: kernels cannot say so, they abort. Four
/// channels at a time have 16 parts and a total a superpixel, or only that.
template <class T>
void expect_thread_memory(const cpu::SuperpixelArgs& args) {
  constexpr int64_t kFew = int64_t{1} << 20;
  const int64_t bytes =
      args.num * 4 * (args.interleaved ? 17 : 1) * static_cast<int64_t>(sizeof(T));
  if (bytes <= kFew) return;
  const int64_t all = bytes * std::min<int64_t>(args.threads, args.batch * args.channels);
  release(allocate_zeroed(all), all);
}

template <class T>
void fresh(const SuperpixelMap& map, int64_t channels, const T* out) {
  prefer_huge_pages(
      out, map.batch * channels * map.height * map.width * static_cast<int64_t>(sizeof(T)));
}

}  // namespace

void check_superpixel_map(const SuperpixelMap& map, int64_t channels, bool num_needed) {
  require("ids", map.ids);
  const bool sizes =
      map.batch >= 1 && map.height >= 1 && map.width >= 1 && map.height <= kMostPixels / map.width;
  if (!sizes) {
    fail("ids has shape [" + std::to_string(map.batch) + ", " + std::to_string(map.height) + ", " +
         std::to_string(map.width) + "], expected sizes >= 1 and fewer than 2^31 pixels an image");
  }
  if (channels < 1) fail("channels is " + std::to_string(channels) + ", expected >= 1");
  if (map.num < (num_needed ? 1 : 0) || map.num > kMostPixels) {
    fail("num is " + std::to_string(map.num) + ", expected " + (num_needed ? "1" : "0") + ".." +
         std::to_string(kMostPixels));
  }
}

template <class T>
void superpixel_pool(const SuperpixelMap& map, int64_t channels, const T* x,
                     SuperpixelReduce reduce, int threads, T* z, int64_t* winners) {
  check_superpixel_map(map, channels, true);
  require("x", x);
  require("z", z);
  const RunMap runs(map, nullptr, channels, threads);
  expect_thread_memory<T>(runs.args());
  kernels<T>().pool(runs.args(), x, reduce, z, winners);
}

template <class T>
void superpixel_unpool(const SuperpixelMap& map, int64_t channels, const T* z, bool divide,
                       int threads, T* out) {
  check_superpixel_map(map, channels, true);
  require("z", z);
  require("out", out);
  const RunMap runs(map, nullptr, channels, threads);
  expect_thread_memory<T>(runs.args());
  fresh(map, channels, out);
  kernels<T>().unpool(runs.args(), z, divide, out);
}

template <class T>
void superpixel_consistency(const SuperpixelMap& map, int64_t channels, const T* x,
                            const ConsistencyOptions& options, T* out) {
  check_superpixel_map(map, channels, false);
  require("x", x);
  require("out", out);
  const RunMap runs(map, options.valid, channels, options.threads);
  expect_thread_memory<T>(runs.args());
  fresh(map, channels, out);
  kernels<T>().consistency(runs.args(), x, options.empty == NoValidPixel::Keep, options.adjoint,
                           out);
}

#define MRF_SUPERPIXEL(T)                                                                          \
  template void superpixel_pool<T>(const SuperpixelMap&, int64_t, const T*, SuperpixelReduce, int, \
                                   T*, int64_t*);                                                  \
  template void superpixel_unpool<T>(const SuperpixelMap&, int64_t, const T*, bool, int, T*);      \
  template void superpixel_consistency<T>(const SuperpixelMap&, int64_t, const T*,                 \
                                          const ConsistencyOptions&, T*);
MRF_SUPERPIXEL(float)
MRF_SUPERPIXEL(double)
#undef MRF_SUPERPIXEL

}  // namespace mrfcore
