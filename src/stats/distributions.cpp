#include "mcomp/stats/distributions.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace mcomp::inline v0::stats {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// log Gamma(a) less its Stirling approximation (a - 1/2) log a - a + log(2 pi) / 2; a > 0.
double stirling_error(double a) {
  double shift = 0;
  for (; a < 15; ++a) shift += (a + 0.5) * std::log1p(1 / a) - 1;
  const double r = 1 / a, r2 = r * r;
  // Bernoulli series; at a = 15 the first term left out is below 1e-17.
  return shift + r * (1. / 12 +
                      r2 * (-1. / 360 + r2 * (1. / 1260 + r2 * (-1. / 1680 + r2 * (1. / 1188 - r2 * 691. / 360360)))));
}

/// log(1 + u) - u without cancellation, for a ratio = 1 + u > 0.
double log1p_minus(double u, double ratio) {
  if (u < -0.5 || u > 0.5) return std::log(ratio) - u;
  // With w = u / (2 + u), log(1 + u) = 2 (w + w^3/3 + ...) and 2 w - u = -w u.
  const double w = u / (2 + u), w2 = w * w;
  double power = w * w2, sum = 0;
  for (int k = 3; k < 60; k += 2, power *= w2) {
    sum += power / k;
    if (std::abs(power) < 1e-18 * std::abs(sum)) break;
  }
  return 2 * sum - w * u;
}

/// x^a y^b / B(a, b) with y = 1 - x, by Loader's saddle-point form (Fast and Accurate Computation of Binomial
/// Probabilities, 2000), which keeps its digits for a, b in the millions.
struct BetaPower {
  double factor, exponent;
};
BetaPower beta_power_parts(double a, double b, double x, double y) {
  const double n = a + b, d = x < y ? x * n - a : b - y * n; // 0 at the mean
  const double exponent = a * log1p_minus(d / a, x * n / a) + b * log1p_minus(-d / b, y * n / b);
  return {std::sqrt(a * b / (2 * std::numbers::pi * n)),
          exponent + stirling_error(n) - stirling_error(a) - stirling_error(b)};
}
double beta_power(double a, double b, double x, double y) {
  const auto [factor, exponent] = beta_power_parts(a, b, x, y);
  return factor * std::exp(exponent);
}

/// The continued fraction of I_x(a, b) a B(a, b) / (x^a (1 - x)^b) (DLMF 8.17.22) by Lentz's method; takes about
/// sqrt(max(a, b)) terms where x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  const auto nonzero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1, d = 1 / nonzero(1 - (a + b) * x / (a + 1)), h = d;
  for (double m = 1; m < 1e6; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonzero(1 + even * d);
    c = nonzero(1 + even / c);
    h *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonzero(1 + odd * d);
    c = nonzero(1 + odd / c);
    const double change = d * c;
    h *= change;
    if (std::abs(change - 1) < 1e-16) break;
  }
  return h;
}

/// I_x(a, b) where both x and y = 1 - x are known with all their digits.
double beta_cdf(double a, double b, double x, double y) {
  if (x <= 0 || y <= 0) return x <= 0 ? 0 : 1;
  if (x < (a + 1) / (a + b + 2)) return beta_power(a, b, x, y) * beta_fraction(a, b, x) / a;
  return 1 - beta_power(a, b, x, y) * beta_fraction(b, a, y) / b;
}

/// log(x^a e^-x / Gamma(a + 1)).
double log_gamma_power(double a, double x) {
  return a * log1p_minus((x - a) / a, x / a) - stirling_error(a) - 0.5 * std::log(2 * std::numbers::pi * a);
}

/// log P(a, x) by the series of the lower function (DLMF 8.7.1); for x < a + 1.
double log_gamma_series(double a, double x) {
  double sum = 1, term = 1;
  for (double n = 1; n < 1e7 && term > 1e-17 * sum; ++n) sum += term *= x / (a + n);
  return log_gamma_power(a, x) + std::log(sum);
}

/// log Q(a, x) by the continued fraction of the upper function (DLMF 8.9.2) with Lentz's method; for x >= a + 1.
double log_gamma_fraction(double a, double x) {
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (double n = 1; n < 1e7; ++n) {
    const double numerator = -n * (n - a);
    b += 2;
    d = 1 / (numerator * d + b);
    c = b + numerator / c;
    const double change = d * c;
    h *= change;
    if (std::abs(change - 1) < 1e-16) break;
  }
  return log_gamma_power(a, x) + std::log(a * h);
}

/// log(1 - exp(x)) for x <= 0.
double log_complement(double x) {
  return x > -0.6931471805599453 ? std::log(-std::expm1(x)) : std::log1p(-std::exp(x));
}

} // namespace

double log_gamma(double a) noexcept {
  if (!(a > 0)) return nan;
  return (a - 0.5) * std::log(a) - a + 0.5 * std::log(2 * std::numbers::pi) + stirling_error(a);
}

double log_beta(double a, double b) noexcept {
  if (!(a > 0 && b > 0) || std::isinf(a) || std::isinf(b)) return nan;
  // log(a / (a + b)) in the form that keeps its digits where the ratio is near 1.
  const double log_x = a > b ? -std::log1p(b / a) : std::log(a / (a + b));
  const double log_y = b > a ? -std::log1p(a / b) : std::log(b / (a + b));
  return (a - 0.5) * log_x + (b - 0.5) * log_y - 0.5 * std::log((a + b) / (2 * std::numbers::pi)) +
         (stirling_error(a) + stirling_error(b) - stirling_error(a + b));
}

double log_gamma_p(double a, double x) noexcept {
  if (!(a > 0 && x >= 0) || std::isinf(a)) return nan;
  if (x == 0) return -infinity;
  if (std::isinf(x)) return 0;
  return x < a + 1 ? log_gamma_series(a, x) : log_complement(log_gamma_fraction(a, x));
}

double log_gamma_q(double a, double x) noexcept {
  if (!(a > 0 && x >= 0) || std::isinf(a)) return nan;
  if (x == 0) return 0;
  if (std::isinf(x)) return -infinity;
  return x < a + 1 ? log_complement(log_gamma_series(a, x)) : log_gamma_fraction(a, x);
}

double chi_squared_tail(double x, double degrees_of_freedom) noexcept {
  return std::exp(log_gamma_q(degrees_of_freedom / 2, x / 2));
}

double log_normal_cdf(double x) noexcept {
  if (x > -30) return std::log(normal_cdf(x));
  // Asymptotic series of the tail (DLMF 7.12.1); at -30 the first term left out is below 1e-13.
  const double r = 1 / (x * x);
  return -0.5 * x * x - std::log(-x) - 0.5 * std::log(2 * std::numbers::pi) +
         std::log1p(-r * (1 - r * (3 - r * (15 - r * (105 - r * 945)))));
}

double student_t_cdf(double t, double degrees_of_freedom) noexcept {
  const double v = degrees_of_freedom;
  if (!(v > 0) || std::isnan(t)) return nan;
  if (std::isinf(v)) return normal_cdf(t);
  if (std::isinf(t)) return t < 0 ? 0 : 1;
  // v / (v + t^2) and its complement, each without cancellation.
  const double square = t * t, x = 1 / (1 + square / v), y = std::isinf(square) ? 1 : square / (v + square);
  const double tail = 0.5 * beta_cdf(v / 2, 0.5, x, y);
  return t < 0 ? tail : 1 - tail;
}

double student_t_quantile(double probability, double degrees_of_freedom) noexcept {
  const double v = degrees_of_freedom;
  if (!(v > 0 && probability >= 0 && probability <= 1)) return nan;
  if (std::isinf(v)) return normal_quantile(probability);
  if (probability > 0.5) return -student_t_quantile(1 - probability, v);
  if (probability == 0) return -infinity;
  if (probability == 0.5) return 0;
  // On log(-t) the tail is a straight line in log P; Newton there from the normal quantile, inside a bracket.
  const auto log_tail = [v](double log_t) {
    const double t = std::exp(log_t);
    return std::log(student_t_cdf(-t, v));
  };
  const double target = std::log(probability);
  double lower = -700, upper = 700, log_t = std::log(-normal_quantile(probability));
  if (!(log_t > lower)) log_t = -1;
  for (int step = 0; step < 200; ++step) {
    const double value = log_tail(log_t);
    if (value == target) break;
    (value > target ? lower : upper) = log_t;
    const double t = std::exp(log_t);
    // Density by its logarithm: Gamma((v + 1) / 2) / Gamma(v / 2) is sqrt(pi) / B(v / 2, 1 / 2).
    const double log_density = -log_beta(v / 2, 0.5) - 0.5 * std::log(v) - 0.5 * (v + 1) * std::log1p(t / v * t);
    double next = log_t + (value - target) * std::exp(value - log_density - log_t);
    if (!(next > lower && next < upper)) next = 0.5 * (lower + upper);
    const double change = std::abs(next - log_t);
    log_t = next;
    if (change <= 4e-16 * std::max(1.0, std::abs(log_t))) break;
  }
  return -std::exp(log_t);
}

double normal_cdf(double x) noexcept {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

double normal_quantile(double probability) noexcept {
  if (!(probability >= 0 && probability <= 1)) return nan;
  if (probability > 0.5) return -normal_quantile(1 - probability);
  if (probability == 0) return -infinity;
  // Abramowitz and Stegun 26.2.23, within 4.5e-4; each step of Halley's method cubes the error.
  const double t = std::sqrt(-2 * std::log(probability));
  double x = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
  for (int step = 0; step < 3; ++step) {
    const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
    if (density <= 0) break;
    const double newton = (normal_cdf(x) - probability) / density;
    x -= newton / (1 + 0.5 * x * newton);
  }
  return x;
}

double chi_squared_tail(double x) noexcept {
  return x >= 0 ? std::erfc(std::sqrt(x / 2)) : nan;
}

double incomplete_beta(double a, double b, double x) noexcept {
  if (!(a > 0 && b > 0 && x >= 0 && x <= 1) || std::isinf(a) || std::isinf(b)) return nan;
  return beta_cdf(a, b, x, 1 - x);
}

double log_incomplete_beta(double a, double b, double x) noexcept {
  if (!(a > 0 && b > 0 && x >= 0 && x <= 1) || std::isinf(a) || std::isinf(b)) return nan;
  const double y = 1 - x;
  if (x <= 0 || y <= 0) return x <= 0 ? -infinity : 0;
  if (x >= (a + 1) / (a + b + 2)) return std::log(beta_cdf(a, b, x, y));
  const auto [factor, exponent] = beta_power_parts(a, b, x, y);
  return exponent + std::log(factor * beta_fraction(a, b, x) / a);
}

double beta_quantile(double a, double b, double probability) noexcept {
  if (!(a > 0 && b > 0 && probability >= 0 && probability <= 1) || std::isinf(a) || std::isinf(b)) return nan;
  if (probability == 0 || probability == 1) return probability;
  double lower = 0, upper = 1, x = a / (a + b);
  // Newton inside a bracket. In the lower half on logarithms, where the tail x^a is a straight line; where Newton
  // leaves the bracket, and now and then in case it is slow, the bracket is cut, on the scale of logarithms too.
  for (int step = 0; step < 200; ++step) {
    const double cdf = beta_cdf(a, b, x, 1 - x), density = beta_power(a, b, x, 1 - x) / (x * (1 - x));
    if (cdf == probability) return x;
    (cdf > probability ? upper : lower) = x;
    double next = probability < 0.5 ? x * std::exp(std::log(probability / cdf) * cdf / (x * density))
                                    : x - (cdf - probability) / density;
    if (!(next > lower && next < upper) || step % 8 == 7) next = lower > 0 ? std::sqrt(lower * upper) : upper * 0x1p-20;
    const double change = std::abs(next - x);
    x = next;
    if (change <= 4 * std::numeric_limits<double>::epsilon() * x) break;
  }
  return x;
}

double binomial_probability(double k, double trials, double probability) noexcept {
  if (!(trials >= 0 && probability >= 0 && probability <= 1) || std::isinf(trials)) return nan;
  if (!(k >= 0 && k <= trials) || k != std::floor(k)) return std::isnan(k) ? nan : 0;
  if (k == 0) return std::exp(trials * std::log1p(-probability)); // exp(-infinity) where probability is 1
  if (k == trials) return std::pow(probability, trials);
  if (probability == 0 || probability == 1) return 0;
  // B(k + 1, n - k + 1) (n + 1) is 1 / (n choose k).
  const double a = k + 1, b = trials - k + 1;
  return beta_power(a, b, probability, 1 - probability) / (probability * (1 - probability) * (trials + 1));
}

double binomial_cdf(double k, double trials, double probability) noexcept {
  if (!(trials >= 0 && probability >= 0 && probability <= 1) || std::isinf(trials) || std::isnan(k)) return nan;
  k = std::floor(k);
  if (k < 0) return 0;
  if (k >= trials) return 1;
  return beta_cdf(trials - k, k + 1, 1 - probability, probability);
}

} // namespace mcomp::inline v0::stats
