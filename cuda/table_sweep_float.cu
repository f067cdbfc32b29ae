// SPDX-License-Identifier: Apache-2.0
#include "table_sweep.cuh"

namespace mrfcore::cuda {

TableSharing table_sharing(int64_t scanlines) {
  // Two warps for each of the four schedulers of a multiprocessor.
  constexpr int64_t kWarps = 8, kScanlines = 4;
  int device = 0, multiprocessors = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (forgotten(error) != 0) return TableSharing::kAlone;
  return scanlines >= kWarps * kScanlines * multiprocessors ? TableSharing::kSideBySide
                                                            : TableSharing::kAlone;
}

template int table_sweep_pair<float>(const cpu::SweepArgs<float>&, const Batch&, TableSharing,
                                     Stream);

}  // namespace mrfcore::cuda
