// SPDX-License-Identifier: Apache-2.0
//
// A map of ids as runs: two passes over the ids (16 bytes a pixel for int64), once per call for all
// channels. Rows are independent of each other.
#include "cpu/parallel.hpp"
#include "cpu/superpixel.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

template <class Id>
struct Row {
  const Id* ids;
  const uint8_t* valid;

  Row(const RunsArgs& args, int64_t i)
      : ids(static_cast<const Id*>(args.map.ids) + i * args.map.width),
        valid(args.valid == nullptr ? nullptr : args.valid + i * args.map.width) {}

  /// Whether x and x - 1 are of one run.
  bool joined(int64_t x) const {
    return ids[x] == ids[x - 1] && (valid == nullptr || (valid[x] != 0) == (valid[x - 1] != 0));
  }
};

template <class Id>
int64_t count_row(const RunsArgs& args, int64_t i, IdRange& range) {
  const Row<Id> row(args, i);
  const int64_t width = args.map.width;
  // Plain loops of one type each, which the compiler vectorises.
  Id lowest = row.ids[0], highest = row.ids[0], runs = 1;
  for (int64_t x = 1; x < width; ++x) {
    const Id id = row.ids[x];
    lowest = id < lowest ? id : lowest;
    highest = id > highest ? id : highest;
    runs += static_cast<Id>(id != row.ids[x - 1]);
  }
  range = {static_cast<int64_t>(lowest), static_cast<int64_t>(highest)};
  if (row.valid == nullptr) return runs;
  int64_t all = 1;
  for (int64_t x = 1; x < width; ++x) all += !row.joined(x);
  return all;
}

template <class Id>
IdRange count_runs(const RunsArgs& args, int64_t* rows) {
  // Per-row ranges need no memory of their own: chunks of rows meet in a critical section, and
  // least and greatest do not depend on the order.
  const int64_t total = args.map.batch * args.map.height;
  constexpr int64_t kRows = 64;
  IdRange all{INT64_MAX, INT64_MIN};
  parallel_strips((total + kRows - 1) / kRows, args.threads, nullptr,
                  [&](ThreadMemory&, int64_t chunk) {
                    IdRange mine{INT64_MAX, INT64_MIN};
                    const int64_t end = (chunk + 1) * kRows < total ? (chunk + 1) * kRows : total;
                    for (int64_t i = chunk * kRows; i < end; ++i) {
                      IdRange row{};
                      rows[i] = count_row<Id>(args, i, row);
                      if (row.lowest < mine.lowest) mine.lowest = row.lowest;
                      if (row.highest > mine.highest) mine.highest = row.highest;
                    }
#pragma omp critical(mrfcore_superpixel_range)
                    {
                      if (mine.lowest < all.lowest) all.lowest = mine.lowest;
                      if (mine.highest > all.highest) all.highest = mine.highest;
                    }
                  });
  return all;
}

template <class Id>
void fill_row(const RunsArgs& args, int64_t i, Run* runs) {
  const Row<Id> row(args, i);
  const int64_t width = args.map.width, first = i % args.map.height * width;
  for (int64_t x = 0; x < width; ++runs) {
    const int64_t begin = x;
    for (++x; x < width && row.joined(x);) ++x;
    const auto id = static_cast<int32_t>(row.ids[begin]);
    const bool valid = row.valid == nullptr || row.valid[begin] != 0;
    *runs = {static_cast<int32_t>(first + begin), static_cast<int32_t>(x - begin),
             valid ? id : ~id};
  }
}

IdRange count(const RunsArgs& args, int64_t* rows) {
  return args.map.type == IdType::Int32 ? count_runs<int32_t>(args, rows)
                                        : count_runs<int64_t>(args, rows);
}

void fill(const RunsArgs& args, const int64_t* offsets, Run* runs) {
  const auto row = args.map.type == IdType::Int32 ? fill_row<int32_t> : fill_row<int64_t>;
  parallel_strips(args.map.batch * args.map.height, args.threads, nullptr,
                  [&](ThreadMemory&, int64_t i) { row(args, i, runs + offsets[i]); });
}

}  // namespace

const SuperpixelRunsKernels& superpixel_runs_kernels() {
  static constexpr SuperpixelRunsKernels table{count, fill};
  return table;
}

}  // namespace mrfcore::cpu::MRF_ISA
