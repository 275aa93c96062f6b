#pragma once

#include <cstdint>
#include <span>

#include "mcomp/core/dtype.hpp"

// The exact optimum of one scale. With codes nearest to w / s the error E(s) = sum h (w - s level)^2 is, between the
// points where a code changes, a parabola A - 2 s B + s^2 C with B = sum h w level, C = sum h level^2. In t = 1 / s a
// code of weight w changes where w t crosses the middle of two levels: all such t, sorted, visit every assignment of
// codes that is optimal for some scale, and each step changes B and C by one term. The best storable scale of an
// assignment is the one nearest to B / C, since a parabola is symmetric; so the best over all assignments is the best
// over all storable scales. Assignments that clip more than the best error found so far are not visited.

namespace mcomp::inline v0::quant::detail {

struct ScaleChoice {
  half scale;       ///< fp16, finite; of either sign
  double error = 0; ///< sum h (w - scale level)^2 with the nearest codes
};

/// @param w at most 32 numbers
/// @param levels ascending, at most 256, no more than 128 on either side of the one nearest to zero
/// @param importance as long as w and not negative
/// Cost: O(n k) with k levels, near 10 ns for each of the at most n k points.
[[nodiscard]] ScaleChoice best_scale(std::span<const float> w, std::span<const float> importance,
                                     std::span<const float> levels);

/// The same for MXFP4: the E8M0 exponent, all of which that could be best are tried.
[[nodiscard]] std::uint8_t best_exponent(std::span<const float> w, std::span<const float> importance,
                                         std::span<const float> levels);

/// fp16 nearest to `value`, at most 65504 in magnitude.
[[nodiscard]] half to_finite_half(double value) noexcept;

} // namespace mcomp::inline v0::quant::detail
