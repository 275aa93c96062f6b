#pragma once

// Forecasts that were made, when a new one is due, and how far the last one was off.
//
//     log.records.push_back(mcomp::cost::record(forecast, "2026-07-20"));
//     auto due = mcomp::cost::needs_new_forecast(log.records.back(), {.date = "2026-09-01", .trace = &lately}).value();
//     if (due.needed) alert(to_string(due));
//     auto off = mcomp::cost::forecast_error(log.records.back(), measured).value();

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/cost/forecast.hpp"

namespace mcomp::inline v0::cost {

/// What was said of one side, or measured of it; absent where it was not.
struct SideFigures {
  std::optional<double> mean_instances{}, peak_instances{}, per_month{}, p95_seconds{};

  friend bool operator==(const SideFigures&, const SideFigures&) = default;
};

/// What is kept of a forecast: enough to tell when it is out of date, and how good it was.
struct ForecastRecord {
  std::string date{}; ///< year-month-day of the forecast
  std::string recipe{};
  std::string currency{}, price_date{};
  std::string baseline_instance{}, candidate_instance{};
  double baseline_price_per_hour = 0, candidate_price_per_hour = 0;
  TrafficMix mix{};
  SideFigures baseline{}, candidate{};
  double saving_per_month = 0;
  std::optional<stats::Interval> saving_interval{};
  SideFigures measured_baseline{}, measured_candidate{}; ///< later, as far as it was measured

  friend bool operator==(const ForecastRecord&, const ForecastRecord&) = default;
};
/// Error: invalid_value for a date that is none.
[[nodiscard]] MCOMP_API Result<ForecastRecord> record(const Forecast& forecast, const std::string& date);

/// Records in the order of their making.
struct ForecastLog {
  static constexpr const char* schema = "mcomp-forecast-log-1";
  std::vector<ForecastRecord> records{};

  /// Errors: not_found, io_failure; corrupt for another schema, a missing or unknown key, numbers that are not finite,
  /// and dates that descend.
  [[nodiscard]] MCOMP_API static Result<ForecastLog> read(const std::filesystem::path& path);
  /// The same from text. @param subject what the text is, for messages
  [[nodiscard]] MCOMP_API static Result<ForecastLog> parse(std::string_view json, const std::string& subject);

  friend bool operator==(const ForecastLog&, const ForecastLog&) = default;
};

struct ForecastRules {
  std::int64_t every_days = 30;
  double price_change = 0.02;   ///< of either instance, relative
  double stability_index = 0.2; ///< of hours of the day or of levels (`population_stability`)
  double mean_change = 0.2;     ///< of the traffic's mean, relative
};

/// What is known today; what is left out is not compared.
struct ForecastState {
  std::string date{};
  std::optional<std::string> recipe{};
  const PriceCatalogue* prices = nullptr;
  const RequestTrace* trace = nullptr; ///< of the time since the forecast
};

enum class ForecastReason { schedule, recipe, prices, traffic };
[[nodiscard]] MCOMP_API std::string to_string(ForecastReason reason);

struct DueReason {
  ForecastReason reason = ForecastReason::schedule;
  std::string sentence{};
  double value = 0, limit = 0; ///< what was compared; days, a share, or a stability index

  friend bool operator==(const DueReason&, const DueReason&) = default;
};

struct DueForecast {
  bool needed = false;
  std::vector<DueReason> reasons{};

  friend bool operator==(const DueForecast&, const DueForecast&) = default;
};

/// Errors: invalid_value for dates that are none or before the record's, or limits that are not positive; not_found for
/// an instance that the new prices lack; invalid_argument for prices in another currency; as RequestTrace::check.
[[nodiscard]] MCOMP_API Result<DueForecast> needs_new_forecast(const ForecastRecord& last, const ForecastState& now,
                                                               const ForecastRules& rules = {});

/// Forecast over measured minus 1: above 0 where the forecast was too high. Absent where either is.
struct SideError {
  std::optional<double> mean_instances{}, peak_instances{}, per_month{}, p95_seconds{};

  friend bool operator==(const SideError&, const SideError&) = default;
};

struct ForecastError {
  std::string date{}; ///< of the forecast
  SideError baseline{}, candidate{};
  std::optional<double>
      saving_error{}; ///< forecast - measured, in the currency; absent unless both sides were measured
  std::optional<bool> within_interval{}; ///< whether the measured saving is within the forecast's interval

  friend bool operator==(const ForecastError&, const ForecastError&) = default;
};

/// Of the measured members of the record. Errors: insufficient_data where nothing was measured, invalid_value for a
/// measured number that is not finite and > 0.
[[nodiscard]] MCOMP_API Result<ForecastError> forecast_error(const ForecastRecord& record);

/// "due: 42 days old, 30 are the schedule; ..." or "not due"
[[nodiscard]] MCOMP_API std::string to_string(const DueForecast& due);
/// "candidate: cost +3.1%, mean instances +2.0%; saving 12.3 too high, within its interval"
[[nodiscard]] MCOMP_API std::string to_string(const ForecastError& error);
[[nodiscard]] MCOMP_API std::string to_json(const DueForecast& due);
[[nodiscard]] MCOMP_API std::string to_json(const ForecastError& error);
[[nodiscard]] MCOMP_API std::string to_json(const ForecastLog& log);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::ForecastReason> = true;
template <> inline constexpr bool enable_format<cost::DueForecast> = true;
template <> inline constexpr bool enable_format<cost::ForecastError> = true;
} // namespace mcomp::inline v0
