// SPDX-License-Identifier: Apache-2.0
#include "emulator/launch.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "emulator/block.hpp"

namespace emulator {
namespace {

constexpr dim3 kMostThreads{1024, 1024, 64};
constexpr unsigned kMostThreadsInAll = 1024;
constexpr dim3 kMostBlocks{2147483647, 65535, 65535};
// Rounds in which threads yield and nothing else happens.
constexpr unsigned kMostIdleRounds = 10000;

std::string text(dim3 size) {
  return std::to_string(size.x) + " x " + std::to_string(size.y) + " x " + std::to_string(size.z);
}

std::uint64_t volume(dim3 size) { return std::uint64_t{size.x} * size.y * size.z; }

bool within(dim3 size, dim3 most) {
  return volume(size) > 0 && size.x <= most.x && size.y <= most.y && size.z <= most.z;
}

[[noreturn]] void refuse(const Launch& launch, const std::string& why) {
  throw Error(Fault::kLaunchConfiguration, {launch.name, {}, {}}, why);
}

void check(const Launch& launch, const void* kernel) {
  if (running != nullptr) {
    throw Error(Fault::kUnsupported, {launch.name, {}, {}}, "launched from a kernel");
  }
  if (!within(launch.block, kMostThreads) || volume(launch.block) > kMostThreadsInAll) {
    refuse(launch, "a block of " + text(launch.block) + " threads; expected 1 to 1024, at most " +
                       text(kMostThreads));
  }
  if (!within(launch.grid, kMostBlocks)) {
    refuse(launch, "a grid of " + text(launch.grid) + " blocks; expected at least 1, at most " +
                       text(kMostBlocks));
  }
  const std::size_t most = most_shared_bytes(kernel);
  if (launch.shared_bytes > most) {
    refuse(launch, std::to_string(launch.shared_bytes) + " bytes of shared memory; at most " +
                       std::to_string(most) +
                       " (cudaFuncSetAttribute raises it for a kernel, up to " +
                       std::to_string(device().shared_per_block_optin) + ")");
  }
  if (launch.cooperative) {
    const std::uint64_t most_blocks =
        std::uint64_t{resident_blocks(volume(launch.block), launch.shared_bytes)} *
        static_cast<std::uint64_t>(device().multiprocessors);
    if (volume(launch.grid) > most_blocks) {
      refuse(launch, "a cooperative grid of " + std::to_string(volume(launch.grid)) +
                         " blocks, of which only " + std::to_string(most_blocks) +
                         " can be resident");
    }
  }
}

std::atomic<std::uint64_t> launch_count{0};

uint3 block_index(unsigned number, dim3 grid) {
  return {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
}

// Runs blocks that are all under way until all are done.
void run_together(const std::vector<Block*>& blocks) {
  std::vector<Block::Progress> progress(blocks.size(), Block::Progress::kYielded);
  std::uint64_t steps = 0;
  unsigned idle_rounds = 0;
  for (;;) {
    std::uint64_t steps_now = 0;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      if (progress[i] != Block::Progress::kDone) progress[i] = blocks[i]->run();
      steps_now += blocks[i]->steps();
    }
    const auto count = [&](Block::Progress what) {
      return static_cast<std::size_t>(std::count(progress.begin(), progress.end(), what));
    };
    const std::size_t at_grid = count(Block::Progress::kAtGrid);
    const std::size_t done = count(Block::Progress::kDone);
    if (done == blocks.size()) return;
    if (at_grid == blocks.size()) {
      for (Block* block : blocks) block->leave_grid_barrier();
    } else if (at_grid + done == blocks.size()) {
      throw Error(Fault::kDivergentBarrier, {blocks[0]->launch().name, {}, {}},
                  std::to_string(at_grid) + " blocks wait for the grid's barrier, " +
                      std::to_string(done) + " have ended");
    }
    idle_rounds = steps_now == steps ? idle_rounds + 1 : 0;
    steps = steps_now;
    if (idle_rounds > kMostIdleRounds) {
      throw Error(Fault::kNoProgress, {blocks[0]->launch().name, {}, {}},
                  "threads have spun " + std::to_string(kMostIdleRounds) +
                      " times while nothing else happened: what they wait for does not come, or "
                      "from a block that has not begun");
    }
  }
}

// `at_once` blocks, then the next.
void run_in_groups(const Launch& launch, const std::vector<unsigned>& order, std::size_t at_once,
                   FiberPool& fibers) {
  std::vector<std::unique_ptr<Block>> blocks;
  while (blocks.size() < std::min(at_once, order.size())) {
    blocks.push_back(std::make_unique<Block>(launch, fibers));
  }
  for (std::size_t first = 0; first < order.size(); first += at_once) {
    std::vector<Block*> group;
    for (std::size_t i = first; i < std::min(first + at_once, order.size()); ++i) {
      group.push_back(blocks[i - first].get());
      group.back()->start(block_index(order[i], launch.grid));
    }
    run_together(group);
  }
}

}  // namespace

void count_launch() { ++launch_count; }
std::uint64_t launches() { return launch_count; }

void run_grid(const char* name, const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes,
              bool cooperative, ThreadCall call, void* arguments) {
  const Launch launch{name, grid, block, shared_bytes, cooperative, call, arguments};
  check(launch, kernel);
  count_launch();
  static std::mutex one_at_a_time;
  static FiberPool fibers;
  const std::lock_guard lock(one_at_a_time);
  registers.block_size = block;
  registers.grid_size = grid;
  const Schedule now = schedule();
  Random random(now.seed);
  std::vector<unsigned> order;
  make_order(order, static_cast<unsigned>(volume(grid)), now.blocks, random);
  const std::size_t at_once = std::max(1U, now.blocks_at_once);
  run_in_groups(launch, order, cooperative ? order.size() : at_once, fibers);
}

unsigned char* running_shared_memory() {
  if (running == nullptr) {
    throw Error(Fault::kUnsupported, {"(none)", {}, {}}, "MRF_SHARED outside a kernel");
  }
  return running->block->shared();
}

}  // namespace emulator

extern "C" __attribute__((visibility("default"))) std::uint64_t mrfcore_emulated_launches() {
  return emulator::launches();
}
