#pragma once

#include <cstdint>
#include <string>

#include "mcomp/core/dtype.hpp"

// Floating-point numbers of at most eight bits, as storage: what a code means, and the code nearest to a number.
//
//     std::uint8_t code = mcomp::encode(mcomp::e4m3, 0.3f);
//     float value = mcomp::decode(mcomp::e4m3, code);       // 0.3125
//
// Formats: OCP 8-bit Floating Point (OFP8) v1.0 and OCP Microscaling Formats (MX) v1.0.

namespace mcomp::inline v0 {

/// What the codes with the highest exponent are.
enum class HighestExponent {
  numbers,             ///< numbers like all others: no infinity, no NaN (FP4, FP6)
  numbers_and_one_nan, ///< numbers, but for the code of all ones, which is NaN (E4M3)
  infinity_and_nan,    ///< as IEEE 754 has it (E5M2)
};

/// Sign, exponent, mantissa, from the highest bit down; subnormal numbers where the exponent is zero.
struct MiniFloat {
  int exponent_bits = 4;
  int mantissa_bits = 3;
  int bias = 7;
  HighestExponent highest = HighestExponent::numbers_and_one_nan;

  [[nodiscard]] constexpr int bits() const noexcept { return 1 + exponent_bits + mantissa_bits; }
  friend bool operator==(const MiniFloat&, const MiniFloat&) = default;
};

inline constexpr MiniFloat e4m3{4, 3, 7, HighestExponent::numbers_and_one_nan}; ///< +-448
inline constexpr MiniFloat e5m2{5, 2, 15, HighestExponent::infinity_and_nan};   ///< +-57344
inline constexpr MiniFloat e3m2{3, 2, 3, HighestExponent::numbers};             ///< +-28
inline constexpr MiniFloat e2m3{2, 3, 1, HighestExponent::numbers};             ///< +-7.5
inline constexpr MiniFloat e2m1{2, 1, 1, HighestExponent::numbers};             ///< +-6

/// "e4m3"
[[nodiscard]] MCOMP_API std::string to_string(const MiniFloat& format);

/// The largest finite number.
[[nodiscard]] MCOMP_API float largest(const MiniFloat& format) noexcept;
/// What a code means; bits above the format's are ignored.
[[nodiscard]] MCOMP_API float decode(const MiniFloat& format, std::uint8_t code) noexcept;
/// The code of the nearest number, ties to the even mantissa. Numbers beyond the largest, and infinities, become the
/// largest with their sign (the saturating conversion of OFP8). NaN becomes NaN where the format has one, else the
/// largest number, as ONNX has it.
[[nodiscard]] MCOMP_API std::uint8_t encode(const MiniFloat& format, float x) noexcept;

/// E8M0, the scale of microscaling formats: 2^(code - 127); 255 is NaN.
[[nodiscard]] MCOMP_API float decode_e8m0(std::uint8_t code) noexcept;
/// The code of the largest power of two that is not above x. Zero, negative numbers and what lies below 2^-127 give 0;
/// infinity and NaN give 255.
[[nodiscard]] MCOMP_API std::uint8_t encode_e8m0_floor(float x) noexcept;

template <> inline constexpr bool enable_format<MiniFloat> = true;
} // namespace mcomp::inline v0
