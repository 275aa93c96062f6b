#include "mcomp/stats/uniform_boundary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"
#include "stats/root.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

bool open_fraction(double value) {
  return value > 0 && value < 1;
}

Status check_positive(double value, const char* name, const char* remedy) {
  if (value > 0 && std::isfinite(value)) return {};
  return Error(ErrorCode::invalid_argument, name, fmt::format("it must be positive and finite, it is {}", value),
               remedy);
}

Status check_tuning(const BoundaryTuning& tuning, bool one_sided) {
  MCOMP_CHECK(
      check_positive(tuning.variance, "tuning.variance", "pass the observations planned times the variance of one"));
  const double most = one_sided ? 0.5 : 1;
  if (!(tuning.alpha > 0 && tuning.alpha < most))
    return Error(ErrorCode::invalid_argument, "tuning.alpha",
                 fmt::format("it must lie between 0 and {}, it is {}", most, tuning.alpha),
                 "pass a level such as 0.05");
  return {};
}

/// The s >= 0 at which a mixture that rises with s reaches 1 / alpha.
template <class Mixture> double solve(const Mixture& mixture, double v, double alpha) {
  if (!(v >= 0 && open_fraction(alpha)) || std::isinf(v)) return nan;
  const double threshold = -std::log(alpha);
  const auto excess = [&](double s) { return mixture.log_mixture(s, v) - threshold; };
  double upper = std::max(v, 1.0);
  while (excess(upper) < 0) {
    upper *= 2;
    if (std::isinf(upper)) return nan;
  }
  return detail::find_root(excess, 0, upper);
}

/// Riemann's zeta function for s > 1, by Euler and Maclaurin's formula after 16 terms.
double zeta(double s) {
  constexpr double n = 16;
  double sum = 0;
  for (double k = 1; k < n; ++k) sum += std::pow(k, -s);
  const double power = std::pow(n, -s);
  // B_2 / 2!, B_4 / 4!, B_6 / 6!, B_8 / 8! with rising factorials of s; the first term left out is below 1e-15.
  double rising = s / n, tail = power / 2 + power * n / (s - 1);
  const double bernoulli[] = {1. / 12, -1. / 720, 1. / 30240, -1. / 1209600};
  for (int k = 0; k < 4; ++k) {
    tail += bernoulli[k] * rising * power;
    rising *= (s + 2 * k + 1) * (s + 2 * k + 2) / (n * n);
  }
  return sum + tail;
}

/// k1 and k2 of the stitched boundaries.
struct Stitch {
  double k1, k2;
  explicit Stitch(double eta)
      : k1((std::pow(eta, 0.25) + std::pow(eta, -0.25)) / std::numbers::sqrt2), k2((std::sqrt(eta) + 1) / 2) {}
  [[nodiscard]] double operator()(double variance, double c, double ell) const {
    const double linear = k2 * c * ell;
    return std::sqrt(k1 * k1 * variance * ell + linear * linear) + linear;
  }
};

/// The least C of the law of the iterated logarithm for the empirical process, at level alpha.
double empirical_process_constant(double alpha, double a) {
  // Howard and Ramdas, Theorem 2: the error for given C and eta, infinite where the condition gamma > 1 fails.
  const auto log_error = [a](double c, double eta) {
    const double root = a - std::sqrt(2 * (eta - 1) / c), gamma2 = root > 0 ? 2 / eta * root * root : 0;
    if (gamma2 <= 1) return infinity;
    return std::log(4.) - gamma2 * c + std::log1p(1 / ((gamma2 - 1) * std::log(eta)));
  };
  const auto least_log_error = [&](double log_c) {
    const double c = std::exp(log_c);
    // The largest eta with gamma >= 1.
    const auto slack = [&](double eta) { return a - std::sqrt(eta / 2) - std::sqrt(2 * (eta - 1) / c); };
    const double top = detail::find_root(slack, 1, 2 * a * a);
    const double eta = detail::find_minimum([&](double e) { return log_error(c, e); }, 1, top, 1e-9 * (top - 1));
    return log_error(c, eta);
  };
  const auto excess = [&](double log_c) { return std::min(least_log_error(log_c), 1e300) - std::log(alpha); };
  double low = -3, high = 3;
  while (excess(high) > 0 && high < 600) high += 2;
  while (excess(low) < 0 && low > -600) low -= 2;
  return std::exp(detail::find_root(excess, low, high, 1e-13));
}

} // namespace

Result<TwoSidedNormalMixture> TwoSidedNormalMixture::create(const BoundaryTuning& tuning) {
  MCOMP_CHECK(check_tuning(tuning, false));
  return TwoSidedNormalMixture(best_rho(tuning.variance, tuning.alpha));
}
double TwoSidedNormalMixture::best_rho(double v, double alpha) noexcept {
  if (!(v > 0 && open_fraction(alpha))) return nan;
  const double twice_log = -2 * std::log(alpha);
  return v / (twice_log + std::log1p(twice_log));
}
double TwoSidedNormalMixture::log_mixture(double s, double v) const noexcept {
  if (!(v >= 0)) return nan;
  return -0.5 * std::log1p(v / rho_) + s * s / (2 * (v + rho_));
}
double TwoSidedNormalMixture::boundary(double v, double alpha) const noexcept {
  if (!(v >= 0 && open_fraction(alpha))) return nan;
  return std::sqrt((v + rho_) * (std::log1p(v / rho_) - 2 * std::log(alpha)));
}

Result<OneSidedNormalMixture> OneSidedNormalMixture::create(const BoundaryTuning& tuning) {
  MCOMP_CHECK(check_tuning(tuning, true));
  return OneSidedNormalMixture(best_rho(tuning.variance, tuning.alpha));
}
double OneSidedNormalMixture::best_rho(double v, double alpha) noexcept {
  return TwoSidedNormalMixture::best_rho(v, 2 * alpha);
}
double OneSidedNormalMixture::log_mixture(double s, double v) const noexcept {
  if (!(v >= 0)) return nan;
  return std::numbers::ln2 - 0.5 * std::log1p(v / rho_) + s * s / (2 * (v + rho_)) +
         log_normal_cdf(s / std::sqrt(v + rho_));
}
double OneSidedNormalMixture::boundary(double v, double alpha) const noexcept {
  return solve(*this, v, alpha);
}

GammaExponentialMixture::GammaExponentialMixture(double rho, double c) noexcept : rho_(rho), c_(c) {
  const double a = rho / (c * c);
  constant_ = a * std::log(a) - log_gamma(a) - log_gamma_p(a, a);
}
Result<GammaExponentialMixture> GammaExponentialMixture::create(const BoundaryTuning& tuning, double c) {
  MCOMP_CHECK(check_tuning(tuning, true));
  MCOMP_CHECK(check_positive(c, "c", "pass the scale of the observations, such as their upper bound"));
  return GammaExponentialMixture(OneSidedNormalMixture::best_rho(tuning.variance, tuning.alpha), c);
}
double GammaExponentialMixture::log_mixture(double s, double v) const noexcept {
  if (!(v >= 0)) return nan;
  const double a = (v + rho_) / (c_ * c_), shift = s / c_ + v / (c_ * c_), x = s / c_ + a;
  // The observations cannot have summed to less: nothing speaks against the null hypothesis from above.
  if (!(x > 0)) return std::isnan(s) ? nan : -infinity;
  return constant_ + log_gamma(a) + log_gamma_p(a, x) - a * std::log(x) + shift;
}
double GammaExponentialMixture::boundary(double v, double alpha) const noexcept {
  return solve(*this, v, alpha);
}

GammaPoissonMixture::GammaPoissonMixture(double rho, double c) noexcept : rho_(rho), c_(c) {
  const double a = rho / (c * c);
  constant_ = a * std::log(a) - log_gamma(a) - log_gamma_q(a, a);
}
Result<GammaPoissonMixture> GammaPoissonMixture::create(const BoundaryTuning& tuning, double c) {
  MCOMP_CHECK(check_tuning(tuning, true));
  MCOMP_CHECK(check_positive(c, "c", "pass the scale of the observations, such as their upper bound"));
  return GammaPoissonMixture(OneSidedNormalMixture::best_rho(tuning.variance, tuning.alpha), c);
}
double GammaPoissonMixture::log_mixture(double s, double v) const noexcept {
  if (!(v >= 0)) return nan;
  const double a = (v + rho_) / (c_ * c_), x = s / c_ + a;
  if (!(x > 0)) return std::isnan(s) ? nan : -infinity;
  return constant_ + log_gamma(x) + log_gamma_q(x, a) - x * std::log(a) + v / (c_ * c_);
}
double GammaPoissonMixture::boundary(double v, double alpha) const noexcept {
  return solve(*this, v, alpha);
}

BetaBinomialMixture::BetaBinomialMixture(double r, double g, double h, bool one_sided) noexcept
    : r_(r), g_(g), h_(h), split_(one_sided ? h / (g + h) : 1) {
  const double a = r / (g * (g + h)), b = r / (h * (g + h));
  constant_ = log_beta(a, b) + log_incomplete_beta(a, b, split_);
}
Result<BetaBinomialMixture> BetaBinomialMixture::create(const BoundaryTuning& tuning, double g, double h,
                                                        bool one_sided) {
  MCOMP_CHECK(check_tuning(tuning, one_sided));
  MCOMP_CHECK(check_positive(g, "g", "pass how far observations lie below their mean at most"));
  MCOMP_CHECK(check_positive(h, "h", "pass how far observations lie above their mean at most"));
  const double rho = one_sided ? OneSidedNormalMixture::best_rho(tuning.variance, tuning.alpha)
                               : TwoSidedNormalMixture::best_rho(tuning.variance, tuning.alpha);
  return BetaBinomialMixture(std::max(rho - g * h, 1e-3 * g * h), g, h, one_sided);
}
double BetaBinomialMixture::log_mixture(double s, double v) const noexcept {
  if (!(v >= 0)) return nan;
  // As many observations at -g and at h as give s and v.
  const double low = (v - g_ * s) / (g_ * (g_ + h_)), high = (v + h_ * s) / (h_ * (g_ + h_));
  const double rounding = -1e-9 * std::max(1.0, v / (g_ * h_));
  if (!(low >= rounding && high >= rounding)) return nan;
  const double a = r_ / (g_ * (g_ + h_)) + std::max(low, 0.0), b = r_ / (h_ * (g_ + h_)) + std::max(high, 0.0);
  return -high * std::log(g_ / (g_ + h_)) - low * std::log(h_ / (g_ + h_)) + log_beta(a, b) +
         log_incomplete_beta(a, b, split_) - constant_;
}
double BetaBinomialMixture::boundary(double v, double alpha) const noexcept {
  if (!(v >= 0 && open_fraction(alpha)) || std::isinf(v)) return nan;
  const double largest = v / g_;
  const auto excess = [&](double s) { return log_mixture(s, v) + std::log(alpha); };
  return excess(largest) <= 0 ? largest : detail::find_root(excess, 0, largest);
}

double poly_stitching_boundary(double v, double alpha, double v_min, double c, double s, double eta) noexcept {
  if (!(v >= 0 && v_min > 0 && open_fraction(alpha) && s > 1 && eta > 1)) return nan;
  const double used = std::max(v, v_min);
  const double ell =
      s * std::log(std::log(eta * used / v_min)) + std::log(zeta(s)) - s * std::log(std::log(eta)) - std::log(alpha);
  return Stitch(eta)(used, c, ell);
}

double empirical_process_lil_boundary(double t, double alpha, double t_min, double a) noexcept {
  if (!(t > 0 && t_min >= 1 && open_fraction(alpha) && a > 1 / std::numbers::sqrt2 && std::isfinite(a))) return nan;
  if (t < t_min) return infinity;
  return a * std::sqrt((std::log1p(std::log(t / t_min)) + empirical_process_constant(alpha, a)) / t);
}

double double_stitching_boundary(double p, double t, double alpha, double t_opt, double delta, double s,
                                 double eta) noexcept {
  if (!(open_fraction(p) && open_fraction(alpha) && t > 0 && t_opt >= 1 && delta > 0 && s > 1 && eta > 1)) return nan;
  const double used = std::max(t, t_opt), logit = std::log(p / (1 - p));
  // The largest variance among the quantiles that share a stitch with p.
  const double shifted = 1 / (1 + std::exp(-(logit + 2 * delta * std::sqrt(t_opt * eta / used))));
  const double r = p >= 0.5 ? p : std::min(0.5, shifted), variance = r * (1 - r);
  const double j = std::sqrt(used / t_opt) * std::abs(logit) / (2 * delta) + 1, z = zeta(s);
  const double ell = s * std::log(std::log(eta * used / t_opt)) + s * std::log(j) +
                     std::log(2 * z * (2 * z + 1) / alpha) - s * std::log(std::log(eta));
  return delta * std::sqrt(eta * used * variance / t_opt) + Stitch(eta)(variance * used, (1 - 2 * p) / 3, ell);
}

} // namespace mcomp::inline v0::stats
