#pragma once

#include <algorithm>
#include <cstdint>

#include "mcomp/graph/network.hpp"

namespace mcomp::inline v0::graph::detail {

/// Sizes of a convolution of one sample, with the channels of one group.
struct ConvolutionSizes {
  std::int64_t in_channels, in_height, in_width; ///< of one group
  std::int64_t out_height, out_width;
  Pair kernel, stride, padding;

  [[nodiscard]] std::int64_t rows() const { return in_channels * kernel[0] * kernel[1]; }
  [[nodiscard]] std::int64_t columns() const { return out_height * out_width; }
};

/// Unrolls an NCHW image of one group into a matrix [in_channels * kernel_h * kernel_w, out_h * out_w], so that the
/// convolution becomes W * columns with W in its stored order. `pad` is what lies outside the image.
template <class Source, class Target>
void im2col(const Source* image, const ConvolutionSizes& s, Target pad, Target* columns) {
  for (std::int64_t c = 0; c < s.in_channels; ++c, image += s.in_height * s.in_width)
    for (std::int64_t ky = 0; ky < s.kernel[0]; ++ky)
      for (std::int64_t kx = 0; kx < s.kernel[1]; ++kx)
        for (std::int64_t oy = 0; oy < s.out_height; ++oy, columns += s.out_width) {
          const std::int64_t y = oy * s.stride[0] + ky - s.padding[0];
          if (y < 0 || y >= s.in_height) {
            std::fill_n(columns, s.out_width, pad);
            continue;
          }
          const Source* row = image + y * s.in_width;
          for (std::int64_t ox = 0; ox < s.out_width; ++ox) {
            const std::int64_t x = ox * s.stride[1] + kx - s.padding[1];
            columns[ox] = x < 0 || x >= s.in_width ? pad : static_cast<Target>(row[x]);
          }
        }
}

} // namespace mcomp::inline v0::graph::detail
