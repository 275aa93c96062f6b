#include "mcomp/stats/confidence_sequence.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"
#include "mcomp/stats/uniform_boundary.hpp"
#include "stats/beta_mixture.hpp"
#include "stats/interval.hpp"
#include "stats/root.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Status check_planned(double planned, const char* name) {
  if (planned > 0 && std::isfinite(planned)) return {};
  return Error(ErrorCode::invalid_argument, name, fmt::format("it must be positive and finite, it is {}", planned),
               "pass how many observations are expected");
}

Status check(const AsymptoticOptions& options) {
  MCOMP_CHECK(detail::check_level(options.level));
  MCOMP_CHECK(check_planned(options.planned_observations, "planned_observations"));
  const double alpha = 1 - options.level;
  if (options.alternative != Alternative::two_sided && !(alpha < 0.5))
    return Error(ErrorCode::invalid_argument, "level",
                 fmt::format("a one-sided sequence needs a level above 0.5, it is {}", options.level),
                 "pass a fraction such as 0.95");
  if (options.first_look < 2)
    return Error(ErrorCode::invalid_argument, "first_look",
                 fmt::format("a variance takes two observations, it is {}", options.first_look), "pass 100 or more");
  if (!std::isfinite(options.null_value))
    return Error(ErrorCode::invalid_argument, "null_value",
                 fmt::format("it must be finite, it is {}", options.null_value),
                 "pass the mean under the null hypothesis");
  return {};
}

double rho_squared(const AsymptoticOptions& options) {
  return asymptotic_rho_squared(1 - options.level, options.planned_observations,
                                options.alternative != Alternative::two_sided);
}

/// The interval around `estimate`, with standard deviation `deviation` of one of n observations.
Interval around(const AsymptoticOptions& options, double rho2, double estimate, double deviation, std::int64_t n,
                bool known) {
  Interval interval{-infinity, infinity, options.level};
  if (!known) return interval;
  const bool one_sided = options.alternative != Alternative::two_sided;
  const double radius = deviation * asymptotic_radius(static_cast<double>(n), rho2, 1 - options.level, one_sided);
  if (options.alternative != Alternative::less) interval.lower = estimate - radius;
  if (options.alternative != Alternative::greater) interval.upper = estimate + radius;
  return interval;
}

/// The e-value of an estimate whose deviation may be 0: without any spread a departure from the null is no evidence
/// that a normal approximation could weigh.
double e_value(const AsymptoticOptions& options, double rho2, double estimate, double deviation, std::int64_t n) {
  if (!(deviation > 0)) return 1;
  const double t = (estimate - options.null_value) / deviation;
  return std::exp(std::min(700.0, asymptotic_log_e_value(t, static_cast<double>(n), rho2, options.alternative)));
}

} // namespace

Result<Interval> bernoulli_confidence_interval(std::int64_t successes, std::int64_t trials,
                                               const BernoulliSequenceOptions& options) {
  MCOMP_CHECK(detail::check_level(options.level));
  MCOMP_CHECK(check_planned(options.planned_trials, "planned_trials"));
  MCOMP_CHECK(detail::check_counts(successes, trials));
  const detail::CentredBetaMixture mixture{.planned = options.planned_trials, .alpha = 1 - options.level};
  const double s = static_cast<double>(successes), f = static_cast<double>(trials - successes);
  const double estimate = s / (s + f), threshold = -std::log(1 - options.level);
  const auto excess = [&](double p) { return mixture.log_mixture(s, f, p) - threshold; };
  // Towards 0 the mixture grows without bound where there was a success, but perhaps nowhere else.
  constexpr double edge = 1e-300;
  Interval interval{0, 1, options.level};
  if (successes > 0 && excess(edge) > 0)
    interval.lower = detail::find_root(excess, edge, std::min(estimate, 1 - 0x1p-53));
  if (successes < trials && excess(1 - 0x1p-53) > 0)
    interval.upper = detail::find_root(excess, std::max(estimate, edge), 1 - 0x1p-53);
  return interval;
}

double asymptotic_rho_squared(double alpha, double planned, bool one_sided) noexcept {
  return 1 / TwoSidedNormalMixture::best_rho(planned, one_sided ? 2 * alpha : alpha);
}

double asymptotic_radius(double n, double rho2, double alpha, bool one_sided) noexcept {
  if (!(n > 0 && rho2 > 0 && alpha > 0 && alpha < 1)) return std::numeric_limits<double>::quiet_NaN();
  const double growth = n * rho2 + 1;
  const double log = one_sided ? std::log1p(std::sqrt(growth) / (2 * alpha)) : 0.5 * std::log(growth) - std::log(alpha);
  return std::sqrt(2 * growth / (n * n * rho2) * log);
}

double asymptotic_log_e_value(double t, double n, double rho2, Alternative alternative) noexcept {
  const double growth = n * rho2 + 1, root = std::sqrt(growth);
  if (alternative == Alternative::two_sided) return n * n * rho2 * t * t / (2 * growth) - 0.5 * std::log(growth);
  // The mixture over the half-normal, s / sqrt(v + rho) with rho = 1 / rho^2.
  const double z = (alternative == Alternative::greater ? t : -t) * n * std::sqrt(rho2) / root;
  return 0.6931471805599453 + 0.5 * z * z + log_normal_cdf(z) - 0.5 * std::log(growth);
}

AsymptoticMeanSequence::AsymptoticMeanSequence(const AsymptoticOptions& options) noexcept
    : options_(options), rho_squared_(rho_squared(options)) {}

Result<AsymptoticMeanSequence> AsymptoticMeanSequence::create(const AsymptoticOptions& options) {
  MCOMP_CHECK(check(options));
  return AsymptoticMeanSequence(options);
}

void AsymptoticMeanSequence::update(double value) noexcept {
  if (!std::isfinite(value)) {
    ++rejected_;
    return;
  }
  moments_.update(value);
  if (moments_.count() >= options_.first_look)
    evidence_.update(
        stats::e_value(options_, rho_squared_, moments_.mean(), std::sqrt(moments_.variance()), moments_.count()));
}

Interval AsymptoticMeanSequence::interval() const noexcept {
  return around(options_, rho_squared_, moments_.mean(), std::sqrt(moments_.variance()), moments_.count(),
                moments_.count() >= options_.first_look);
}

AsymptoticDifferenceSequence::AsymptoticDifferenceSequence(const AsymptoticOptions& options) noexcept
    : options_(options), rho_squared_(rho_squared(options)) {}

Result<AsymptoticDifferenceSequence> AsymptoticDifferenceSequence::create(const AsymptoticOptions& options) {
  MCOMP_CHECK(check(options));
  return AsymptoticDifferenceSequence(options);
}

double AsymptoticDifferenceSequence::variance() const noexcept {
  const auto a = static_cast<double>(arms_[0].count()), b = static_cast<double>(arms_[1].count());
  if (a < 2 || b < 2) return 0;
  return (a + b) * (arms_[0].variance() / a + arms_[1].variance() / b);
}

void AsymptoticDifferenceSequence::update(int arm, double value) noexcept {
  if (!std::isfinite(value)) {
    ++rejected_;
    return;
  }
  arms_[arm].update(value);
  const std::int64_t n = arms_[0].count() + arms_[1].count();
  if (n >= options_.first_look)
    evidence_.update(
        stats::e_value(options_, rho_squared_, arms_[1].mean() - arms_[0].mean(), std::sqrt(variance()), n));
}

Interval AsymptoticDifferenceSequence::interval() const noexcept {
  const std::int64_t n = arms_[0].count() + arms_[1].count();
  return around(options_, rho_squared_, arms_[1].mean() - arms_[0].mean(), std::sqrt(variance()), n,
                n >= options_.first_look && arms_[0].count() >= 2 && arms_[1].count() >= 2);
}

namespace {

/// The bet of time t = count + 1 before the value is seen: sqrt(2 log(2 / alpha) / (variance t log(1 + t))), with the
/// variance estimate (1/4 + sum of squares) / t.
double plug_in_bet(double log_threshold, double squares, std::int64_t count) {
  const auto t = static_cast<double>(count + 1);
  return std::sqrt(2 * log_threshold / ((0.25 + squares) * std::log1p(t)));
}

/// The mean estimate (1/2 + sum) / (count + 1).
double shrunk_mean(double sum, std::int64_t count) {
  return (0.5 + sum) / static_cast<double>(count + 1);
}

} // namespace

EmpiricalBernsteinSequence::EmpiricalBernsteinSequence(double level) noexcept
    : level_(level), log_threshold_(std::log(2 / (1 - level))) {}

Result<EmpiricalBernsteinSequence> EmpiricalBernsteinSequence::create(const BoundedMeanOptions& options) {
  MCOMP_CHECK(detail::check_level(options.level));
  return EmpiricalBernsteinSequence(options.level);
}

void EmpiricalBernsteinSequence::update(double value) noexcept {
  if (!(value >= 0 && value <= 1)) {
    ++rejected_;
    return;
  }
  const double lambda = std::min(0.5, plug_in_bet(log_threshold_, squares_, count_));
  const double deviation = value - shrunk_mean(sum_, count_);
  weights_ += lambda;
  weighted_ += lambda * value;
  cost_ += deviation * deviation * (-std::log1p(-lambda) - lambda);
  ++count_;
  sum_ += value;
  const double after = value - shrunk_mean(sum_, count_);
  squares_ += after * after;
  const double centre = weighted_ / weights_, radius = (log_threshold_ + cost_) / weights_;
  lower_ = std::max(lower_, centre - radius);
  upper_ = std::min(upper_, centre + radius);
}

BettingSequence::BettingSequence(const BettingOptions& options)
    : level_(options.level), log_threshold_(std::log(2 / (1 - options.level))),
      up_(static_cast<std::size_t>(options.grid), 1.0), down_(up_), last_(up_.size()) {}

Result<BettingSequence> BettingSequence::create(const BettingOptions& options) {
  MCOMP_CHECK(detail::check_level(options.level));
  if (options.grid < 2 || options.grid > std::int64_t{1} << 24)
    return Error(ErrorCode::invalid_argument, "grid",
                 fmt::format("it must lie within 2 .. 2^24, it is {}", options.grid),
                 "pass about one over the precision wanted");
  return BettingSequence(options);
}

void BettingSequence::update(double value) noexcept {
  if (!(value >= 0 && value <= 1)) {
    ++rejected_;
    return;
  }
  const double bet = plug_in_bet(log_threshold_, squares_, count_), step = 1 / static_cast<double>(up_.size() + 1);
  for (std::size_t i = first_; i < last_; ++i) {
    // At most half of the capital may be lost at once.
    const double m = static_cast<double>(i + 1) * step, gain = value - m;
    up_[i] *= 1 + std::min(bet, 0.5 / m) * gain;
    down_[i] *= 1 - std::min(bet, 0.5 / (1 - m)) * gain;
  }
  ++count_;
  sum_ += value;
  const double after = value - shrunk_mean(sum_, count_);
  squares_ += after * after;
  // The capital falls with m in one direction and rises in the other, so that what is left is an interval.
  const double limit = 2 / (1 - level_);
  while (first_ < last_ && up_[first_] >= limit) ++first_;
  while (first_ < last_ && down_[last_ - 1] >= limit) --last_;
}

Interval BettingSequence::interval() const noexcept {
  // The neighbours of what is left: the means between grid points are not rejected.
  const double step = 1 / static_cast<double>(up_.size() + 1);
  if (first_ >= last_) {
    const double between = static_cast<double>(first_) * step;
    return {std::nextafter(between, 2), between, level_};
  }
  return {static_cast<double>(first_) * step, static_cast<double>(last_ + 1) * step, level_};
}

} // namespace mcomp::inline v0::stats
