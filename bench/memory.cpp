// SPDX-License-Identifier: Apache-2.0
#include "memory.hpp"

#include <fstream>
#include <string>

namespace mrfcore::bench {
namespace {

/// A line of /proc/self/status, such as "VmHWM:     1234 kB".
int64_t status_bytes(const std::string& field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field + ":")) return std::stoll(line.substr(field.size() + 1)) * 1024;
  }
  return -1;
}

}  // namespace

int64_t forget_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good() ? status_bytes("VmRSS") : -1;
}

int64_t peak_bytes() { return status_bytes("VmHWM"); }

}  // namespace mrfcore::bench
