// SPDX-License-Identifier: Apache-2.0
// Layers on the device: all items of a batch side by side, nothing but work enqueued.
#include <stdexcept>

#include "device/pairwise_adjoint.hpp"
#include "ops/check.hpp"
#include "ops/layer_passes.hpp"

namespace mrfcore::cuda {
namespace {

template <class T>
TapeLayout<T> layout_of(const Problem<T>& p, const LayerOptions& o) {
  return TapeLayout<T>(p, o, p.labels, p.batch);
}

template <class T>
void check_queue(const Queue& queue, int64_t needed) {
  if (queue.workspace_bytes >= needed && queue.workspace != nullptr) return;
  throw std::invalid_argument("workspace: expected " + std::to_string(needed) + " bytes, got " +
                              std::to_string(queue.workspace_bytes));
}

/// The memory of earlier calls and the arena of this one.
template <class T>
class LayerCall {
 public:
  LayerCall(const Problem<T>& problem, const LayerOptions& options, const DeviceInputs<T>& inputs,
            const Queue& queue, bool own_weights)
      : functions_(library()),
        guard_(functions_, queue.device),
        arena_(queue.workspace, queue.workspace_bytes),
        backend_(functions_, queue.stream, &arena_, problem, inputs, 0, problem.batch, own_weights),
        item_(backend_.item(problem, options, &control_)) {
    item_.layer.temperature = static_cast<T>(options.temperature);
  }

  DeviceBackend<T>& backend() { return backend_; }
  Item<T>& item() { return item_; }

 private:
  const Functions& functions_;
  DeviceGuard guard_;
  Arena arena_;
  cpu::Control control_;
  DeviceBackend<T> backend_;
  Item<T> item_;
};

template <class T>
void check_layer_on_device(const Problem<T>& problem, const LayerOptions& options) {
  check_layer(problem, options);
  if (problem.batch > 65535) {
    throw std::invalid_argument(
        "unary: expected at most 65535 items for a layer on a GPU, got B = " +
        std::to_string(problem.batch));
  }
}

}  // namespace

template <class T>
int64_t layer_tape_bytes(const Problem<T>& problem, const LayerOptions& options) {
  check_layer_on_device(problem, options);
  return kTapeHeaderBytes + layout_of(problem, options).item_bytes();
}

template <class T>
int64_t layer_workspace_bytes(const Problem<T>& problem, const LayerOptions& options,
                              const DeviceInputs<T>& inputs, const Gradients<T>* gradients) {
  check_layer_on_device(problem, options);
  const TapeLayout<T> layout = layout_of(problem, options);
  const bool tables = layout.soft || inputs.table != nullptr ||
                      options.solver == Solver::MeanField ||
                      problem.pairwise.kind() == PotentialKind::Table;
  int64_t bytes = layer_pass_bytes(layout, options, gradients != nullptr) +
                  backend_bytes(problem, options, problem.batch, tables);
  if (gradients != nullptr)
    bytes += pairwise_adjoint_bytes(problem, *gradients, layout.soft, tables);
  return bytes;
}

template <class T>
void layer_forward(const Problem<T>& problem, const LayerOptions& options,
                   const DeviceInputs<T>& inputs, T* costs, void* tape, const Queue& queue) {
  check_queue<T>(queue, layer_workspace_bytes<T>(problem, options, inputs, nullptr));
  if (costs == nullptr)
    throw std::invalid_argument("costs: expected an array to write to, got a null pointer");
  LayerCall<T> call(problem, options, inputs, queue, false);
  std::byte* records = tape == nullptr ? nullptr : static_cast<std::byte*>(tape) + kTapeHeaderBytes;
  run_forward(call.item(), layout_of(problem, options), costs, records);
}

template <class T>
void layer_backward(const Problem<T>& problem, const LayerOptions& options,
                    const DeviceInputs<T>& inputs, const void* tape, const T* grad_costs,
                    const Gradients<T>& gradients, const Queue& queue) {
  check_queue<T>(queue, layer_workspace_bytes<T>(problem, options, inputs, &gradients));
  check_gradients(problem, tape, grad_costs, gradients);
  const TapeLayout<T> layout = layout_of(problem, options);
  LayerCall<T> call(problem, options, inputs, queue, needs_own_weights(problem, gradients));
  const bool needs_table = layout.soft || options.solver == Solver::MeanField;
  DevicePairwiseAdjoint<T> pairwise(call.backend(), problem, gradients, needs_table);
  std::byte* records = static_cast<std::byte*>(const_cast<void*>(tape)) + kTapeHeaderBytes;
  run_backward(call.item(), layout, records, pairwise, grad_costs, gradients.unary);
  pairwise.finish();
}

#define MRF_INSTANTIATE(T)                                                                        \
  template int64_t layer_tape_bytes<T>(const Problem<T>&, const LayerOptions&);                   \
  template int64_t layer_workspace_bytes<T>(const Problem<T>&, const LayerOptions&,               \
                                            const DeviceInputs<T>&, const Gradients<T>*);         \
  template void layer_forward<T>(const Problem<T>&, const LayerOptions&, const DeviceInputs<T>&,  \
                                 T*, void*, const Queue&);                                        \
  template void layer_backward<T>(const Problem<T>&, const LayerOptions&, const DeviceInputs<T>&, \
                                  const void*, const T*, const Gradients<T>&, const Queue&);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
