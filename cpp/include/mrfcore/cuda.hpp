// SPDX-License-Identifier: Apache-2.0
// The CUDA back-end. Arrays of problems, outputs and gradients are in device memory; the caller
// gives working memory and the stream. The library of kernels (libmrfcore_cuda) is opened on first
// use: programs start where there is no GPU, no driver, or no such library.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "mrfcore/layer.hpp"
#include "mrfcore/minimize.hpp"

namespace mrfcore::cuda {

/// A CUDA call failed. Since GPUs work behind the caller's back, what failed may have been launched
/// earlier; CUDA_LAUNCH_BLOCKING=1 makes calls wait.
class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Device {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  int64_t memory = 0;  ///< bytes
};

struct Status {
  bool built = false;           ///< the library of kernels is there and fits this one
  bool available = false;       ///< and there is a GPU that it can use
  bool emulated = false;        ///< it runs on the CPU, on host memory (tests)
  std::string reason;           ///< why not, where it is not available
  int driver = 0, runtime = 0;  ///< CUDA versions as 1000 major + 10 minor
  std::vector<Device> devices;
};

/// What there is. Never throws for want of a GPU. MRFCORE_CUDA_LIBRARY names the library's file;
/// else it is looked for beside this one, then where the dynamic loader looks.
Status status();

/// Where a call's work goes.
struct Queue {
  int device = 0;
  void* stream = nullptr;     ///< cudaStream_t
  void* workspace = nullptr;  ///< device memory, aligned to 64 bytes
  int64_t workspace_bytes = 0;
};

/// Inputs of layers that live on the device, in place of those of the problem.
template <class T>
struct DeviceInputs {
  const T* table = nullptr;   ///< V(l, m) [L, L]; Problem::pairwise is not looked at
  const T* weight = nullptr;  ///< weight of every edge
};

/// Working memory of minimize() for `items` of the batch at a time; for one where they run one by
/// one.
template <class T>
int64_t workspace_bytes(const Problem<T>& problem, const Options& options, int64_t items);

/// minimize() on the device, as many items side by side as the workspace holds, but one by one
/// where energies are looked at between iterations. Returns when results are there; where it
/// throws, work may still be under way in the stream. Differences from the CPU: truncated quadratic
/// terms of more than 128 labels cost O(L band); mean field and energies sum in another order. Rows
/// of labels must fit into a block's shared memory (std::invalid_argument).
template <class T>
std::vector<ItemReport> minimize(const Problem<T>& problem, const Options& options,
                                 const Outputs<T>& outputs, const Queue& queue);

/// E(labels) per item; labels on the device, in 0 .. L - 1 (not checked). The workspace is that of
/// Solver::ICM.
template <class T>
std::vector<double> energy(const Problem<T>& problem, const int32_t* labels, const Queue& queue);

template <class T>
int64_t layer_tape_bytes(const Problem<T>& problem, const LayerOptions& options);

/// gradients: which are wanted tells how much is needed; null for the forward pass.
template <class T>
int64_t layer_workspace_bytes(const Problem<T>& problem, const LayerOptions& options,
                              const DeviceInputs<T>& inputs, const Gradients<T>* gradients);

/// layer_forward() on the device: enqueues and returns, allocates nothing, may be captured in a
/// graph. Unaries, weights and tables that cannot be computed with (NaN, -inf, too large) make all
/// costs of their item NaN, since nobody waits to look.
template <class T>
void layer_forward(const Problem<T>& problem, const LayerOptions& options,
                   const DeviceInputs<T>& inputs, T* costs, void* tape, const Queue& queue);

/// layer_backward() on the device, likewise. The same bits every time.
template <class T>
void layer_backward(const Problem<T>& problem, const LayerOptions& options,
                    const DeviceInputs<T>& inputs, const void* tape, const T* grad_costs,
                    const Gradients<T>& gradients, const Queue& queue);

}  // namespace mrfcore::cuda
