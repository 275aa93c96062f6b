#pragma once

// The bin of a latency, in a few instructions; never part of the interface.

#include <bit>
#include <cstdint>

#include "mcomp/monitor/service_snapshot.hpp"

namespace mcomp::inline v0::monitor::detail {

/// One less than the number's bits makes borders belong to the bin below. The top 5 bits of the mantissa with the
/// exponent number the bins of all octaves in a row.
inline std::uint32_t latency_bin(double seconds) noexcept {
  if (!(seconds > LatencyBins::lowest)) return 0;
  if (!(seconds <= LatencyBins::highest)) return LatencyBins::bins - 1;
  constexpr std::uint64_t base = std::bit_cast<std::uint64_t>(LatencyBins::lowest);
  constexpr int mantissa_bits = 52, bin_bits = 5;
  static_assert(LatencyBins::bins_per_octave == 1 << bin_bits);
  return static_cast<std::uint32_t>((std::bit_cast<std::uint64_t>(seconds) - 1 - base) >> (mantissa_bits - bin_bits)) +
         1;
}

} // namespace mcomp::inline v0::monitor::detail
