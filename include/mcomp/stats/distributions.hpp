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
/// P(X > x) of chi-squared with any number of degrees of freedom > 0; x >= 0.
[[nodiscard]] MCOMP_API double chi_squared_tail(double x, double degrees_of_freedom) noexcept;

/// P(T <= t) of Student's t; degrees_of_freedom > 0, which need not be whole (Welch); infinity gives the normal.
[[nodiscard]] MCOMP_API double student_t_cdf(double t, double degrees_of_freedom) noexcept;
/// The t with P(T <= t) = probability.
[[nodiscard]] MCOMP_API double student_t_quantile(double probability, double degrees_of_freedom) noexcept;

/// log Gamma(a); a > 0.
[[nodiscard]] MCOMP_API double log_gamma(double a) noexcept;
/// log B(a, b) = log Gamma(a) + log Gamma(b) - log Gamma(a + b), without their cancellation; a, b > 0.
[[nodiscard]] MCOMP_API double log_beta(double a, double b) noexcept;
/// Logarithms of the regularized incomplete gamma functions P(a, x) and Q(a, x) = 1 - P(a, x); a > 0, x >= 0. They
/// stay finite where the functions themselves underflow.
[[nodiscard]] MCOMP_API double log_gamma_p(double a, double x) noexcept;
[[nodiscard]] MCOMP_API double log_gamma_q(double a, double x) noexcept;
/// Logarithm of `normal_cdf`, finite for every finite x.
[[nodiscard]] MCOMP_API double log_normal_cdf(double x) noexcept;

/// Regularized incomplete beta function I_x(a, b), the distribution function of Beta(a, b); a, b > 0, x in [0, 1].
/// P(B >= k) of Binomial(n, p) is I_p(k, n - k + 1).
[[nodiscard]] MCOMP_API double incomplete_beta(double a, double b, double x) noexcept;
/// Its logarithm, finite for x > 0 also where the function underflows.
[[nodiscard]] MCOMP_API double log_incomplete_beta(double a, double b, double x) noexcept;
/// The x with I_x(a, b) = probability.
[[nodiscard]] MCOMP_API double beta_quantile(double a, double b, double probability) noexcept;

/// P(B = k) of Binomial(trials, probability); zero for k outside 0 .. trials.
[[nodiscard]] MCOMP_API double binomial_probability(double k, double trials, double probability) noexcept;
/// P(B <= k); k may be negative (0) or above `trials` (1).
[[nodiscard]] MCOMP_API double binomial_cdf(double k, double trials, double probability) noexcept;

} // namespace mcomp::inline v0::stats
