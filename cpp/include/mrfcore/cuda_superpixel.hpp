// SPDX-License-Identifier: Apache-2.0
// Superpixels on a GPU, hard and soft: mrfcore/superpixel.hpp and mrfcore/soft_superpixel.hpp with
// all arrays in device memory. Calls enqueue work on the queue's stream and return: they neither
// allocate nor wait, and may be captured in a graph. `threads` is not looked at. As many images are
// worked on side by side as the workspace holds.
//
// Nobody waits to look at ids: pixels of ids outside 0..num-1 count for nothing in pooling and
// become 0 in unpooling and consistency. Sums have the same bits every time; those of pooling and
// consistency are taken in another order than on the CPU, all else has the CPU's bits.
//
// Throws std::invalid_argument, naming the argument, when sizes do not fit, OutOfMemory when the
// workspace does not hold one image, CudaError when a launch fails.
#pragma once

#include <cstdint>

#include "mrfcore/cuda.hpp"
#include "mrfcore/soft_superpixel.hpp"
#include "mrfcore/superpixel.hpp"

namespace mrfcore::cuda {

/// Working memory of superpixel_pool() for `items` images at a time: up to 8 bytes a pixel, 20 a
/// superpixel, and 1/1024 of x.
template <class T>
int64_t superpixel_pool_workspace_bytes(const SuperpixelMap& map, int64_t channels, int64_t items);

/// mrfcore::superpixel_pool(). Maxima and winners are the CPU's.
template <class T>
void superpixel_pool(const SuperpixelMap& map, int64_t channels, const T* x,
                     SuperpixelReduce reduce, T* z, int64_t* winners, const Queue& queue);

/// Of superpixel_unpool(): 4 bytes a superpixel, if it divides.
int64_t superpixel_unpool_workspace_bytes(const SuperpixelMap& map, bool divide, int64_t items);

/// mrfcore::superpixel_unpool(), to the bit.
template <class T>
void superpixel_unpool(const SuperpixelMap& map, int64_t channels, const T* z, bool divide, T* out,
                       const Queue& queue);

/// Of superpixel_consistency(), as of superpixel_pool().
template <class T>
int64_t superpixel_consistency_workspace_bytes(const SuperpixelMap& map, int64_t channels,
                                               int64_t items);

/// mrfcore::superpixel_consistency(), for ids in 0..map.num-1. A num that is much too large costs
/// memory, and hardly any time: the largest id that there is decides.
template <class T>
void superpixel_consistency(const SuperpixelMap& map, int64_t channels, const T* x,
                            const ConsistencyOptions& options, T* out, const Queue& queue);

/// Of soft_superpixel_pool(): 9 / cell^2 of x.
template <class T>
int64_t soft_superpixel_pool_workspace_bytes(const SoftSuperpixels& grid, int64_t items);

/// Those of mrfcore/soft_superpixel.hpp, to the bit.
template <class T>
void soft_superpixel_pool(const SoftSuperpixels& grid, const T* q, const T* x, T* z,
                          const Queue& queue);
template <class T>
void soft_superpixel_unpool(const SoftSuperpixels& grid, const T* q, const T* z, T* y,
                            const Queue& queue);
template <class T>
void soft_superpixel_product(const SoftSuperpixels& grid, const T* x, const T* z, T* g,
                             const Queue& queue);

}  // namespace mrfcore::cuda
