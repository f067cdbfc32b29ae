// SPDX-License-Identifier: Apache-2.0
// A pairwise function in device memory.
#pragma once

#include <vector>

#include "cuda/functions.hpp"
#include "device/library.hpp"
#include "ops/adjoint.hpp"

namespace mrfcore::cuda {

/// V as numbers of type U: by |l - m|, or for tables all of it. Where tables come from the device,
/// they do not pass through the host.
template <class U>
class DevicePotential {
 public:
  /// given: V(l, m) [L, L] on the device in place of `potential`, or null. memory: hands out zeroed
  /// device memory.
  template <class Memory>
  DevicePotential(const Functions& functions, Stream stream, Memory&& memory,
                  const Potential& potential, int64_t labels, const U* given)
      : functions_(functions), stream_(stream), potential_(potential), labels_(labels) {
    if (given != nullptr) {
      values_ = given;
      return;
    }
    const bool table = potential.kind() == PotentialKind::Table;
    std::vector<U> host;
    for (const double v : potential.values()) host.push_back(static_cast<U>(v));
    for (int64_t d = 0; d < labels && !table; ++d) host.push_back(static_cast<U>(potential(d, 0)));
    const auto count = static_cast<int64_t>(host.size());
    own_ = memory.template operator()<U>(count);
    check(functions, functions.of<U>().write_values(host.data(), count, own_.data(), stream),
          "write_values");
    (table ? values_ : differences_) = own_.data();
    distinct_ = table ? 0 : mrfcore::count_distinct(host);
  }

  const U* differences() const { return differences_; }  ///< V by |l - m| [L], or null
  const U* values() const { return values_; }            ///< V(l, m) [L, L], or null
  int distinct() const { return distinct_; }  ///< differences from distinct - 1 on are all the same
  bool symmetric() const { return differences_ != nullptr; }

  /// V(m, l) times factor, and V(l, m) unless V is known to be symmetric.
  template <class Memory>
  PotentialTables<U> tables(Memory&& memory, U factor) const {
    PotentialTables<U> made;
    made.table = memory.template operator()<U>(labels_ * labels_);
    if (!symmetric()) made.transposed = memory.template operator()<U>(labels_ * labels_);
    check(functions_,
          functions_.of<U>().fill_tables(differences_, values_, static_cast<int>(labels_), factor,
                                         made.table.data(), made.transposed.data(), stream_),
          "fill_tables");
    return made;
  }

  /// Plan with a factor of its own for every edge: the weight is never in the table. `tables` are
  /// filled if it needs them.
  template <class Memory>
  cpu::MinConvolutionPlan<U> plan(Memory&& memory, MinConvolution path, U temperature,
                                  PotentialTables<U>& tables_to_keep) const {
    cpu::MinConvolutionPlan<U> plan{};
    plan.kind = cpu::MinConvolutionKind::Table;
    if (values_ == nullptr && temperature == U(0)) plan = choose_plan<U>(potential_, labels_, path);
    // The lower envelope is a sequential scan; shifts are what lanes can do.
    if (plan.kind == cpu::MinConvolutionKind::Envelope) plan.kind = cpu::MinConvolutionKind::Shift;
    plan.labels = static_cast<int>(labels_);
    plan.stride = labels_;
    plan.shift = differences_;
    if (plan.kind != cpu::MinConvolutionKind::Table) return plan;
    if (!tables_to_keep.table) tables_to_keep = tables(memory, U(1));
    plan.table = tables_to_keep.forward();
    plan.table_t = tables_to_keep.backward();
    plan.temperature = temperature;
    if (temperature > U(0)) plan.kind = cpu::MinConvolutionKind::SoftTable;
    return plan;
  }

 private:
  const Functions& functions_;
  Stream stream_;
  const Potential& potential_;
  int64_t labels_;
  Buffer<U> own_;
  const U* differences_ = nullptr;
  const U* values_ = nullptr;
  int distinct_ = 0;
};

}  // namespace mrfcore::cuda
