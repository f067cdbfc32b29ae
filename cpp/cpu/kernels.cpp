// SPDX-License-Identifier: Apache-2.0
// Hands this instruction set's kernels to the dispatcher.
#include "cpu/kernels.hpp"

#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

template <class T>
void sweep_pair(const SweepArgs<T>&);
template <class T>
void adjoint_pair(const AdjointArgs<T>&);
template <class T>
void chain_bound(const ChainBoundArgs<T>&);
template <class T>
void trws_pass(const TrwsArgs<T>&);
template <class T>
void trws_labels(const LabellingArgs<T>&);
template <class T>
void gather(const GatherArgs<T>&);
template <class T>
void feed_back(const FeedBackArgs<T>&);
template <class T>
void mean_field_step(const MeanFieldArgs<T>&);
template <class T>
void mean_field_adjoint(const MeanFieldAdjointArgs<T>&);
template <class T>
void icm_sweep(const IcmArgs<T>&);
template <class T>
void minimize_lines(const LineArgs<T>&);

template <class T>
const Kernels<T>& kernels() {
  static constexpr Kernels<T> kTable{
      kLanes<T>,          sweep_pair<T>,         adjoint_pair<T>, chain_bound<T>,
      trws_pass<T>,       trws_labels<T>,        gather<T>,       feed_back<T>,
      mean_field_step<T>, mean_field_adjoint<T>, icm_sweep<T>,    minimize_lines<T>};
  return kTable;
}

template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

}  // namespace mrfcore::cpu::MRF_ISA
