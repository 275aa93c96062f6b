#include "cost/scaling_controller.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mcomp::inline v0::cost::detail {

namespace {

constexpr double long_ago = -std::numeric_limits<double>::infinity();
constexpr double day_seconds = 86400;
constexpr std::size_t recent = 10;

/// Up to the next whole number, but for rounding errors of sums that are whole.
double whole(double instances) {
  return std::ceil(instances * (1 - 1e-9));
}

} // namespace

ScalingController::ScalingController(const AutoscaleOptions& options, double clock)
    : options_(options), clock_(clock), last_out_(long_ago), last_change_(long_ago) {}

double ScalingController::limited(double instances) const {
  return std::clamp(instances, static_cast<double>(options_.min_instances),
                    static_cast<double>(options_.max_instances));
}

std::int64_t ScalingController::initial(double requests_per_second) const {
  if (options_.initial_instances > 0) return options_.initial_instances;
  if (const auto* scheduled = std::get_if<Scheduled>(&options_.policy))
    return static_cast<std::int64_t>(limited(wish(*scheduled, {})));
  const double servers = requests_per_second * options_.service.mean() / 0.6;
  return static_cast<std::int64_t>(limited(whole(servers / static_cast<double>(options_.servers_per_instance))));
}

std::int64_t ScalingController::decide(const ScalingSignals& signals) {
  rates_.push_back(signals.requests_per_second);
  const std::int64_t present = signals.up + signals.booting;
  const auto wanted = static_cast<std::int64_t>(limited(wish(signals)));
  // Sums of decision periods are not exact: a cool-down of five periods ends with the fifth.
  const double now = signals.now + 1e-6;
  if (wanted > present) {
    if (now - last_out_ < options_.cooldown_out_seconds) return present;
    last_out_ = last_change_ = signals.now;
    return present + std::min(wanted - present, options_.max_surge);
  }
  if (wanted < present) {
    if (now - last_change_ < options_.cooldown_in_seconds) return present;
    last_change_ = signals.now;
    return wanted;
  }
  return present;
}

double ScalingController::wish(const ScalingSignals& signals) const {
  return std::visit([&](const auto& policy) { return wish(policy, signals); }, options_.policy);
}

double ScalingController::wish(const TargetUtilization& policy, const ScalingSignals& signals) const {
  if (std::abs(signals.utilization / policy.target - 1) <= policy.tolerance)
    return static_cast<double>(signals.up + signals.booting);
  return whole(signals.utilization * signals.served_by / policy.target);
}

double ScalingController::wish(const QueueLengthTarget& policy, const ScalingSignals& signals) const {
  const double up = static_cast<double>(signals.up), present = up + static_cast<double>(signals.booting);
  if (signals.waiting > policy.high * up) return present + std::max(1.0, whole(policy.step * present));
  if (signals.waiting <= policy.low * up &&
      signals.utilization * signals.served_by < policy.utilization * (present - 1))
    return present - 1;
  return present;
}

double ScalingController::wish(const Scheduled& policy, const ScalingSignals& signals) const {
  const double hour = std::fmod(clock_ + signals.now, day_seconds) / 3600 + 1e-9;
  // Before the first entry of a day the last one of the day before holds.
  std::int64_t instances = policy.entries.back().instances;
  for (const Scheduled::Entry& entry : policy.entries)
    if (entry.hour <= hour) instances = entry.instances;
  return static_cast<double>(instances);
}

double ScalingController::wish(const Predictive& policy, const ScalingSignals& signals) const {
  const std::size_t n = rates_.size();
  const auto ahead = static_cast<std::size_t>(std::ceil(policy.lookahead_seconds / options_.decision_seconds));
  const auto day = static_cast<std::size_t>(std::round(day_seconds / options_.decision_seconds));
  const std::size_t window = std::min(recent, n);
  double expected = signals.requests_per_second;
  if (n > day + window) {
    double now = 0, then = 0;
    for (std::size_t i = n - window; i < n; ++i) {
      now += rates_[i];
      then += rates_[i - day];
    }
    const double ratio = then > 0 ? std::clamp(now / then, 0.5, 2.0) : 1;
    for (std::size_t i = n - day; i < std::min(n - day + ahead, n); ++i)
      expected = std::max(expected, ratio * rates_[i]);
  } else if (window >= 3) {
    const double middle = static_cast<double>(window - 1) / 2;
    double mean = 0, slope = 0, spread = 0;
    for (std::size_t i = 0; i < window; ++i) {
      const double x = static_cast<double>(i) - middle, y = rates_[n - window + i];
      mean += y / static_cast<double>(window);
      slope += x * y;
      spread += x * x;
    }
    expected = std::max(expected, mean + slope / spread * (middle + static_cast<double>(ahead)));
  }
  const double servers = expected * options_.service.mean() / policy.target;
  return whole(servers / static_cast<double>(options_.servers_per_instance));
}

} // namespace mcomp::inline v0::cost::detail
