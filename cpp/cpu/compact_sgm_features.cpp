// SPDX-License-Identifier: Apache-2.0
// What pixels are compared by, once for an image: census codes, pixels, Birchfield-Tomasi
// intervals, a byte each, in the order in which costs read them.
//
// Census codes of a mirrored and striped image are made as such: a neighbour dx columns away is dx
// stripes away. Loops run along stripes, a byte to a pixel. Operations: a load, a comparison and an
// or for each bit and image, of kRowLanes pixels.
#include "cpu/compact_sgm_plan.hpp"
#include "cpu/parallel.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

inline int64_t clamped(int64_t i, int64_t size) { return i < 0 ? 0 : i < size ? i : size - 1; }

/// Rounded down.
inline int64_t quotient(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

/// An image in stripes whose border pixels are repeated `reach` columns outwards.
template <class Pixel>
struct Striped {
  Pixel* data;
  int64_t height, width, channels, stripes;
  bool mirrored;
  int64_t reach;

  int64_t margin() const { return (reach + stripes - 1) / stripes; }
  int64_t count() const { return (width + stripes - 1) / stripes; }
  int64_t stride() const { return 2 * margin() + count() + 1; }
  int64_t size() const { return height * channels * stripes * stride(); }

  /// The column after column i of stripe s is column i of stripe s + 1, whatever s.
  Pixel* at(int64_t y, int64_t channel, int64_t s) const {
    const int64_t turn = quotient(s, stripes);
    return data + ((y * channels + channel) * stripes + s - turn * stripes) * stride() + margin() +
           turn;
  }
  void read(const Pixel* image, int64_t y) const {
    const Pixel* row = image + y * width * channels;
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t s = 0; s < stripes; ++s) read_stripe(row + c, s, at(y, c, s));
    }
  }

 private:
  void read_stripe(const Pixel* row, int64_t s, Pixel* to) const {
    const int64_t inside = (width - s + stripes - 1) / stripes;  // columns; may be none
    const int64_t step = (mirrored ? -stripes : stripes) * channels;
    const Pixel* from = row + (mirrored ? width - 1 - s : s) * channels;
    for (int64_t i = 0; i < inside; ++i) to[i] = from[i * step];
    const Pixel first = row[mirrored ? (width - 1) * channels : 0];
    const Pixel last = row[mirrored ? 0 : (width - 1) * channels];
    for (int64_t i = -margin(); i < 0; ++i) to[i] = first;
    for (int64_t i = inside < 0 ? 0 : inside; i < count() + margin() + 1; ++i) to[i] = last;
  }
};

/// Where the planes of a stripe of a row go.
struct Planes {
  uint8_t* data;
  int64_t stride;
  uint8_t* operator[](int64_t k) const { return data + k * stride; }
};

template <class Pixel>
void set_bits(const Pixel* __restrict centre, const Pixel* __restrict other, int64_t count,
              uint8_t bit, uint8_t* __restrict out) {
  for (int64_t i = 0; i < count; ++i)
    out[i] = static_cast<uint8_t>(out[i] | (other[i] < centre[i] ? bit : uint8_t{0}));
}

/// Bits in the order of the window's pixels in the image as it was given.
template <class Pixel>
void census(const CompactSgmArgs& args, const Striped<Pixel>& image, int64_t y, int64_t s,
            Planes out) {
  const int64_t half_h = args.window_height / 2, half_w = args.window_width / 2;
  const Pixel* centre = image.at(y, 0, s);
  for (int k = 0; k < sgm_planes(args); ++k)
    std::memset(out[k], 0, static_cast<size_t>(image.count()));
  int bit = 0;
  for (int64_t dy = -half_h; dy <= half_h; ++dy) {
    const int64_t row = clamped(y + dy, image.height);
    for (int64_t dx = -half_w; dx <= half_w; ++dx) {
      if (dy == 0 && dx == 0) continue;
      const Pixel* other = image.at(row, 0, s + (image.mirrored ? -dx : dx));
      set_bits(centre, other, image.count(), static_cast<uint8_t>(1 << bit % 8), out[bit / 8]);
      ++bit;
    }
  }
}

inline int midpoint(int a, int b) { return (a + b) >> 1; }

void interval(const uint8_t* before, const uint8_t* here, const uint8_t* after, int64_t count,
              uint8_t* __restrict low, uint8_t* __restrict high) {
  for (int64_t i = 0; i < count; ++i) {
    const int a = midpoint(before[i], here[i]), b = midpoint(after[i], here[i]);
    const int less = a < b ? a : b, more = a < b ? b : a;
    low[i] = static_cast<uint8_t>(less < here[i] ? less : here[i]);
    high[i] = static_cast<uint8_t>(more > here[i] ? more : here[i]);
  }
}

void channel_planes(const CompactSgmArgs& args, const Striped<uint8_t>& image, int64_t y, int64_t s,
                    Planes out) {
  const bool ends = args.cost == StereoCost::BirchfieldTomasi;
  for (int64_t c = 0; c < image.channels; ++c) {
    const uint8_t* here = image.at(y, c, s);
    const int64_t first = ends ? 3 * c : c;
    std::memcpy(out[first], here, static_cast<size_t>(image.count()));
    if (ends) {
      interval(image.at(y, c, s - 1), here, image.at(y, c, s + 1), image.count(), out[first + 1],
               out[first + 2]);
    }
  }
}

template <class Pixel>
void row_planes(const CompactSgmArgs& args, const Striped<Pixel>& image, int64_t y, int64_t s,
                Planes out) {
  if constexpr (sizeof(Pixel) == 1) {
    if (args.cost != StereoCost::Census) return channel_planes(args, image, y, s, out);
  }
  census(args, image, y, s, out);
}

template <class Pixel>
Striped<Pixel> take_image(const CompactSgmArgs& a, bool right, Pieces& pieces) {
  const int64_t reach = a.cost == StereoCost::Census ? a.window_width / 2 : 1;
  Striped<Pixel> image{nullptr, a.height, a.width, a.channels, right ? sgm_vectors(a.labels) : 1,
                       right,   reach};
  image.data = pieces.take<Pixel>(image.size());
  return image;
}

template <class Pixel>
void make(const CompactSgmArgs& args, const SgmFeatures& features, void* memory) {
  Pieces pieces(memory);
  const auto left = take_image<Pixel>(args, false, pieces);
  const auto right = take_image<Pixel>(args, true, pieces);
  parallel_strips(args.height, args.threads, nullptr, [&](ThreadMemory&, int64_t y) {
    left.read(static_cast<const Pixel*>(args.left), y);
    right.read(static_cast<const Pixel*>(args.right), y);
  });
  parallel_strips(args.height, args.threads, args.control, [&](ThreadMemory&, int64_t y) {
    row_planes(args, left, y, 0, {features.left(y), features.left_stride});
    for (int64_t s = 0; s < features.vectors; ++s) {
      row_planes(args, right, y, s,
                 {features.right(y) + s * features.right_stride, features.right_plane()});
    }
  });
}

template <class Pixel>
int64_t bytes_of(const CompactSgmArgs& args) {
  Pieces pieces(nullptr);
  take_image<Pixel>(args, false, pieces);
  take_image<Pixel>(args, true, pieces);
  return pieces.used();
}

}  // namespace

void sgm_features(const CompactSgmArgs& args, const SgmFeatures& features, void* memory) {
  args.type == PixelType::UInt8 ? make<uint8_t>(args, features, memory)
                                : make<float>(args, features, memory);
}

int64_t sgm_features_bytes(const CompactSgmArgs& args) {
  return args.type == PixelType::UInt8 ? bytes_of<uint8_t>(args) : bytes_of<float>(args);
}

}  // namespace mrfcore::cpu::MRF_ISA
