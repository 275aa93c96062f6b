#include "mcomp/stats/exact_sum.hpp"

#include <cmath>

namespace mcomp::inline v0::stats {

void ExactSum::carry() noexcept {
  for (std::size_t i = 0; i + 1 < limbs; ++i) {
    limbs_[i + 1] += limbs_[i] >> 32; // rounds down, so that what stays is not negative
    limbs_[i] &= 0xffffffff;
  }
  pending_ = 1; // a limb may have grown by one addition's worth
}

void ExactSum::add(const ExactSum& other) noexcept {
  ExactSum carried = other;
  carried.carry();
  carry();
  for (std::size_t i = 0; i < limbs; ++i) limbs_[i] += carried.limbs_[i];
  pending_ = 2;
}

ExactSum::Digits ExactSum::digits() const noexcept {
  ExactSum carried = *this;
  carried.carry();
  Digits digits;
  digits.negative = carried.limbs_.back() < 0;
  if (digits.negative) {
    for (std::int64_t& limb : carried.limbs_) limb = -limb;
    carried.carry();
  }
  for (std::size_t i = 0; i < limbs; ++i) digits.magnitude[i] = static_cast<std::uint32_t>(carried.limbs_[i]);
  return digits;
}

ExactSum ExactSum::from_digits(const Digits& digits) noexcept {
  ExactSum sum;
  for (std::size_t i = 0; i < limbs; ++i)
    sum.limbs_[i] = digits.negative ? -static_cast<std::int64_t>(digits.magnitude[i]) : digits.magnitude[i];
  sum.pending_ = 1;
  return sum;
}

double ExactSum::value() const noexcept {
  const Digits number = digits();
  std::size_t top = limbs;
  while (top > 0 && number.magnitude[top - 1] == 0) --top;
  if (top == 0) return 0;
  // The 64 leading bits, the last of them set also for any bit behind: enough to round to nearest once.
  const auto limb = [&](std::size_t back) -> std::uint64_t {
    return top > back ? number.magnitude[top - 1 - back] : 0;
  };
  const auto first = static_cast<std::uint32_t>(limb(0));
  const int shift = std::countl_zero(first);
  const std::uint64_t two = (limb(0) << 32) | limb(1);
  std::uint64_t leading = two << shift;
  if (shift > 0) leading |= limb(2) >> (32 - shift);
  bool behind = shift < 32 && (limb(2) & ((std::uint64_t{1} << (32 - shift)) - 1)) != 0;
  for (std::size_t i = 0; i + 3 < top && !behind; ++i) behind = number.magnitude[i] != 0;
  leading |= static_cast<std::uint64_t>(behind);
  const int exponent = 32 * (static_cast<int>(top) - 2) - shift - 1074;
  const double magnitude = std::ldexp(static_cast<double>(leading), exponent);
  return number.negative ? -magnitude : magnitude;
}

} // namespace mcomp::inline v0::stats
