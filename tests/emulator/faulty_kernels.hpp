// SPDX-License-Identifier: Apache-2.0
// Host functions that launch wrong kernels; each breaks one rule. nvcc compiles them all.
#pragma once

namespace faulty {

enum class Mistake {
  kBarrierAfterExit,    // half of the threads leave before __syncthreads()
  kBarrierInBranches,   // each branch has a __syncthreads() of its own
  kBarrierAgainstWarp,  // one warp's lane waits for the block, the others for the warp
  kMaskOfExited,        // the mask names a lane that has left
  kMaskOfNobody,        // the mask names a lane beyond the block
  kShuffleInBranches,   // full masks at two places
  kVoteAgainstShuffle,  // two kinds of collectives at once
  kCallerNotInMask,
  kShuffleFromOutside,  // reads a lane that the mask does not name
  kWidth,               // of 12 lanes
  kSharedAfter,         // writes one element past the end of shared memory
  kSharedBefore,
  kGridBarrierAlone,  // in a launch that is not cooperative
  kSpin,              // for what nobody will write
};

// One block of 64 threads (kMaskOfNobody: 48) with 64 floats of shared memory. out: 64 floats.
void run(Mistake mistake, float* out);

// A block of 64 threads in two warps: each writes its place of shared memory and reads that of its
// neighbour round the block, without a barrier in between. out: 64 floats.
void forgets_barrier(float* out);

// Reads shared memory that nobody wrote. out: 32 floats: the least of it and 0.
void forgets_to_write(float* out);

// Blocks keep a running total without saying in which order. total: 2 unsigned zeros.
void depends_on_block_order(unsigned* total);

// Writes 33 floats, to an array that may be shorter.
void writes_33(float* out);

// A cooperative launch of `blocks` blocks; only the first waits for the others.
void grid_barrier_of_one(int blocks);

// An empty kernel with sizes as given.
void empty(unsigned grid_x, unsigned grid_y, unsigned block_x, unsigned block_z);

}  // namespace faulty
