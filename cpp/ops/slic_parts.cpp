// SPDX-License-Identifier: Apache-2.0
//
// Parts by runs: neighbours in a row are one run, and runs that touch are united. There are far
// fewer runs than pixels. A part's root is its first run, which begins at its first pixel.
#include "ops/slic_parts.hpp"

#include <algorithm>
#include <vector>

#include "core/slic.hpp"

namespace mrfcore {
namespace {

struct Run {
  int64_t begin;  ///< number of its first pixel
  int32_t id;     ///< what its pixels were; later the number of its part
  int32_t root;   ///< a run of the same part, not after this one
};

struct Part {
  int64_t size = 0;
  int32_t cell = 0;
  int64_t distance = INT64_MAX;  ///< to the part that it joins
  int32_t to = 0;
  int32_t number = -1;
};

class Parts {
 public:
  Parts(const SlicPicture& picture, int64_t min_size, const int32_t* ids)
      : picture_(picture), min_size_(min_size), pixels_(picture.height * picture.width) {
    runs_.reserve(static_cast<size_t>(picture.height) * 64);
    for (int64_t y = 0; y < picture.height; ++y) {
      rows_.push_back(count());
      find_runs(ids + y * picture.width, y * picture.width);
    }
    rows_.push_back(count());
    runs_.push_back({pixels_, -1, -1});
    each_touching([this](Run& a, Run& b) {
      if (a.id == b.id) unite(a, b);
    });
    measure();
    keep_cells();
    each_touching([this](const Run& a, const Run& b) {
      if (a.id == b.id) return;
      offer(a.id, b.id);
      offer(b.id, a.id);
    });
  }

  /// Writes numbers in order of first pixels; returns how many.
  int32_t write(int32_t* ids) {
    // What a small part joins is large, or was met before.
    for (int32_t p = 0; p < static_cast<int32_t>(parts_.size()); ++p) {
      const int32_t to = part(p).to;
      part(p).to = stays(p) ? p : stays(to) ? to : part(to).to;
    }
    int32_t numbers = 0;
    for (int32_t r = 0; r < rows_.back(); ++r) {
      int32_t& number = part(part(run(r).id).to).number;
      if (number < 0) number = numbers++;
      std::fill(ids + run(r).begin, ids + end(r), number);
    }
    return numbers;
  }

 private:
  Run& run(int32_t r) { return runs_[static_cast<size_t>(r)]; }
  Part& part(int32_t p) { return parts_[static_cast<size_t>(p)]; }
  int64_t& mean(int32_t p, int64_t c) {
    return means_[static_cast<size_t>(p * picture_.channels + c)];
  }
  int32_t count() const { return static_cast<int32_t>(runs_.size()); }
  int64_t end(int32_t r) { return run(r + 1).begin; }  // the last run is nobody's
  bool stays(int32_t p) { return p == 0 || part(p).size >= min_size_; }

  void find_runs(const int32_t* row, int64_t offset) {
    int32_t id = row[0];
    runs_.push_back({offset, id, count()});
    for (int64_t x = 1; x < picture_.width; ++x) {
      if (row[x] == id) continue;
      id = row[x];
      runs_.push_back({offset + x, id, count()});
    }
  }

  /// f(run, run) for all that have neighbouring pixels.
  template <class F>
  void each_touching(const F& f) {
    for (size_t y = 0; y + 1 < rows_.size(); ++y) {
      int32_t upper = y > 0 ? rows_[y - 1] : 0;
      for (int32_t r = rows_[y]; r < rows_[y + 1]; ++r) {
        if (r > rows_[y]) f(run(r - 1), run(r));
        if (y == 0) continue;
        while (end(upper) <= run(r).begin - picture_.width) ++upper;
        for (;; ++upper) {
          f(run(upper), run(r));
          if (end(upper) >= end(r) - picture_.width) break;
        }
      }
    }
  }

  int32_t root(int32_t r) {
    while (run(r).root != r) {
      run(r).root = run(run(r).root).root;
      r = run(r).root;
    }
    return r;
  }

  void unite(const Run& one, const Run& other) {
    const int32_t a = root(one.root), b = root(other.root);
    run(std::max(a, b)).root = std::min(a, b);
  }

  /// Parts in order of their roots; sizes and means.
  void measure() {
    int32_t parts = 0;
    for (int32_t r = 0; r < rows_.back(); ++r) {
      const int32_t first = root(r);
      if (first == r) parts_.push_back({.cell = run(r).id});
      run(r).id = first == r ? parts++ : run(first).id;
    }
    means_.resize(static_cast<size_t>(parts * picture_.channels));
    for (int32_t r = 0; r < rows_.back(); ++r) part(run(r).id).size += end(r) - run(r).begin;
    for (int64_t c = 0; c < picture_.channels; ++c) add_channel(c);
    for (int32_t p = 0; p < parts; ++p) {
      if (part(p).size == 1) continue;  // textures have many of these
      for (int64_t c = 0; c < picture_.channels; ++c)
        mean(p, c) = slic_mean(mean(p, c), part(p).size);
    }
  }

  /// Where noise tears a cell that is large enough to pieces that are not, the largest of them, the
  /// first of equals, counts as large. All would join each other otherwise, in chains without end.
  void keep_cells() {
    int32_t cells = 0;
    for (const Part& p : parts_) cells = std::max(cells, p.cell + 1);
    std::vector<int64_t> pixels(static_cast<size_t>(cells), 0);
    std::vector<int32_t> largest(static_cast<size_t>(cells), -1);
    for (int32_t p = 0; p < static_cast<int32_t>(parts_.size()); ++p) {
      const auto cell = static_cast<size_t>(part(p).cell);
      pixels[cell] += part(p).size;
      if (largest[cell] < 0 || part(p).size > part(largest[cell]).size) largest[cell] = p;
    }
    for (size_t cell = 0; cell < largest.size(); ++cell) {
      if (pixels[cell] < min_size_) continue;
      int64_t& size = part(largest[cell]).size;  // means are made already
      size = std::max(size, min_size_);
    }
  }

  /// By sums of a row up to each pixel: runs may be short, and a loop for each slow to begin.
  void add_channel(int64_t c) {
    const int16_t* features = picture_.features + c * pixels_;
    std::vector<int32_t> before(static_cast<size_t>(picture_.width) + 1, 0);
    for (size_t y = 0; y + 1 < rows_.size(); ++y) {
      const int64_t offset = static_cast<int64_t>(y) * picture_.width;
      int32_t sum = 0;  // a row has 2^19 pixels at most, features 2^12
      for (int64_t x = 0; x < picture_.width; ++x) {
        sum += features[offset + x];
        before[static_cast<size_t>(x) + 1] = sum;
      }
      for (int32_t r = rows_[y]; r < rows_[y + 1]; ++r)
        mean(run(r).id, c) += before[static_cast<size_t>(end(r) - offset)] -
                              before[static_cast<size_t>(run(r).begin - offset)];
    }
  }

  void offer(int32_t from, int32_t to) {
    if (stays(from) || (to > from && !stays(to))) return;
    Part& self = part(from);
    int64_t distance = 0;
    for (int64_t c = 0; c < picture_.channels; ++c) {
      const int64_t difference = mean(from, c) - mean(to, c);
      distance += difference * difference;
    }
    if (distance > self.distance || (distance == self.distance && to >= self.to)) return;
    self.distance = distance;
    self.to = to;
  }

  SlicPicture picture_;
  int64_t min_size_, pixels_;
  std::vector<Run> runs_;
  std::vector<int32_t> rows_;  ///< first runs
  std::vector<Part> parts_;
  std::vector<int64_t> means_;  ///< of features, [parts, channels]; sums at first
};

}  // namespace

int32_t slic_connect(const SlicPicture& picture, int64_t min_size, int32_t* ids) {
  return Parts(picture, min_size, ids).write(ids);
}

int32_t slic_compact(int32_t* ids, int64_t pixels, int64_t bound) {
  std::vector<int32_t> number(static_cast<size_t>(bound), 0);
  for (int64_t p = 0; p < pixels; ++p) number[static_cast<size_t>(ids[p])] = 1;
  int32_t count = 0;
  for (int32_t& n : number) n = n != 0 ? count++ : -1;
  for (int64_t p = 0; p < pixels; ++p) ids[p] = number[static_cast<size_t>(ids[p])];
  return count;
}

}  // namespace mrfcore
