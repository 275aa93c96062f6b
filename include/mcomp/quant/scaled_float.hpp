#pragma once

#include "mcomp/core/context.hpp"
#include "mcomp/core/minifloat.hpp"
#include "mcomp/quant/scheme.hpp"

// Eight-bit floating-point codes under f32 scales: value = code * scale. The weights of "FP8" checkpoints, one scale a
// tensor, a channel, or a block of 128 x 128.
//
//     auto q = mcomp::quant::quantize_scaled_float(weight, {.element = mcomp::e4m3}).value();

namespace mcomp::inline v0::quant {

struct ScaledFloatOptions {
  MiniFloat element = e4m3;
  Granularity granularity = Granularity::per_channel;
  std::int64_t group_size = 0; ///< as in `Scheme`
  std::int64_t group_rows = 0; ///< as in `Scheme`
};

struct ScaledFloatTensor {
  ScaledFloatOptions format;
  Tensor codes;  ///< uint8, one code a byte, in the shape of the source
  Tensor scales; ///< f32, shape as in `QuantizedTensor`

  [[nodiscard]] const Shape& shape() const noexcept { return codes.shape(); }
  /// Bytes when stored: packed codes and f32 scales.
  [[nodiscard]] MCOMP_API std::int64_t stored_bytes() const noexcept;
};

[[nodiscard]] MCOMP_API std::string to_string(const ScaledFloatTensor& tensor);

/// The nearest codes under scale = largest magnitude of the group / largest element. A group of zeros has scale 1; a
/// scale below the smallest normal f32 becomes that number.
/// @param weight floating [out, ...]
/// Errors: invalid_dtype, invalid_shape, invalid_value (NaN, infinity), invalid_argument as of `check(Scheme)`.
[[nodiscard]] MCOMP_API Result<ScaledFloatTensor>
quantize_scaled_float(const TensorView& weight, const ScaledFloatOptions& options = {}, const Context& context = {});

/// f32 values. Errors: invalid_shape where the parts do not fit together.
[[nodiscard]] MCOMP_API Result<Tensor> dequantize(const ScaledFloatTensor& tensor);

} // namespace mcomp::inline v0::quant

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<quant::ScaledFloatTensor> = true;
} // namespace mcomp::inline v0
