#pragma once

#include "mcomp/core/context.hpp"
#include "mcomp/quant/scheme.hpp"

// Round-to-nearest quantization of a tensor: the baseline of every better quantizer, and the arithmetic that they
// all share.
//
//     auto q = mcomp::quant::quantize(weights, {.dtype = DType::int4, .granularity = Granularity::per_group,
//                                               .group_size = 32}).value();
//     fmt::print("{}: {:.2f}x smaller\n", q.scheme, q.compression());

namespace mcomp::inline v0::quant {

/// Codes with the numbers that give them meaning.
struct QuantizedTensor {
  Scheme scheme;
  Tensor codes;       ///< int8 or uint8, one code a byte also for narrower types, in the shape of the source
  Tensor scales;      ///< f32 [rows, groups]: [1, 1] per tensor, [out, 1] per channel, [out, groups] per group, and
                      ///< [out / group_rows, groups] per block, rounded up
  Tensor zero_points; ///< int32, shape of `scales`; all zero for symmetric signed types

  [[nodiscard]] const Shape& shape() const noexcept { return codes.shape(); }
  /// Bytes when stored: packed codes, scales in their type and, for affine schemes, one code a zero point.
  [[nodiscard]] MCOMP_API std::int64_t stored_bytes() const noexcept;
  /// f32 bytes divided by `stored_bytes`.
  [[nodiscard]] MCOMP_API double compression() const noexcept;
};

[[nodiscard]] MCOMP_API std::string to_string(const QuantizedTensor& tensor);

/// Quantizes a floating tensor by rounding each number to the nearest code (ties to even): q = round(w / scale) +
/// zero_point, clamped; the quotient is an exact f32 division. Scales come from the smallest and largest value of each
/// group by `parameters_for`.
/// @param weight [out, ...]; per_tensor takes any shape
/// Defined results: all zeros give scale 1 and zero codes; equal values keep their value but for the rounding of the
/// scale; denormal groups give codes within half of the smallest normal number.
/// Errors, before any work: invalid_value (NaN, infinity), invalid_shape (rank 0 or no elements), invalid_argument.
[[nodiscard]] MCOMP_API Result<QuantizedTensor> quantize(const TensorView& weight, const Scheme& scheme,
                                                         const Context& context = {});

/// The real numbers: scale * (code - zero_point), f32. Errors: invalid_shape where the parts do not fit together.
[[nodiscard]] MCOMP_API Result<Tensor> dequantize(const QuantizedTensor& tensor);

/// Codes without gaps, the first in the lowest bits of the first byte (four bits: two to a byte, the first in the low
/// nibble); the element type is the scheme's. Codes of eight bits are copied. The form in which they are stored.
[[nodiscard]] MCOMP_API Result<Tensor> pack_codes(const QuantizedTensor& tensor);
/// The inverse of `pack_codes`: one code a byte, int8 or uint8. Errors: invalid_dtype.
[[nodiscard]] MCOMP_API Result<Tensor> unpack_codes(const TensorView& packed);

/// Quantizes f32 activations with known parameters, as `quantize_value` defines, to int8 or uint8 codes of the same
/// shape. NaN gives the code of zero, infinities clamp. Errors: invalid_dtype, invalid_shape.
[[nodiscard]] MCOMP_API Result<Tensor> quantize_activations(const TensorView& x, const Parameters& parameters);
/// Errors: invalid_dtype.
[[nodiscard]] MCOMP_API Result<Tensor> dequantize_activations(const TensorView& codes, const Parameters& parameters);

} // namespace mcomp::inline v0::quant

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<quant::QuantizedTensor> = true;
} // namespace mcomp::inline v0
