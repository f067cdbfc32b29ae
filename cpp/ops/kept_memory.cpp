// SPDX-License-Identifier: Apache-2.0
#include "ops/kept_memory.hpp"

#include <atomic>
#include <memory>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "ops/buffer.hpp"

namespace mrfcore {
namespace {

/// One block for all threads: who finds it taken allocates.
std::atomic<KeptMemory::Block*> kept{nullptr};

void free_block(KeptMemory::Block* block) {
  if (block == nullptr) return;
  release(block->data, block->bytes);
  delete block;
}

/// Lets the system have the pages when it wants them. False: it does not know such an offer.
bool offer([[maybe_unused]] const KeptMemory::Block& block) {
#if defined(__linux__) && defined(MADV_FREE)
  return madvise(block.data, static_cast<size_t>(block.bytes), MADV_FREE) == 0;
#else
  return false;
#endif
}

}  // namespace

KeptMemory::KeptMemory(int64_t bytes) : block_(kept.exchange(nullptr)) {
  if (block_ != nullptr && block_->bytes >= bytes) return;
  free_block(block_);
  auto fresh = std::make_unique<Block>(Block{nullptr, bytes});
  fresh->data = allocate_zeroed(bytes);
  block_ = fresh.release();
}

KeptMemory::~KeptMemory() {
  constexpr int64_t kWorthKeeping = int64_t{4} << 20;  // whole pages of its own, see buffer.cpp
  Block* nothing = nullptr;
  if (block_->bytes >= kWorthKeeping && offer(*block_) &&
      kept.compare_exchange_strong(nothing, block_))
    return;
  free_block(block_);
}

}  // namespace mrfcore
