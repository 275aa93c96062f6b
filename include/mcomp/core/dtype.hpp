#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0 {

/// Element type of a tensor. Types below eight bits are stored without gaps, the first element in the lowest bits of
/// the first byte: four-bit types two to a byte, the first in the low nibble.
enum class DType : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3, ///< what the eight-bit floating types mean: core/minifloat.hpp
  f8_e5m2,
  f8_e8m0,
  boolean,
  int8,
  uint8,
  int16,
  int32,
  int64,
  int4,
  uint4,
  int2,
  uint2,
  int3,
  uint3,
  int5,
  uint5,
  int6,
  uint6,
  int7,
  uint7,
};

/// IEEE 754 binary16, as storage: convert to float to compute.
struct half {
  std::uint16_t bits = 0;
  friend bool operator==(half, half) = default;
};

/// bfloat16 (the upper half of a binary32), as storage: convert to float to compute.
struct bfloat16 {
  std::uint16_t bits = 0;
  friend bool operator==(bfloat16, bfloat16) = default;
};

/// Round to nearest even; overflow becomes infinity, NaN stays a quiet NaN, subnormals are kept.
[[nodiscard]] MCOMP_API half to_half(float value) noexcept;
[[nodiscard]] MCOMP_API float to_float(half value) noexcept;
[[nodiscard]] MCOMP_API bfloat16 to_bfloat16(float value) noexcept;
[[nodiscard]] inline float to_float(bfloat16 value) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

/// Bits of one element; 8 for boolean.
[[nodiscard]] constexpr int bit_width(DType dtype) noexcept {
  switch (dtype) {
  case DType::f64:
  case DType::int64:
    return 64;
  case DType::f32:
  case DType::int32:
    return 32;
  case DType::f16:
  case DType::bf16:
  case DType::int16:
    return 16;
  case DType::f8_e4m3:
  case DType::f8_e5m2:
  case DType::f8_e8m0:
  case DType::boolean:
  case DType::int8:
  case DType::uint8:
    return 8;
  case DType::int4:
  case DType::uint4:
    return 4;
  case DType::int2:
  case DType::uint2:
    return 2;
  case DType::int3:
  case DType::uint3:
    return 3;
  case DType::int5:
  case DType::uint5:
    return 5;
  case DType::int6:
  case DType::uint6:
    return 6;
  case DType::int7:
  case DType::uint7:
    return 7;
  }
  return 0;
}

/// True for int2 .. int64 and uint2 .. uint8; false for floating point and boolean.
[[nodiscard]] constexpr bool is_integer(DType dtype) noexcept {
  return dtype >= DType::int8;
}
/// True for int2 .. int64.
[[nodiscard]] constexpr bool is_signed_integer(DType dtype) noexcept {
  switch (dtype) {
  case DType::int2:
  case DType::int3:
  case DType::int4:
  case DType::int5:
  case DType::int6:
  case DType::int7:
  case DType::int8:
  case DType::int16:
  case DType::int32:
  case DType::int64:
    return true;
  default:
    return false;
  }
}
/// The integer type of 2 to 8 bits. Any other width gives int8 or uint8.
[[nodiscard]] constexpr DType integer_dtype(int bits, bool is_signed) noexcept {
  switch (bits) {
  case 2:
    return is_signed ? DType::int2 : DType::uint2;
  case 3:
    return is_signed ? DType::int3 : DType::uint3;
  case 4:
    return is_signed ? DType::int4 : DType::uint4;
  case 5:
    return is_signed ? DType::int5 : DType::uint5;
  case 6:
    return is_signed ? DType::int6 : DType::uint6;
  case 7:
    return is_signed ? DType::int7 : DType::uint7;
  default:
    return is_signed ? DType::int8 : DType::uint8;
  }
}
[[nodiscard]] constexpr bool is_floating(DType dtype) noexcept {
  return dtype <= DType::f8_e8m0;
}

/// "f32", "int8", "bool" ...
[[nodiscard]] MCOMP_API std::string to_string(DType dtype);
/// The inverse of `to_string`. Error: not_found, naming the known types.
[[nodiscard]] MCOMP_API Result<DType> dtype_from_string(std::string_view name);

template <> inline constexpr bool enable_format<DType> = true;

namespace detail {
template <class T> struct dtype_of;
template <> struct dtype_of<double> { static constexpr DType value = DType::f64; };
template <> struct dtype_of<float> { static constexpr DType value = DType::f32; };
template <> struct dtype_of<half> { static constexpr DType value = DType::f16; };
template <> struct dtype_of<bfloat16> { static constexpr DType value = DType::bf16; };
template <> struct dtype_of<bool> { static constexpr DType value = DType::boolean; };
template <> struct dtype_of<std::int8_t> { static constexpr DType value = DType::int8; };
template <> struct dtype_of<std::uint8_t> { static constexpr DType value = DType::uint8; };
template <> struct dtype_of<std::int16_t> { static constexpr DType value = DType::int16; };
template <> struct dtype_of<std::int32_t> { static constexpr DType value = DType::int32; };
template <> struct dtype_of<std::int64_t> { static constexpr DType value = DType::int64; };
} // namespace detail

/// The `DType` whose elements have the C++ type T.
template <class T> inline constexpr DType dtype_of = detail::dtype_of<std::remove_cv_t<T>>::value;

} // namespace mcomp::inline v0
