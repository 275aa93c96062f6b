#include "mcomp/monitor/change_detector.hpp"

#include <algorithm>
#include <cmath>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::monitor {

namespace {

/// Of the bets on a mean m: .98 / m, which nothing can ruin, then smaller by sqrt(2) each.
double bet_size(std::size_t k, double mean) {
  return 0.98 / mean * std::exp2(-0.5 * static_cast<double>(k));
}

} // namespace

Result<ChangeDetector> ChangeDetector::create(const ChangeDetectorOptions& options) {
  if (!(options.mean > 0 && options.mean < 1))
    return Error(ErrorCode::invalid_argument, "mean", fmt::format("it is {}", options.mean),
                 "pass a mean within (0, 1), and values scaled to [0, 1]");
  if (!(options.run_length > 1 && std::isfinite(options.run_length)))
    return Error(ErrorCode::invalid_argument, "run_length", fmt::format("it is {}", options.run_length),
                 "pass how many values there are to be until a false alarm, more than 1");
  return ChangeDetector(options);
}

bool ChangeDetector::add(double value) noexcept {
  if (!(value >= 0 && value <= 1)) {
    ++rejected_;
    return false;
  }
  double sum = 0;
  const Bet* winner = bets_.data();
  for (std::size_t k = 0; k < bets; ++k) {
    Bet& bet = bets_[k];
    const double factor = 1 + bet_size(k, options_.mean) * (value - options_.mean);
    bet.evidence = (bet.evidence + 1) * factor;
    if (bet.log_gain <= 0) bet.since = values_;
    bet.log_gain = std::max(bet.log_gain, 0.0) + std::log(factor);
    sum += bet.evidence;
    if (bet.log_gain > winner->log_gain) winner = &bet;
  }
  ++values_;
  evidence_ = sum / static_cast<double>(bets);
  since_ = winner->log_gain > 0 ? winner->since : values_;
  if (evidence_ < options_.run_length) return false;
  bets_.fill({});
  ++alarms_;
  return true;
}

} // namespace mcomp::inline v0::monitor
