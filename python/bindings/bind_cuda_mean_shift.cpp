// SPDX-License-Identifier: Apache-2.0
// Thin face of mrfcore/cuda_mean_shift.hpp, with addresses for arrays; mrfcore.ops checks tensors,
// allocates and owns everything.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "bindings.hpp"
#include "device.hpp"
#include "mean_shift_options.hpp"
#include "mrfcore/cuda_mean_shift.hpp"

namespace nb = nanobind;
using namespace nb::literals;
namespace cuda = mrfcore::cuda;

namespace {

/// Points [batch, dims, points] on the device, and what is done with them.
struct DeviceMeanShift {
  mrfcore::MeanShiftShape shape{};
  mrfcore::MeanShiftOptions options;
  Address kappa = 0;
};

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

template <class T>
void forward(const DeviceMeanShift& call, Address x, Address out, Address tape,
             const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::mean_shift_forward<T>(at<T>(x), call.shape, call.options, at<T>(call.kappa), at<T>(out),
                              at<T>(tape), queue.get());
}

template <class T>
void backward(const DeviceMeanShift& call, Address tape, Address grad_out, Address grad_x,
              Address grad_kappa, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::mean_shift_backward<T>(call.shape, call.options, at<T>(call.kappa), at<T>(tape),
                               at<T>(grad_out), at<T>(grad_x), at<double>(grad_kappa), queue.get());
}

template <class T>
void margin(int64_t batch, int64_t dims, int64_t points, double alpha, double neg_weight, Address x,
            Address labels, Address weights, Address loss, Address grad, const DeviceQueue& queue) {
  const nb::gil_scoped_release release;
  cuda::pairwise_margin_loss<T>(at<T>(x), at<int64_t>(labels), at<T>(weights), batch, dims, points,
                                {.alpha = alpha, .neg_weight = neg_weight}, at<double>(loss),
                                at<T>(grad), queue.get());
}

template <class T>
void define(nb::module_& m, const std::string& type) {
  const auto def = [&](const std::string& name, const auto& function, const auto&... arguments) {
    m.def((name + "_" + type).c_str(), function, arguments...);
  };
  def(
      "cuda_mean_shift_forward_workspace_bytes",
      [](const DeviceMeanShift& call, bool tape) {
        return cuda::mean_shift_forward_workspace_bytes<T>(call.shape, call.options, tape);
      },
      "call"_a, "tape"_a);
  def(
      "cuda_mean_shift_backward_workspace_bytes",
      [](const DeviceMeanShift& call) {
        return cuda::mean_shift_backward_workspace_bytes<T>(call.shape, call.options);
      },
      "call"_a);
  def("cuda_mean_shift_forward", &forward<T>, "call"_a, "x"_a, "out"_a, "tape"_a, "queue"_a);
  def("cuda_mean_shift_backward", &backward<T>, "call"_a, "tape"_a, "grad_out"_a, "grad_x"_a,
      "grad_kappa"_a, "queue"_a);
  def("cuda_pairwise_margin_workspace_bytes", &cuda::pairwise_margin_workspace_bytes<T>, "batch"_a,
      "dims"_a, "points"_a, "gradient"_a);
  def("cuda_pairwise_margin_loss", &margin<T>, "batch"_a, "dims"_a, "points"_a, "alpha"_a,
      "neg_weight"_a, "x"_a, "labels"_a, "weights"_a, "loss"_a, "grad"_a, "queue"_a);
}

}  // namespace

void bind_cuda_mean_shift(nb::module_& m) {
  nb::class_<DeviceMeanShift>(m, "CudaMeanShift")
      .def(
          "__init__",
          [](DeviceMeanShift* call, int64_t batch, int64_t dims, int64_t points,
             const std::string& kernel, int steps, Address kappa, double step_size) {
            new (call) DeviceMeanShift{
                {batch, dims, points}, mean_shift_options(kernel, steps, 0.0, step_size, 0), kappa};
          },
          "batch"_a, "dims"_a, "points"_a, "kernel"_a, "steps"_a, "kappa"_a, "step_size"_a);
  define<float>(m, "f32");
  define<double>(m, "f64");
}
