#include "report/scale.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::report {

namespace detail {

namespace {

constexpr const char* unknown = "not known";
constexpr double day = 86400;

/// A round step of at most `ticks` steps over a span.
double round_step(double span, int ticks) {
  const double rough = span / std::max(ticks, 1), unit = std::pow(10, std::floor(std::log10(rough)));
  for (const double step : {1., 2., 2.5, 5.})
    if (step * unit >= rough * (1 - 1e-9)) return step * unit;
  return 10 * unit;
}

/// With as many decimals as the step between ticks has.
std::string tick_text(double value, double step) {
  if (std::abs(value) < step * 1e-6) return "0";
  if (std::abs(value) >= 1e5 || step < 1e-4) return compact(value);
  int decimals = 0;
  for (double s = step; decimals < 6 && std::abs(s - std::round(s)) > 1e-6 * s; s *= 10) ++decimals;
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (decimals == 0 && std::abs(value) >= 9999.5) return compact(value);
  return text;
}

struct Calendar {
  int year = 0;
  unsigned month = 0, date = 0, hour = 0, minute = 0;
};

bool calendar(double seconds, Calendar& result) {
  // 0001-01-01 .. 9999-12-31
  if (!(seconds >= -62135596800. && seconds < 253402300800.)) return false;
  const auto whole = static_cast<std::int64_t>(std::floor(seconds));
  std::int64_t days = whole / 86400, rest = whole % 86400;
  if (rest < 0) rest += 86400, --days;
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{days}}};
  result = {.year = static_cast<int>(date.year()),
            .month = static_cast<unsigned>(date.month()),
            .date = static_cast<unsigned>(date.day()),
            .hour = static_cast<unsigned>(rest / 3600),
            .minute = static_cast<unsigned>(rest / 60 % 60)};
  return true;
}

} // namespace

ShownUnit shown_unit(const std::string& unit, double largest) {
  const double size = std::abs(largest);
  const auto fitting = [&](const auto& steps) -> ShownUnit {
    for (const auto& [least, factor, name] : steps)
      if (size >= least * 0.9999995) return {factor, name};
    const auto& last = steps[steps.size() - 1];
    return {std::get<1>(last), std::get<2>(last)};
  };
  using Step = std::tuple<double, double, const char*>;
  if (unit == "seconds")
    return size == 0 ? ShownUnit{1, "s"}
                     : fitting(std::array<Step, 6>{Step{2 * day, 1 / day, "days"}, Step{7200, 1. / 3600, "h"},
                                                   Step{1, 1, "s"}, Step{1e-3, 1e3, "ms"}, Step{1e-6, 1e6, "\u00b5s"},
                                                   Step{0, 1e9, "ns"}});
  if (unit == "bytes")
    return fitting(std::array<Step, 5>{Step{1e12, 1e-12, "TB"}, Step{1e9, 1e-9, "GB"}, Step{1e6, 1e-6, "MB"},
                                       Step{1e3, 1e-3, "kB"}, Step{0, 1, "B"}});
  if (unit == "fraction") return {100, "%"};
  if (unit == "count") return {1, ""};
  return {1, unit};
}

std::string compact(double value, int digits) {
  if (!std::isfinite(value)) return unknown;
  const double size = std::abs(value);
  // From where four digits round up to it.
  for (const auto& [unit, name] : {std::pair(1e12, " T"), std::pair(1e9, " G"), std::pair(1e6, " M")})
    if (size >= unit * 0.9999995) return fmt::format("{:.{}g}{}", value / unit, digits, name);
  if (size >= 999.95) {
    std::string whole = fmt::format("{:.0f}", value);
    for (auto at = static_cast<std::ptrdiff_t>(whole.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3)
      whole.insert(static_cast<std::size_t>(at), ",");
    return whole;
  }
  std::string text = fmt::format("{:.{}g}", value, digits);
  return text == "-0" ? "0" : text;
}

std::string in_unit(double value, const ShownUnit& unit, int digits) {
  return compact(value * unit.factor, digits);
}

std::string number_text(double value, const std::string& unit, int digits) {
  if (!std::isfinite(value)) return unknown;
  const ShownUnit shown = shown_unit(unit, value);
  const std::string number = in_unit(value, shown, digits);
  return shown.name.empty() ? number : number + " " + shown.name;
}

std::string date_of(double seconds) {
  Calendar at;
  return calendar(seconds, at) ? fmt::format("{:04}-{:02}-{:02}", at.year, at.month, at.date) : unknown;
}

std::string time_of(double seconds) {
  Calendar at;
  return calendar(seconds, at)
             ? fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", at.year, at.month, at.date, at.hour, at.minute)
             : unknown;
}

std::string moment_of(double seconds) {
  return std::fmod(seconds, day) == 0 ? date_of(seconds) : time_of(seconds);
}

void Range::add(double value, Scale scale) {
  if (!std::isfinite(value) || (scale == Scale::logarithmic && value <= 0)) return;
  lower = any ? std::min(lower, value) : value;
  upper = any ? std::max(upper, value) : value;
  any = true;
}

AxisScale::AxisScale(const Axis& axis, double lower, double upper, double begin, double end, int most_ticks)
    : scale_(axis.scale), lower_(axis.lower.value_or(lower)), upper_(axis.upper.value_or(upper)), begin_(begin),
      end_(end) {
  if (!std::isfinite(lower_) || !std::isfinite(upper_)) lower_ = 0, upper_ = 1;
  // Beyond these a difference of two would overflow.
  lower_ = std::clamp(lower_, -1e300, 1e300), upper_ = std::clamp(upper_, -1e300, 1e300);
  if (upper_ < lower_) std::swap(lower_, upper_);
  if (axis.from_zero && scale_ == Scale::linear) lower_ = std::min(lower_, 0.), upper_ = std::max(upper_, 0.);
  if (scale_ == Scale::logarithmic) lower_ = std::max(lower_, 0.), upper_ = std::max(upper_, 1e-200);
  if (scale_ == Scale::logarithmic && lower_ <= 1e-200) lower_ = upper_ / 1000;
  if (scale_ == Scale::time) {
    lower_ = std::clamp(lower_, -62135596800., 253402300799.);
    upper_ = std::clamp(upper_, -62135596800., 253402300799.);
  }
  if (upper_ - lower_ <= std::max(1e-12 * std::max(std::abs(lower_), std::abs(upper_)), 1e-280)) {
    // One value: a stretch around it.
    const double around = scale_ == Scale::time ? day : std::abs(lower_) < 1e-270 ? 1 : std::abs(lower_) * 0.1;
    if (scale_ == Scale::logarithmic)
      lower_ /= 2, upper_ *= 2;
    else
      lower_ -= axis.from_zero ? 0 : around, upper_ += around;
  }
  unit_ =
      scale_ == Scale::time ? ShownUnit{1, "UTC"} : shown_unit(axis.unit, std::max(std::abs(lower_), std::abs(upper_)));
  if (scale_ == Scale::linear) linear(axis, most_ticks);
  if (scale_ == Scale::logarithmic) logarithmic(most_ticks);
  if (scale_ == Scale::time) times(most_ticks);
  label_ = axis.label;
  if (!unit_.name.empty()) label_ += (label_.empty() ? "" : ", ") + unit_.name;
}

double AxisScale::at(double value) const {
  if (std::isnan(value)) return begin_;
  const auto place = [&](double x) { return scale_ == Scale::logarithmic ? std::log(std::max(x, 1e-300)) : x; };
  const double part = (place(std::clamp(value, lower_, upper_)) - place(lower_)) / (place(upper_) - place(lower_));
  return begin_ + (end_ - begin_) * part;
}

bool AxisScale::shows(double value) const {
  return std::isfinite(value) && (scale_ != Scale::logarithmic || value > 0);
}

void AxisScale::linear(const Axis& axis, int most_ticks) {
  const double step = round_step((upper_ - lower_) * unit_.factor, most_ticks);
  const double low = lower_ * unit_.factor, high = upper_ * unit_.factor;
  double first = std::floor(low / step + 1e-9) * step, last = std::ceil(high / step - 1e-9) * step;
  if (axis.lower) first = std::ceil(low / step - 1e-9) * step;
  if (axis.upper) last = std::floor(high / step + 1e-9) * step;
  for (int i = 0; i <= 2 * most_ticks + 2; ++i) {
    const double value = first + i * step;
    if (value > last + step * 1e-6) break;
    ticks_.push_back({value / unit_.factor, tick_text(value, step)});
  }
  // Ends of the axis are round numbers unless the caller chose them.
  if (!axis.lower && !ticks_.empty()) lower_ = std::min(lower_, ticks_.front().value);
  if (!axis.upper && !ticks_.empty()) upper_ = std::max(upper_, ticks_.back().value);
}

void AxisScale::logarithmic(int most_ticks) {
  const double decades = std::log10(upper_ / lower_);
  // The finest of these that has room: 1 2 5, 1 3, 1, every n-th decade.
  std::vector<double> steps = {1, 2, 5};
  if (decades * 3 > most_ticks) steps = {1, 3};
  if (decades * 2 > most_ticks) steps = {1};
  const int every = std::max(1, static_cast<int>(std::ceil(decades / most_ticks)));
  const int low = static_cast<int>(std::floor(std::log10(lower_))),
            high = static_cast<int>(std::ceil(std::log10(upper_)));
  const auto collect = [&] {
    ticks_.clear();
    for (int exponent = low - ((low % every) + every) % every; exponent <= high; exponent += every)
      for (const double step : steps) {
        const double value = step * std::pow(10, exponent);
        if (value >= lower_ * (1 - 1e-9) && value <= upper_ * (1 + 1e-9))
          ticks_.push_back({value, in_unit(value, unit_)});
      }
  };
  collect();
  if (ticks_.size() < 3) {
    // Less than a decade: round steps as on a linear axis.
    ticks_.clear();
    const double step = round_step((upper_ - lower_) * unit_.factor, most_ticks);
    for (double value = std::ceil(lower_ * unit_.factor / step) * step;
         value <= upper_ * unit_.factor * (1 + 1e-9) && ticks_.size() < 20; value += step)
      ticks_.push_back({value / unit_.factor, tick_text(value, step)});
  }
}

void AxisScale::times(int most_ticks) {
  const double span = upper_ - lower_;
  double step = 0;
  for (const double each :
       {60., 300., 900., 1800., 3600., 7200., 10800., 21600., 43200., day, 2 * day, 7 * day, 14 * day, 28 * day})
    if (step == 0 && span / each <= most_ticks) step = each;
  if (step == 0) step = 91 * day * std::ceil(span / (91 * day * most_ticks));
  const double first = std::ceil(lower_ / step - 1e-9) * step;
  for (double value = first; value <= upper_ + 1e-6 && ticks_.size() < 40; value += step) {
    Calendar at;
    if (!calendar(value, at)) continue;
    static constexpr std::array names = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const bool midnight = at.hour == 0 && at.minute == 0;
    std::string label = fmt::format("{} {}", at.date, names[at.month - 1]);
    if (step >= 91 * day) label = fmt::format("{} {}", names[at.month - 1], at.year);
    if (step < day && !midnight) label = fmt::format("{:02}:{:02}", at.hour, at.minute);
    ticks_.push_back({value, std::move(label)});
  }
}

} // namespace detail

std::string format_number(double value, const std::string& unit) {
  return detail::number_text(value, unit, 4);
}

} // namespace mcomp::inline v0::report
