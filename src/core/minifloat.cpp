#include "mcomp/core/minifloat.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0 {

namespace {

/// The code of the largest finite number, without sign.
int largest_code(const MiniFloat& f) noexcept {
  const int all = (1 << (f.bits() - 1)) - 1;
  switch (f.highest) {
  case HighestExponent::numbers:
    return all;
  case HighestExponent::numbers_and_one_nan:
    return all - 1;
  case HighestExponent::infinity_and_nan:
    return all - (1 << f.mantissa_bits);
  }
  return all;
}

float magnitude(const MiniFloat& f, int code) noexcept {
  const int mantissa = code & ((1 << f.mantissa_bits) - 1), exponent = code >> f.mantissa_bits;
  const int implicit = exponent == 0 ? 0 : 1 << f.mantissa_bits;
  return std::ldexp(static_cast<float>(implicit + mantissa), (exponent == 0 ? 1 : exponent) - f.bias - f.mantissa_bits);
}

} // namespace

std::string to_string(const MiniFloat& format) {
  return fmt::format("e{}m{}", format.exponent_bits, format.mantissa_bits);
}

float largest(const MiniFloat& format) noexcept {
  return magnitude(format, largest_code(format));
}

float decode(const MiniFloat& f, std::uint8_t code) noexcept {
  const int sign = 1 << (f.bits() - 1), unsigned_code = code & (sign - 1), highest = largest_code(f);
  float value = std::numeric_limits<float>::quiet_NaN();
  if (unsigned_code <= highest)
    value = magnitude(f, unsigned_code);
  else if (f.highest == HighestExponent::infinity_and_nan && unsigned_code == highest + 1)
    value = std::numeric_limits<float>::infinity();
  return code & sign ? -value : value;
}

std::uint8_t encode(const MiniFloat& f, float x) noexcept {
  const int sign = std::signbit(x) ? 1 << (f.bits() - 1) : 0, highest = largest_code(f);
  if (std::isnan(x)) {
    const int all = (1 << (f.bits() - 1)) - 1;
    return static_cast<std::uint8_t>(f.highest == HighestExponent::numbers ? highest : sign | all);
  }
  const float a = std::fabs(x);
  if (a >= magnitude(f, highest)) return static_cast<std::uint8_t>(sign | highest);
  // The distance between neighbours where x lies; codes of one sign are consecutive, so that rounding up to the next
  // power of two carries into the exponent by itself. Scaling by a power of two is exact.
  const int lowest_exponent = 1 - f.bias;
  const int exponent = a == 0 ? lowest_exponent : std::max(lowest_exponent, std::ilogb(a));
  const float steps = std::nearbyint(std::ldexp(a, f.mantissa_bits - exponent));
  const int code = (exponent - lowest_exponent) * (1 << f.mantissa_bits) + static_cast<int>(steps);
  return static_cast<std::uint8_t>(sign | code);
}

float decode_e8m0(std::uint8_t code) noexcept {
  return code == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, code - 127);
}

std::uint8_t encode_e8m0_floor(float x) noexcept {
  if (!(x < std::numeric_limits<float>::infinity())) return 255; // NaN too
  if (!(x > 0)) return 0;
  const int code = std::ilogb(x) + 127;
  return static_cast<std::uint8_t>(code < 0 ? 0 : code);
}

} // namespace mcomp::inline v0
