#pragma once

#include "mcomp/core/export.hpp"

namespace mcomp::inline v0::stats {

// Distribution functions that intervals and tests are made of. They are pure: NaN for an argument outside the stated
// domain, no global state (std::lgamma has some), relative error below 1e-12 unless stated otherwise.

/// P(Z <= x) of the standard normal.
[[nodiscard]] MCOMP_API double normal_cdf(double x) noexcept;
/// The x with P(Z <= x) = probability; -infinity at 0, infinity at 1.
[[nodiscard]] MCOMP_API double normal_quantile(double probability) noexcept;
/// P(X > x) of chi-squared with one degree of freedom; x >= 0.
[[nodiscard]] MCOMP_API double chi_squared_tail(double x) noexcept;

/// Regularized incomplete beta function I_x(a, b), the distribution function of Beta(a, b); a, b > 0, x in [0, 1].
/// P(B >= k) of Binomial(n, p) is I_p(k, n - k + 1).
[[nodiscard]] MCOMP_API double incomplete_beta(double a, double b, double x) noexcept;
/// The x with I_x(a, b) = probability.
[[nodiscard]] MCOMP_API double beta_quantile(double a, double b, double probability) noexcept;

/// P(B = k) of Binomial(trials, probability); zero for k outside 0 .. trials.
[[nodiscard]] MCOMP_API double binomial_probability(double k, double trials, double probability) noexcept;
/// P(B <= k); k may be negative (0) or above `trials` (1).
[[nodiscard]] MCOMP_API double binomial_cdf(double k, double trials, double probability) noexcept;

} // namespace mcomp::inline v0::stats
