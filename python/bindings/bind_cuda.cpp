// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/cuda.hpp. Arrays are addresses: nothing of nanobind may look at, copy or
// synchronise device memory. mrfcore._device checks tensors, allocates and owns everything.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "device.hpp"
#include "mrfcore/cuda.hpp"
#include "problem.hpp"

using namespace nb::literals;
namespace cuda = mrfcore::cuda;

namespace {

/// A problem whose arrays are device memory; 0 for none.
struct DeviceProblem {
  int64_t batch = 1, height = 0, width = 0, labels = 0;
  int connectivity = 4;
  Address unary = 0;
  mrfcore::Potential pairwise = mrfcore::Potential::potts();
  Address table = 0;  ///< in place of pairwise
  double weight = 1.0;
  Address device_weight = 0;  ///< in place of weight
  Address edge_weights = 0;
  bool shared_edge_weights = true;

  template <class T>
  mrfcore::Problem<T> of() const {
    auto p = make_shape<T>(batch, height, width, labels, pairwise, connectivity);
    p.unary = reinterpret_cast<const T*>(unary);
    p.weight = static_cast<T>(weight);
    p.edge_weights = reinterpret_cast<const T*>(edge_weights);
    p.edge_weights_batch_stride = shared_edge_weights ? 0 : p.pairs() * p.pixels();
    return p;
  }
  template <class T>
  cuda::DeviceInputs<T> inputs() const {
    return {reinterpret_cast<const T*>(table), reinterpret_cast<const T*>(device_weight)};
  }
};

/// Addresses of gradients; 0 for those that are not wanted.
struct DeviceGradients {
  Address unary = 0, edge_weights = 0, weight = 0, table = 0;

  template <class T>
  mrfcore::Gradients<T> of() const {
    return {reinterpret_cast<T*>(unary), reinterpret_cast<T*>(edge_weights),
            reinterpret_cast<T*>(weight), reinterpret_cast<T*>(table)};
  }
};

nb::typed<nb::dict, nb::str, nb::any> status() {
  const cuda::Status s = cuda::status();
  nb::list devices;
  for (const cuda::Device& d : s.devices) {
    nb::dict one;
    one["name"] = d.name;
    one["capability"] = nb::make_tuple(d.major, d.minor);
    one["multiprocessors"] = d.multiprocessors;
    one["memory"] = d.memory;
    devices.append(one);
  }
  nb::dict out;
  out["built"] = s.built;
  out["available"] = s.available;
  out["emulated"] = s.emulated;
  out["reason"] = s.reason;
  out["driver"] = s.driver;
  out["runtime"] = s.runtime;
  out["devices"] = devices;
  return out;
}

template <class T>
std::vector<mrfcore::ItemReport> minimize(const DeviceProblem& problem, mrfcore::Options options,
                                          Address init, nb::object callback, Address labels,
                                          Address costs, const DeviceQueue& queue) {
  options.init_labels = reinterpret_cast<const int32_t*>(init);
  options.interrupted = signal_pending;
  if (!callback.is_none()) options.callback = python_callback(callback);
  try {
    const nb::gil_scoped_release release;
    return cuda::minimize<T>(problem.of<T>(), options,
                             {reinterpret_cast<int32_t*>(labels), reinterpret_cast<T*>(costs)},
                             queue.get());
  } catch (const mrfcore::Interrupted&) {
    throw nb::python_error();  // PyErr_CheckSignals has set it
  }
}

template <class T>
std::vector<double> energy(const DeviceProblem& problem, Address labels, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  return cuda::energy<T>(problem.of<T>(), reinterpret_cast<const int32_t*>(labels), queue.get());
}

template <class T>
void define(nb::module_& m, const char* suffix) {
  const auto name = [suffix](const char* stem) { return std::string(stem) + suffix; };
  m.def(name("cuda_minimize_").c_str(), &minimize<T>, "problem"_a, "options"_a, "init"_a,
        "callback"_a.none(), "labels"_a, "costs"_a, "queue"_a);
  m.def(name("cuda_energy_").c_str(), &energy<T>, "problem"_a, "labels"_a, "queue"_a);
  m.def(
      name("cuda_workspace_bytes_").c_str(),
      [](const DeviceProblem& p, const mrfcore::Options& o, int64_t items) {
        return cuda::workspace_bytes(p.of<T>(), o, items);
      },
      "problem"_a, "options"_a, "items"_a);
  m.def(
      name("cuda_layer_tape_bytes_").c_str(),
      [](const DeviceProblem& p, const mrfcore::LayerOptions& o) {
        return cuda::layer_tape_bytes(p.of<T>(), o);
      },
      "problem"_a, "options"_a);
  m.def(
      name("cuda_layer_workspace_bytes_").c_str(),
      [](const DeviceProblem& p, const mrfcore::LayerOptions& o, const DeviceGradients* wanted) {
        const mrfcore::Gradients<T> g =
            wanted == nullptr ? mrfcore::Gradients<T>{} : wanted->of<T>();
        return cuda::layer_workspace_bytes<T>(p.of<T>(), o, p.inputs<T>(),
                                              wanted == nullptr ? nullptr : &g);
      },
      "problem"_a, "options"_a, "wanted"_a.none());
  m.def(
      name("cuda_layer_forward_").c_str(),
      [](const DeviceProblem& p, const mrfcore::LayerOptions& o, Address costs, Address tape,
         const DeviceQueue& queue) {
        const nb::gil_scoped_release release;
        cuda::layer_forward<T>(p.of<T>(), o, p.inputs<T>(), reinterpret_cast<T*>(costs),
                               reinterpret_cast<void*>(tape), queue.get());
      },
      "problem"_a, "options"_a, "costs"_a, "tape"_a, "queue"_a);
  m.def(
      name("cuda_layer_backward_").c_str(),
      [](const DeviceProblem& p, const mrfcore::LayerOptions& o, Address tape, Address grad_costs,
         const DeviceGradients& wanted, const DeviceQueue& queue) {
        const nb::gil_scoped_release release;
        cuda::layer_backward<T>(p.of<T>(), o, p.inputs<T>(), reinterpret_cast<const void*>(tape),
                                reinterpret_cast<const T*>(grad_costs), wanted.of<T>(),
                                queue.get());
      },
      "problem"_a, "options"_a, "tape"_a, "grad_costs"_a, "wanted"_a, "queue"_a);
}

}  // namespace

void bind_cuda(nb::module_& m) {
  nb::class_<DeviceProblem>(m, "CudaProblem")
      .def(nb::init<>())
      .def_rw("batch", &DeviceProblem::batch)
      .def_rw("height", &DeviceProblem::height)
      .def_rw("width", &DeviceProblem::width)
      .def_rw("labels", &DeviceProblem::labels)
      .def_rw("connectivity", &DeviceProblem::connectivity)
      .def_rw("unary", &DeviceProblem::unary)
      .def_rw("pairwise", &DeviceProblem::pairwise)
      .def_rw("table", &DeviceProblem::table)
      .def_rw("weight", &DeviceProblem::weight)
      .def_rw("device_weight", &DeviceProblem::device_weight)
      .def_rw("edge_weights", &DeviceProblem::edge_weights)
      .def_rw("shared_edge_weights", &DeviceProblem::shared_edge_weights);
  nb::class_<DeviceQueue>(m, "CudaQueue")
      .def(nb::init<>())
      .def_rw("device", &DeviceQueue::device)
      .def_rw("stream", &DeviceQueue::stream)
      .def_rw("workspace", &DeviceQueue::workspace)
      .def_rw("workspace_bytes", &DeviceQueue::workspace_bytes);
  nb::class_<DeviceGradients>(m, "CudaGradients")
      .def(nb::init<>())
      .def_rw("unary", &DeviceGradients::unary)
      .def_rw("edge_weights", &DeviceGradients::edge_weights)
      .def_rw("weight", &DeviceGradients::weight)
      .def_rw("table", &DeviceGradients::table);
  nb::exception<cuda::CudaError>(m, "CudaError", PyExc_RuntimeError);
  m.def("cuda_status", &status);
  define<float>(m, "f32");
  define<double>(m, "f64");
}
