#include "mcomp/cost/service_time.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "cost/variates.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr double most_variability = 1e6;

Status check_mean(double seconds) {
  if (std::isfinite(seconds) && seconds > 0) return {};
  return Error(ErrorCode::invalid_value, "service time", fmt::format("a mean of {} s is not finite and > 0", seconds),
               "pass measured seconds");
}

Status check_variability(double value, double least, bool least_allowed) {
  if ((value > least || (least_allowed && value == least)) && value <= most_variability) return {};
  return Error(ErrorCode::invalid_value, "service time",
               fmt::format("a squared coefficient of variation of {} is not {} {} and at most {:g}", value,
                           least_allowed ? "at least" : "above", least, most_variability),
               "pass variance over squared mean, or take another kind of distribution");
}

} // namespace

std::string to_string(ServiceKind kind) {
  switch (kind) {
  case ServiceKind::deterministic:
    return "deterministic";
  case ServiceKind::exponential:
    return "exponential";
  case ServiceKind::lognormal:
    return "lognormal";
  case ServiceKind::hyperexponential:
    return "hyperexponential";
  case ServiceKind::empirical:
    return "empirical";
  }
  return "unknown";
}

std::string to_string(const ServiceTime& service) {
  return fmt::format("{}, mean {:.3g} s, squared coefficient of variation {:.3g}", to_string(service.kind()),
                     service.mean(), service.variability());
}

Result<ServiceTime> ServiceTime::deterministic(double seconds) {
  MCOMP_CHECK(check_mean(seconds));
  ServiceTime result;
  result.mean_ = seconds;
  return result;
}

Result<ServiceTime> ServiceTime::exponential(double mean) {
  MCOMP_CHECK(check_mean(mean));
  ServiceTime result;
  result.kind_ = ServiceKind::exponential;
  result.mean_ = mean;
  result.variability_ = 1;
  return result;
}

Result<ServiceTime> ServiceTime::lognormal(double mean, double variability) {
  MCOMP_CHECK(check_mean(mean));
  MCOMP_CHECK(check_variability(variability, 0, false));
  ServiceTime result;
  result.kind_ = ServiceKind::lognormal;
  result.mean_ = mean;
  result.variability_ = variability;
  const double square = std::log1p(variability);
  result.a_ = std::log(mean) - square / 2;
  result.b_ = std::sqrt(square);
  return result;
}

Result<ServiceTime> ServiceTime::hyperexponential(double mean, double variability) {
  MCOMP_CHECK(check_mean(mean));
  MCOMP_CHECK(check_variability(variability, 1, true));
  ServiceTime result;
  result.kind_ = ServiceKind::hyperexponential;
  result.mean_ = mean;
  result.variability_ = variability;
  result.first_ = (1 + std::sqrt((variability - 1) / (variability + 1))) / 2;
  result.a_ = mean / (2 * result.first_);
  result.b_ = mean / (2 * (1 - result.first_));
  return result;
}

Result<ServiceTime> ServiceTime::empirical(std::span<const double> seconds) {
  if (seconds.empty())
    return Error(ErrorCode::insufficient_data, "service time", "there is no measured time", "measure at least one");
  for (std::size_t i = 0; i < seconds.size(); ++i)
    if (!std::isfinite(seconds[i]) || seconds[i] <= 0)
      return Error(ErrorCode::invalid_value, "service time",
                   fmt::format("time {} is {} s, not finite and > 0", i, seconds[i]), "measure again");
  ServiceTime result;
  result.kind_ = ServiceKind::empirical;
  result.sorted_.assign(seconds.begin(), seconds.end());
  std::sort(result.sorted_.begin(), result.sorted_.end());
  result.sums_.reserve(seconds.size());
  double sum = 0;
  for (const double x : result.sorted_) result.sums_.push_back(sum += x);
  const auto n = static_cast<double>(seconds.size());
  result.mean_ = sum / n;
  if (!std::isfinite(sum)) return check_mean(sum).error();
  double square = 0;
  for (const double x : result.sorted_) square += (x / result.mean_ - 1) * (x / result.mean_ - 1);
  result.variability_ = square / n;
  return result;
}

Result<ServiceTime> ServiceTime::scaled(double factor) const {
  if (!std::isfinite(factor) || factor <= 0)
    return Error(ErrorCode::invalid_value, "service time", fmt::format("a factor of {} is not finite and > 0", factor),
                 "pass 1.1 for a tenth more");
  MCOMP_CHECK(check_mean(mean_ * factor));
  if (kind_ == ServiceKind::empirical) {
    std::vector<double> times = sorted_;
    for (double& x : times) x *= factor;
    return empirical(times);
  }
  ServiceTime result = *this;
  result.mean_ *= factor;
  if (kind_ == ServiceKind::lognormal) {
    result.a_ += std::log(factor);
  } else {
    result.a_ *= factor;
    result.b_ *= factor;
  }
  return result;
}

double ServiceTime::cdf(double seconds) const noexcept {
  if (std::isnan(seconds)) return seconds;
  if (seconds <= 0) return 0;
  switch (kind_) {
  case ServiceKind::deterministic:
    return seconds >= mean_ ? 1 : 0;
  case ServiceKind::exponential:
    return -std::expm1(-seconds / mean_);
  case ServiceKind::lognormal:
    return stats::normal_cdf((std::log(seconds) - a_) / b_);
  case ServiceKind::hyperexponential:
    return -first_ * std::expm1(-seconds / a_) - (1 - first_) * std::expm1(-seconds / b_);
  case ServiceKind::empirical:
    return static_cast<double>(std::upper_bound(sorted_.begin(), sorted_.end(), seconds) - sorted_.begin()) /
           static_cast<double>(sorted_.size());
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double ServiceTime::quantile(double probability) const noexcept {
  if (!(probability >= 0 && probability <= 1)) return std::numeric_limits<double>::quiet_NaN();
  switch (kind_) {
  case ServiceKind::deterministic:
    return mean_;
  case ServiceKind::exponential:
    return -mean_ * std::log1p(-probability);
  case ServiceKind::lognormal:
    return std::exp(a_ + b_ * stats::normal_quantile(probability));
  case ServiceKind::hyperexponential: {
    if (probability == 1) return std::numeric_limits<double>::infinity();
    // The slower of the two alone reaches the probability later than the mixture.
    double low = 0, high = -b_ * std::log1p(-probability);
    while (high - low > 1e-14 * high) {
      const double middle = (low + high) / 2;
      if (middle == low || middle == high) break;
      (cdf(middle) < probability ? low : high) = middle;
    }
    return high;
  }
  case ServiceKind::empirical: {
    const auto n = static_cast<double>(sorted_.size());
    const double rank = std::ceil(n * probability);
    return sorted_[static_cast<std::size_t>(std::clamp(rank - 1, 0.0, n - 1))];
  }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double ServiceTime::residual_cdf(double seconds) const noexcept {
  if (std::isnan(seconds)) return seconds;
  if (seconds <= 0) return 0;
  switch (kind_) {
  case ServiceKind::deterministic:
    return std::min(seconds / mean_, 1.0);
  case ServiceKind::exponential:
    return -std::expm1(-seconds / mean_);
  case ServiceKind::lognormal: {
    // E[min(X, t)] = t P(X > t) + E[X; X <= t], and the latter is the mean times a normal probability.
    const double z = (std::log(seconds) - a_) / b_;
    return std::min(1.0, seconds / mean_ * stats::normal_cdf(-z) + stats::normal_cdf(z - b_));
  }
  case ServiceKind::hyperexponential:
    return -std::expm1(-seconds / a_) / 2 - std::expm1(-seconds / b_) / 2;
  case ServiceKind::empirical: {
    const auto at = std::upper_bound(sorted_.begin(), sorted_.end(), seconds) - sorted_.begin();
    const double below = at > 0 ? sums_[static_cast<std::size_t>(at - 1)] : 0;
    const auto above = static_cast<double>(sorted_.size()) - static_cast<double>(at);
    return std::min(1.0, (below + seconds * above) / sums_.back());
  }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double ServiceTime::draw(Random& random) const noexcept {
  switch (kind_) {
  case ServiceKind::deterministic:
    return mean_;
  case ServiceKind::exponential:
    return mean_ * detail::exponential(random);
  case ServiceKind::lognormal:
    return std::exp(a_ + b_ * random.normal());
  case ServiceKind::hyperexponential:
    return (random.uniform() < first_ ? a_ : b_) * detail::exponential(random);
  case ServiceKind::empirical:
    return sorted_[random.below(sorted_.size())];
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double ServiceTime::draw(Random& random, double& partner) const noexcept {
  switch (kind_) {
  case ServiceKind::lognormal: {
    const double z = random.normal();
    partner = -stats::log_normal_cdf(-z);
    return std::exp(a_ + b_ * z);
  }
  case ServiceKind::hyperexponential: {
    const double scale = random.uniform() < first_ ? a_ : b_;
    partner = detail::exponential(random);
    return scale * partner;
  }
  case ServiceKind::empirical: {
    const double u = random.uniform();
    partner = -std::log1p(-u);
    return sorted_[static_cast<std::size_t>(u * static_cast<double>(sorted_.size()))];
  }
  case ServiceKind::deterministic:
  case ServiceKind::exponential:
    break;
  }
  partner = detail::exponential(random);
  return kind_ == ServiceKind::exponential ? mean_ * partner : mean_;
}

} // namespace mcomp::inline v0::cost
