#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "mcomp/graph/network.hpp"

// Operations without weights over channels-last activations of one micro-batch, on f32 or on codes.

namespace mcomp::inline v0::kernels::detail {

/// Sizes of one sample.
struct Plane {
  std::int64_t channels = 1, height = 1, width = 1;
  explicit Plane(const Shape& shape)
      : channels(shape[0]), height(shape.rank() == 3 ? shape[1] : 1), width(shape.rank() == 3 ? shape[2] : 1) {}
  [[nodiscard]] std::int64_t pixels() const { return height * width; }
  [[nodiscard]] std::int64_t elements() const { return channels * pixels(); }
};

template <class T> void channels_to_last(const T* from, std::int64_t samples, const Plane& p, T* to) {
  for (std::int64_t n = 0; n < samples; ++n, from += p.elements(), to += p.elements())
    for (std::int64_t c = 0; c < p.channels; ++c)
      for (std::int64_t i = 0; i < p.pixels(); ++i) to[i * p.channels + c] = from[c * p.pixels() + i];
}

template <class T> void channels_to_first(const T* from, std::int64_t samples, const Plane& p, T* to) {
  for (std::int64_t n = 0; n < samples; ++n, from += p.elements(), to += p.elements())
    for (std::int64_t c = 0; c < p.channels; ++c)
      for (std::int64_t i = 0; i < p.pixels(); ++i) to[c * p.pixels() + i] = from[i * p.channels + c];
}

template <class T>
void subsample_pad(const T* from, std::int64_t samples, const Plane& in, const Plane& out, const graph::SubsamplePad& s,
                   T zero, T* to) {
  for (std::int64_t n = 0; n < samples; ++n, from += in.elements())
    for (std::int64_t y = 0; y < out.height; ++y)
      for (std::int64_t x = 0; x < out.width; ++x) {
        to = std::fill_n(to, s.channels_before, zero);
        to = std::copy_n(from + (y * s.stride[0] * in.width + x * s.stride[1]) * in.channels, in.channels, to);
        to = std::fill_n(to, s.channels_after, zero);
      }
}

/// A window of pooling, cut to the image.
struct Window {
  std::int64_t y_begin, y_end, x_begin, x_end;
};

/// Calls body(output row of channels, window, first element of the sample) for every output pixel.
template <class T, class Body>
void for_windows(const T* from, std::int64_t samples, const Plane& in, const Plane& out, const graph::Pooling& p,
                 const Body& body) {
  const graph::Pair kernel = p.global ? graph::Pair{in.height, in.width} : p.kernel,
                    stride = p.global ? graph::Pair{1, 1} : p.stride,
                    padding = p.global ? graph::Pair{0, 0} : p.padding;
  std::int64_t row = 0;
  for (std::int64_t n = 0; n < samples; ++n, from += in.elements())
    for (std::int64_t oy = 0; oy < out.height; ++oy)
      for (std::int64_t ox = 0; ox < out.width; ++ox, row += in.channels) {
        const std::int64_t y = oy * stride[0] - padding[0], x = ox * stride[1] - padding[1];
        body(row,
             Window{std::max<std::int64_t>(y, 0), std::min(y + kernel[0], in.height), std::max<std::int64_t>(x, 0),
                    std::min(x + kernel[1], in.width)},
             from);
      }
}

[[nodiscard]] inline std::int64_t window_size(const Plane& in, const graph::Pooling& p) {
  return p.global ? in.pixels() : p.kernel[0] * p.kernel[1];
}

/// f32 in the order of the reference runner, so that both round alike.
inline void pool_f32(const float* from, std::int64_t samples, const Plane& in, const Plane& out,
                     const graph::Pooling& p, float* to) {
  const bool max = p.kind == graph::PoolingKind::max;
  const auto size = static_cast<float>(window_size(in, p));
  for_windows(from, samples, in, out, p, [&](std::int64_t row, const Window& w, const float* sample) {
    std::fill_n(to + row, in.channels, max ? -std::numeric_limits<float>::infinity() : 0.0f);
    for (std::int64_t y = w.y_begin; y < w.y_end; ++y)
      for (std::int64_t x = w.x_begin; x < w.x_end; ++x) {
        const float* pixel = sample + (y * in.width + x) * in.channels;
        for (std::int64_t c = 0; c < in.channels; ++c)
          to[row + c] = max ? std::max(to[row + c], pixel[c]) : to[row + c] + pixel[c];
      }
    if (!max)
      for (std::int64_t c = 0; c < in.channels; ++c) to[row + c] /= size;
  });
}

/// f32(sum (code - zero_point)) * (scale / size): the rule of quant::Program.
inline void average_codes(const std::uint8_t* from, std::int64_t samples, const Plane& in, const Plane& out,
                          const graph::Pooling& p, std::int32_t zero_point, float scale, float* to) {
  const float factor = scale / static_cast<float>(window_size(in, p));
  std::vector<std::int32_t> sums(static_cast<std::size_t>(in.channels));
  for_windows(from, samples, in, out, p, [&](std::int64_t row, const Window& w, const std::uint8_t* sample) {
    std::fill(sums.begin(), sums.end(), 0);
    for (std::int64_t y = w.y_begin; y < w.y_end; ++y)
      for (std::int64_t x = w.x_begin; x < w.x_end; ++x) {
        const std::uint8_t* pixel = sample + (y * in.width + x) * in.channels;
        for (std::size_t c = 0; c < sums.size(); ++c) sums[c] += pixel[c];
      }
    const auto taps = static_cast<std::int32_t>((w.y_end - w.y_begin) * (w.x_end - w.x_begin));
    for (std::size_t c = 0; c < sums.size(); ++c)
      to[row + static_cast<std::int64_t>(c)] = static_cast<float>(sums[c] - zero_point * taps) * factor;
  });
}

inline void max_codes(const std::uint8_t* from, std::int64_t samples, const Plane& in, const Plane& out,
                      const graph::Pooling& p, std::uint8_t* to) {
  for_windows(from, samples, in, out, p, [&](std::int64_t row, const Window& w, const std::uint8_t* sample) {
    std::fill_n(to + row, in.channels, std::uint8_t{0});
    for (std::int64_t y = w.y_begin; y < w.y_end; ++y)
      for (std::int64_t x = w.x_begin; x < w.x_end; ++x) {
        const std::uint8_t* pixel = sample + (y * in.width + x) * in.channels;
        for (std::int64_t c = 0; c < in.channels; ++c) to[row + c] = std::max(to[row + c], pixel[c]);
      }
  });
}

} // namespace mcomp::inline v0::kernels::detail
