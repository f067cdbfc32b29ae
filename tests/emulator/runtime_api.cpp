// SPDX-License-Identifier: Apache-2.0
#include "emulator/runtime_api.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include "emulator/launch.hpp"
#include "emulator/settings.hpp"

namespace {

constexpr std::align_val_t kAlignment{256};
constexpr std::size_t kReservedShared = 1024;  // of every block, by the system

thread_local cudaError_t last_error = cudaSuccess;

cudaError_t record(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

struct Allocations {
  std::mutex mutex;
  std::map<void*, std::size_t> bytes;
  std::size_t total = 0;
};

Allocations& allocations() {
  static Allocations all;
  return all;
}

struct KernelLimits {
  std::mutex mutex;
  std::map<const void*, std::size_t> shared_bytes;
};

KernelLimits& kernel_limits() {
  static KernelLimits limits;
  return limits;
}

}  // namespace

namespace emulator {

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<std::size_t>(value) > device().shared_per_block_optin) {
    return record(cudaErrorInvalidValue);
  }
  const std::lock_guard lock(kernel_limits().mutex);
  kernel_limits().shared_bytes[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

std::size_t most_shared_bytes(const void* kernel) {
  const std::lock_guard lock(kernel_limits().mutex);
  const auto found = kernel_limits().shared_bytes.find(kernel);
  return found == kernel_limits().shared_bytes.end() ? device().shared_per_block : found->second;
}

unsigned resident_blocks(std::uint64_t block_threads, std::size_t shared_bytes) {
  const Device limits = device();
  if (block_threads == 0 || block_threads > 1024) return 0;
  const std::uint64_t by_threads =
      static_cast<std::uint64_t>(limits.threads_per_multiprocessor) / block_threads;
  const std::uint64_t by_shared =
      limits.shared_per_multiprocessor / (shared_bytes + kReservedShared);
  return static_cast<unsigned>(
      std::min({by_threads, by_shared, std::uint64_t(limits.blocks_per_multiprocessor)}));
}

}  // namespace emulator

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    default:
      return cudaGetErrorName(error);
  }
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return record(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return record(cudaErrorInvalidDevice);
  const emulator::Device limits = emulator::device();
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(limits.shared_per_block);
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = limits.multiprocessors;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = limits.threads_per_multiprocessor;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(limits.shared_per_multiprocessor);
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = 1;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(limits.shared_per_block_optin);
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = limits.blocks_per_multiprocessor;
      break;
    default:
      return record(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  Allocations& all = allocations();
  const std::lock_guard lock(all.mutex);
  if (bytes > emulator::device().memory_bytes - all.total) return record(cudaErrorMemoryAllocation);
  *pointer = ::operator new(bytes, kAlignment, std::nothrow);
  if (*pointer == nullptr) return record(cudaErrorMemoryAllocation);
  std::memset(*pointer, emulator::poison(), bytes);
  all.bytes[*pointer] = bytes;
  all.total += bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  Allocations& all = allocations();
  const std::lock_guard lock(all.mutex);
  const auto found = all.bytes.find(pointer);
  if (found == all.bytes.end()) return record(cudaErrorInvalidValue);
  all.total -= found->second;
  all.bytes.erase(found);
  ::operator delete(pointer, kAlignment);
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t) {
  return cudaMalloc(pointer, bytes);
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) { return cudaFree(pointer); }

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  const std::lock_guard lock(allocations().mutex);
  *total_bytes = emulator::device().memory_bytes;
  *free_bytes = *total_bytes - allocations().total;
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  if (bytes > 0) std::memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  emulator::count_launch();
  return cudaMemcpy(to, from, bytes, kind);
}

cudaError_t cudaMemset(void* to, int byte, std::size_t bytes) {
  if (bytes > 0) std::memset(to, byte, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int byte, std::size_t bytes, cudaStream_t) {
  emulator::count_launch();
  return cudaMemset(to, byte, bytes);
}
