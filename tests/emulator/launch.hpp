// SPDX-License-Identifier: Apache-2.0
// What MRF_LAUNCH and MRF_SHARED (cuda/device.cuh) become in the emulator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "emulator/runtime_api.hpp"
#include "emulator/vector_types.hpp"

namespace emulator {

using ThreadCall = void (*)(void* arguments);

// Runs a grid; returns when all its threads have ended. `kernel` is the function, by which
// cudaFuncSetAttribute() knows it. Throws Error; launches of several host threads wait for each
// other. Blocks run one after another, unless cooperative: then all are under way.
void run_grid(const char* name, const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes,
              bool cooperative, ThreadCall call, void* arguments);

// Kernels and asynchronous memory operations so far, by all host threads; a GPU's profiler counts
// the same. Exported as mrfcore_emulated_launches() from libraries of emulated kernels.
void count_launch();
[[nodiscard]] std::uint64_t launches();

// The running block's shared memory. Throws Error(kUnsupported) outside kernels.
[[nodiscard]] unsigned char* running_shared_memory();

template <class T>
T* shared_memory() {
  static_assert(alignof(T) <= 16, "shared memory is aligned to 16 bytes");
  return reinterpret_cast<T*>(running_shared_memory());
}

namespace detail {

constexpr std::size_t kMostParameterBytes = 4096;

template <class... P>
struct Call {
  static_assert((std::is_trivially_copyable_v<P> && ...),
                "kernel parameters are copied to the device byte by byte");
  static_assert((sizeof(P) + ... + 0) <= kMostParameterBytes, "too many bytes of parameters");

  void (*kernel)(P...);
  std::tuple<P...> arguments;

  // Every thread has its own copy of the arguments.
  static void run(void* self) {
    const auto& call = *static_cast<const Call*>(self);
    std::apply(call.kernel, call.arguments);
  }
};

template <class... P>
void run_call(const char* name, Call<P...> call, dim3 grid, dim3 block, std::size_t shared_bytes,
              bool cooperative) {
  run_grid(name, reinterpret_cast<const void*>(call.kernel), grid, block, shared_bytes, cooperative,
           &Call<P...>::run, &call);
}

}  // namespace detail

template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "the kernel takes another number of arguments");
  detail::run_call<P...>(name, {kernel, std::tuple<P...>(std::forward<A>(arguments)...)}, grid,
                         block, shared_bytes, false);
}

}  // namespace emulator

namespace emulator::detail {

template <class... P, std::size_t... I>
void launch_pointers(void (*kernel)(P...), dim3 grid, dim3 block, void** arguments,
                     std::size_t shared_bytes, std::index_sequence<I...>) {
  run_call<P...>("(cooperative)", {kernel, std::tuple<P...>(*static_cast<P*>(arguments[I])...)},
                 grid, block, shared_bytes, true);
}

}  // namespace emulator::detail

// CUDA's template, which knows the kernel's parameters. Throws emulator::Error as MRF_LAUNCH does.
template <class... P>
cudaError_t cudaLaunchCooperativeKernel(void (*kernel)(P...), dim3 grid, dim3 block,
                                        void** arguments, std::size_t shared_bytes = 0,
                                        cudaStream_t = nullptr) {
  emulator::detail::launch_pointers(kernel, grid, block, arguments, shared_bytes,
                                    std::index_sequence_for<P...>());
  return cudaSuccess;
}
