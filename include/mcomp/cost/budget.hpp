#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "mcomp/cost/prices.hpp"
#include "mcomp/stats/interval.hpp"

// Where spending stands against its limit, and where it is going: plain data that an alert compares and prints.
//
//     auto status = mcomp::cost::budget_status({{0, 90}, {1, 110}, {2, 100}}, {.limit = 3300, .days = 31}).value();
//     status.forecast;                    // 3100, with status.forecast_interval
//     if (status.state >= mcomp::cost::BudgetState::at_risk) alert(to_string(status));
//
// The forecast takes days as independent draws from one distribution: the days that are left, and those without a
// record, cost the mean of the recorded ones. Its interval is that of the sum of m further days after n recorded ones,
// m mean +- t s sqrt(m + m^2 / n) with Student's t of n - 1 degrees of freedom (the prediction interval of a normal
// mean). Weekends, growth and releases are not in it: give whole weeks, or a period after the release.

namespace mcomp::inline v0::cost {

struct Budget {
  double limit = 0; ///< for the period, > 0
  std::int64_t days = 30;
  double level = 0.95;       ///< of the intervals
  std::string currency = ""; ///< carried along
};

/// What one day cost.
struct DailySpending {
  std::int64_t day = 0; ///< of the period, from 0
  double amount = 0;    ///< below 0 where a refund exceeds what was spent
};

/// In order of severity.
enum class BudgetState {
  within,      ///< the whole interval of the forecast is within the limit
  at_risk,     ///< the forecast is within the limit, its interval is not; or there is one day only and so no interval
  will_exceed, ///< the forecast is above the limit
  exceeded,    ///< what was spent is above the limit
};

/// When the limit is reached, in days from the start of the period: 10 is the end of the tenth day. Absent where that
/// is not within the period.
struct BudgetReached {
  std::optional<double> expected{};
  std::optional<double> earliest{}; ///< at the upper end of the interval
  std::optional<double> latest{};   ///< at the lower end
  friend bool operator==(const BudgetReached&, const BudgetReached&) = default;
};

struct BudgetStatus {
  BudgetState state = BudgetState::within;
  std::string currency;
  double limit = 0;
  std::int64_t days = 0;          ///< of the period
  std::int64_t elapsed_days = 0;  ///< up to the last record, that day included
  std::int64_t recorded_days = 0; ///< fewer where days are missing
  double spent = 0;               ///< recorded, refunds deducted
  double refunds = 0;             ///< sum of the amounts below 0, as a positive number
  double estimated_gaps = 0;      ///< what the missing days are taken to have cost; in the forecast, not in `spent`
  double per_day = 0;             ///< mean of the recorded days
  /// Of spending on the limit's pace: 1 uses it up at the end of the period, 2 in half of it.
  double burn_rate = 0;
  double forecast = 0;                                ///< at the end of the period
  std::optional<stats::Interval> forecast_interval{}; ///< absent with one recorded day
  double overrun = 0;                                 ///< forecast - limit; negative: what is left
  BudgetReached reached{};

  friend bool operator==(const BudgetStatus&, const BudgetStatus&) = default;
};

/// @param spending  recorded days, ascending; days that are missing between them are gaps, not zeros
/// Zero spending is a forecast of zero that never reaches the limit; the same holds for a mean below 0 (refunds).
/// Errors: insufficient_data for no day; invalid_value for a limit that is not finite and > 0, amounts that are NaN or
/// infinite, a day outside the period, and sums that overflow; invalid_argument for a period outside 1 .. 3660 days, a
/// level outside (0, 1), days that do not ascend.
[[nodiscard]] MCOMP_API Result<BudgetStatus> budget_status(std::span<const DailySpending> spending,
                                                           const Budget& budget);

/// "will exceed"
[[nodiscard]] MCOMP_API std::string to_string(BudgetState state);
/// "will exceed: 300 of 2000 USD spent in 3 of 31 days, burn rate 1.55, forecast 3100 [2850, 3350] (95%), limit reached
/// on day 20"
[[nodiscard]] MCOMP_API std::string to_string(const BudgetStatus& status);
/// One JSON object with the members above; what is absent is null.
[[nodiscard]] MCOMP_API std::string to_json(const BudgetStatus& status);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::BudgetState> = true;
template <> inline constexpr bool enable_format<cost::BudgetStatus> = true;
} // namespace mcomp::inline v0
