// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <queue>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "mrfcore/mean_shift_filter.hpp"
#include "ops/mean_shift_filter.hpp"

namespace mrfcore {
namespace {

/// Disjoint sets; the smallest member stands for its set.
class Sets {
 public:
  explicit Sets(int64_t count) : parent_(static_cast<size_t>(count)) {
    for (size_t i = 0; i < parent_.size(); ++i) parent_[i] = static_cast<int32_t>(i);
  }

  int32_t find(int32_t i) {
    while (at(i) != i) {
      at(i) = at(at(i));  // halves the path
      i = at(i);
    }
    return i;
  }

  /// Returns (what stands for both, what did for the other).
  std::pair<int32_t, int32_t> join(int32_t a, int32_t b) {
    a = find(a);
    b = find(b);
    if (b < a) std::swap(a, b);
    at(b) = a;
    return {a, b};
  }

 private:
  int32_t& at(int32_t i) { return parent_[static_cast<size_t>(i)]; }

  std::vector<int32_t> parent_;
};

template <class Pixel>
class Regions {
 public:
  Regions(const Pixel* pixels, int64_t height, int64_t width, int64_t channels)
      : pixels_(pixels), height_(height), width_(width), channels_(channels) {}

  int64_t find(double color_radius, int64_t min_size, int32_t* ids) {
    connect(color_radius * color_radius, ids);
    if (min_size > 1) absorb(min_size, ids);
    return relabel(ids);
  }

 private:
  /// Neighbours (4) of raster order: left and above.
  template <class Visit>
  void each_pair(const Visit& visit) const {
    for (int64_t i = 0; i < height_ * width_; ++i) {
      if (i % width_ != 0) visit(i, i - 1);
      if (i >= width_) visit(i, i - width_);
    }
  }

  double value(int64_t pixel, int64_t c) const {
    return static_cast<double>(pixels_[pixel * channels_ + c]);
  }

  /// ids: numbers of connected parts, in the order of their first pixels.
  void connect(double most, int32_t* ids) {
    Sets sets(height_ * width_);
    each_pair([&](int64_t i, int64_t j) {
      double square = 0;
      for (int64_t c = 0; c < channels_; ++c) {
        const double d = value(i, c) - value(j, c);
        square += d * d;
      }
      if (square <= most) sets.join(static_cast<int32_t>(i), static_cast<int32_t>(j));
    });
    for (int64_t i = 0; i < height_ * width_; ++i) {
      const int32_t root = sets.find(static_cast<int32_t>(i));  // <= i
      ids[i] = root == i ? static_cast<int32_t>(count_++) : ids[root];
    }
  }

  /// Small parts join the neighbour with the nearest mean, smallest first, then lowest id. A part's
  /// list of neighbours is read while it is small only, hence short.
  void absorb(int64_t min_size, int32_t* ids) {
    measure(ids);
    Sets sets(count_);
    using Entry = std::pair<int64_t, int32_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> small;
    for (int32_t id = 0; id < count_; ++id) {
      if (size(id) < min_size) small.emplace(size(id), id);
    }
    while (!small.empty()) {
      const auto [entered, id] = small.top();
      small.pop();
      if (sets.find(id) != id || size(id) != entered) continue;  // has grown or gone meanwhile
      const int32_t to = nearest(id, sets);
      if (to < 0) continue;  // all of the image
      const auto [kept, gone] = sets.join(id, to);
      merge(kept, gone);
      if (size(kept) < min_size) small.emplace(size(kept), kept);
    }
    for (int64_t i = 0; i < height_ * width_; ++i) ids[i] = sets.find(ids[i]);
  }

  void measure(const int32_t* ids) {
    size_.assign(static_cast<size_t>(count_), 0);
    sum_.assign(static_cast<size_t>(count_ * channels_), 0.0);
    beside_.assign(static_cast<size_t>(count_), {});
    for (int64_t i = 0; i < height_ * width_; ++i) {
      ++size(ids[i]);
      for (int64_t c = 0; c < channels_; ++c) sum(ids[i], c) += value(i, c);
    }
    each_pair([&](int64_t i, int64_t j) {
      if (ids[i] == ids[j]) return;
      beside(ids[i]).push_back(ids[j]);
      beside(ids[j]).push_back(ids[i]);
    });
  }

  /// -1 where there is no neighbour.
  int32_t nearest(int32_t id, Sets& sets) {
    int32_t best = -1;
    double least = std::numeric_limits<double>::infinity();
    for (const int32_t entry : beside(id)) {
      const int32_t other = sets.find(entry);
      if (other == id) continue;
      double square = 0;
      for (int64_t c = 0; c < channels_; ++c) {
        const double d = sum(id, c) / static_cast<double>(size(id)) -
                         sum(other, c) / static_cast<double>(size(other));
        square += d * d;
      }
      if (square < least || (square == least && other < best)) {
        least = square;
        best = other;
      }
    }
    return best;
  }

  void merge(int32_t kept, int32_t gone) {
    size(kept) += size(gone);
    for (int64_t c = 0; c < channels_; ++c) sum(kept, c) += sum(gone, c);
    if (beside(kept).size() < beside(gone).size()) beside(kept).swap(beside(gone));
    beside(kept).insert(beside(kept).end(), beside(gone).begin(), beside(gone).end());
    beside(gone) = {};
  }

  int64_t relabel(int32_t* ids) const {
    std::vector<int32_t> number(static_cast<size_t>(count_), -1);
    int32_t next = 0;
    for (int64_t i = 0; i < height_ * width_; ++i) {
      int32_t& to = number[static_cast<size_t>(ids[i])];
      if (to < 0) to = next++;
      ids[i] = to;
    }
    return next;
  }

  int64_t& size(int32_t id) { return size_[static_cast<size_t>(id)]; }
  double& sum(int32_t id, int64_t c) { return sum_[static_cast<size_t>(id * channels_ + c)]; }
  std::vector<int32_t>& beside(int32_t id) { return beside_[static_cast<size_t>(id)]; }

  const Pixel* pixels_;
  int64_t height_, width_, channels_;
  int64_t count_ = 0;
  std::vector<int64_t> size_;
  std::vector<double> sum_;
  std::vector<std::vector<int32_t>> beside_;
};

}  // namespace

int64_t mean_shift_regions(const ImageView& filtered, double color_radius, int64_t min_size,
                           FilterSpace space, int32_t* ids) {
  check_filter_image(filtered);
  check_filter_space(space, filtered.channels);
  if (!(color_radius >= 0 && std::isfinite(color_radius))) {
    throw std::invalid_argument("color_radius is " + std::to_string(color_radius) +
                                ", expected a finite number >= 0");
  }
  if (min_size < 1) {
    throw std::invalid_argument("min_size is " + std::to_string(min_size) + ", expected >= 1");
  }
  if (ids == nullptr) throw std::invalid_argument("ids has no data");
  if (filtered.height * filtered.width > std::numeric_limits<int32_t>::max()) {
    throw std::invalid_argument("image: has " + std::to_string(filtered.height * filtered.width) +
                                " pixels, expected fewer than 2^31");
  }
  const auto run = [&](const auto* pixels) {
    return Regions(pixels, filtered.height, filtered.width, filtered.channels)
        .find(color_radius, min_size, ids);
  };
  if (space == FilterSpace::LUV) return run(luv_pixels(filtered).data());
  return filtered.type == PixelType::UInt8 ? run(static_cast<const uint8_t*>(filtered.data))
                                           : run(static_cast<const float*>(filtered.data));
}

}  // namespace mrfcore
