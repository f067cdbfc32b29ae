// SPDX-License-Identifier: Apache-2.0
// The exported table, and the host functions in it that are no kernels.
#include "device.cuh"
#include "functions.hpp"

namespace mrfcore::cuda {
namespace {

int device_count(int* count) { return forgotten(cudaGetDeviceCount(count)); }

int attribute(int device, cudaDeviceAttr which, int* to) {
  return forgotten(cudaDeviceGetAttribute(to, which, device));
}

int properties(int device, DeviceProperties* to) {
#if defined(MRF_CUDA_EMULATOR)
  *to = {"emulator", 9, 0, 0, 0};
  return attribute(device, cudaDevAttrMultiProcessorCount, &to->multiprocessors);
#else
  cudaDeviceProp found{};
  const cudaError_t code = cudaGetDeviceProperties(&found, device);
  if (code != cudaSuccess) return forgotten(code);
  *to = {{}, found.major, found.minor, 0, static_cast<int64_t>(found.totalGlobalMem)};
  for (size_t i = 0; i + 1 < sizeof(to->name) && found.name[i] != '\0'; ++i)
    to->name[i] = found.name[i];
  return attribute(device, cudaDevAttrMultiProcessorCount, &to->multiprocessors);
#endif
}

int versions(int* driver, int* runtime) {
#if defined(MRF_CUDA_EMULATOR)
  *driver = *runtime = 0;
  return 0;
#else
  const cudaError_t code = cudaDriverGetVersion(driver);
  return forgotten(code != cudaSuccess ? code : cudaRuntimeGetVersion(runtime));
#endif
}

int current_device(int* device) { return forgotten(cudaGetDevice(device)); }
int set_device(int device) { return forgotten(cudaSetDevice(device)); }

int to_host(void* to, const void* from, int64_t bytes, Stream stream) {
  const cudaError_t code =
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost,
                      static_cast<cudaStream_t>(stream));
  return forgotten(code != cudaSuccess ? code
                                       : cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
}

int from_host(void* to, const void* from, int64_t bytes, Stream stream) {
  const cudaError_t code =
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                      static_cast<cudaStream_t>(stream));
  return forgotten(code != cudaSuccess ? code
                                       : cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
}

const char* error_text(int code) { return cudaGetErrorString(static_cast<cudaError_t>(code)); }

template <class T>
constexpr Solvers<T> solvers() {
  return {.sweep_pair = &cuda::sweep_pair<T>,
          .adjoint_pair = &cuda::adjoint_pair<T>,
          .table_gradient = &cuda::table_gradient<T>,
          .gather = &cuda::gather<T>,
          .finite_unary = &cuda::finite_unary<T>,
          .check_weights = &cuda::check_weights<T>,
          .check_table = &cuda::check_table<T>,
          .feed_back = &cuda::feed_back<T>,
          .feed_back_adjoint = &cuda::feed_back_adjoint<T>,
          .level_costs = &cuda::level_costs<T>,
          .add = &cuda::add<T>,
          .mean_field_step = &cuda::mean_field_step<T>,
          .mean_field_adjoint = &cuda::mean_field_adjoint<T>,
          .icm_sweep = &cuda::icm_sweep<T>,
          .trws_pass = &cuda::trws_pass<T>,
          .trws_labels = &cuda::trws_labels<T>,
          .chain_bound = &cuda::chain_bound<T>,
          .minimize_lines = &cuda::minimize_lines<T>,
          .label_changes = &cuda::label_changes<T>,
          .coarsen = &cuda::coarsen<T>,
          .prolong = &cuda::prolong<T>,
          .energy = &cuda::energy<T>,
          .sum_items = &cuda::sum_items<T>,
          .sum_bins = &cuda::sum_bins<T>,
          .sum_all = &cuda::sum_all<T>,
          .write_values = &cuda::write_values<T>,
          .fill_tables = &cuda::fill_tables<T>,
          .fill = &cuda::fill<T>};
}

template <class T>
constexpr Embeddings<T> embeddings() {
  return {.point_means = &kernels::point_means<T>,
          .load_points = &kernels::load_points<T>,
          .unload_points = &kernels::unload_points<T>,
          .normalise_points = &kernels::normalise_points<T>,
          .through_norm = &kernels::through_norm<T>,
          .mean_shift_step = &kernels::mean_shift_step<T>,
          .mean_shift_step_back = &kernels::mean_shift_step_back<T>,
          .pairwise_margin = &kernels::pairwise_margin<T>};
}

template <class T>
constexpr Superpixels<T> superpixels() {
  return {.pool = &kernels::superpixel_pool<T>,
          .unpool = &kernels::superpixel_unpool<T>,
          .consistency = &kernels::superpixel_consistency<T>,
          .soft_pool = &kernels::soft_superpixel_pool<T>,
          .soft_unpool = &kernels::soft_superpixel_unpool<T>,
          .soft_product = &kernels::soft_superpixel_product<T>};
}

template <class T>
constexpr Flows<T> flows() {
  return {.filter_flow = &kernels::filter_flow<T>,
          .filter_flow_transpose = &kernels::filter_flow_transpose<T>,
          .filter_flow_filter_gradient = &kernels::filter_flow_filter_gradient<T>,
          .warp = &kernels::warp<T>,
          .warp_flow_gradient = &kernels::warp_flow_gradient<T>,
          .warp_image_gradient = &kernels::warp_image_gradient<T>};
}

template <class P>
constexpr FilterPixels<P> filter_pixels() {
  return {.pixels_of_bytes = &kernels::pixels_of_bytes<P>,
          .bytes_of_pixels = &kernels::bytes_of_pixels<P>,
          .halve_image = &kernels::halve_image<P>,
          .double_image = &kernels::double_image<P>,
          .near_edges = &kernels::near_edges<P>};
}

constexpr ImageFilters kImageFilters = {.filter_words = &kernels::filter_words,
                                        .filter_floats = &kernels::filter_floats,
                                        .filter_distances = &kernels::filter_distances,
                                        .convert_luv = &kernels::convert_luv,
                                        .words = filter_pixels<uint32_t>(),
                                        .floats = filter_pixels<float>()};

#if defined(MRF_CUDA_EMULATOR)
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

const Functions kFunctions = {.runtime = {.device_count = device_count,
                                          .properties = properties,
                                          .versions = versions,
                                          .current_device = current_device,
                                          .set_device = set_device,
                                          .to_host = to_host,
                                          .from_host = from_host,
                                          .error_text = error_text,
                                          .emulated = kEmulated},
                              .sum_rows = &cuda::sum_rows,
                              .clear = &cuda::clear,
                              .copy = &cuda::copy,
                              .float32 = solvers<float>(),
                              .float64 = solvers<double>(),
                              .stereo = {.cost_volume = &cuda::cost_volume,
                                         .byte_cost_volume = &cuda::byte_cost_volume,
                                         .right_view_minimum = &cuda::right_view_minimum,
                                         .right_view_volume = &cuda::right_view_volume,
                                         .compact_sgm_bytes = &cuda::compact_sgm_bytes,
                                         .compact_sgm = &cuda::compact_sgm,
                                         .compact_sgm_winners = &cuda::compact_sgm_winners},
                              .embeddings32 = embeddings<float>(),
                              .embeddings64 = embeddings<double>(),
                              .superpixels32 = superpixels<float>(),
                              .superpixels64 = superpixels<double>(),
                              .flows32 = flows<float>(),
                              .flows64 = flows<double>(),
                              .image_filters = kImageFilters,
                              .slic = {.features_of_bytes = &kernels::slic_features<uint8_t>,
                                       .features_of_floats = &kernels::slic_features<float>,
                                       .superpixels = &kernels::slic}};

}  // namespace
}  // namespace mrfcore::cuda

extern "C" __attribute__((visibility("default"))) const mrfcore::cuda::Functions*
mrfcore_cuda_functions(int abi, uint64_t layout) {
  using namespace mrfcore::cuda;
  return abi == kAbi && layout == kLayout ? &kFunctions : nullptr;
}
