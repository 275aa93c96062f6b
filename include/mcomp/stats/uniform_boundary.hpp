#pragma once

// Curves that a sum stays below at all times at once with probability 1 - alpha: what makes it sound to look at a test
// after every observation and stop when one likes. A sum S_t of deviations from the null hypothesis, with variance
// process V_t, gives a supermartingale M(S_t, V_t) that starts at 1; by Ville's inequality it ever exceeds 1 / alpha
// with probability at most alpha. M is then an e-value, and 1 / max M a p-value, at every time. After Howard, Ramdas,
// McAuliffe and Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences (Annals of Statistics 49,
// 2021), and Howard and Ramdas, Sequential estimation of quantiles (Bernoulli 28, 2022). Classes that count
// observations for the caller stand in stats/confidence_sequence.hpp.
//
//     auto mixture = mcomp::stats::TwoSidedNormalMixture::create({.variance = 100}).value();
//     double radius = mixture.boundary(v, 0.05);           // |S| stays below it, for all v at once
//     double p = std::exp(-mixture.log_mixture(s, v));     // may exceed 1
//
// A mixture takes any s, but v >= 0 and alpha within (0, 1): it gives NaN for others. Cost: constant, less than a
// microsecond for `log_mixture`; `boundary` of all but the two-sided normal finds a root, about ten times that.

#include <cstdint>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::stats {

/// Where a boundary is made tightest; it holds everywhere. Errors of what takes it: invalid_argument for a variance
/// that is not positive and finite, or an alpha outside (0, 1) (one-sided: outside (0, 1/2)).
struct BoundaryTuning {
  double variance = 0; ///< v at which it is tightest: observations planned times the variance of one
  double alpha = 0.05; ///< level for which it is
};

/// Mixes exp(l s - l^2 v / 2) over normal l with mean 0, variance 1 / rho, for sub-Gaussian sums (eq. 14). The mSPRT
/// with an N(0, tau^2) prior is the same with rho = sigma^2 / tau^2.
class MCOMP_API TwoSidedNormalMixture {
 public:
  [[nodiscard]] static Result<TwoSidedNormalMixture> create(const BoundaryTuning& tuning);
  /// The rho at which the boundary is tightest at v, within a fraction of a percent (Proposition 3).
  [[nodiscard]] static double best_rho(double v, double alpha) noexcept;
  /// log M(s, v) = log(rho / (v + rho)) / 2 + s^2 / (2 (v + rho))
  [[nodiscard]] double log_mixture(double s, double v) const noexcept;
  /// sqrt((v + rho) (log((v + rho) / rho) + 2 log(1 / alpha))), for |S|
  [[nodiscard]] double boundary(double v, double alpha) const noexcept;
  [[nodiscard]] double rho() const noexcept { return rho_; }

 private:
  explicit TwoSidedNormalMixture(double rho) noexcept : rho_(rho) {}
  double rho_;
};

/// Mixes over the half-normal l > 0, for sub-Gaussian sums from above (Proposition 6).
class MCOMP_API OneSidedNormalMixture {
 public:
  [[nodiscard]] static Result<OneSidedNormalMixture> create(const BoundaryTuning& tuning);
  /// The rho of the two-sided mixture at twice alpha; alpha within (0, 1/2).
  [[nodiscard]] static double best_rho(double v, double alpha) noexcept;
  [[nodiscard]] double log_mixture(double s, double v) const noexcept;
  [[nodiscard]] double boundary(double v, double alpha) const noexcept;
  [[nodiscard]] double rho() const noexcept { return rho_; }

 private:
  explicit OneSidedNormalMixture(double rho) noexcept : rho_(rho) {}
  double rho_;
};

/// For sub-exponential sums of scale c > 0, such as observations bounded by c from above (Proposition 9).
class MCOMP_API GammaExponentialMixture {
 public:
  [[nodiscard]] static Result<GammaExponentialMixture> create(const BoundaryTuning& tuning, double c);
  [[nodiscard]] double log_mixture(double s, double v) const noexcept;
  [[nodiscard]] double boundary(double v, double alpha) const noexcept;

 private:
  GammaExponentialMixture(double rho, double c) noexcept;
  double rho_, c_, constant_;
};

/// For sub-Poisson sums of scale c > 0: Bennett's condition (Proposition 10).
class MCOMP_API GammaPoissonMixture {
 public:
  [[nodiscard]] static Result<GammaPoissonMixture> create(const BoundaryTuning& tuning, double c);
  [[nodiscard]] double log_mixture(double s, double v) const noexcept;
  [[nodiscard]] double boundary(double v, double alpha) const noexcept;

 private:
  GammaPoissonMixture(double rho, double c) noexcept;
  double rho_, c_, constant_;
};

/// For sub-Bernoulli sums: every observation lies within -g .. h around its mean under the null hypothesis, v grows by
/// g h each (Propositions 7 and 8). For successes of probability p take g = p, h = 1 - p. s lies within -v/h .. v/g;
/// outside, the result is NaN.
class MCOMP_API BetaBinomialMixture {
 public:
  [[nodiscard]] static Result<BetaBinomialMixture> create(const BoundaryTuning& tuning, double g, double h,
                                                          bool one_sided);
  [[nodiscard]] double log_mixture(double s, double v) const noexcept;
  /// v / g, the largest sum there can be, where nothing below it is improbable enough.
  [[nodiscard]] double boundary(double v, double alpha) const noexcept;

 private:
  BetaBinomialMixture(double r, double g, double h, bool one_sided) noexcept;
  double r_, g_, h_, split_, constant_;
};

/// Polynomial stitching (Theorem 1): a closed form of order sqrt(v log log v) for sub-gamma sums of scale c, which may
/// be negative; constant below v_min. NaN unless v >= 0, v_min > 0, alpha within (0, 1), s > 1, eta > 1.
[[nodiscard]] MCOMP_API double poly_stitching_boundary(double v, double alpha, double v_min, double c = 0,
                                                       double s = 1.4, double eta = 2) noexcept;

/// How far an empirical distribution function is from the true one at most, at all t >= t_min and all points at once
/// (Howard and Ramdas, Theorem 2): A sqrt((log(1 + log(t / t_min)) + C) / t) with the least C for alpha. Infinite below
/// t_min. NaN unless t > 0, t_min >= 1, alpha within (0, 1), a > 1 / sqrt(2).
[[nodiscard]] MCOMP_API double empirical_process_lil_boundary(double t, double alpha, double t_min,
                                                              double a = 0.85) noexcept;

/// Double stitching (Howard and Ramdas, Theorem 3): t |F_t(q_p) - p| stays below it at all t and all quantiles p at
/// once; tightest near t_opt. NaN unless p and alpha within (0, 1), t > 0, t_opt >= 1, delta > 0, s > 1, eta > 1.
[[nodiscard]] MCOMP_API double double_stitching_boundary(double p, double t, double alpha, double t_opt,
                                                         double delta = 0.5, double s = 1.4, double eta = 2) noexcept;

} // namespace mcomp::inline v0::stats
