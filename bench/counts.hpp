// SPDX-License-Identifier: Apache-2.0
// Fixed pieces of work whose instructions are counted (counts.cpp).
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace mrfcore::bench {

struct CountedWork {
  std::string name;  ///< no spaces
  std::function<void()> run;
};

std::vector<CountedWork> counted_solvers();
std::vector<CountedWork> counted_operators();

}  // namespace mrfcore::bench
