// SPDX-License-Identifier: Apache-2.0
// How the emulator runs kernels, and which device it pretends to be. Change them between launches.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

// The order in which threads run from one collective to the next, and blocks one after another.
// A correct kernel gives the same bits in every order.
enum class Order { kForward, kReversed, kShuffled };

struct Schedule {
  Order threads = Order::kForward;
  Order blocks = Order::kForward;
  std::uint64_t seed = 1;  // of kShuffled
  // Blocks of a plain launch that are under way together and take turns; the next ones begin when
  // all of them have ended. More than one shows what kernels do whose blocks wait for each other.
  unsigned blocks_at_once = 1;
};

// At first: MRF_EMULATOR_ORDER=forward|reversed|shuffled in the environment, else forward.
[[nodiscard]] Schedule schedule();
void set_schedule(const Schedule& schedule);
void set_order(Order order, std::uint64_t seed = 1);

// The byte that fresh shared and device memory is filled with. It depends on the order, so that
// memory that is read before it is written gives different results: NaN / -1 (forward), -5.9e29
// (reversed; a NaN would not show in a minimum), +3.0e29 (shuffled).
[[nodiscard]] unsigned char poison();

// Sets an order for a scope.
class ScopedOrder {
 public:
  explicit ScopedOrder(Order order, std::uint64_t seed = 1, unsigned blocks_at_once = 1);
  ~ScopedOrder();
  ScopedOrder(const ScopedOrder&) = delete;
  ScopedOrder& operator=(const ScopedOrder&) = delete;

 private:
  Schedule before_;
};

// Limits of compute capability 9.0. The number of multiprocessors is small, so that grids sized by
// it stay small; MRF_EMULATOR_MULTIPROCESSORS and MRF_EMULATOR_MEMORY (bytes) override at first.
struct Device {
  int multiprocessors = 4;
  int threads_per_multiprocessor = 2048;
  int blocks_per_multiprocessor = 32;
  std::size_t shared_per_block = 48U << 10;
  std::size_t shared_per_block_optin = 227U << 10;
  std::size_t shared_per_multiprocessor = 228U << 10;
  std::size_t memory_bytes = std::size_t{4} << 30;
};

[[nodiscard]] Device device();
void set_device(const Device& device);

}  // namespace emulator
