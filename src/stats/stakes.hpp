#pragma once

// How the stake of a test by betting is spread over bets whose sizes fall geometrically; never part of the interface.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace mcomp::inline v0::stats::detail {

/// Capital beyond this proves anything; it stops growing there, which can only understate the evidence.
inline constexpr double most_capital = 1e280;

/// Stakes on bets whose sizes fall by sqrt(2) each: .2 spread evenly, .8 normal on the logarithm with a deviation of
/// one octave around the size that is best for the plan. They add up to 1.
template <std::size_t N> std::array<double, N> stakes(double largest, double best) {
  std::array<double, N> weights;
  const double centre = std::clamp(2 * std::log2(largest / best), 0.0, static_cast<double>(N - 1));
  double sum = 0;
  for (std::size_t k = 0; k < N; ++k) {
    const double octaves = 0.5 * (static_cast<double>(k) - centre);
    sum += weights[k] = std::exp(-0.5 * octaves * octaves);
  }
  for (double& weight : weights) weight = 0.2 / static_cast<double>(N) + 0.8 * weight / sum;
  return weights;
}

} // namespace mcomp::inline v0::stats::detail
