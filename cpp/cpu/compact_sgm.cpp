// SPDX-License-Identifier: Apache-2.0
// Semi-global matching in whole numbers: two passes over the image, one down and one up, each with
// the half of the paths that come from behind.
//
// Each pass first does the half of the image where it starts, and keeps the sums of its messages;
// then the other half, where the other pass has left its own, so that a row's winners are found
// while its costs and messages are in cache. The passes share nothing until they meet, so that two
// threads run them side by side; more threads divide the rows of each, as row_pipeline.hpp does.
//
// Bytes: 1 (or 2) a cell, written once past the caches and read once. What a pass carries from row
// to row, 1 (or 2) bytes for each path and cell of a row, stays in the second-level cache.
// Operations on vectors for a pixel of 2 of them (128 labels with AVX-512), both passes, census of
// 7 x 9, 8 paths: about 180 for costs, 300 for paths, 150 for winners and checks.
#include "cpu/compact_sgm.hpp"

#include <new>

#include "cpu/compact_sgm_costs.hpp"
#include "cpu/compact_sgm_paths.hpp"
#include "cpu/compact_sgm_winners.hpp"
#include "cpu/row_pipeline.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// Of one thread.
template <class T, class Sum>
struct SgmBuffers {
  AlongRow<T> along;
  uint8_t* costs;
  Sum* sums;
  SgmRows rows;

  static SgmBuffers take(const CompactSgmArgs& a, int vectors, Pieces& pieces) {
    const int64_t row = vectors * kRowLanes;
    SgmBuffers b{};
    b.along = AlongRow<T>::take(row, pieces);
    b.costs = pieces.take<uint8_t>(kSgmBlock * row);
    b.sums = pieces.take<Sum>(kSgmBlock * row);
    b.rows = SgmRows::take(a, vectors, pieces);
    return b;
  }
};

/// Everything that is kept.
template <class T, class Sum>
struct SgmMemory {
  SgmFeatures features;
  Sum* sums;  ///< [height, width, V, kRowLanes]
  SgmSlots<T> slots[2];
  RowProgress* progress[2];

  SgmMemory(const CompactSgmArgs& a, Pieces& pieces) : features(take_features(a, pieces)) {
    const int64_t row = features.vectors * kRowLanes;
    for (int pass = 0; pass < 2; ++pass) {
      slots[pass] = SgmSlots<T>::take(a, row, a.threads + 1, pieces);
      progress[pass] = pieces.take<RowProgress>(a.height);
    }
    const int64_t volume = a.height * a.width * row, needed = sgm_features_bytes(a);
    const int64_t size = static_cast<int64_t>(sizeof(Sum));
    sums = pieces.take<Sum>(volume * size > needed ? volume : (needed + size - 1) / size);
  }
  void clear(int64_t height) const {
    for (int pass = 0; pass < 2; ++pass) {
      slots[pass].clear();
      for (int64_t y = 0; y < height; ++y) new (&progress[pass][y]) RowProgress{0};
    }
  }
};

template <class T, class Sum, int V, int kPaths>
class SgmMatcher {
  using Memory = SgmMemory<T, Sum>;
  using Winners = SgmWinners<Sum, sizeof(T) == 1, V>;

 public:
  SgmMatcher(const CompactSgmArgs& args, const Memory& memory, SgmBuffers<T, Sum>* buffers)
      : a_(args), m_(memory), buffers_(buffers), costs_(block_costs<V>(args)) {}

  void run() const {
    if (a_.threads <= 1) return run_thread(0, 1);
#pragma omp parallel num_threads(a_.threads)
    run_thread(thread_index(), team_size());
  }

 private:
  /// Rows of a pass are counted from where it starts.
  struct Part {
    int pass;
    bool meets;  ///< the other pass has been here
    int64_t first, end;
  };
  Part part(int pass, bool meets) const {
    const int64_t upper_half = (a_.height + 1) / 2;
    const int64_t turn = pass == 0 ? upper_half : a_.height - upper_half;
    return {pass, meets, meets ? turn : 0, meets ? a_.height : turn};
  }

  void run_thread(int64_t me, int64_t threads) const {
    SgmBuffers<T, Sum>& buffers = buffers_[me];
    Winners(a_, buffers.rows).prepare();
    for (const bool meets : {false, true}) {
      if (threads == 1) {  // perhaps in a team of the caller's, which must not be waited for
        for (const int pass : {0, 1}) run_part(part(pass, meets), buffers, 0, 1);
        continue;
      }
      const int pass = static_cast<int>(me % 2);
      run_part(part(pass, meets), buffers, me / 2, (threads + 1 - pass) / 2);
      finish_stores();
#pragma omp barrier
    }
  }

  void run_part(const Part& part, SgmBuffers<T, Sum>& buffers, int64_t me, int64_t size) const {
    bool stopped = false;
    const auto body = [&](int64_t row, int64_t begin, int64_t end) {
      if (begin == 0) stopped = should_stop(a_.control);
      if (!stopped) block(part, buffers, row, begin, end);
    };
    // Stopping is up to the body: asking once a row is enough.
    run_rows<kSgmBlock>({part.first, part.end, a_.width, pipeline_lead(a_.paths), me, size,
                         m_.progress[part.pass], nullptr},
                        body);
  }

  void block(const Part& part, SgmBuffers<T, Sum>& buffers, int64_t row, int64_t begin,
             int64_t end) const {
    const bool down = part.pass == 0;
    const Winners winners(a_, buffers.rows);
    if (begin == 0) {
      buffers.along.clear();
      if (part.meets) winners.begin_row();
      if (row + 1 < part.end) m_.features.fetch(down ? row + 1 : a_.height - 2 - row);
    }
    const SgmBlock<Sum> b{down ? row : a_.height - 1 - row,
                          down ? begin : a_.width - 1 - begin,
                          down ? 1 : -1,
                          end - begin,
                          buffers.costs,
                          buffers.sums,
                          m_.sums + (down ? row : a_.height - 1 - row) * a_.width * kRow};
    if (part.meets) fetch(b);
    costs_(a_, m_.features, b.y, b.x, b.step, b.count, buffers.costs);
    paths_of_block<T, Sum, V, kPaths>(a_, m_.slots[part.pass], buffers.along, row, begin, b.count,
                                      buffers.costs, buffers.sums);
    if (!part.meets) return keep(b);
    winners.block(b);
    if (end == a_.width) winners.end_row(b.y);
  }

  /// What the winners will read comes from memory while costs and paths are worked on.
  static void fetch(const SgmBlock<Sum>& b) {
    const int64_t first = b.step > 0 ? b.x : b.x - b.count + 1;
    prefetch(b.others + first * kRow, b.count * kRow * static_cast<int64_t>(sizeof(Sum)));
  }

  void keep(const SgmBlock<Sum>& b) const {
    Sum* row = m_.sums + b.y * a_.width * kRow;
    for (int64_t n = 0; n < b.count; ++n) {
      Sum* to = row + (b.x + n * b.step) * kRow;
      for (int v = 0; v < V; ++v) {
        const int64_t at = v * kRowLanes;
        store_beyond_cache(to + at, load_lanes<Lanes<Sum>>(b.sums + n * kRow + at));
      }
    }
  }

  static constexpr int kRow = V * kRowLanes;
  const CompactSgmArgs& a_;
  const Memory& m_;
  SgmBuffers<T, Sum>* buffers_;
  BlockCosts costs_;
};

/// body.operator()<T, Sum>() with the types of messages and their sums.
template <class Body>
void with_types(const CompactSgmArgs& args, const Body& body) {
  const SgmTypes types = sgm_types(args);
  if (types.wide_messages) return body.template operator()<uint16_t, uint16_t>();
  if (types.wide_sums) return body.template operator()<uint8_t, uint16_t>();
  body.template operator()<uint8_t, uint8_t>();
}

int64_t bytes(const CompactSgmArgs& args) {
  Pieces pieces(nullptr);
  with_types(args, [&]<class T, class Sum>() {
    using Buffers = SgmBuffers<T, Sum>;
    static_cast<void>(SgmMemory<T, Sum>(args, pieces));
    pieces.take<Buffers>(args.threads);
    for (int i = 0; i < args.threads; ++i) Buffers::take(args, sgm_vectors(args.labels), pieces);
  });
  return pieces.used();
}

void match(const CompactSgmArgs& args) {
  Pieces pieces(args.memory);
  with_types(args, [&]<class T, class Sum>() {
    using Buffers = SgmBuffers<T, Sum>;
    const SgmMemory<T, Sum> memory(args, pieces);
    auto* buffers = pieces.take<Buffers>(args.threads);
    for (int i = 0; i < args.threads; ++i)
      buffers[i] = Buffers::take(args, memory.features.vectors, pieces);
    memory.clear(args.height);
    sgm_features(args, memory.features, memory.sums);  // which lies there until they come
    with_vectors(memory.features.vectors, [&]<int V>() {
      args.paths == 8 ? SgmMatcher<T, Sum, V, 8>(args, memory, buffers).run()
                      : SgmMatcher<T, Sum, V, 4>(args, memory, buffers).run();
    });
  });
}

}  // namespace

const CompactSgmKernels& compact_sgm_kernels() {
  static constexpr CompactSgmKernels table{kRowLanes, bytes, match};
  return table;
}

}  // namespace mrfcore::cpu::MRF_ISA
