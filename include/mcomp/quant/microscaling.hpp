#pragma once

#include "mcomp/core/context.hpp"
#include "mcomp/core/minifloat.hpp"
#include "mcomp/core/tensor.hpp"

// Microscaling: small floating-point codes, and a scale for every few of them that is a small float itself.
//
//     auto q = mcomp::quant::quantize_microscaled(weight, {.format = mcomp::quant::microscaling::nvfp4}).value();
//     fmt::print("{}: {:.2f} bits a weight\n", q.format, q.bits_per_weight());
//
// Formats: OCP Microscaling Formats (MX) v1.0 (E8M0 scales for 32 elements); NVFP4 (E4M3 scales for 16 elements under
// one f32 scale of the tensor).

namespace mcomp::inline v0::quant {

enum class ScaleType {
  e8m0,       ///< 2^(code - 127)
  e4m3_global ///< an E4M3 number, divided by the tensor's `global_scale`
};

struct Microscaling {
  MiniFloat element = e2m1;
  ScaleType scale = ScaleType::e8m0;
  std::int64_t group_size = 32;
  friend bool operator==(const Microscaling&, const Microscaling&) = default;
};

/// The formats by their names.
namespace microscaling {
inline constexpr Microscaling mxfp4{e2m1, ScaleType::e8m0, 32};
inline constexpr Microscaling mxfp6_e2m3{e2m3, ScaleType::e8m0, 32};
inline constexpr Microscaling mxfp6_e3m2{e3m2, ScaleType::e8m0, 32};
inline constexpr Microscaling mxfp8_e4m3{e4m3, ScaleType::e8m0, 32};
inline constexpr Microscaling mxfp8_e5m2{e5m2, ScaleType::e8m0, 32};
inline constexpr Microscaling nvfp4{e2m1, ScaleType::e4m3_global, 16};
} // namespace microscaling

/// "mxfp4", "nvfp4"; of others the parts.
[[nodiscard]] MCOMP_API std::string to_string(const Microscaling& format);

/// How the scale of a group follows from its largest magnitude, and for E8M0 its exponent e = floor(log2(largest)).
enum class ScaleRule {
  floor, ///< e minus the element's highest exponent (MX v1.0, section 6.3; ggml); E4M3: largest / largest element
  round, ///< as `floor`, but one higher where the mantissa of the largest is 1.75 or more (compressed-tensors)
  minimum_error, ///< of the scales near that one, the one with the smallest (weighted) squared error
};

/// Codes with the numbers that give them meaning: value = element code * scale.
struct MicroscaledTensor {
  Microscaling format;
  Tensor codes;           ///< uint8, one code a byte, in the shape of the source
  Tensor scales;          ///< uint8 [rows, groups]: E8M0 or E4M3 codes
  float global_scale = 1; ///< divides E4M3 scales; 1 with E8M0

  [[nodiscard]] const Shape& shape() const noexcept { return codes.shape(); }
  /// Bytes when stored: packed codes, scales, and the global scale where there is one.
  [[nodiscard]] MCOMP_API std::int64_t stored_bytes() const noexcept;
  [[nodiscard]] MCOMP_API double bits_per_weight() const noexcept;
};

[[nodiscard]] MCOMP_API std::string to_string(const MicroscaledTensor& tensor);

struct MicroscalingOptions {
  Microscaling format = microscaling::mxfp4;
  ScaleRule rule = ScaleRule::minimum_error;
  /// E4M3 scales: the tensor's scale, for layers that must share one (queries, keys and values; gate and up). 0: 448 x
  /// the largest element / the largest magnitude of the tensor.
  float global_scale = 0;
  TensorView importance{}; ///< f32 [columns]: weights of the squared error of `minimum_error`; no elements: all 1
};

/// Quantizes a matrix to the nearest code under each group's scale. A group is `group_size` consecutive weights of a
/// row; the last of a row may be shorter.
/// @param weight floating [out, ...]
/// Defined results: a group of zeros has zero codes and the lowest scale; numbers too small for the lowest scale become
/// 0. Errors, before any work: invalid_dtype; invalid_shape (rank 0, no elements, importance of another length);
/// invalid_value (NaN, infinity, negative importance); invalid_argument (group size, global scale).
[[nodiscard]] MCOMP_API Result<MicroscaledTensor>
quantize_microscaled(const TensorView& weight, const MicroscalingOptions& options = {}, const Context& context = {});

/// f32 values; NaN where a scale is NaN. Errors: invalid_dtype, invalid_shape where the parts do not fit together.
[[nodiscard]] MCOMP_API Result<Tensor> dequantize(const MicroscaledTensor& tensor);

/// The scale of a code, as a factor of element values.
[[nodiscard]] MCOMP_API float scale_value(const Microscaling& format, std::uint8_t code, float global_scale) noexcept;

} // namespace mcomp::inline v0::quant

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<quant::Microscaling> = true;
template <> inline constexpr bool enable_format<quant::MicroscaledTensor> = true;
} // namespace mcomp::inline v0
