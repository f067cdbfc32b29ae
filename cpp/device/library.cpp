// SPDX-License-Identifier: Apache-2.0
#include "device/library.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "mrfcore/cuda.hpp"

namespace mrfcore::cuda {
namespace {

constexpr const char* kFile = "libmrfcore_cuda.so";
constexpr int kLeastCapability = 8;  // of cuda/CMakeLists.txt

/// The file beside the library or program that this code is part of.
std::string file_beside() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&find_library), &info) == 0 || info.dli_fname == nullptr)
    return kFile;
  return (std::filesystem::path(info.dli_fname).parent_path() / kFile).string();
}

struct Opened {
  const Functions* functions = nullptr;
  std::string reason;

  Opened() {
    const char* given = std::getenv("MRFCORE_CUDA_LIBRARY");
    const bool named = given != nullptr && *given != '\0';
    const std::string beside = file_beside();
    const bool there = std::filesystem::exists(beside);
    const std::string file = named ? given : there ? beside : kFile;
    void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr && !named && !there) {
      reason = "this build of mrfcore has no CUDA back-end (" + std::string(kFile) +
               " is not installed): it was built without nvcc, or with MRFCORE_CUDA=OFF";
      return;
    }
    if (handle == nullptr) {
      const char* error = dlerror();
      reason = "cannot open " + file + ": " + (error == nullptr ? "unknown error" : error);
      return;
    }
    const auto get = reinterpret_cast<GetFunctions>(dlsym(handle, kEntry));
    functions = get == nullptr ? nullptr : get(kAbi, kLayout);
    if (functions == nullptr)
      reason = file + ": belongs to another version of mrfcore; reinstall so that both agree";
  }
};

}  // namespace

const Functions* find_library(std::string* reason) {
  static const Opened opened;
  if (reason != nullptr) *reason = opened.reason;
  return opened.functions;
}

const Functions& library() {
  std::string reason;
  const Functions* found = find_library(&reason);
  if (found == nullptr) throw CudaError(reason);
  return *found;
}

void check(const Functions& functions, int code, const char* operation) {
  if (code == 0) return;
  throw CudaError(std::string(operation) + ": CUDA error " + std::to_string(code) + ", " +
                  functions.runtime.error_text(code) +
                  " (it may come from work launched earlier; CUDA_LAUNCH_BLOCKING=1 tells)");
}

DeviceGuard::DeviceGuard(const Functions& functions, int device)
    : functions_(functions), device_(device) {
  check(functions, functions.runtime.current_device(&before_), "current device");
  if (device_ != before_) check(functions, functions.runtime.set_device(device), "set device");
}

DeviceGuard::~DeviceGuard() {
  if (device_ != before_) functions_.runtime.set_device(before_);
}

Status status() {
  Status s;
  const Functions* f = find_library(&s.reason);
  s.built = f != nullptr;
  if (!s.built) return s;
  s.emulated = f->runtime.emulated;
  static_cast<void>(f->runtime.versions(&s.driver, &s.runtime));
  int count = 0;
  const int code = f->runtime.device_count(&count);
  if (code != 0 || count == 0) {
    s.reason = code != 0 ? std::string("no usable GPU: ") + f->runtime.error_text(code)
                         : "no GPU is visible (CUDA_VISIBLE_DEVICES?)";
    return s;
  }
  for (int device = 0; device < count; ++device) {
    DeviceProperties p{};
    if (f->runtime.properties(device, &p) != 0) continue;
    s.devices.push_back({p.name, p.major, p.minor, p.multiprocessors, p.memory});
    s.available = s.available || p.major >= kLeastCapability;
  }
  if (!s.available)
    s.reason = "no GPU of compute capability " + std::to_string(kLeastCapability) + ".0 or later";
  return s;
}

}  // namespace mrfcore::cuda
