#pragma once

#include <cstdint>
#include <string>

#include "mcomp/core/tensor.hpp"

// What a quantized number means: real = scale * (code - zero_point). A scheme is made of independent parts (element
// type, symmetry, granularity), so that a new combination needs no new name.

namespace mcomp::inline v0::quant {

/// Which weights share one scale.
enum class Granularity {
  per_tensor,
  per_channel, ///< one scale for each output channel (first axis)
  per_group,   ///< one scale for each `group_size` consecutive weights of an output channel; the last may be shorter
  per_block,   ///< one scale for each `group_rows` x `group_size` weights of the matrix [out, the rest]
};

struct Scheme {
  DType dtype = DType::int8; ///< int2 .. int8 or uint2 .. uint8
  bool symmetric = true;     ///< zero_point 0 for signed types and the middle code for unsigned ones
  Granularity granularity = Granularity::per_channel;
  std::int64_t group_size = 0; ///< consecutive weights in a group; used with per_group and per_block only
  std::int64_t group_rows = 0; ///< output channels in a block; used with per_block only
  /// Symmetric schemes: codes go down to the lowest one of the type (-8 .. 7), as weight-only formats and their kernels
  /// have it. Scales are then still those of -7 .. 7.
  bool full_range = false;
  /// How scales are stored: f32, f16 or bf16. They are rounded to it before any code is chosen, so that codes suit what is
  /// stored; one below the smallest number of the type becomes that number.
  DType scale_dtype = DType::f32;

  friend bool operator==(const Scheme&, const Scheme&) = default;
};

[[nodiscard]] MCOMP_API std::string to_string(Granularity granularity);
/// "int8 symmetric per channel"
[[nodiscard]] MCOMP_API std::string to_string(const Scheme& scheme);

/// Lowest and highest code. Symmetric schemes give up the lowest code of a signed type (-128), so that the range is
/// as wide to both sides and a code can be negated; int2 is then ternary.
struct CodeRange {
  std::int32_t lowest = 0;
  std::int32_t highest = 0;
  friend bool operator==(const CodeRange&, const CodeRange&) = default;
};

/// Errors: invalid_dtype for anything but int2 .. int8 and uint2 .. uint8.
[[nodiscard]] MCOMP_API Result<CodeRange> code_range(DType dtype, bool symmetric);
/// The same for a scheme, which may use the full range.
[[nodiscard]] MCOMP_API Result<CodeRange> code_range(const Scheme& scheme);

/// Checks the parts of a scheme against each other. Errors: invalid_dtype, invalid_argument.
[[nodiscard]] MCOMP_API Status check(const Scheme& scheme);

/// Smallest and largest real value that a range of codes must cover.
struct Range {
  float min = 0;
  float max = 0;
  friend bool operator==(const Range&, const Range&) = default;
};

/// The number of `scheme.scale_dtype` that is nearest to a positive scale, and never 0 or infinite.
[[nodiscard]] MCOMP_API float stored_scale(float scale, const Scheme& scheme) noexcept;

/// Scale and zero point of one group of numbers (or of one activation tensor).
struct Parameters {
  DType dtype = DType::uint8;
  float scale = 1;
  std::int32_t zero_point = 0;
  bool symmetric = false;

  friend bool operator==(const Parameters&, const Parameters&) = default;
};

[[nodiscard]] MCOMP_API std::string to_string(const Parameters& parameters);

/// Parameters that cover `range`, which is widened to hold zero, so that zero is always exact.
///
/// Symmetric: scale = max(|min|, |max|) / highest code (half of the code range for unsigned types).
/// Affine: scale = (max - min) / (highest - lowest), zero_point = lowest - round(min / scale), rounded to even and
/// clamped to the codes.
/// A range of zero width gives scale 1; where the outermost code would overflow f32 the scale is the
/// largest that does not. A scale below the smallest normal f32 becomes that number: every code is then
/// within half of it. Errors: invalid_value where the range is not finite or max < min; invalid_dtype.
[[nodiscard]] MCOMP_API Result<Parameters> parameters_for(const Range& range, DType dtype, bool symmetric);

/// The code of one number: clamp(round_half_even(x * (1 / scale)) + zero_point), all in f32 with the reciprocal rounded
/// once. The one definition for activations; fast paths agree bit for bit. NaN gives the code of zero.
[[nodiscard]] MCOMP_API std::int32_t quantize_value(float x, const Parameters& parameters) noexcept;
[[nodiscard]] inline float dequantize_value(std::int32_t code, const Parameters& parameters) noexcept {
  return static_cast<float>(code - parameters.zero_point) * parameters.scale;
}

} // namespace mcomp::inline v0::quant

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<quant::Granularity> = true;
template <> inline constexpr bool enable_format<quant::Scheme> = true;
template <> inline constexpr bool enable_format<quant::Parameters> = true;
} // namespace mcomp::inline v0
