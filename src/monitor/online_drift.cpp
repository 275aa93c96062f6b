#include "mcomp/monitor/online_drift.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::monitor {

namespace {

Error bad(const char* name, double value, const char* remedy) {
  return Error(ErrorCode::invalid_argument, name, fmt::format("{} is out of range", value), remedy);
}

/// What joining two groups adds to the sum of squared deviations (Chan, Golub and LeVeque 1979).
double between(double n, double total_n, double m, double total_m) {
  const double difference = total_n / n - total_m / m;
  return n * m / (n + m) * difference * difference;
}

constexpr std::int64_t most_values = std::int64_t{1} << 40;

} // namespace

Result<Adwin> Adwin::create(const AdwinOptions& o) {
  if (!(o.delta > 0 && o.delta < 1)) return bad("delta", o.delta, "pass a probability within (0, 1)");
  if (o.clock < 1 || o.clock > most_values) return bad("clock", static_cast<double>(o.clock), "pass at least 1");
  if (o.least_part < 1 || o.least_part > most_values)
    return bad("least_part", static_cast<double>(o.least_part), "pass at least 1");
  if (o.least_window < 0 || o.least_window > most_values)
    return bad("least_window", static_cast<double>(o.least_window), "pass 0 or more");
  if (o.variant != AdwinVariant::bifet && o.variant != AdwinVariant::river)
    return bad("variant", static_cast<double>(o.variant), "pass bifet or river");
  constexpr std::int32_t most_buckets = 64;
  if (o.buckets_a_row < 2 || o.buckets_a_row > most_buckets)
    return bad("buckets_a_row", static_cast<double>(o.buckets_a_row), "pass 2 to 64");
  return Adwin(o);
}

bool Adwin::add(double value) {
  if (!std::isfinite(value)) {
    ++rejected_;
    return false;
  }
  ++ticks_;
  if (width_ > 0) spread_ += between(1, value, static_cast<double>(width_), total_);
  total_ += value;
  ++width_;
  rows_[0].push_back({value, 0});
  compress();
  const bool look = ticks_ % options_.clock == 0 && width_ > options_.least_window;
  if (!look || !shrink()) return false;
  ++detections_;
  if (options_.variant == AdwinVariant::river) {
    rows_ = {Row()};
    width_ = ticks_ = 0;
    total_ = spread_ = 0;
  }
  return true;
}

void Adwin::compress() {
  double size = 1;
  for (std::size_t i = 0; i < rows_.size(); ++i, size *= 2) {
    if (static_cast<std::int32_t>(rows_[i].size()) <= options_.buckets_a_row) return;
    if (i + 1 == rows_.size()) rows_.emplace_back();
    const Bucket a = rows_[i][0], b = rows_[i][1];
    rows_[i + 1].push_back({a.total + b.total, a.spread + b.spread + between(size, a.total, size, b.total)});
    rows_[i].erase(rows_[i].begin(), rows_[i].begin() + 2);
  }
}

/// Drops old buckets as long as some cut of the window separates two different means.
bool Adwin::shrink() {
  bool found = false;
  for (bool again = true; again;) {
    again = false;
    double n0 = 0, n1 = static_cast<double>(width_), total0 = 0, total1 = total_;
    const double least = static_cast<double>(options_.least_part);
    const double log_term = std::log(2 * std::log(static_cast<double>(width_)) / options_.delta);
    for (std::size_t row = rows_.size(); row-- > 0 && !again;) {
      const double size = std::ldexp(1.0, static_cast<int>(row));
      const std::size_t passed_over = options_.variant == AdwinVariant::river ? 1 : 0;
      for (std::size_t k = 0; k + passed_over < rows_[row].size(); ++k) {
        n0 += size;
        n1 -= size;
        total0 += rows_[row][k].total;
        total1 -= rows_[row][k].total;
        if (row == 0 && k + 1 == rows_[row].size()) break; // nothing is left on the other side
        if (n0 < least || n1 < least) continue;
        const double harmonic = 1 / (n0 - least + 1) + 1 / (n1 - least + 1);
        const double cut = std::sqrt(2 * harmonic * variance() * log_term) + 2.0 / 3 * harmonic * log_term;
        if (std::abs(total0 / n0 - total1 / n1) <= cut) continue;
        found = again = true;
        drop_oldest();
        break;
      }
    }
  }
  return found;
}

void Adwin::drop_oldest() {
  const std::size_t row = rows_.size() - 1;
  const Bucket oldest = rows_[row].front();
  const auto size = std::int64_t{1} << row;
  width_ -= size;
  total_ -= oldest.total;
  spread_ -= oldest.spread + between(static_cast<double>(size), oldest.total, static_cast<double>(width_), total_);
  spread_ = std::max(spread_, 0.0); // rounding
  rows_[row].erase(rows_[row].begin());
  while (rows_.size() > 1 && rows_.back().empty()) rows_.pop_back();
}

Result<PageHinkley> PageHinkley::create(const PageHinkleyOptions& o) {
  if (!(std::isfinite(o.threshold) && o.threshold > 0)) return bad("threshold", o.threshold, "pass a number > 0");
  if (!(std::isfinite(o.tolerance) && o.tolerance >= 0)) return bad("tolerance", o.tolerance, "pass a number >= 0");
  if (!(o.forgetting > 0 && o.forgetting <= 1)) return bad("forgetting", o.forgetting, "pass a factor within (0, 1]");
  if (o.least < 1 || o.least > most_values) return bad("least", static_cast<double>(o.least), "pass at least 1");
  return PageHinkley(o);
}

bool PageHinkley::add(double value) noexcept {
  if (!std::isfinite(value)) {
    ++rejected_;
    return false;
  }
  ++count_;
  mean_ += (value - mean_) / static_cast<double>(count_);
  sum_ = std::max(0.0, options_.forgetting * sum_ + value - mean_ - options_.tolerance);
  if (count_ < options_.least || sum_ < options_.threshold) return false;
  count_ = 0;
  mean_ = sum_ = 0;
  return true;
}

std::string to_string(DriftLevel level) {
  switch (level) {
  case DriftLevel::none:
    return "none";
  case DriftLevel::warning:
    return "warning";
  case DriftLevel::drift:
    return "drift";
  }
  return "unknown";
}

Result<DriftDetectionMethod> DriftDetectionMethod::create(const DriftDetectionOptions& o) {
  if (!(o.warning > 0 && std::isfinite(o.warning))) return bad("warning", o.warning, "pass a number > 0");
  if (!(o.drift >= o.warning && std::isfinite(o.drift))) return bad("drift", o.drift, "pass a number >= warning");
  if (o.least < 1 || o.least > most_values) return bad("least", static_cast<double>(o.least), "pass at least 1");
  return DriftDetectionMethod(o);
}

DriftDetectionMethod::DriftDetectionMethod(const DriftDetectionOptions& options) : options_(options) {
  restart();
}

void DriftDetectionMethod::restart() noexcept {
  count_ = 1;
  rate_ = 1;
  least_rate_ = least_deviation_ = std::numeric_limits<double>::infinity();
}

DriftLevel DriftDetectionMethod::add(bool error) noexcept {
  const auto n = static_cast<double>(count_);
  rate_ += ((error ? 1.0 : 0.0) - rate_) / n;
  const double deviation = std::sqrt(rate_ * (1 - rate_) / n);
  ++count_;
  if (count_ < options_.least) return DriftLevel::none;
  if (rate_ + deviation <= least_rate_ + least_deviation_) {
    least_rate_ = rate_;
    least_deviation_ = deviation;
  }
  if (rate_ + deviation > least_rate_ + options_.drift * least_deviation_) {
    restart();
    return DriftLevel::drift;
  }
  return rate_ + deviation > least_rate_ + options_.warning * least_deviation_ ? DriftLevel::warning : DriftLevel::none;
}

std::string to_string(Shift shift) {
  switch (shift) {
  case Shift::none:
    return "none";
  case Shift::up:
    return "up";
  case Shift::down:
    return "down";
  }
  return "unknown";
}

Result<Cusum> Cusum::create(const CusumOptions& o) {
  if (!std::isfinite(o.mean)) return bad("mean", o.mean, "pass the mean in control");
  if (!(std::isfinite(o.deviation) && o.deviation > 0))
    return bad("deviation", o.deviation, "pass the standard deviation in control, > 0");
  if (!(std::isfinite(o.slack) && o.slack >= 0)) return bad("slack", o.slack, "pass a number >= 0");
  if (!(std::isfinite(o.limit) && o.limit > 0)) return bad("limit", o.limit, "pass a number > 0");
  return Cusum(o);
}

Shift Cusum::add(double value) noexcept {
  if (!std::isfinite(value)) {
    ++rejected_;
    return Shift::none;
  }
  const double z = (value - options_.mean) / options_.deviation;
  up_ = std::max(0.0, up_ + z - options_.slack);
  down_ = std::max(0.0, down_ - z - options_.slack);
  up_length_ = up_ > 0 ? up_length_ + 1 : 0;
  down_length_ = down_ > 0 ? down_length_ + 1 : 0;
  const Shift shift = up_ > options_.limit ? Shift::up : down_ > options_.limit ? Shift::down : Shift::none;
  if (shift == Shift::none) return shift;
  shift_length_ = shift == Shift::up ? up_length_ : down_length_;
  up_ = down_ = 0;
  up_length_ = down_length_ = 0;
  return shift;
}

} // namespace mcomp::inline v0::monitor
