#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "mcomp/core/export.hpp"

namespace mcomp::inline v0::stats {

/// The sum of finite doubles without any rounding before `value`, hence the same in whatever order and grouping they
/// come: a fixed-point number as wide as the whole range of doubles (Neal, Fast exact summation using small and large
/// superaccumulators, 2015). 552 bytes; an addition takes a few nanoseconds.
class MCOMP_API ExactSum {
 public:
  /// NaN and infinities are ignored. At most 2^62 values.
  void add(double value) noexcept {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    const auto exponent = static_cast<std::uint32_t>(bits >> 52) & 0x7ff;
    if (exponent == 0x7ff) return;
    // value = mantissa 2^(position - 1074), position 0 also for subnormal numbers.
    std::uint64_t mantissa = bits & 0xfffffffffffff;
    if (exponent != 0) mantissa |= std::uint64_t{1} << 52;
    const std::uint32_t position = exponent == 0 ? 0 : exponent - 1, shift = position & 31;
    const std::uint64_t high = (mantissa >> 1) >> (31 - shift);
    const std::int64_t sign = -static_cast<std::int64_t>(bits >> 63); // 0 or all ones: x ^ sign - sign negates
    std::int64_t* limb = limbs_.data() + (position >> 5);
    limb[0] += (static_cast<std::int64_t>((mantissa << shift) & 0xffffffff) ^ sign) - sign;
    limb[1] += (static_cast<std::int64_t>(high & 0xffffffff) ^ sign) - sign;
    limb[2] += (static_cast<std::int64_t>(high >> 32) ^ sign) - sign;
    if (++pending_ == most_pending) carry();
  }
  void add(const ExactSum& other) noexcept;

  /// The sum rounded once, to nearest; infinite where it is beyond the range of doubles.
  [[nodiscard]] double value() const noexcept;

  static constexpr std::size_t limbs = 68;
  /// Magnitude in units of 2^-1074, base 2^32, least limb first.
  struct Digits {
    bool negative = false;
    std::array<std::uint32_t, limbs> magnitude{};
  };
  [[nodiscard]] Digits digits() const noexcept;
  [[nodiscard]] static ExactSum from_digits(const Digits& digits) noexcept;

  friend bool operator==(const ExactSum& a, const ExactSum& b) noexcept {
    const Digits x = a.digits(), y = b.digits();
    return x.negative == y.negative && x.magnitude == y.magnitude;
  }

 private:
  static constexpr std::int32_t most_pending = 1 << 30; ///< additions before a limb could overflow
  /// Brings all limbs but the last into 0 .. 2^32 - 1.
  void carry() noexcept;
  std::array<std::int64_t, limbs> limbs_{};
  std::int32_t pending_ = 0;
};

} // namespace mcomp::inline v0::stats
