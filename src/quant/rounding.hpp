#pragma once

#include <cstdint>

#include "core/simd_dispatch.hpp"

namespace mcomp::inline v0::quant::detail {

/// Round to nearest even of |x| <= 2^22, in a form that every compiler vectorizes: adding 1.5 * 2^23 leaves no fraction
/// bits, so the addition itself rounds. Needs the default rounding mode and no value-changing optimization.
[[gnu::always_inline]] inline float round_half_even(float x) {
  constexpr float magic = 12582912.0f;
  return (x + magic) - magic;
}

/// clamp(round(x)) with bounds that are whole numbers within 2^22, so that clamping first changes nothing. NaN compares
/// false and becomes `low` ... unless guarded by the caller.
[[gnu::always_inline]] inline float round_clamped(float x, float low, float high) {
  x = x > low ? x : low;
  x = x < high ? x : high;
  return round_half_even(x);
}

} // namespace mcomp::inline v0::quant::detail
