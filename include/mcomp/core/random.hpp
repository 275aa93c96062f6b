#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "mcomp/core/export.hpp"

namespace mcomp::inline v0 {

/// Seeded random numbers that are the same on every platform and compiler: xoshiro256++ (Blackman and Vigna 2019),
/// seeded through SplitMix64. Not for cryptography.
class MCOMP_API Random {
 public:
  using result_type = std::uint64_t;

  explicit Random(std::uint64_t seed) noexcept;
  /// An independent stream for part `index` of the work of `seed`, so that parallel parts need no order.
  Random(std::uint64_t seed, std::uint64_t index) noexcept;
  /// Starts from a raw state, which must not be all zero (test vectors).
  [[nodiscard]] static Random from_state(const std::array<std::uint64_t, 4>& state) noexcept;

  std::uint64_t next() noexcept;
  /// Uniform in [0, 1) with 53 random bits.
  double uniform() noexcept;
  /// Uniform in [0, bound), without modulo bias; 0 where `bound` is 0.
  std::uint64_t below(std::uint64_t bound) noexcept;
  /// Standard normal (polar method of Marsaglia).
  double normal() noexcept;

  template <class T> void shuffle(std::span<T> items) noexcept {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  // For use with <random> and <algorithm>.
  static constexpr std::uint64_t min() noexcept { return 0; }
  static constexpr std::uint64_t max() noexcept { return ~std::uint64_t{0}; }
  std::uint64_t operator()() noexcept { return next(); }

 private:
  std::array<std::uint64_t, 4> state_{};
  double spare_normal_ = 0;
  bool has_spare_ = false;
};

/// One step of SplitMix64 (Steele, Lea and Flood 2014): advances `state` and returns a mixed value.
[[nodiscard]] MCOMP_API std::uint64_t splitmix64(std::uint64_t& state) noexcept;

} // namespace mcomp::inline v0
