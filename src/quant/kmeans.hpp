#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace mcomp::inline v0::quant::detail {

/// A number that stands for several: its place, and how much an error there costs.
struct WeightedPoint {
  double x = 0;
  double weight = 1;
};

/// The centres, ascending, of at most `clusters` clusters of points (ascending, of positive weight) that make the
/// weighted sum of squared distances smallest: exact, in clusters * n * log(n).
[[nodiscard]] std::vector<double> optimal_centres(std::span<const WeightedPoint> points, std::size_t clusters);

} // namespace mcomp::inline v0::quant::detail
