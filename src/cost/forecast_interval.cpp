#include <utility>

#include "core/try.hpp"
#include "cost/forecast_parts.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/quantile.hpp"

// The interval of the saving: bootstrapped months, the same for both sides.

namespace mcomp::inline v0::cost {

namespace {

using detail::PreparedSide;
using detail::Variant;

constexpr double day_seconds = 86400;

/// How replicates of the interval vary.
struct Resampling {
  std::int64_t whole_days = 0, skipped = 0, day_length = 0, block_days = 1; ///< no whole days: the trace as it is
  bool service = false;
};

Resampling resampling_of(const ForecastInputs& in, const ForecastOptions& options) {
  Resampling result;
  result.service = !in.baseline.service_seconds.empty() || !in.candidate.service_seconds.empty();
  const double per_day = day_seconds / in.trace.interval_seconds;
  if (per_day < 1 || per_day != std::floor(per_day)) return result;
  const auto day_length = static_cast<std::int64_t>(per_day);
  const std::int64_t skipped = (day_length - in.trace.first_interval % day_length) % day_length;
  const std::int64_t days = (static_cast<std::int64_t>(in.trace.requests.size()) - skipped) / day_length;
  const std::int64_t block = options.block_days > 0 ? options.block_days : days >= 21 ? 7 : 1;
  if (days < block + 1) return result;
  result.whole_days = days;
  result.skipped = skipped;
  result.day_length = day_length;
  result.block_days = block;
  return result;
}

/// `wanted` of the days, drawn in blocks of successive ones.
std::vector<std::int64_t> draw_days(const std::vector<std::int64_t>& days, std::int64_t wanted, std::int64_t block,
                                    Random& random) {
  std::vector<std::int64_t> result;
  while (static_cast<std::int64_t>(result.size()) < wanted) {
    const auto starts = static_cast<std::int64_t>(days.size()) - block + 1;
    const auto begin = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(starts)));
    for (std::int64_t k = 0; k < block && static_cast<std::int64_t>(result.size()) < wanted; ++k)
      result.push_back(days[static_cast<std::size_t>(begin + k)]);
  }
  return result;
}

RequestTrace month_of(const RequestTrace& trace, const Resampling& how, std::int64_t month_days, Random& random) {
  std::vector<std::int64_t> days(static_cast<std::size_t>(how.whole_days));
  for (std::size_t i = 0; i < days.size(); ++i) days[i] = static_cast<std::int64_t>(i);
  // One block fewer than there are: the variance of what is drawn is then that of the mean of the recorded days, not
  // the n-th part less.
  const std::int64_t known = std::max(how.whole_days - how.block_days, how.block_days);
  days = draw_days(days, known, how.block_days, random);
  days = draw_days(days, month_days, how.block_days, random);
  RequestTrace month{.interval_seconds = trace.interval_seconds, .requests = {}};
  month.requests.reserve(days.size() * static_cast<std::size_t>(how.day_length));
  for (const std::int64_t day : days) {
    const auto begin = trace.requests.begin() + how.skipped + day * how.day_length;
    month.requests.insert(month.requests.end(), begin, begin + how.day_length);
  }
  return month;
}

/// The mean of as many resampled times, over their mean.
double resampled_factor(const std::vector<double>& seconds, double mean, Random& random) {
  if (seconds.empty()) return 1;
  double sum = 0;
  for (std::size_t k = 0; k < seconds.size(); ++k) sum += seconds[random.below(seconds.size())];
  return sum / static_cast<double>(seconds.size()) / mean;
}

} // namespace

Status detail::saving_interval(const ForecastInputs& in, const PreparedSide& baseline, const PreparedSide& candidate,
                               const ForecastOptions& options, const Context& context, ForecastSaving& saving) {
  const Resampling how = resampling_of(in, options);
  if (options.replicates == 0) {
    saving.interval_covers = "none was asked for";
    return {};
  }
  if (how.whole_days == 0 && !how.service) {
    saving.interval_covers = "the trace has too few whole days to draw from, and the service times are declared";
    return {};
  }
  const auto n = static_cast<std::size_t>(options.replicates);
  std::vector<double> savings(n);
  std::vector<Status> status(n);
  const auto one = [&](std::size_t i) -> Status {
    MCOMP_CHECK(context.check("forecast"));
    Random days(options.seed, 3 * i), first(options.seed, 3 * i + 1), second(options.seed, 3 * i + 2);
    // As many samples on both sides are drawn by the same numbers: pairs.
    if (in.baseline.service_seconds.size() == in.candidate.service_seconds.size()) second = first;
    Variant variant{.trace = &in.trace, .scaling = in.scaling, .seed = days.next()};
    RequestTrace month;
    if (how.whole_days > 0) {
      month = month_of(in.trace, how, options.month_days, days);
      variant.trace = &month;
    }
    MCOMP_TRY(before, variant_per_month(in, baseline, variant,
                                        resampled_factor(in.baseline.service_seconds, baseline.service.mean(), first)));
    MCOMP_TRY(after,
              variant_per_month(in, candidate, variant,
                                resampled_factor(in.candidate.service_seconds, candidate.service.mean(), second)));
    savings[i] = before - after;
    return {};
  };
  context.executor_or_serial().run(n, [&](std::size_t i) { status[i] = one(i); });
  for (const Status& item : status) MCOMP_CHECK(item);
  MCOMP_TRY(lower, stats::quantile(savings, (1 - options.level) / 2));
  MCOMP_TRY(upper, stats::quantile(savings, (1 + options.level) / 2));
  saving.per_month_interval = stats::Interval{.lower = lower, .upper = upper, .level = options.level};
  std::string text;
  if (how.whole_days > 0)
    text = fmt::format("the next {} days, if days differ as the {} whole days of the trace did (blocks of {})",
                       options.month_days, how.whole_days, how.block_days);
  if (how.service)
    text += fmt::format("{}the scatter of {} and {} measured service times", text.empty() ? "" : "; ",
                        in.baseline.service_seconds.size(), in.candidate.service_seconds.size());
  else
    text += "; service times are declared and taken as exact";
  if (how.whole_days == 0) text += "; not how days differ, since the trace has too few whole ones";
  saving.interval_covers = text + "; not growth, other seasons, other prices or the error of the replay";
  return {};
}

} // namespace mcomp::inline v0::cost
