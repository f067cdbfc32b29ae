// SPDX-License-Identifier: Apache-2.0
// Raster order in parallel: every pixel is done once, and after all pixels of earlier rows that it
// has an edge to. The rows before are slowed down, so that a row that does not wait is caught.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <thread>

// Header-only parts of the kernels, in an instruction set of this test's own.
#define MRF_ISA row_pipeline_test
#include "core/directions.hpp"
#include "cpu/row_pipeline.hpp"
#include "ops/control.hpp"

namespace mrfcore::test {
namespace {

namespace engine = cpu::row_pipeline_test;

struct Case {
  int64_t height, width;
  int connectivity, threads;
  bool reversed;
};

/// Rows and columns count from the side the pass starts at.
class Pass {
 public:
  explicit Pass(const Case& c) : c_(c), done_(static_cast<size_t>(c.height)) {}

  void run(cpu::Control* control = nullptr) {
    const cpu::GridShape shape{c_.height, c_.width, 1, 1, c_.connectivity};
    engine::row_pipeline(shape, c_.reversed, c_.threads, control, [this](engine::ThreadMemory&) {
      return [this](int64_t y, int64_t begin, int64_t end) {
        block(c_.reversed ? c_.height - 1 - y : y, begin, end);
      };
    });
  }
  int early() const { return early_; }
  int repeated() const { return repeated_; }
  bool complete() const {
    for (const std::atomic<int64_t>& row : done_) {
      if (row != c_.width) return false;
    }
    return true;
  }

 private:
  void block(int64_t row, int64_t begin, int64_t end) {
    if (done_[static_cast<size_t>(row)] != begin) ++repeated_;
    if (row % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    for (int64_t x = begin; x < end; ++x) {
      for (int r = 0; r < c_.connectivity; r += 2) {  // the nodes with an edge to here
        const core::Direction d = core::direction(r);
        const int64_t y = row - d.dy, needed = x - d.dx;
        if (d.dy == 0 || y < 0 || needed < 0 || needed >= c_.width) continue;
        if (done_[static_cast<size_t>(y)] <= needed) ++early_;
      }
    }
    done_[static_cast<size_t>(row)] = end;
  }

  Case c_;
  std::deque<std::atomic<int64_t>> done_;  // columns of each row; a deque, as atomics do not move
  std::atomic<int> early_{0}, repeated_{0};
};

TEST(RowPipeline, KeepsTheOrderOfTheRaster) {
  constexpr int64_t kSizes[][2] = {{1, 1}, {1, 40}, {9, 1}, {2, 16}, {7, 17}, {6, 50}, {40, 3}};
  for (const auto& [height, width] : kSizes) {
    for (const int connectivity : {4, 8, 16}) {
      for (const int threads : {1, 2, 3}) {
        for (const bool reversed : {false, true}) {
          SCOPED_TRACE(std::to_string(height) + "x" + std::to_string(width) + ", " +
                       std::to_string(connectivity) + "-connected, threads " +
                       std::to_string(threads) + (reversed ? ", reversed" : ""));
          Pass pass({height, width, connectivity, threads, reversed});
          pass.run();
          EXPECT_TRUE(pass.complete());
          EXPECT_EQ(pass.early(), 0) << "pixels done before one they need";
          EXPECT_EQ(pass.repeated(), 0);
        }
      }
    }
  }
}

TEST(RowPipeline, EndsWhenAskedToStop) {
  for (const int threads : {1, 3}) {
    cpu::Control control;
    control.stop = true;
    Pass pass({30, 64, 8, threads, false});
    pass.run(&control);
    EXPECT_FALSE(pass.complete());
  }
}

}  // namespace
}  // namespace mrfcore::test
