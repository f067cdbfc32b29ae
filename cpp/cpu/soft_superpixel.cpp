// SPDX-License-Identifier: Apache-2.0
//
// All pixels of a cell share their nine cells, so each function is a small matrix product per cell:
// 9 multiplications and additions for each value of x or y, which is read or written once. A unit
// of work is a row of cells: its part of q (9 * 16 * 512 floats, 300 KB) stays in L2 while the
// channels pass by.
#include "cpu/soft_superpixel.hpp"

#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

constexpr int kParts = 8;
constexpr int kBytes = kVectorBytes < 32 ? kVectorBytes : 32;
/// 8 neighbouring pixels, in as many vectors as it takes.
template <class T>
struct Eight {
  static constexpr int kWidth = kBytes / static_cast<int>(sizeof(T));
  static constexpr int kVectors = kParts / kWidth;
  Vec<T, kBytes> part[kVectors];

  static Eight all(T value) {
    Eight e;
    for (int i = 0; i < kVectors; ++i) e.part[i] = Vec<T, kBytes>{} + value;
    return e;
  }
  static Eight at(const T* p) {
    Eight e;
    for (int i = 0; i < kVectors; ++i) std::memcpy(&e.part[i], p + i * kWidth, kBytes);
    return e;
  }
  void store_at(T* p) const {
    for (int i = 0; i < kVectors; ++i) std::memcpy(p + i * kWidth, &part[i], kBytes);
  }
  void add_product(const Eight& a, const Eight& b) {
    for (int i = 0; i < kVectors; ++i) part[i] = part[i] + a.part[i] * b.part[i];
  }
};

/// One pixel, with the same words.
template <class T>
struct One {
  T value;
  static One all(T value) { return {value}; }
  static One at(const T* p) { return {*p}; }
  void store_at(T* p) const { *p = value; }
  void add_product(const One& a, const One& b) { value = value + a.value * b.value; }
};

/// One row of cells of one item: a unit of work.
struct Band {
  int64_t item, row, top, bottom, pixels;

  Band(const SoftSuperpixels& grid, int64_t unit)
      : item(unit / grid.rows()),
        row(unit % grid.rows()),
        top(row * grid.cell),
        bottom(top + grid.cell < grid.height ? top + grid.cell : grid.height),
        pixels(grid.height * grid.width) {}
};

/// Columns [begin, end) of cell column j.
struct Columns {
  int64_t begin, end;

  Columns(const SoftSuperpixels& grid, int64_t j)
      : begin(j * grid.cell),
        end(begin + grid.cell < grid.width ? begin + grid.cell : grid.width) {}
};

template <class Body>
void each_band(const SoftSuperpixels& grid, const Body& body) {
  parallel_strips(grid.batch * grid.rows(), grid.threads, nullptr,
                  [&](ThreadMemory&, int64_t unit) { body(Band(grid, unit)); });
}

// ---- Pool

/// out[k] = sum over a cell of q_k x, in 8 interleaved parts, then what is left of every row.
template <class T>
void cell_sums(const SoftSuperpixels& grid, const Band& band, const Columns& columns, const T* q,
               const T* x, T* out) {
  Eight<T> sums[kSlots];
  T rest[kSlots];
  for (int k = 0; k < kSlots; ++k) {
    sums[k] = Eight<T>::all(T(0));
    rest[k] = T(0);
  }
  for (int64_t y = band.top; y < band.bottom; ++y) {
    int64_t p = y * grid.width + columns.begin;
    const int64_t end = y * grid.width + columns.end;
    for (; p + kParts <= end; p += kParts) {
      const Eight<T> value = Eight<T>::at(x + p);
      for (int k = 0; k < kSlots; ++k) {
        sums[k].add_product(Eight<T>::at(q + k * band.pixels + p), value);
      }
    }
    for (; p < end; ++p) {
      for (int k = 0; k < kSlots; ++k) rest[k] = rest[k] + q[k * band.pixels + p] * x[p];
    }
  }
  for (int k = 0; k < kSlots; ++k) {
    T part[kParts];
    sums[k].store_at(part);
    for (int half = kParts / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) part[i] = part[i] + part[i + half];
    }
    out[k] = part[0] + rest[k];
  }
}

/// Of the cell (i, j) and its neighbours in raster order: f(slot of (i, j) as the neighbour sees
/// it, slot of the neighbour as (i, j) sees it, the neighbour's number); none outside the grid.
template <class F>
inline void each_neighbour(const SoftSuperpixels& grid, int64_t i, int64_t j, const F& f) {
  for (int64_t dy = -1; dy <= 1; ++dy) {
    for (int64_t dx = -1; dx <= 1; ++dx) {
      const int64_t y = i + dy, x = j + dx;
      if (y < 0 || y >= grid.rows() || x < 0 || x >= grid.columns()) continue;
      const auto slot = static_cast<int>((dy + 1) * 3 + dx + 1);
      f(kSlots - 1 - slot, slot, y * grid.columns() + x);
    }
  }
}

template <class T>
void pool(const SoftSuperpixels& grid, const T* q, const T* x, T* partial, T* z) {
  const int64_t cells = grid.rows() * grid.columns(), channels = grid.channels;
  each_band(grid, [&](const Band& band) {
    const T* associations = q + band.item * kSlots * band.pixels;
    for (int64_t c = 0; c < channels; ++c) {
      const T* plane = x + (band.item * channels + c) * band.pixels;
      for (int64_t j = 0; j < grid.columns(); ++j) {
        const int64_t cell = (band.item * grid.rows() + band.row) * grid.columns() + j;
        cell_sums(grid, band, Columns(grid, j), associations, plane,
                  partial + (cell * channels + c) * kSlots);
      }
    }
  });
  each_band(grid, [&](const Band& band) {
    for (int64_t j = 0; j < grid.columns(); ++j) {
      for (int64_t c = 0; c < channels; ++c) {
        T sum = T(0);
        each_neighbour(grid, band.row, j, [&](int mine, int, int64_t other) {
          const int64_t cell = band.item * cells + other;
          sum = sum + partial[(cell * channels + c) * kSlots + mine];
        });
        z[(band.item * channels + c) * cells + band.row * grid.columns() + j] = sum;
      }
    }
  });
}

// ---- Unpool and product: values[cell, c, k] is what the cell sees of channel c in its slot k.

template <class T>
void look_around(const SoftSuperpixels& grid, const Band& band, const T* z, T* values) {
  const int64_t cells = grid.rows() * grid.columns(), channels = grid.channels;
  for (int64_t j = 0; j < grid.columns(); ++j) {
    T* of_cell = values + (band.item * cells + band.row * grid.columns() + j) * channels * kSlots;
    for (int64_t i = 0; i < channels * kSlots; ++i) of_cell[i] = T(0);
    each_neighbour(grid, band.row, j, [&](int, int slot, int64_t other) {
      for (int64_t c = 0; c < channels; ++c) {
        of_cell[c * kSlots + slot] = z[(band.item * channels + c) * cells + other];
      }
    });
  }
}

/// body(j, pixels [begin, end) of one row of the image) for every cell column and row of a band.
template <class Body>
inline void each_segment(const SoftSuperpixels& grid, const Band& band, const Body& body) {
  for (int64_t y = band.top; y < band.bottom; ++y) {
    for (int64_t j = 0; j < grid.columns(); ++j) {
      const Columns columns(grid, j);
      body(j, y * grid.width + columns.begin, y * grid.width + columns.end);
    }
  }
}

/// Channels that pass together, so that q (unpool) or g (product) is loaded once for all.
constexpr int kTogether = 4;

/// Of kChannels channels and one or eight pixels from p on.
template <class V, int kChannels, class T>
inline void unpool_at(const T* q, const T* values, int64_t pixels, int64_t p, T* y) {
  V sums[kChannels];
  for (int c = 0; c < kChannels; ++c) sums[c] = V::all(T(0));
  for (int k = 0; k < kSlots; ++k) {
    const V association = V::at(q + k * pixels + p);
    for (int c = 0; c < kChannels; ++c) {
      sums[c].add_product(association, V::all(values[c * kSlots + k]));
    }
  }
  for (int c = 0; c < kChannels; ++c) sums[c].store_at(y + c * pixels + p);
}

/// g += the terms of kChannels channels; `first`: there is nothing yet.
template <class V, int kChannels, class T>
inline void product_at(const T* x, const T* values, int64_t pixels, int64_t p, bool first, T* g) {
  V sums[kSlots];
  for (int k = 0; k < kSlots; ++k) sums[k] = first ? V::all(T(0)) : V::at(g + k * pixels + p);
  for (int c = 0; c < kChannels; ++c) {
    const V value = V::at(x + c * pixels + p);
    for (int k = 0; k < kSlots; ++k) sums[k].add_product(value, V::all(values[c * kSlots + k]));
  }
  for (int k = 0; k < kSlots; ++k) sums[k].store_at(g + k * pixels + p);
}

/// Calls step.template operator()<V, kChannels>(c, values of cell and channel, p) for all channels
/// of a band, some channels together, eight pixels together.
template <class T, class Step>
inline void each_channel(const SoftSuperpixels& grid, const Band& band, const T* values,
                         const Step& step) {
  const int64_t channels = grid.channels;
  const int64_t first_cell = (band.item * grid.rows() + band.row) * grid.columns();
  const auto some = [&]<int kChannels>(int64_t c) {
    each_segment(grid, band, [&](int64_t j, int64_t p, int64_t end) {
      const T* of_cell = values + ((first_cell + j) * channels + c) * kSlots;
      for (; p + kParts <= end; p += kParts) {
        step.template operator()<Eight<T>, kChannels>(c, of_cell, p);
      }
      for (; p < end; ++p) step.template operator()<One<T>, kChannels>(c, of_cell, p);
    });
  };
  int64_t c = 0;
  for (; c + kTogether <= channels; c += kTogether) some.template operator()<kTogether>(c);
  for (; c < channels; ++c) some.template operator()<1>(c);
}

template <class T>
void unpool(const SoftSuperpixels& grid, const T* q, const T* z, T* values, T* y) {
  each_band(grid, [&](const Band& band) {
    look_around(grid, band, z, values);
    const T* associations = q + band.item * kSlots * band.pixels;
    T* out = y + band.item * grid.channels * band.pixels;
    each_channel<T>(
        grid, band, values, [&]<class V, int kChannels>(int64_t c, const T* of_cell, int64_t p) {
          unpool_at<V, kChannels>(associations, of_cell, band.pixels, p, out + c * band.pixels);
        });
  });
}

template <class T>
void product(const SoftSuperpixels& grid, const T* x, const T* z, T* values, T* g) {
  each_band(grid, [&](const Band& band) {
    look_around(grid, band, z, values);
    const T* planes = x + band.item * grid.channels * band.pixels;
    T* out = g + band.item * kSlots * band.pixels;
    each_channel<T>(
        grid, band, values, [&]<class V, int kChannels>(int64_t c, const T* of_cell, int64_t p) {
          product_at<V, kChannels>(planes + c * band.pixels, of_cell, band.pixels, p, c == 0, out);
        });
  });
}

}  // namespace

template <class T>
const SoftSuperpixelKernels<T>& soft_superpixel_kernels() {
  static constexpr SoftSuperpixelKernels<T> table{pool<T>, unpool<T>, product<T>};
  return table;
}
template const SoftSuperpixelKernels<float>& soft_superpixel_kernels<float>();
template const SoftSuperpixelKernels<double>& soft_superpixel_kernels<double>();

}  // namespace mrfcore::cpu::MRF_ISA
