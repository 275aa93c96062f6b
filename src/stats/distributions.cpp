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
double beta_power(double a, double b, double x, double y) {
  const double n = a + b, d = x < y ? x * n - a : b - y * n; // 0 at the mean
  const double exponent = a * log1p_minus(d / a, x * n / a) + b * log1p_minus(-d / b, y * n / b);
  return std::sqrt(a * b / (2 * std::numbers::pi * n)) *
         std::exp(exponent + stirling_error(n) - stirling_error(a) - stirling_error(b));
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

} // namespace

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
