// SPDX-License-Identifier: Apache-2.0
#include "ops/fusion.hpp"

#include <cstddef>

#include "core/directions.hpp"

namespace mrfcore {
namespace {

/// Disjoint sets of pixels that grow together; a set's name is its first pixel.
class Regions {
 public:
  explicit Regions(int64_t pixels) : parent_(static_cast<std::size_t>(pixels), -1) {}

  void add(int64_t pixel) { at(pixel) = pixel; }
  bool has(int64_t pixel) const { return parent_[static_cast<std::size_t>(pixel)] >= 0; }
  int64_t find(int64_t pixel) {
    while (at(pixel) != pixel) {
      at(pixel) = at(at(pixel));  // halves the way for the next one
      pixel = at(pixel);
    }
    return pixel;
  }
  void join(int64_t a, int64_t b) {
    a = find(a);
    b = find(b);
    if (a < b) {
      at(b) = a;
    } else {
      at(a) = b;
    }
  }

 private:
  int64_t& at(int64_t pixel) { return parent_[static_cast<std::size_t>(pixel)]; }

  std::vector<int64_t> parent_;
};

/// Joins a new pixel with its neighbours behind, which are there already.
void join_behind(const cpu::GridShape& s, int64_t y, int64_t x, Regions& regions) {
  const int64_t pixel = y * s.width + x;
  for (int r = 1; r < s.connectivity; r += 2) {
    const core::Direction d = core::direction(r);
    const int64_t ny = y + d.dy, nx = x + d.dx;
    if (ny < 0 || nx < 0 || nx >= s.width) continue;
    const int64_t neighbour = ny * s.width + nx;
    if (regions.has(neighbour)) regions.join(pixel, neighbour);
  }
}

}  // namespace

bool fuse_regions(const cpu::GridShape& s, const int32_t* proposal, double* change,
                  int32_t* labels) {
  const int64_t pixels = s.pixels();
  int64_t first = 0;
  while (first < pixels && proposal[first] == labels[first]) ++first;
  if (first == pixels) return false;
  Regions regions(pixels);
  for (int64_t i = first; i < pixels; ++i) {
    if (proposal[i] == labels[i]) continue;
    regions.add(i);
    join_behind(s, i / s.width, i % s.width, regions);
  }
  for (int64_t i = first; i < pixels; ++i) {  // a region's first pixel comes first
    if (regions.has(i) && regions.find(i) != i) change[regions.find(i)] += change[i];
  }
  bool any = false;
  for (int64_t i = first; i < pixels; ++i) {
    if (!regions.has(i) || !(change[regions.find(i)] < 0.0)) continue;
    labels[i] = proposal[i];
    any = true;
  }
  return any;
}

}  // namespace mrfcore
