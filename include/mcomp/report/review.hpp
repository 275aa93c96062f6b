#pragma once

// The periodic review: targets against results, satisfaction, cost against its benchmark, error of the forecasts,
// risks, recipes to retire, margins that nobody uses, and what to try next. Every finding has the rule that made it,
// with its threshold, and the evidence; every rule is a plain threshold of the options. A period in which nothing
// crosses one has no findings.
//
//     auto review = report::review({.from = start, .until = now, .targets = targets, .forecasts =
//     log.records}).value(); fmt::print("{}\n", review); for (const auto& finding : review.findings)
//     open_ticket(finding.subject, finding.sentence);

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/records.hpp"
#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/cost/forecast_log.hpp"
#include "mcomp/report/chart.hpp"

namespace mcomp::inline v0::report {

/// Times are seconds since 1970, UTC.
struct Reading {
  std::int64_t time = 0;
  double value = not_known; ///< readings that are not finite count as not taken
};

/// A target and what was measured of it, one reading a day or whatever the cadence is.
struct TargetHistory {
  catalog::Target target{};
  std::string unit{}; ///< of its value (report/chart.hpp)
  std::vector<Reading> readings{};
};

struct FeedbackCount {
  std::int64_t time = 0;
  std::int64_t good = 0, all = 0;
};

/// What something costs, and what it should.
struct CostBenchmark {
  std::string name;
  std::string unit{};
  double measured = not_known, benchmark = not_known;
  std::string source{}; ///< of the benchmark
};

/// A margin of the criteria, and how much of it each judgement took: the limit of the loss that was shown, not the
/// loss.
struct MarginUse {
  std::string name;
  std::string unit{};
  double margin = 0;
  std::vector<Reading> used{};
};

struct RecipeHistory {
  struct Use {
    std::int64_t time = 0;
    std::string where{};
    bool won = false;
  };
  std::string id, name{};
  std::string status = "standard"; ///< only "standard" recipes can be stale
  std::int64_t since = 0;          ///< when it got that status
  std::vector<Use> uses{};
};

struct AlertHistory {
  std::string name;
  std::vector<std::int64_t> fired{};
  bool open = false; ///< since the last of them
};

struct PendingDecision {
  std::string id;
  catalog::Decision decision{};
};

struct ReviewInputs {
  std::int64_t from = 0, until = 0;
  std::vector<TargetHistory> targets{};
  std::vector<FeedbackCount> satisfaction{};
  std::vector<CostBenchmark> benchmarks{};
  std::vector<cost::ForecastRecord> forecasts{}; ///< those without measured figures are listed and not judged
  std::vector<MarginUse> margins{};
  std::vector<RecipeHistory> recipes{};
  std::vector<AlertHistory> alerts{};
  std::vector<PendingDecision> decisions{};
  std::vector<std::string> ideas{}; ///< to try, beside what the findings suggest
};

struct ReviewOptions {
  /// A target in force is missed where more than this share of its readings broke it ...
  double missed_share = 0.1;
  std::int64_t least_readings = 7; ///< ... of at least so many,
  std::int64_t missed_run = 7;     ///< or where the last so many in a row did.
  /// Without a reading for so many days at the end of the period it is a risk: nobody knows whether it holds.
  std::int64_t unmeasured_days = 14;

  /// Satisfaction fell where the share of good feedback in the last third of the period is lower by more than this than
  /// in the first third, each with at least `least_feedback` answers, and their 95% intervals (Wilson) are apart.
  double satisfaction_fall = 0.03;
  std::int64_t least_feedback = 100;

  double cost_excess = 0.1; ///< cost is above its benchmark where it exceeds it by more than this share

  /// A forecast missed where its cost per month is off by more than this share on either side, or where the measured
  /// saving is outside of its interval and off by more than `saving_error` of the saving that was forecast.
  double forecast_error = 0.15;
  double saving_error = 0.25;

  /// A margin was never used where in at least `least_judgements` judgements none took more than this share of it.
  double unused_share = 0.5;
  std::int64_t least_judgements = 4;

  /// A standard recipe is stale where it was not used for so many days, and had that status for as long, or where the
  /// last `stale_losses` uses were all lost.
  std::int64_t stale_days = 45;
  std::int64_t stale_losses = 3;

  std::int64_t repeated_alert = 5;  ///< an alert that fired so often in the period is a risk,
  std::int64_t open_alert_days = 7; ///< and so is one that is open for longer than this
};

enum class FindingKind {
  missed_target,
  satisfaction_fell,
  cost_above_benchmark,
  forecast_miss,
  risk, ///< target that is not measured, decision past its review date, alert that repeats or stays open
  stale_recipe,
  unused_margin,
};
/// "missed target", "stale recipe", ...
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(FindingKind kind);

/// A fact behind a finding: a number with its unit, or a text.
struct Evidence {
  std::string name;
  double value = not_known;
  std::string unit{};
  std::string text{}; ///< in place of the number where it is not empty
  friend MCOMP_WORKFLOW_API bool operator==(const Evidence& a, const Evidence& b);
};

struct Finding {
  FindingKind kind = FindingKind::risk;
  std::string subject;  ///< the recipe, target, margin, forecast
  std::string sentence; ///< what was found
  std::string rule;     ///< in words, with its threshold
  std::vector<Evidence> evidence{};
  std::string next{}; ///< what to try
  friend bool operator==(const Finding&, const Finding&) = default;
};

/// How one target did.
struct TargetResult {
  std::string name, metric, slice{}, bound, unit{};
  double limit = not_known;
  std::int64_t readings = 0, missed = 0;
  double mean = not_known, last = not_known;
  std::string answer{}; ///< "met", "missed", "not measured"
  friend MCOMP_WORKFLOW_API bool operator==(const TargetResult& a, const TargetResult& b);
};

/// A line of what was looked at, found fault with or not.
struct ReviewLine {
  std::string topic; ///< "satisfaction", "cost", "forecast", "recipe", "margin", "alert"
  std::string subject;
  std::string sentence;
  bool finding = false;
  friend bool operator==(const ReviewLine&, const ReviewLine&) = default;
};

struct Review {
  static constexpr const char* schema = "mcomp-review-1";
  std::int64_t from = 0, until = 0;
  std::vector<Finding> findings{}; ///< in the order of the kinds, then as given
  std::vector<TargetResult> targets{};
  std::vector<ReviewLine> lines{};
  std::vector<std::string> next{};  ///< what to try, of the findings first
  std::vector<std::string> rules{}; ///< all that were applied, in words

  /// Strict: an unknown key is an error. Errors: corrupt, version_mismatch.
  [[nodiscard]] static MCOMP_WORKFLOW_API Result<Review> parse(std::string_view json,
                                                               const std::string& subject = "review");
  friend bool operator==(const Review&, const Review&) = default;
};

/// Only what lies within [from, until) is looked at, and of targets those with the status "in force". O(size of the
/// inputs). Errors: invalid_argument for a period without length, options out of range, or a margin, benchmark or
/// target that is no number; invalid_value for impossible feedback counts and measured costs that are not positive.
[[nodiscard]] MCOMP_WORKFLOW_API Result<Review> review(const ReviewInputs& inputs, const ReviewOptions& options = {});

/// The findings with evidence and rules, then what to try.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const Review& review);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Review& review);

} // namespace mcomp::inline v0::report

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<report::FindingKind> = true;
template <> inline constexpr bool enable_format<report::Review> = true;
} // namespace mcomp::inline v0
