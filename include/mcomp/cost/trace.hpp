#pragma once

// Recorded and made-up load: requests per minute over days, and single arrivals with their work.
//
//     auto trace = mcomp::cost::RequestTrace::read("requests_per_minute.csv").value();
//     auto busy = trace.scaled(20).value();                       // the same service with 20 times the users
//     auto month = mcomp::cost::bootstrap_days(busy, {.days = 30, .seed = 7}).value();

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::cost {

/// What becomes of intervals that a recording lacks. Those are the numbers of the time column that are left out, and
/// runs of zeros where silence is implausible: where the interval before the run and the one after it, as far as they
/// are there, have at least 20 requests, since a Poisson stream of that rate is silent with probability 2e-9. An
/// interval beside a run that has less than a tenth of the one beyond it was cut off with the recording and counts as
/// part of the run.
enum class Gaps {
  fill,    ///< by the straight line between the neighbours; at either end by the one neighbour
  silence, ///< no requests came, and what is there stands
  refuse,  ///< an Error names the first one
};
[[nodiscard]] MCOMP_API std::string to_string(Gaps gaps);

struct TraceColumns {
  /// Whole numbers from 0 to 10^15 that grow: intervals since midnight of the first day. At most 100,000 may be left
  /// out in one place.
  std::string time = "minute";
  std::string requests = "requests"; ///< counts >= 0, fractions allowed
};

struct TraceOptions {
  TraceColumns columns{};
  double interval_seconds = 60;
  Gaps gaps = Gaps::fill;
};

struct TraceSummary {
  std::int64_t intervals = 0;
  std::int64_t filled = 0; ///< intervals that were not recorded and are filled in
  double requests = 0;
  double mean_per_second = 0;
  double peak_per_second = 0; ///< of the busiest interval
  std::int64_t peak_interval = 0;
  double peak_to_mean = 0; ///< 0 where there are no requests

  friend bool operator==(const TraceSummary&, const TraceSummary&) = default;
};
/// "31651 intervals of 22.0 days, 1.22e+08 requests, mean 64.1/s, peak 300/s (611 intervals filled)"
[[nodiscard]] MCOMP_API std::string to_string(const TraceSummary& summary);

/// Requests per interval, in order of time and without holes. Every interval holds at most 10^15 requests and a trace
/// at most 10^7 intervals, so that totals are exact to a part in 10^9 at worst and no count overflows.
struct RequestTrace {
  double interval_seconds = 60;
  std::int64_t first_interval = 0; ///< its place in the day: intervals since midnight
  std::vector<double> requests{};
  std::int64_t filled = 0; ///< how many of them were not recorded and are filled in

  /// Reads comma-separated text: a line of column names, then one line an interval. Other columns are ignored; fields
  /// may be quoted, with blanks around them, and lines end in CR LF. Errors: not_found, io_failure; corrupt for a
  /// missing column, a line with too few fields, a field that is no number, a negative or non-finite count, a time that
  /// is negative, no whole number or not after the one before it; insufficient_data for no line; invalid_value for gaps
  /// under Gaps::refuse; invalid_argument for an interval that is not positive.
  [[nodiscard]] MCOMP_API static Result<RequestTrace> read(const std::filesystem::path& path,
                                                           const TraceOptions& options = {});
  /// The same from text. @param subject what the text is, for messages
  [[nodiscard]] MCOMP_API static Result<RequestTrace> parse(std::string_view csv, const std::string& subject,
                                                            const TraceOptions& options = {});

  /// The rules of a trace, for one that was filled by hand. Errors: insufficient_data for no interval, invalid_value.
  [[nodiscard]] MCOMP_API Status check() const;
  /// Every count times `factor`. Errors: invalid_argument unless the factor is finite and >= 0; as `check`.
  [[nodiscard]] MCOMP_API Result<RequestTrace> scaled(double factor) const;
  /// The `count` intervals from `begin` on. Error: invalid_argument where they are not all there.
  [[nodiscard]] MCOMP_API Result<RequestTrace> part(std::int64_t begin, std::int64_t count) const;
  /// Errors: as `check`.
  [[nodiscard]] MCOMP_API Result<TraceSummary> summary() const;
  /// Times of arrival in seconds since the start, ascending: a Poisson stream whose rate is constant within an
  /// interval. A count with a fraction is rounded up or down at random, so that its mean is kept. Errors: as `check`;
  /// invalid_argument for more than 10^9 requests.
  [[nodiscard]] MCOMP_API Result<std::vector<double>> arrivals(std::uint64_t seed) const;

  friend bool operator==(const RequestTrace&, const RequestTrace&) = default;
};

struct ArrivalColumns {
  /// Seconds, or "2023-11-16 18:15:46.6805900" (also with T between, and with Z or +02:00 behind); must not descend.
  std::string time = "TIMESTAMP";
  std::string prompt_tokens = "ContextTokens";
  std::string generated_tokens = "GeneratedTokens";
};

/// Single requests of a token-based service.
struct ArrivalTrace {
  std::vector<double> seconds{}; ///< since the first arrival, which is 0; ascending, equal times allowed
  std::vector<std::int64_t> prompt_tokens{},
      generated_tokens{}; ///< as many as `seconds`; empty where there is no column

  /// Columns of tokens whose name is given as "" are not read. Errors: as RequestTrace::read, with the rules of the
  /// columns above; tokens are whole numbers >= 0 and at most 10^9.
  [[nodiscard]] MCOMP_API static Result<ArrivalTrace> read(const std::filesystem::path& path,
                                                           const ArrivalColumns& columns = {});
  [[nodiscard]] MCOMP_API static Result<ArrivalTrace> parse(std::string_view csv, const std::string& subject,
                                                            const ArrivalColumns& columns = {});

  /// The rules above. Errors: insufficient_data for no arrival, invalid_shape, invalid_value.
  [[nodiscard]] MCOMP_API Status check() const;
  /// Counts per interval. Errors: as `check`; invalid_argument for an interval that is not positive, or so short that
  /// there would be more than 10^7.
  [[nodiscard]] MCOMP_API Result<RequestTrace> per_interval(double interval_seconds = 60) const;
  /// fixed + prompt x per_prompt_token + generated x per_generated_token of every request: what a worker spends on it.
  /// Errors: as `check`; invalid_argument for seconds that are negative or not finite, or without columns of tokens.
  [[nodiscard]] MCOMP_API Result<std::vector<double>> work_seconds(double fixed, double per_prompt_token,
                                                                   double per_generated_token) const;

  friend bool operator==(const ArrivalTrace&, const ArrivalTrace&) = default;
};

struct StationaryLoad {
  double requests_per_second = 0;
  std::int64_t intervals = 1440;
  double interval_seconds = 60;
  std::uint64_t seed = 1;
};
/// Poisson counts of one rate. Errors: invalid_argument for a rate that is negative, not finite or above 10^15 an
/// interval, for intervals below 1 or above 10^7, or a length that is not positive.
[[nodiscard]] MCOMP_API Result<RequestTrace> stationary_trace(const StationaryLoad& load);

/// rate(t) = mean (1 + swing cos(2 pi (t - peak_hour) / 24 h)), times weekend_factor on days 5 and 6 of every week, and
/// divided by the mean of those factors over a whole week, so that whole weeks have the mean asked for.
struct DiurnalLoad {
  double mean_per_second = 0;
  double swing = 0.6; ///< within [0, 1]; the peak of a day is (1 + swing) times its mean
  double peak_hour = 15;
  double weekend_factor = 1;
  /// Standard deviation of a log-normal factor of mean 1 that each interval's rate has; 0 for none: real traffic
  /// scatters more than Poisson's.
  double noise = 0;
  std::int64_t days = 7;
  double interval_seconds = 60; ///< a day must be a whole number of intervals
  std::uint64_t seed = 1;
};
/// Poisson counts of that rate. Errors: invalid_argument for members outside their range.
[[nodiscard]] MCOMP_API Result<RequestTrace> diurnal_trace(const DiurnalLoad& load);

struct DayBootstrap {
  std::int64_t days = 30;      ///< of the new trace
  std::int64_t block_days = 1; ///< days that are drawn together; 7 keeps weeks whole
  std::uint64_t seed = 1;
};
/// A trace of days drawn with replacement in blocks (moving blocks; Kuensch, Annals of Statistics 17, 1989): what
/// another month of the same service could have been. A block starts at any whole day of the trace; what is left after
/// its last whole day is not drawn. Errors: as `check`; insufficient_data for fewer whole days than block_days + 1;
/// invalid_argument for an interval that does not divide a day, or numbers of days below 1.
[[nodiscard]] MCOMP_API Result<RequestTrace> bootstrap_days(const RequestTrace& trace,
                                                            const DayBootstrap& options = {});

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::Gaps> = true;
template <> inline constexpr bool enable_format<cost::TraceSummary> = true;
} // namespace mcomp::inline v0
