// SPDX-License-Identifier: Apache-2.0
// The device's part in coarser grids and in the fusion of labellings. Regions of different labels
// are found on the host: pixels, not labels, so little to copy, and in one order.
#include "device/backend.hpp"
#include "ops/fusion.hpp"

namespace mrfcore::cuda {

template <class T>
Batch DeviceBackend<T>::batch_for(const cpu::GridShape& shape) const {
  Batch batch = batch_;
  if (shape.volume() == batch_.volume) return batch;
  batch.volume = shape.volume();
  if (batch.edge_weights != 0) batch.edge_weights = shape.connectivity / 2 * shape.pixels();
  return batch;
}

template <class T>
void DeviceBackend<T>::minimize_lines(const cpu::LineArgs<T>& args) {
  check_row(solvers_.minimize_lines(args, batch_, stream_), "minimize_lines", args.shape);
}

template <class T>
void DeviceBackend<T>::fuse(const Item<T>& item, int32_t* labels, const int32_t* proposal) {
  const int64_t pixels = item.shape.pixels();
  if (!changes_) changes_ = this->template zeroed<double>(item.pixels());
  const DevicePotential<double>& v = exact_potential(item);
  check(solvers_.label_changes({item.shape, item.weights, v.differences(), v.values(), item.unary,
                                labels, proposal, changes_.data()},
                               batch_, stream_),
        "label_changes");
  std::vector<double> change = read(changes_.data(), item.pixels());
  std::vector<int32_t> from(static_cast<size_t>(item.pixels())), to(from.size());
  const int64_t bytes = item.pixels() * static_cast<int64_t>(sizeof(int32_t));
  check(functions_.runtime.to_host(from.data(), labels, bytes, stream_), "fuse");
  check(functions_.runtime.to_host(to.data(), proposal, bytes, stream_), "fuse");
  bool any = false;
  for (int64_t i = 0; i < item.items; ++i) {
    const int64_t at = i * pixels;
    any |= fuse_regions(item.shape, to.data() + at, change.data() + at, from.data() + at);
  }
  if (any) check(functions_.runtime.from_host(labels, from.data(), bytes, stream_), "fuse");
}

template <class T>
void DeviceBackend<T>::coarsen(const CoarseArgs<T>& a) {
  check(solvers_.coarsen(
            {a.fine, a.coarse, a.fine_unary, a.coarse_unary, a.fine_weights, a.coarse_weights},
            batch_for(a.fine), batch_for(a.coarse), stream_),
        "coarsen");
}

template <class T>
void DeviceBackend<T>::prolong(const cpu::GridShape& fine, const void* coarse_messages,
                               void* messages, MessageDtype, cpu::Control*) {
  check(solvers_.prolong(fine, static_cast<const T*>(coarse_messages), static_cast<T*>(messages),
                         batch_.count, stream_),
        "prolong");
}

#define MRF_INSTANTIATE(T)                                                                         \
  template Batch DeviceBackend<T>::batch_for(const cpu::GridShape&) const;                         \
  template void DeviceBackend<T>::minimize_lines(const cpu::LineArgs<T>&);                         \
  template void DeviceBackend<T>::fuse(const Item<T>&, int32_t*, const int32_t*);                  \
  template void DeviceBackend<T>::coarsen(const CoarseArgs<T>&);                                   \
  template void DeviceBackend<T>::prolong(const cpu::GridShape&, const void*, void*, MessageDtype, \
                                          cpu::Control*);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
