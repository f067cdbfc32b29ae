// SPDX-License-Identifier: Apache-2.0
// Host functions that launch the correct kernels of sample_kernels.cu. Pointers are device memory.
#pragma once

namespace sample {

constexpr int kLanes = 32;

// out[b] = sum of block b's 128 values; a ragged end counts as zeros. T: int, double.
void block_sums(const int* in, int* out, int count);
void block_sums(const double* in, double* out, int count);

// Inclusive sums within segments of `width` lanes of each warp. count: a multiple of 64.
void segment_scans(const float* in, float* out, int count, int width);

// out[x, y] = in[y, x] by way of 8 x 8 tiles of shared memory.
void transpose(const float* in, float* out, int height, int width);

// One warp: what __shfl, _up, _down and _xor with `operand` and `width` give lane i of 0 .. 31;
// out is [4][32].
void shuffles(const int* in, int* out, int operand, int width);

// One warp: [ballot of odd values, any negative, all negative, min, max, sum (signed),
// min, max, sum, and, or, xor (unsigned)].
constexpr int kVotes = 12;
void votes(const int* in, unsigned* out);

// A block of `threads`: [some, all, how many] of the values are not zero.
void block_votes(const int* in, int* out, int threads);

// Counts values by remainder (bins) and keeps the extremes [minimum, maximum] (start them).
void histogram(const int* in, unsigned* counts, int* extremes, int count, int bins);

// Inclusive sums over all blocks in one pass: a block waits for the sum of the one before it.
// state: [1 + 2 * blocks] unsigned zeros; blocks of 64.
void chained_scan(const unsigned* in, unsigned* out, unsigned* state, int count);

// Block b waits until *turn is b and makes it b + 1.
void take_turns(int* turn, int blocks);

// Twice the smoothing out(i) = in(i-1) + in(i) + in(i+1), with a barrier of the grid between.
void smooth_twice(const int* in, int* scratch, int* out, int count);

// Halves of a warp go separate ways with masks of their own, different numbers of times; a whole
// warp leaves early. out[64]: trips of each thread's half, summed over its lanes.
void separate_halves(const int* trips, int* out);

// float4 loads, add, multiply, min and max with a fused one; out = (in + 1) * 2 fma, as float4.
void vector_loads(const float* in, float* out, int count);

// A block asks for `bytes` of shared memory, raised first if `raise`, and fills it.
void use_shared(int bytes, bool raise, unsigned char* last);

}  // namespace sample
