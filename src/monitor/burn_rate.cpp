#include "mcomp/monitor/burn_rate.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::monitor {

namespace {

constexpr double latest = 1e15; // seconds: places in the ring stay whole numbers

} // namespace

Result<BurnRate> BurnRate::create(const BurnRateOptions& options) {
  const auto bad = [](const char* name, const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, name, rule, remedy);
  };
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  if (!(options.objective > 0 && options.objective < 1))
    return bad("objective", fmt::format("{} is not within (0, 1)", options.objective), "pass for example 0.999");
  if (!positive(options.period_seconds)) return bad("period_seconds", "it is not finite and > 0", "pass 30 days");
  constexpr double finest = 1e-3;
  if (!(std::isfinite(options.resolution_seconds) && options.resolution_seconds >= finest))
    return bad("resolution_seconds", fmt::format("{} is below a millisecond or not finite", options.resolution_seconds),
               "pass 30");
  if (options.windows.empty()) return bad("windows", "there are none", "pass at least one");
  if (options.least_events < 1) return bad("least_events", fmt::format("{}", options.least_events), "pass at least 1");
  double longest = 0;
  for (const BurnWindow& window : options.windows) {
    if (!positive(window.short_seconds) || !(window.short_seconds <= window.long_seconds) ||
        !(window.long_seconds <= options.period_seconds))
      return bad(
          "windows",
          fmt::format("{} and {} seconds do not ascend within the period", window.short_seconds, window.long_seconds),
          "give 0 < short <= long <= period");
    if (!positive(window.factor)) return bad("windows", fmt::format("factor {}", window.factor), "pass a number > 0");
    longest = std::max(longest, window.long_seconds);
  }
  constexpr double most = 1e6;
  const double slots = std::ceil(longest / options.resolution_seconds) + 1;
  if (!(slots <= most))
    return bad("resolution_seconds", fmt::format("{} counts would be kept, at most 10^6 are", slots), "raise it");
  return BurnRate(options, static_cast<std::size_t>(slots));
}

Status BurnRate::add(double seconds, std::int64_t good, std::int64_t bad) {
  if (!(seconds >= 0 && seconds <= latest))
    return Error(ErrorCode::invalid_value, "seconds", fmt::format("{} is not within [0, 10^15]", seconds),
                 "pass the time of a clock");
  constexpr std::int64_t most = std::int64_t{1} << 40; // of one call: sums over a ring stay within 63 bits
  if (good < 0 || bad < 0 || good > most || bad > most)
    return Error(ErrorCode::invalid_value, "events", fmt::format("{} good and {} bad", good, bad),
                 "pass counts from 0 to 2^40");
  const auto slot = static_cast<std::int64_t>(seconds / options_.resolution_seconds);
  const auto slots = static_cast<std::int64_t>(ring_.size());
  if (slot <= newest_ - slots) {
    late_ += good + bad;
    return {};
  }
  newest_ = std::max(newest_, slot);
  Count& count = ring_[static_cast<std::size_t>(slot % slots)];
  if (count.slot != slot) count = {slot, 0, 0};
  count.good += good;
  count.bad += bad;
  return {};
}

BurnRate::Count BurnRate::sum(std::int64_t last, double seconds) const {
  const auto first = last - static_cast<std::int64_t>(std::ceil(seconds / options_.resolution_seconds)) + 1;
  Count total;
  for (const Count& count : ring_)
    if (count.slot >= first && count.slot <= last) total.good += count.good, total.bad += count.bad;
  return total;
}

BurnAnswer BurnRate::answer(double now) const {
  BurnAnswer result;
  const bool there = now >= 0 && now <= latest;
  const auto last = there ? static_cast<std::int64_t>(now / options_.resolution_seconds) : -1;
  bool any = false;
  for (const BurnWindow& window : options_.windows) {
    WindowBurn burn;
    const auto rate = [&](const Count& count, std::int64_t& events) {
      events = count.good + count.bad;
      return events == 0 ? 0.0
                         : static_cast<double>(count.bad) / static_cast<double>(events) / (1 - options_.objective);
    };
    if (there) {
      burn.long_rate = rate(sum(last, window.long_seconds), burn.long_events);
      burn.short_rate = rate(sum(last, window.short_seconds), burn.short_events);
    }
    const bool enough = burn.short_events >= options_.least_events;
    any = any || enough;
    burn.fires = enough && burn.long_rate >= window.factor && burn.short_rate >= window.factor;
    result.fires = result.fires || burn.fires;
    result.windows.push_back(burn);
  }
  result.no_data = !any;
  return result;
}

std::string to_string(const BurnAnswer& answer) {
  if (answer.no_data) return "too few events to tell";
  std::string text;
  for (const WindowBurn& burn : answer.windows)
    text += fmt::format("{}burns at {:.3g} and {:.3g}{}", text.empty() ? "" : "; ", burn.long_rate, burn.short_rate,
                        burn.fires ? ": fires" : "");
  return text;
}

} // namespace mcomp::inline v0::monitor
