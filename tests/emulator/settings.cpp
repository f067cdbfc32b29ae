// SPDX-License-Identifier: Apache-2.0
#include "emulator/settings.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace emulator {
namespace {

Order order_of_environment() {
  const char* text = std::getenv("MRF_EMULATOR_ORDER");
  const std::string order = text == nullptr ? "forward" : text;
  if (order == "forward") return Order::kForward;
  if (order == "reversed") return Order::kReversed;
  if (order == "shuffled") return Order::kShuffled;
  throw std::invalid_argument("MRF_EMULATOR_ORDER is '" + order +
                              "'; expected forward, reversed or shuffled");
}

Device device_of_environment() {
  Device device;
  if (const char* text = std::getenv("MRF_EMULATOR_MULTIPROCESSORS")) {
    device.multiprocessors = std::stoi(text);
  }
  if (const char* text = std::getenv("MRF_EMULATOR_MEMORY")) {
    device.memory_bytes = std::stoull(text);
  }
  return device;
}

Schedule& current_schedule() {
  static Schedule schedule{order_of_environment(), order_of_environment()};
  return schedule;
}

Device& current_device() {
  static Device device = device_of_environment();
  return device;
}

}  // namespace

Schedule schedule() { return current_schedule(); }
void set_schedule(const Schedule& schedule) { current_schedule() = schedule; }
void set_order(Order order, std::uint64_t seed) { current_schedule() = {order, order, seed}; }

unsigned char poison() {
  switch (current_schedule().threads) {
    case Order::kReversed:
      return 0xF0;
    case Order::kShuffled:
      return 0x70;
    default:
      return 0xFF;
  }
}

ScopedOrder::ScopedOrder(Order order, std::uint64_t seed, unsigned blocks_at_once)
    : before_(schedule()) {
  set_schedule({order, order, seed, blocks_at_once});
}

ScopedOrder::~ScopedOrder() { set_schedule(before_); }

Device device() { return current_device(); }
void set_device(const Device& device) { current_device() = device; }

}  // namespace emulator
