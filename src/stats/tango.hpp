#pragma once

#include <algorithm>
#include <cmath>

namespace mcomp::inline v0::stats::detail {

/// Tango's letters. Real numbers, so that an even split of an odd number can be asked for.
struct Tango {
  double b, c, n;

  /// The variance of b - c where the loss is delta: n (2 q + delta (1 - delta)).
  [[nodiscard]] double variance(double delta) const {
    const double A = 2 * n, B = -b - c + (2 * n - b + c) * delta, C = -c * delta * (1 - delta);
    const double root = std::sqrt(std::max(0.0, B * B - 4 * A * C));
    // The larger root of A q^2 + B q + C, in the form without cancellation.
    const double q = B <= 0 ? (root - B) / (2 * A) : -2 * C / (root + B);
    return n * std::max(0.0, 2 * q + delta * (1 - delta));
  }
  [[nodiscard]] double statistic(double delta) const {
    const double numerator = b - c - n * delta;
    return numerator == 0 ? 0 : numerator / std::sqrt(variance(delta));
  }
  /// The delta with T(delta) = -z, z > 0. T falls with delta.
  [[nodiscard]] double upper_limit(double z) const {
    double inside = (b - c) / n, outside = 1;
    for (;;) {
      const double middle = 0.5 * (inside + outside);
      if (middle <= inside || middle >= outside) return inside;
      (b - c - n * middle + z * std::sqrt(variance(middle)) >= 0 ? inside : outside) = middle;
    }
  }
  /// The loss with the parts of baseline and candidate exchanged changes its sign.
  [[nodiscard]] double lower_limit(double z) const { return -Tango{c, b, n}.upper_limit(z); }
};

} // namespace mcomp::inline v0::stats::detail
