#include "mcomp/monitor/anomaly.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::monitor {

namespace {

constexpr double most_decades = 5;       ///< of surprise: beyond it a sign says no more
constexpr double largest_number = 1e100; ///< squares and sums of such stay finite
constexpr double rounding = 1e-9;        ///< of the magnitude of the series: a smaller deviation is none
constexpr double tied = 0.02;            ///< a past maximum so close below a value counts as reached again
constexpr double power = 1.5;            ///< of the mean over signs: between their mean and their root mean square
constexpr double alarm_score = 0.5;

constexpr std::size_t index(AnomalySign sign) {
  return static_cast<std::size_t>(sign);
}

double forgetting(double memory) {
  return 1 - std::exp(-1 / memory);
}

} // namespace

namespace detail {

double ForgettingScale::add(double value, double windowed, double largest_rounding) noexcept {
  constexpr std::int64_t settling = 5; // rows without which neither mean nor deviation means anything
  const double before = std::abs(windowed - mean);
  const bool known = count > window + settling && deviation > 0 && before > largest_rounding;
  // Kept within powers of ten whose ratios and their logarithms are finite.
  const double units = known ? std::min(before / deviation, largest_number) : 0;
  const double result = units < 1 / largest_number ? 0 : units;
  ++count;
  mean += std::max(rate, 1 / static_cast<double>(count)) * (value - mean);
  if (count > settling)
    deviation += std::max(rate, 1 / static_cast<double>(count - settling)) * (std::abs(windowed - mean) - deviation);
  return result;
}

BlockTail::BlockTail(const AnomalyOptions& options)
    : block_(options.block), tail_(options.tail), usual_slope_(options.tail_slope), weight_(options.tail_weight),
      capacity_(static_cast<std::size_t>(options.blocks)) {
  maxima_.reserve(capacity_);
  ascending_.reserve(capacity_ + 1);
}

double BlockTail::add(double value) {
  const double result = surprise(value);
  current_ = std::max(current_, value);
  if (++rows_ == block_) close_block();
  return result;
}

double BlockTail::surprise(double value) const noexcept {
  if (ascending_.size() < 2 || value <= least_) return 0;
  if (least_ == 0) return value > ascending_.back() ? most_decades : 0; // nothing to extrapolate from
  // P(a block reaches value) = (k / m) (value / least)^(-1 / slope): k of m blocks reach the least of the tail.
  const auto reached = static_cast<double>(ascending_.end() -
                                           std::lower_bound(ascending_.begin(), ascending_.end(), value * (1 - tied)));
  const auto kept = static_cast<double>(ascending_.size());
  const double k = std::max(reached, std::min(static_cast<double>(tail_), kept));
  return std::clamp(std::log10((kept + 1) / k) + std::log10(value / least_) / slope_, 0.0, most_decades);
}

void BlockTail::close_block() {
  if (maxima_.size() < capacity_) {
    maxima_.push_back(current_);
  } else {
    ascending_.erase(std::lower_bound(ascending_.begin(), ascending_.end(), maxima_[oldest_]));
    maxima_[oldest_] = current_;
    oldest_ = (oldest_ + 1) % capacity_;
  }
  ascending_.insert(std::upper_bound(ascending_.begin(), ascending_.end(), current_), current_);
  current_ = 0;
  rows_ = 0;
  const std::size_t k = std::min(ascending_.size(), static_cast<std::size_t>(tail_));
  least_ = ascending_[ascending_.size() - k];
  double sum = 0; // Hill: the mean logarithm of the ratio to the least
  for (std::size_t i = ascending_.size() - k; least_ > 0 && i < ascending_.size(); ++i)
    sum += std::log(ascending_[i] / least_);
  slope_ = (sum + weight_ * usual_slope_) / (static_cast<double>(k) - 1 + weight_);
}

double RowWindowMean::add(double value) {
  if (values_.size() < capacity_) {
    values_.push_back(value);
  } else {
    values_[oldest_] = value;
    oldest_ = (oldest_ + 1) % capacity_;
  }
  double sum = 0;
  for (const double one : values_) sum += one;
  return sum / static_cast<double>(values_.size());
}

} // namespace detail

std::string to_string(AnomalySign sign) {
  switch (sign) {
  case AnomalySign::season:
    return "season";
  case AnomalySign::value:
    return "value";
  case AnomalySign::level:
    return "level";
  case AnomalySign::step:
    return "step";
  case AnomalySign::spread:
    return "spread";
  }
  return "unknown";
}

Status AnomalyOptions::check() const {
  struct Range {
    const char* name;
    double value, least, most;
    bool open; ///< `least` itself is out
  };
  constexpr double any = largest_number, rows = 1e15, window = 1000, cells = 100000;
  const auto number = [](std::int64_t count) { return static_cast<double>(count); };
  for (const Range& range : {Range{"threshold", threshold, 0, any, true},
                             {"warm_up", number(warm_up), 0, rows, false},
                             {"quiet", number(quiet), 0, rows, false},
                             {"fatigue", fatigue, 0, any, false},
                             {"fatigue_memory", fatigue_memory, 1, any, false},
                             {"level_window", number(level_window), 2, window, false},
                             {"season_window", number(season_window), 1, window, false},
                             {"long_memory", long_memory, 1, any, false},
                             {"short_memory", short_memory, 1, any, false},
                             {"season_period", season_period, 0, any, true},
                             {"season_bins", number(season_bins), 1, cells, false},
                             {"season_learning", season_learning, 0, 1, true},
                             {"block", number(block), 1, rows, false},
                             {"blocks", number(blocks), 2, cells, false},
                             {"tail", number(tail), 2, number(blocks), false},
                             {"tail_slope", tail_slope, 0, any, true},
                             {"tail_weight", tail_weight, 0, any, true},
                             {"step_back", step_back, 0, any, false}}) {
    if (range.value >= range.least && range.value <= range.most && !(range.open && range.value == range.least))
      continue;
    return Error(
        ErrorCode::invalid_argument, range.name, fmt::format("{} is out of range", range.value),
        fmt::format("pass {} {} and at most {}", range.open ? "more than" : "at least", range.least, range.most));
  }
  return {};
}

std::string to_string(const AnomalyPoint& point) {
  return fmt::format("score {:.2f}{}: {:.4g} where {:.4g} was expected, by {} (surprise {:.2f} over {:.2f})",
                     point.score, point.alarm ? ", alarm" : "", point.value, point.expected, to_string(point.sign),
                     point.surprise, point.fatigue);
}

Result<AnomalyDetector> AnomalyDetector::create(const AnomalyOptions& options) {
  MCOMP_CHECK(options.check());
  return AnomalyDetector(options);
}

AnomalyDetector::AnomalyDetector(const AnomalyOptions& options)
    : options_(options), fatigue_factor_(std::exp(-1 / options.fatigue_memory)),
      tails_(anomaly_signs, detail::BlockTail(options)), residuals_(options.season_window),
      values_(options.level_window), differences_(options.level_window),
      season_mean_(static_cast<std::size_t>(options.season_bins)),
      season_count_(static_cast<std::size_t>(options.season_bins)) {
  for (detail::ForgettingScale& scale : scales_) scale.rate = forgetting(options.long_memory);
  scales_[index(AnomalySign::season)].window = options.season_window;
  scales_[index(AnomalySign::level)].window = options.level_window;
  scales_[index(AnomalySign::step)].window = options.level_window;
  scales_[index(AnomalySign::step)].rate = forgetting(options.short_memory);
}

std::size_t AnomalyDetector::bin(double seconds) const noexcept {
  double within = std::fmod(seconds, options_.season_period); // exact, so that a full hour is in the bin it begins
  if (within < 0) within += options_.season_period;
  const auto bins = static_cast<double>(options_.season_bins);
  return static_cast<std::size_t>(std::clamp(within / (options_.season_period / bins), 0.0, bins - 1));
}

/// The signs in units of their usual size; takes the row in.
std::array<double, anomaly_signs> AnomalyDetector::measure(double seconds, double value, double expected) {
  const double residual = value - expected, difference = rows_ == 0 ? 0 : std::abs(value - last_value_);
  const double near = residuals_.add(residual), level = values_.add(value), spread = differences_.add(difference);
  const double least = rounding * magnitude_;
  std::array<double, anomaly_signs> signs{};
  const auto add = [&](AnomalySign sign, double one, double windowed) {
    signs[index(sign)] = scales_[index(sign)].add(one, windowed, least);
  };
  add(AnomalySign::season, residual, near);
  add(AnomalySign::value, value, value);
  add(AnomalySign::level, value, level);
  add(AnomalySign::step, value, level);
  add(AnomalySign::spread, spread, spread);

  const std::size_t cell = bin(seconds);
  const auto visits = static_cast<double>(++season_count_[cell]);
  season_mean_[cell] += std::max(options_.season_learning, 1 / visits) * (value - season_mean_[cell]);
  magnitude_ += std::max(scales_[index(AnomalySign::value)].rate, 1 / static_cast<double>(rows_ + 1)) *
                (std::abs(value) - magnitude_);
  return signs;
}

Result<AnomalyPoint> AnomalyDetector::update(double seconds, double value) {
  if (!(std::abs(value) <= largest_number))
    return Error(ErrorCode::invalid_value, "value", fmt::format("{} is not finite or beyond 1e100", value),
                 "leave out rows without a value");
  if (!(std::abs(seconds) <= largest_number))
    return Error(ErrorCode::invalid_value, "seconds", fmt::format("{} is not finite or beyond 1e100", seconds),
                 "pass the time of the row");
  if (rows_ > 0 && seconds < last_time_ - options_.step_back)
    return Error(
        ErrorCode::invalid_value, "seconds",
        fmt::format("{} lies more than {} before the row before, at {}", seconds, options_.step_back, last_time_),
        "pass rows in order of time, or start a new detector");

  const std::size_t cell = bin(seconds);
  AnomalyPoint point{.fatigue = fatigue_, .value = value};
  point.expected = season_count_[cell] > 0 ? season_mean_[cell]
                   : rows_ > 0             ? scales_[index(AnomalySign::value)].mean
                                           : value;
  point.residual = value - point.expected;
  const auto signs = measure(seconds, value, point.expected);
  double sum = 0;
  for (std::size_t i = 0; i < anomaly_signs; ++i) {
    const double surprise = tails_[i].add(signs[i]);
    point.surprises[i] = surprise;
    if (surprise > point.surprises[index(point.sign)]) point.sign = static_cast<AnomalySign>(i);
    sum += surprise * std::sqrt(surprise); // to the power 1.5
  }
  point.surprise = std::pow(sum / static_cast<double>(anomaly_signs), 1 / power);

  const bool quiet = last_alarm_ >= 0 && rows_ - last_alarm_ <= options_.quiet;
  const double excess = std::max(0.0, point.surprise - fatigue_);
  if (!quiet && rows_ >= options_.warm_up) point.score = excess / (excess + options_.threshold);
  point.alarm = point.score >= alarm_score;
  fatigue_ *= fatigue_factor_;
  if (point.alarm) {
    fatigue_ += options_.fatigue;
    last_alarm_ = rows_;
    ++alarms_;
  }
  last_time_ = seconds;
  last_value_ = value;
  ++rows_;
  return point;
}

} // namespace mcomp::inline v0::monitor
