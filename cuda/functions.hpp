// SPDX-License-Identifier: Apache-2.0
// The one thing that libmrfcore_cuda exports: a table of functions. The library is opened on first
// use, so that a machine without a driver (or without the library) loads all the rest.
#pragma once

#include <cstddef>

#include "filter_flow_kernels.hpp"
#include "kernels.hpp"
#include "mean_shift_filter_kernels.hpp"
#include "mean_shift_kernels.hpp"
#include "slic_kernels.hpp"
#include "stereo_kernels.hpp"
#include "superpixel_kernels.hpp"
#include "warp_kernels.hpp"

namespace mrfcore::cuda {

/// What is known of a GPU.
struct DeviceProperties {
  char name[256];
  int major, minor;
  int multiprocessors;
  int64_t memory;  ///< bytes
};

/// Host functions that are no kernels. All return a cudaError_t as int.
struct Runtime {
  int (*device_count)(int* count);
  int (*properties)(int device, DeviceProperties* to);
  int (*versions)(int* driver, int* runtime);
  int (*current_device)(int* device);
  int (*set_device)(int device);
  /// Copies to the host, in the order of the stream, and waits.
  int (*to_host)(void* to, const void* from, int64_t bytes, Stream stream);
  /// Copies from the host, in the order of the stream, and waits.
  int (*from_host)(void* to, const void* from, int64_t bytes, Stream stream);
  const char* (*error_text)(int code);
  bool emulated;  ///< kernels run on the CPU, on the host's memory (tests)
};

template <class T>
struct Solvers {
  decltype(&cuda::sweep_pair<T>) sweep_pair;
  decltype(&cuda::adjoint_pair<T>) adjoint_pair;
  decltype(&cuda::table_gradient<T>) table_gradient;
  decltype(&cuda::gather<T>) gather;
  decltype(&cuda::finite_unary<T>) finite_unary;
  decltype(&cuda::check_weights<T>) check_weights;
  decltype(&cuda::check_table<T>) check_table;
  decltype(&cuda::feed_back<T>) feed_back;
  decltype(&cuda::feed_back_adjoint<T>) feed_back_adjoint;
  decltype(&cuda::level_costs<T>) level_costs;
  decltype(&cuda::add<T>) add;
  decltype(&cuda::mean_field_step<T>) mean_field_step;
  decltype(&cuda::mean_field_adjoint<T>) mean_field_adjoint;
  decltype(&cuda::icm_sweep<T>) icm_sweep;
  decltype(&cuda::trws_pass<T>) trws_pass;
  decltype(&cuda::trws_labels<T>) trws_labels;
  decltype(&cuda::chain_bound<T>) chain_bound;
  decltype(&cuda::minimize_lines<T>) minimize_lines;
  decltype(&cuda::label_changes<T>) label_changes;
  decltype(&cuda::coarsen<T>) coarsen;
  decltype(&cuda::prolong<T>) prolong;
  decltype(&cuda::energy<T>) energy;
  decltype(&cuda::sum_items<T>) sum_items;
  decltype(&cuda::sum_bins<T>) sum_bins;
  decltype(&cuda::sum_all<T>) sum_all;
  decltype(&cuda::write_values<T>) write_values;
  decltype(&cuda::fill_tables<T>) fill_tables;
  decltype(&cuda::fill<T>) fill;
};

struct Stereo {
  decltype(&cuda::cost_volume) cost_volume;
  decltype(&cuda::byte_cost_volume) byte_cost_volume;
  decltype(&cuda::right_view_minimum) right_view_minimum;
  decltype(&cuda::right_view_volume) right_view_volume;
  decltype(&cuda::compact_sgm_bytes) compact_sgm_bytes;
  decltype(&cuda::compact_sgm) compact_sgm;
  decltype(&cuda::compact_sgm_winners) compact_sgm_winners;
};

/// Mean shift and the pairwise margin loss.
template <class T>
struct Embeddings {
  decltype(&kernels::point_means<T>) point_means;
  decltype(&kernels::load_points<T>) load_points;
  decltype(&kernels::unload_points<T>) unload_points;
  decltype(&kernels::normalise_points<T>) normalise_points;
  decltype(&kernels::through_norm<T>) through_norm;
  decltype(&kernels::mean_shift_step<T>) mean_shift_step;
  decltype(&kernels::mean_shift_step_back<T>) mean_shift_step_back;
  decltype(&kernels::pairwise_margin<T>) pairwise_margin;
};

template <class T>
struct Superpixels {
  decltype(&kernels::superpixel_pool<T>) pool;
  decltype(&kernels::superpixel_unpool<T>) unpool;
  decltype(&kernels::superpixel_consistency<T>) consistency;
  decltype(&kernels::soft_superpixel_pool<T>) soft_pool;
  decltype(&kernels::soft_superpixel_unpool<T>) soft_unpool;
  decltype(&kernels::soft_superpixel_product<T>) soft_product;
};

/// Filter flow and warps.
template <class T>
struct Flows {
  decltype(&kernels::filter_flow<T>) filter_flow;
  decltype(&kernels::filter_flow_transpose<T>) filter_flow_transpose;
  decltype(&kernels::filter_flow_filter_gradient<T>) filter_flow_filter_gradient;
  decltype(&kernels::warp<T>) warp;
  decltype(&kernels::warp_flow_gradient<T>) warp_flow_gradient;
  decltype(&kernels::warp_image_gradient<T>) warp_image_gradient;
};

/// Mean-shift filtering. P: how an image's pixels are kept.
template <class P>
struct FilterPixels {
  decltype(&kernels::pixels_of_bytes<P>) pixels_of_bytes;
  decltype(&kernels::bytes_of_pixels<P>) bytes_of_pixels;
  decltype(&kernels::halve_image<P>) halve_image;
  decltype(&kernels::double_image<P>) double_image;
  decltype(&kernels::near_edges<P>) near_edges;
};
struct ImageFilters {
  decltype(&kernels::filter_words) filter_words;
  decltype(&kernels::filter_floats) filter_floats;
  decltype(&kernels::filter_distances) filter_distances;
  decltype(&kernels::convert_luv) convert_luv;
  FilterPixels<uint32_t> words;
  FilterPixels<float> floats;
};

struct SlicFunctions {
  decltype(&kernels::slic_features<uint8_t>) features_of_bytes;
  decltype(&kernels::slic_features<float>) features_of_floats;
  decltype(&kernels::slic) superpixels;
};

struct Functions {
  Runtime runtime;
  decltype(&cuda::sum_rows) sum_rows;
  decltype(&cuda::clear) clear;
  decltype(&cuda::copy) copy;
  Solvers<float> float32;
  Solvers<double> float64;
  Stereo stereo;
  Embeddings<float> embeddings32;
  Embeddings<double> embeddings64;
  Superpixels<float> superpixels32;
  Superpixels<double> superpixels64;
  Flows<float> flows32;
  Flows<double> flows64;
  ImageFilters image_filters;
  SlicFunctions slic;

  template <class T>
  const Solvers<T>& of() const {
    if constexpr (sizeof(T) == 4) {
      return float32;
    } else {
      return float64;
    }
  }
  template <class T>
  const Embeddings<T>& embeddings() const {
    if constexpr (sizeof(T) == 4) {
      return embeddings32;
    } else {
      return embeddings64;
    }
  }
  template <class T>
  const Flows<T>& flows() const {
    if constexpr (sizeof(T) == 4) {
      return flows32;
    } else {
      return flows64;
    }
  }
  template <class T>
  const Superpixels<T>& superpixels() const {
    if constexpr (sizeof(T) == 4) {
      return superpixels32;
    } else {
      return superpixels64;
    }
  }
};

/// Raise when a signature or the meaning of an argument changes; sizes are compared on their own.
inline constexpr int kAbi = 5;

/// Sizes of everything that is handed over, so that a library of another build is not called.
inline constexpr uint64_t kLayout =
    sizeof(Functions) + 1000003ull * sizeof(cpu::SweepArgs<float>) +
    1000003ull * 1009 * sizeof(cpu::AdjointArgs<float>) + 7919ull * sizeof(cpu::TrwsArgs<float>) +
    104729ull * sizeof(cpu::MeanFieldAdjointArgs<float>) +
    15485867ull * sizeof(cpu::LabellingArgs<float>) + 32452867ull * sizeof(cpu::LineArgs<float>) +
    15485863ull * sizeof(cpu::MinConvolutionPlan<float>) + 86028121ull * sizeof(Batch) +
    49979687ull * sizeof(cpu::CostVolumeArgs) + 67867967ull * sizeof(cpu::RightViewArgs) +
    32452843ull * sizeof(CompactSgm) + 122949823ull * sizeof(CompactWinners) +
    179424673ull * sizeof(kernels::PointLayout) +
    179424691ull * sizeof(kernels::MeanShiftStep<float>) +
    179424697ull * sizeof(kernels::MeanShiftStepBack<float>) +
    179424719ull * sizeof(kernels::PairwiseMargin<float>) + 179424729ull * sizeof(SuperpixelMap) +
    179424733ull * sizeof(ConsistencyOptions) + 179424737ull * sizeof(SoftSuperpixels) +
    179424731ull * sizeof(FilterFlowProblem) + 179424817ull * sizeof(SoftmaxStatistics<float>) +
    179424871ull * sizeof(FilterFlowGradients<float>) + 179424779ull * sizeof(WarpProblem) +
    179424787ull * sizeof(kernels::ImageFilter) + 179424793ull * sizeof(kernels::FilterWeights) +
    179424797ull * sizeof(kernels::FilterLevel) + 179424799ull * sizeof(kernels::SlicColourJob) +
    179424809ull * sizeof(kernels::SlicJob) + 179424823ull * sizeof(kernels::SlicScratch) +
    179424851ull * sizeof(kernels::SuperpixelScratch);

/// mrfcore_cuda_functions: the table, or null for another ABI or layout.
using GetFunctions = const Functions* (*)(int abi, uint64_t layout);
inline constexpr const char* kEntry = "mrfcore_cuda_functions";

}  // namespace mrfcore::cuda
