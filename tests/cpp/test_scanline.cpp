// SPDX-License-Identifier: Apache-2.0
// Geometry of the sweeps: whatever the direction, image and strip, every pixel is visited once,
// after its predecessor, and finds what the predecessor left in the strip's buffer.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

// Header-only parts of the kernels, in an instruction set of this test's own.
#define MRF_ISA scanline_test
#include "core/scanline.hpp"
#include "cpu/strip.hpp"
#include "plain_solvers.hpp"

namespace mrfcore::test {
namespace {

namespace engine = cpu::scanline_test;

struct Size {
  int64_t height, width;
};

constexpr Size kSizes[] = {{1, 1}, {1, 2},  {2, 1}, {1, 9},   {9, 1},  {2, 2},  {2, 3},
                           {3, 2}, {2, 11}, {5, 4}, {13, 17}, {40, 3}, {3, 40}, {37, 70}};

TEST(Directions, AreTheCanonicalOnes) {
  for (int r = 0; r < core::kMaxDirections; ++r) {
    const core::Direction d = core::direction(r), back = core::direction(core::opposite(r));
    EXPECT_EQ(d.dy, plain::kSteps[r][0]) << r;
    EXPECT_EQ(d.dx, plain::kSteps[r][1]) << r;
    EXPECT_EQ(d.dy, -back.dy) << r;
    EXPECT_EQ(d.dx, -back.dx) << r;
    EXPECT_EQ(core::pair_of(r), r / 2);
    EXPECT_EQ(core::is_backward(r), r % 2 == 1);
  }
}

/// Walks a whole image as a kernel would and notes who visited what.
class Walk {
 public:
  Walk(int direction, Size size, int64_t row_bytes)
      : r_(direction),
        geometry_(core::pair_geometry(direction / 2, size.height, size.width)),
        visits_(static_cast<size_t>(size.height * size.width), 0) {
    grid_.height = static_cast<int>(size.height);
    grid_.width = static_cast<int>(size.width);
    const engine::StripPlan strips(geometry_, row_bytes);
    for (int64_t k = 0; k < strips.count(); ++k) {
      strip(strips.at(k), strips.width * geometry_.step);
    }
  }

  const std::vector<int>& visits() const { return visits_; }

 private:
  void strip(const engine::Strip& strip, int64_t slots) {
    std::vector<int> buffer(static_cast<size_t>(slots), -1);  // pixel that wrote a slot last
    const bool backward = core::is_backward(r_);
    strip.walk(backward, [&](const engine::StripRun& run) {
      ASSERT_GE(run.slot, 0);
      ASSERT_LE(run.slot + run.count, slots);
      for (int64_t i = 0; i < run.count; ++i) {
        const int pixel = static_cast<int>(run.pixel(i));
        ASSERT_GE(pixel, 0);
        ASSERT_LT(pixel, grid_.pixels());
        const int before = grid_.previous(pixel, r_);
        EXPECT_EQ(run.linked, before >= 0) << "pixel " << pixel;
        int& slot = buffer[static_cast<size_t>(run.slot + i)];
        if (before >= 0) {
          EXPECT_EQ(slot, before) << "pixel " << pixel;
          EXPECT_EQ(run.owner(i), backward ? pixel : before) << "pixel " << pixel;
        }
        slot = pixel;
        ++visits_[static_cast<size_t>(pixel)];
      }
    });
  }

  int r_;
  core::PairGeometry geometry_;
  plain::Grid grid_;
  std::vector<int> visits_;
};

class Scanlines : public testing::TestWithParam<int> {};

TEST_P(Scanlines, VisitEveryPixelOnceAfterItsPredecessor) {
  for (const Size size : kSizes) {
    // Small and huge rows of labels: wide strips and the narrowest ones.
    for (const int64_t row_bytes : {64, 4096, 1 << 20}) {
      SCOPED_TRACE(std::to_string(size.height) + "x" + std::to_string(size.width) + ", " +
                   std::to_string(row_bytes) + " bytes per row");
      const Walk walk(GetParam(), size, row_bytes);
      if (HasFatalFailure()) return;
      EXPECT_EQ(walk.visits(), std::vector<int>(walk.visits().size(), 1));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllDirections, Scanlines, testing::Range(0, core::kMaxDirections));

TEST(Strips, CoverAllSlotsWhateverTheirWidth) {
  for (int pair = 0; pair < core::kMaxDirections / 2; ++pair) {
    const core::PairGeometry g = core::pair_geometry(pair, 21, 34);
    std::set<int64_t> widths;
    for (int64_t row_bytes = 16; row_bytes < (1 << 22); row_bytes *= 2) {
      const engine::StripPlan strips(g, row_bytes);
      widths.insert(strips.width);
      int64_t at = g.slot_begin;
      for (int64_t k = 0; k < strips.count(); ++k) {
        EXPECT_EQ(strips.at(k).begin, at);
        EXPECT_LE(strips.at(k).end - at, strips.width);
        at = strips.at(k).end;
      }
      EXPECT_EQ(at, g.slot_end);
    }
    EXPECT_GT(widths.size(), 1u) << "the row size should decide the width";
  }
}

/// Named one by one, scanlines cover the image once, from border to border.
TEST(ScanlineByIndex, OneByOneCoverTheImage) {
  for (const Size size : kSizes) {
    for (int pair = 0; pair < core::kMaxDirections / 2; ++pair) {
      SCOPED_TRACE(std::to_string(size.height) + " x " + std::to_string(size.width) + ", pair " +
                   std::to_string(pair));
      const core::Direction d = core::direction(2 * pair);
      const auto inside = [&](int64_t y, int64_t x) {
        return y >= 0 && y < size.height && x >= 0 && x < size.width;
      };
      const core::PairGeometry geometry = core::pair_geometry(pair, size.height, size.width);
      std::vector<int> visits(static_cast<size_t>(size.height * size.width), 0);
      for (int64_t i = 0; i < core::scanlines(geometry); ++i) {
        const core::Scanline line = core::scanline(geometry, i);
        for (int64_t j = 0; j < line.count; ++j) {
          const int64_t pixel = line.first + j * line.node_stride;
          ASSERT_TRUE(pixel >= 0 && pixel < size.height * size.width);
          ++visits[static_cast<size_t>(pixel)];
          const int64_t y = pixel / size.width, x = pixel % size.width;
          EXPECT_EQ(inside(y - d.dy, x - d.dx), j > 0);
          EXPECT_EQ(inside(y + d.dy, x + d.dx), j + 1 < line.count);
          if (j + 1 < line.count) {
            EXPECT_EQ(pixel + line.node_stride, (y + d.dy) * size.width + x + d.dx);
          }
        }
      }
      for (const int count : visits) ASSERT_EQ(count, 1);
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
