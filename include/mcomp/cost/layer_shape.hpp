#pragma once

// A layer as work: what a latency model needs to know of it, and no more.
//
//     mcomp::cost::LayerShape conv{.kind = mcomp::cost::LayerKind::convolution, .samples = 8, .in_channels = 16,
//                                  .out_channels = 32, .height = 32, .width = 32, .kernel = {3, 3}, .padding = {1, 1}};
//     conv.multiply_adds();

#include <array>
#include <cstdint>
#include <string>

#include "mcomp/core/dtype.hpp"
#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::cost {

enum class LayerKind {
  linear,      ///< [samples, in_channels] by weights [out_channels, in_channels]
  convolution, ///< [samples, height, width, in_channels], in either order of axes
  movement,    ///< no weights: pooling, sums, activations, changes of layout; bound by the bytes that it moves
};
[[nodiscard]] MCOMP_API std::string to_string(LayerKind kind);

/// One call of one layer. Sizes are counts of elements; dtypes say in what they are held, and with that in what
/// arithmetic the layer is executed.
struct LayerShape {
  LayerKind kind = LayerKind::linear;
  std::int64_t samples = 1;
  std::int64_t in_channels = 1;
  std::int64_t out_channels = 1;
  std::int64_t height = 1, width = 1;       ///< of the input of a convolution
  std::array<std::int64_t, 2> kernel{1, 1}; ///< height, width
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> padding{0, 0};
  std::int64_t groups = 1;
  DType weights = DType::f32;
  DType input = DType::f32;
  DType output = DType::f32;
  bool residual = false; ///< a tensor of the output's shape and type is added
  /// Of a `movement`, all that it reads and writes; not used otherwise.
  std::int64_t moved_bytes = 0;

  /// Sizes at least 1 (padding and moved_bytes 0), a kernel within the padded input, groups that divide both numbers of
  /// channels, and products that fit 63 bits. Errors: invalid_shape, invalid_value.
  [[nodiscard]] MCOMP_API Status check() const;

  // Of a shape that passes `check`.
  [[nodiscard]] MCOMP_API std::int64_t out_height() const noexcept;
  [[nodiscard]] MCOMP_API std::int64_t out_width() const noexcept;
  /// 0 of a movement. Products with padding count.
  [[nodiscard]] MCOMP_API std::int64_t multiply_adds() const noexcept;
  [[nodiscard]] MCOMP_API std::int64_t weight_bytes() const noexcept; ///< without scales and bias
  [[nodiscard]] MCOMP_API std::int64_t input_bytes() const noexcept;  ///< with the residual
  [[nodiscard]] MCOMP_API std::int64_t output_bytes() const noexcept;

  friend bool operator==(const LayerShape&, const LayerShape&) = default;
};

/// "convolution 8 x 32 x 32 x 16 -> 32, 3 x 3, int8 weights, uint8 -> uint8"
[[nodiscard]] MCOMP_API std::string to_string(const LayerShape& shape);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::LayerKind> = true;
template <> inline constexpr bool enable_format<cost::LayerShape> = true;
} // namespace mcomp::inline v0
