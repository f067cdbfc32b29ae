// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "mrfcore/message_dtype.hpp"
#include "mrfcore/problem.hpp"

namespace mrfcore {

enum class Solver { SGM, ISGMR, TRWP, BP, TRWS, MeanField, ICM, Chain };

/// First message of a scanline in SGM: the head's own unary (textbook) or zero (what the published
/// tables used).
enum class SGMHead { Unary, Zero };

/// Path of the min-convolution: the fastest one for the potential, or the O(L^2) table for every
/// potential.
enum class MinConvolution { Auto, General };

/// State after an iteration, handed to Options::callback. NaN where a value was not asked for.
struct Progress {
  int64_t item;    ///< batch item
  int iteration;   ///< 1-based
  int iterations;  ///< as asked
  double energy;
  double lower_bound;
  double seconds;  ///< since the item's start
};

struct Options {
  Solver solver = Solver::TRWP;
  int iterations = 50;
  int threads = 0;  ///< 0: MRFCORE_NUM_THREADS, else OpenMP's default

  double rho =
      0.0;  ///< TRWP: trees through an edge / trees through a node; 0 means 2 / connectivity
  double damping = 0.0;  ///< ISGMR, TRWP, BP: message = (1 - damping) new + damping old, in [0, 1)
  SGMHead head = SGMHead::Unary;
  bool normalise_directions = false;  ///< MeanField: divide the neighbours' sum by connectivity
  const int32_t* init_labels =
      nullptr;  ///< ICM: start [batch, height, width]; null: arg-min of the unary
  MinConvolution min_convolution = MinConvolution::Auto;
  bool keep_best = false;  ///< return the labelling of lowest energy seen, not the last

  /// TRWP, BP, ISGMR: labellings read off the messages at the end, beside the arg-min of the costs:
  /// conditioned ones from up to 4 corners of the image. Each is improved by exact minimisation
  /// over rows and columns, and each part of the image takes the best of them: the energy never
  /// rises. 0: the arg-min alone. Unset: 4 for TRWP, else 0.
  std::optional<int> polish;
  /// TRWP, BP: messages start from those of up to so many grids of half the size each, the coarsest
  /// solved first; none below 16 pixels. 0: they start from zero. Unset: 3 for TRWP, else 0.
  std::optional<int> coarse;
  /// TRWP, BP, ISGMR, TRWS on the CPU, with unaries in float: what messages are kept in. 16 bits
  /// take half the memory, and less time where memory is what a solver waits for.
  MessageDtype message_dtype = MessageDtype::Full;

  bool trace = false;        ///< record the energy after each iteration
  bool lower_bound = false;  ///< compute a lower bound (after each iteration if trace)
  std::optional<double>
      tolerance;  ///< stop once the energy changes by no more than this, relatively
  std::optional<double>
      gap_tolerance;  ///< stop once (energy - bound) / |energy| is no more than this

  /// Called after each iteration from the calling thread; returning true stops that item.
  std::function<bool(const Progress&)> callback;
  /// Called from the calling thread every few tens of milliseconds, also inside an iteration;
  /// returning true abandons the call with mrfcore::Interrupted (used for Ctrl-C), and what it
  /// throws leaves minimize().
  std::function<bool()> interrupted;
};

/// Iterations that are enough for most images: 50, or 10 where TRWP starts from coarser grids,
/// after which it is as far as after 50 from zero. What the Python interface takes by default.
int default_iterations(const Options& options, int64_t height, int64_t width);

/// What happened to one batch item.
struct ItemReport {
  double energy = 0.0;
  double lower_bound = 0.0;  ///< NaN unless asked for
  int iterations = 0;
  std::vector<double> trace_energy;  ///< per iteration, if Options::trace
  std::vector<double> trace_bound;
  std::vector<double> trace_seconds;
};

/// Where results go; the caller owns the memory.
template <class T>
struct Outputs {
  int32_t* labels = nullptr;  ///< [batch, height, width], required
  T* costs = nullptr;         ///< [batch, height, width, labels], or null
};

/// Thrown when Options::interrupted asked to stop.
struct Interrupted {};

/// Minimise the energy of every batch item. Throws std::invalid_argument on bad input,
/// std::bad_alloc or mrfcore::OutOfMemory when it does not fit; outputs are unspecified then.
/// Results are the same bits for any number of threads, any instruction set and any split of the
/// batch.
template <class T>
std::vector<ItemReport> minimize(const Problem<T>& problem, const Options& options,
                                 const Outputs<T>& outputs);

/// E(labels) per batch item, summed in double. labels: [batch, height, width]. Throws
/// std::invalid_argument on labels outside 0..L-1.
template <class T>
std::vector<double> energy(const Problem<T>& problem, const int32_t* labels, int threads = 0);

/// Bytes of working memory that minimize() will allocate for one item, outputs not counted.
template <class T>
int64_t workspace_bytes(const Problem<T>& problem, const Options& options);

}  // namespace mrfcore
