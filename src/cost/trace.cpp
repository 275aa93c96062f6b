#include "mcomp/cost/trace.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "core/try.hpp"
#include "cost/csv.hpp"
#include "cost/variates.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr std::int64_t most_intervals = 10'000'000;
constexpr std::int64_t longest_gap = 100'000;
constexpr std::int64_t latest_interval = 1'000'000'000'000'000;
constexpr double most_requests = 1e15;
constexpr double most_arrivals = 1e9;
constexpr double day_seconds = 86400;
/// A Poisson count of this mean is 0 with probability 2e-9.
constexpr double never_silent = 20;
constexpr double missing = -1;

Status check_interval(double seconds) {
  if (std::isfinite(seconds) && seconds > 0) return {};
  return Error(ErrorCode::invalid_argument, "interval_seconds", fmt::format("{} is not finite and > 0", seconds),
               "pass 60 for requests per minute");
}

Status check_length(std::int64_t intervals) {
  if (intervals >= 1 && intervals <= most_intervals) return {};
  return Error(ErrorCode::invalid_argument, "intervals",
               fmt::format("{} are not within 1 and {}", intervals, most_intervals), "take fewer or longer intervals");
}

struct Gap {
  std::int64_t count = 0, first = -1;
};

/// Finds the intervals that were not recorded, as `Gaps` says, and fills them by the line between their neighbours.
Gap close_gaps(std::vector<double>& requests) {
  Gap gap;
  const std::size_t n = requests.size();
  for (std::size_t next = 0; next < n;) {
    std::size_t begin = next, end = next;
    while (end < n && requests[end] <= 0) ++end;
    next = end + 1;
    if (begin == end) continue;
    const auto cut_off = [&](double edge, double beyond) { return beyond >= never_silent && edge < beyond / 10; };
    if (begin >= 2 && cut_off(requests[begin - 1], requests[begin - 2])) --begin;
    if (end + 1 < n && cut_off(requests[end], requests[end + 1])) ++end;
    const bool has_left = begin > 0, has_right = end < n;
    const double left = has_left ? requests[begin - 1] : has_right ? requests[end] : 0;
    const double right = has_right ? requests[end] : left;
    const bool implausible = std::min(left, right) >= never_silent;
    for (std::size_t i = begin; i < end; ++i) {
      if (requests[i] != missing && !implausible) continue;
      ++gap.count;
      if (gap.first < 0) gap.first = static_cast<std::int64_t>(i);
      requests[i] = left + (right - left) * static_cast<double>(i - begin + 1) / static_cast<double>(end - begin + 1);
    }
  }
  return gap;
}

/// Takes "Z", "+02:00", "-0730" or "+02" off the end of a time of day: seconds that it is ahead of UTC.
double take_zone(std::string_view& text) {
  if (!text.empty() && text.back() == 'Z') {
    text.remove_suffix(1);
    return 0;
  }
  const std::size_t sign = text.find_first_of("+-");
  if (sign == std::string_view::npos) return 0;
  const std::string_view zone = text.substr(sign + 1);
  const auto digit = [&](std::size_t at) { return at < zone.size() && zone[at] >= '0' && zone[at] <= '9'; };
  const std::size_t minutes = zone.size() == 5 && zone[2] == ':' ? 3 : 2;
  if (!digit(0) || !digit(1) || (zone.size() != 2 && !(digit(minutes) && digit(minutes + 1)))) return 0;
  if (zone.size() != 2 && zone.size() != minutes + 2) return 0;
  const auto number = [&](std::size_t at) { return (zone[at] - '0') * 10 + (zone[at + 1] - '0'); };
  const double ahead = number(0) * 3600.0 + (zone.size() == 2 ? 0.0 : number(minutes) * 60.0);
  const bool before = text[sign] == '-';
  text = text.substr(0, sign);
  return before ? -ahead : ahead;
}

/// Seconds since 1970 of "2023-11-16 18:15:46.6805900".
std::optional<double> parse_timestamp(std::string_view text) {
  const auto digits = [&](std::size_t begin, std::size_t length, auto& value) {
    const char* const first = text.data() + begin;
    const auto [end, code] = std::from_chars(first, first + length, value);
    return code == std::errc() && end == first + length && text[begin] != '-';
  };
  if (text.size() < 19 || text[4] != '-' || text[7] != '-' || (text[10] != ' ' && text[10] != 'T') || text[13] != ':' ||
      text[16] != ':')
    return std::nullopt;
  int year = 0;
  unsigned month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!digits(0, 4, year) || !digits(5, 2, month) || !digits(8, 2, day) || !digits(11, 2, hour) ||
      !digits(14, 2, minute) || !digits(17, 2, second) || hour > 23 || minute > 59 || second > 60)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok()) return std::nullopt;
  std::string_view rest = text.substr(19);
  const double ahead = take_zone(rest);
  double fraction = 0;
  if (!rest.empty()) {
    if (rest.size() < 2 || rest[0] != '.' || rest[1] < '0' || rest[1] > '9') return std::nullopt;
    const auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), fraction);
    if (code != std::errc() || end != rest.data() + rest.size() || fraction >= 1) return std::nullopt;
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return static_cast<double>(days) * day_seconds + hour * 3600.0 + minute * 60.0 + second + fraction - ahead;
}

} // namespace

std::string to_string(Gaps gaps) {
  switch (gaps) {
  case Gaps::fill:
    return "fill";
  case Gaps::silence:
    return "silence";
  case Gaps::refuse:
    return "refuse";
  }
  return "unknown";
}

std::string to_string(const TraceSummary& summary) {
  const double seconds = summary.mean_per_second > 0 ? summary.requests / summary.mean_per_second : 0;
  std::string text = fmt::format("{} intervals", summary.intervals);
  if (seconds > 0)
    text += seconds < day_seconds ? fmt::format(" of {:.3g} hours", seconds / 3600)
                                  : fmt::format(" of {:.1f} days", seconds / day_seconds);
  text += fmt::format(", {:.3g} requests, mean {:.3g}/s, peak {:.3g}/s", summary.requests, summary.mean_per_second,
                      summary.peak_per_second);
  if (summary.filled > 0) text += fmt::format(" ({} intervals filled)", summary.filled);
  return text;
}

Result<RequestTrace> RequestTrace::parse(std::string_view csv, const std::string& subject,
                                         const TraceOptions& options) {
  MCOMP_CHECK(check_interval(options.interval_seconds));
  detail::CsvReader reader(csv, subject);
  RequestTrace trace{.interval_seconds = options.interval_seconds, .requests = {}};
  const auto empty = [&] {
    return Error(ErrorCode::insufficient_data, subject, "there is no line of data",
                 fmt::format("write '{},{}' and a line an interval", options.columns.time, options.columns.requests));
  };
  if (!reader.next()) return empty();
  MCOMP_TRY(time_column, reader.column(options.columns.time));
  MCOMP_TRY(count_column, reader.column(options.columns.requests));
  while (reader.next()) {
    MCOMP_TRY(time, reader.integer(time_column));
    MCOMP_TRY(count, reader.number(count_column));
    if (time < 0) return reader.bad(fmt::format("the time {} is negative", time));
    if (time > latest_interval) return reader.bad(fmt::format("the time {} is above 10^15", time));
    if (count < 0 || count > most_requests)
      return reader.bad(fmt::format("{} requests are not within 0 and {:g}", count, most_requests));
    if (trace.requests.empty()) trace.first_interval = time;
    const std::int64_t place = time - trace.first_interval, size = static_cast<std::int64_t>(trace.requests.size());
    if (place < size)
      return reader.bad(
          fmt::format("the time {} is not after {}, that of the line before", time, trace.first_interval + size - 1),
          "sort the lines, and keep one of each time");
    if (place - size > longest_gap)
      return reader.bad(fmt::format("{} intervals are left out before it, more than {}", place - size, longest_gap),
                        "correct the time, or keep what is on one side of the gap");
    if (place >= most_intervals)
      return reader.bad(fmt::format("the time {} is more than {} intervals after the first", time, most_intervals));
    trace.requests.resize(static_cast<std::size_t>(place), missing);
    trace.requests.push_back(count);
  }
  if (trace.requests.empty()) return empty();
  if (options.gaps == Gaps::silence) {
    std::replace(trace.requests.begin(), trace.requests.end(), missing, 0.0);
    return trace;
  }
  const Gap gap = close_gaps(trace.requests);
  if (options.gaps == Gaps::refuse && gap.count > 0)
    return Error(ErrorCode::invalid_value, subject,
                 fmt::format("{} intervals were not recorded, the first at time {}", gap.count,
                             trace.first_interval + gap.first),
                 "complete the recording, or choose how gaps are treated");
  trace.filled = gap.count;
  return trace;
}

Result<RequestTrace> RequestTrace::read(const std::filesystem::path& path, const TraceOptions& options) {
  MCOMP_TRY(text, read_file(path));
  return parse(text, path.string(), options);
}

Status RequestTrace::check() const {
  MCOMP_CHECK(check_interval(interval_seconds));
  if (requests.empty()) return Error(ErrorCode::insufficient_data, "trace", "it has no interval", "pass at least one");
  MCOMP_CHECK(check_length(static_cast<std::int64_t>(requests.size())));
  if (first_interval < 0 || first_interval > latest_interval)
    return Error(ErrorCode::invalid_value, "trace: first_interval",
                 fmt::format("{} is not within 0 and 10^15", first_interval), "count from a midnight before");
  for (std::size_t i = 0; i < requests.size(); ++i)
    if (!(requests[i] >= 0 && requests[i] <= most_requests))
      return Error(ErrorCode::invalid_value, "trace",
                   fmt::format("interval {} has {} requests, not within 0 and {:g}", i, requests[i], most_requests),
                   "correct the count");
  return {};
}

Result<RequestTrace> RequestTrace::scaled(double factor) const {
  MCOMP_CHECK(check());
  if (!std::isfinite(factor) || factor < 0)
    return Error(ErrorCode::invalid_argument, "factor", fmt::format("{} is not finite and >= 0", factor),
                 "pass 2 for twice the users");
  RequestTrace result = *this;
  for (double& count : result.requests) count *= factor;
  MCOMP_CHECK(result.check());
  return result;
}

Result<RequestTrace> RequestTrace::part(std::int64_t begin, std::int64_t count) const {
  const auto size = static_cast<std::int64_t>(requests.size());
  if (begin < 0 || count < 1 || begin > size || count > size - begin)
    return Error(ErrorCode::invalid_argument, "part",
                 fmt::format("{} intervals from {} on are not within the {} of the trace", count, begin, size),
                 "choose a part that is there");
  return RequestTrace{.interval_seconds = interval_seconds,
                      .first_interval = first_interval + begin,
                      .requests = {requests.begin() + begin, requests.begin() + begin + count}};
}

Result<TraceSummary> RequestTrace::summary() const {
  MCOMP_CHECK(check());
  const auto peak = std::max_element(requests.begin(), requests.end());
  TraceSummary result{.intervals = static_cast<std::int64_t>(requests.size()),
                      .filled = filled,
                      .requests = std::accumulate(requests.begin(), requests.end(), 0.0),
                      .peak_per_second = *peak / interval_seconds,
                      .peak_interval = peak - requests.begin()};
  result.mean_per_second = result.requests / (static_cast<double>(requests.size()) * interval_seconds);
  if (result.mean_per_second > 0) result.peak_to_mean = result.peak_per_second / result.mean_per_second;
  return result;
}

Result<std::vector<double>> RequestTrace::arrivals(std::uint64_t seed) const {
  MCOMP_TRY(whole, summary());
  if (whole.requests > most_arrivals)
    return Error(
        ErrorCode::invalid_argument, "trace",
        fmt::format("{:.3g} requests are more than the {:g} that are drawn one by one", whole.requests, most_arrivals),
        "scale the trace down, take a part of it, or replay it by the minute");
  Random random(seed);
  std::vector<double> times;
  times.reserve(static_cast<std::size_t>(whole.requests) + requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    double count = std::floor(requests[i]);
    if (random.uniform() < requests[i] - count) ++count;
    // Given their number, the arrivals of a Poisson stream are uniform; sorted uniforms are normalized sums of
    // exponentials, which takes no sorting.
    const std::size_t begin = times.size();
    double sum = 0;
    for (double k = 0; k < count; ++k) times.push_back(sum += detail::exponential(random));
    sum += detail::exponential(random);
    for (std::size_t k = begin; k < times.size(); ++k)
      times[k] = (static_cast<double>(i) + times[k] / sum) * interval_seconds;
  }
  return times;
}

Result<ArrivalTrace> ArrivalTrace::parse(std::string_view csv, const std::string& subject,
                                         const ArrivalColumns& columns) {
  detail::CsvReader reader(csv, subject);
  ArrivalTrace trace;
  const auto empty = [&] {
    return Error(ErrorCode::insufficient_data, subject, "there is no line of data",
                 fmt::format("write a line of column names, '{}' among them, and a line an arrival", columns.time));
  };
  if (!reader.next()) return empty();
  MCOMP_TRY(time_column, reader.column(columns.time));
  struct Tokens {
    std::size_t column;
    std::vector<std::int64_t>* values;
  };
  std::vector<Tokens> tokens;
  for (const auto& [name, values] :
       {std::pair{&columns.prompt_tokens, &trace.prompt_tokens}, {&columns.generated_tokens, &trace.generated_tokens}})
    if (!name->empty()) {
      MCOMP_TRY(column, reader.column(*name));
      tokens.push_back({column, values});
    }
  double first = 0;
  while (reader.next()) {
    MCOMP_TRY(text, reader.field(time_column));
    double time = 0;
    if (const auto stamp = parse_timestamp(text)) {
      time = *stamp;
    } else {
      const auto number = reader.number(time_column);
      if (!number)
        return reader.bad(fmt::format("'{}' is neither seconds nor a time like 2023-11-16 18:15:46.68",
                                      detail::CsvReader::shown(text)));
      if (*number < 0) return reader.bad(fmt::format("the time {} is negative", *number));
      time = *number;
    }
    if (trace.seconds.empty()) first = time;
    if (!trace.seconds.empty() && time - first < trace.seconds.back())
      return reader.bad(fmt::format("the time '{}' is before that of the line above", detail::CsvReader::shown(text)),
                        "sort the lines by time");
    trace.seconds.push_back(time - first);
    for (const Tokens& item : tokens) {
      MCOMP_TRY(value, reader.integer(item.column));
      if (value < 0 || value > 1'000'000'000)
        return reader.bad(fmt::format("{} tokens are not within 0 and 10^9", value));
      item.values->push_back(value);
    }
  }
  if (trace.seconds.empty()) return empty();
  return trace;
}

Result<ArrivalTrace> ArrivalTrace::read(const std::filesystem::path& path, const ArrivalColumns& columns) {
  MCOMP_TRY(text, read_file(path));
  return parse(text, path.string(), columns);
}

Status ArrivalTrace::check() const {
  if (seconds.empty()) return Error(ErrorCode::insufficient_data, "arrivals", "there are none", "pass at least one");
  for (const auto* tokens : {&prompt_tokens, &generated_tokens})
    if (!tokens->empty() && tokens->size() != seconds.size())
      return Error(ErrorCode::invalid_shape, "arrivals",
                   fmt::format("{} arrivals have tokens, there are {}", tokens->size(), seconds.size()),
                   "give tokens for every arrival, or for none");
  for (std::size_t i = 0; i < seconds.size(); ++i)
    if (!(seconds[i] >= (i > 0 ? seconds[i - 1] : 0)) || !std::isfinite(seconds[i]))
      return Error(ErrorCode::invalid_value, "arrivals",
                   fmt::format("arrival {} at {} s is not finite, >= 0 and in order", i, seconds[i]),
                   "sort the times and count them from the first");
  for (const auto* tokens : {&prompt_tokens, &generated_tokens})
    for (const std::int64_t count : *tokens)
      if (count < 0)
        return Error(ErrorCode::invalid_value, "arrivals", fmt::format("{} tokens are fewer than none", count),
                     "correct the count");
  return {};
}

Result<RequestTrace> ArrivalTrace::per_interval(double interval_seconds) const {
  MCOMP_CHECK(check());
  MCOMP_CHECK(check_interval(interval_seconds));
  const double last = std::floor(seconds.back() / interval_seconds);
  MCOMP_CHECK(check_length(last < 1e15 ? static_cast<std::int64_t>(last) + 1 : most_intervals + 1));
  RequestTrace trace{.interval_seconds = interval_seconds, .requests = {}};
  trace.requests.resize(static_cast<std::size_t>(last) + 1);
  for (const double time : seconds) ++trace.requests[static_cast<std::size_t>(time / interval_seconds)];
  return trace;
}

Result<std::vector<double>> ArrivalTrace::work_seconds(double fixed, double per_prompt_token,
                                                       double per_generated_token) const {
  MCOMP_CHECK(check());
  for (const double value : {fixed, per_prompt_token, per_generated_token})
    if (!std::isfinite(value) || value < 0)
      return Error(ErrorCode::invalid_argument, "work_seconds", fmt::format("{} s is not finite and >= 0", value),
                   "pass measured seconds");
  if ((prompt_tokens.empty() && per_prompt_token > 0) || (generated_tokens.empty() && per_generated_token > 0))
    return Error(ErrorCode::invalid_argument, "work_seconds", "the arrivals have no tokens of that kind",
                 "read the column of tokens, or pass 0 seconds for them");
  std::vector<double> result(seconds.size(), fixed);
  for (std::size_t i = 0; i < prompt_tokens.size(); ++i)
    result[i] += per_prompt_token * static_cast<double>(prompt_tokens[i]);
  for (std::size_t i = 0; i < generated_tokens.size(); ++i)
    result[i] += per_generated_token * static_cast<double>(generated_tokens[i]);
  return result;
}

Result<RequestTrace> stationary_trace(const StationaryLoad& load) {
  MCOMP_CHECK(check_interval(load.interval_seconds));
  MCOMP_CHECK(check_length(load.intervals));
  const double mean = load.requests_per_second * load.interval_seconds;
  if (!(mean >= 0 && mean <= most_requests / 2))
    return Error(
        ErrorCode::invalid_argument, "requests_per_second",
        fmt::format("{} is not within 0 and {:g}", load.requests_per_second, most_requests / 2 / load.interval_seconds),
        "pass a rate of requests");
  RequestTrace trace{.interval_seconds = load.interval_seconds, .requests = {}};
  trace.requests.resize(static_cast<std::size_t>(load.intervals));
  Random random(load.seed);
  for (double& count : trace.requests) count = detail::poisson(mean, random);
  return trace;
}

Result<RequestTrace> diurnal_trace(const DiurnalLoad& load) {
  MCOMP_CHECK(check_interval(load.interval_seconds));
  const auto within = [](const char* what, double value, double low, double high) -> Status {
    if (value >= low && value <= high) return {};
    return Error(ErrorCode::invalid_argument, what, fmt::format("{} is not within {:g} and {:g}", value, low, high),
                 "pass a value in that range");
  };
  MCOMP_CHECK(within("mean_per_second", load.mean_per_second, 0, most_requests / 1000 / load.interval_seconds));
  MCOMP_CHECK(within("swing", load.swing, 0, 1));
  MCOMP_CHECK(within("peak_hour", load.peak_hour, 0, 24));
  MCOMP_CHECK(within("weekend_factor", load.weekend_factor, 0, 10));
  MCOMP_CHECK(within("noise", load.noise, 0, 1));
  MCOMP_CHECK(within("days", static_cast<double>(load.days), 1, static_cast<double>(most_intervals)));
  const double per_day = day_seconds / load.interval_seconds;
  if (per_day != std::floor(per_day))
    return Error(ErrorCode::invalid_argument, "interval_seconds",
                 fmt::format("{} s do not divide a day", load.interval_seconds), "pass 60");
  MCOMP_CHECK(check_length(static_cast<std::int64_t>(per_day * static_cast<double>(load.days))));
  RequestTrace trace{.interval_seconds = load.interval_seconds, .requests = {}};
  const auto day_length = static_cast<std::int64_t>(per_day);
  trace.requests.reserve(static_cast<std::size_t>(day_length * load.days));
  Random random(load.seed);
  const double week = (5 + 2 * load.weekend_factor) / 7;
  for (std::int64_t i = 0; i < day_length * load.days; ++i) {
    const double hour = (static_cast<double>(i % day_length) + 0.5) * load.interval_seconds / 3600;
    double rate = load.mean_per_second / week * (1 + load.swing * std::cos(M_PI / 12 * (hour - load.peak_hour)));
    if (i / day_length % 7 >= 5) rate *= load.weekend_factor;
    if (load.noise > 0) {
      const double sigma = std::sqrt(std::log1p(load.noise * load.noise));
      rate *= std::exp(sigma * random.normal() - sigma * sigma / 2);
    }
    trace.requests.push_back(std::min(detail::poisson(rate * load.interval_seconds, random), most_requests));
  }
  return trace;
}

Result<RequestTrace> bootstrap_days(const RequestTrace& trace, const DayBootstrap& options) {
  MCOMP_CHECK(trace.check());
  if (options.days < 1 || options.block_days < 1)
    return Error(ErrorCode::invalid_argument, "bootstrap_days",
                 fmt::format("{} days in blocks of {} are not both at least 1", options.days, options.block_days),
                 "pass 30 days in blocks of 1 or 7");
  const double per_day = day_seconds / trace.interval_seconds;
  if (per_day != std::floor(per_day))
    return Error(ErrorCode::invalid_argument, "interval_seconds",
                 fmt::format("{} s do not divide a day", trace.interval_seconds), "count requests per minute");
  const auto day_length = static_cast<std::int64_t>(per_day);
  if (options.days > most_intervals / day_length)
    return Error(ErrorCode::invalid_argument, "days",
                 fmt::format("{} days have more than {} intervals", options.days, most_intervals), "draw fewer days");
  // Whole days from midnight to midnight, so that drawn days fit to each other.
  const std::int64_t skipped = (day_length - trace.first_interval % day_length) % day_length;
  const std::int64_t days = (static_cast<std::int64_t>(trace.requests.size()) - skipped) / day_length;
  if (days < options.block_days + 1)
    return Error(ErrorCode::insufficient_data, "trace",
                 fmt::format("it has {} whole days, blocks of {} need one more than that",
                             std::max<std::int64_t>(days, 0), options.block_days),
                 "record longer, or draw shorter blocks");
  Random random(options.seed);
  RequestTrace result{.interval_seconds = trace.interval_seconds, .requests = {}};
  const std::int64_t wanted = options.days * day_length;
  result.requests.reserve(static_cast<std::size_t>(wanted));
  while (static_cast<std::int64_t>(result.requests.size()) < wanted) {
    const auto day = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(days - options.block_days + 1)));
    const std::int64_t length =
        std::min(options.block_days * day_length, wanted - static_cast<std::int64_t>(result.requests.size()));
    const auto begin = trace.requests.begin() + skipped + day * day_length;
    result.requests.insert(result.requests.end(), begin, begin + length);
  }
  return result;
}

} // namespace mcomp::inline v0::cost
