#pragma once

// What a compression is worth in its own traffic and prices: baseline against candidate, replayed on a recorded load
// under the same scaling rules, and where it is not worth the risk.
//
//     mcomp::cost::ForecastInputs inputs{.baseline = {.label = "fp32", .service_seconds = a, .instance = "c5.large"},
//                                        .candidate = {.label = "int8", .service_seconds = b, .instance = "c5.large"},
//                                        .trace = trace, .prices = prices, .objective = {.p95_seconds = 0.1}};
//     auto forecast = mcomp::cost::forecast(inputs).value();
//     forecast.saving.per_month;  forecast.break_even.months;  forecast.advice;
//
// The model. Both sides are replayed minute by minute (cost/autoscale.hpp, with its known error: instance hours and p95
// within 3% of the event simulator for fleets of ten servers and more, within 9% for fixed fleets at 85% of their
// capacity and beyond, within 12% for fewer servers). The error of the difference of two sides is smaller where both
// err alike. Machines are paid from the decision to start them on; months are the catalogue's hours.
//
// Batches are customers of the replay: an interval with the rate r brings batches of min(batch_size, 1 + r x
// batch_wait_seconds) requests, each of which is charged the time of a full one, and responses are longer by the mean
// time that the first request of a batch waits for the last, min(batch_wait_seconds, (batch_size - 1) / r).

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/cost/autoscale.hpp"
#include "mcomp/cost/commitment.hpp"
#include "mcomp/cost/fleet.hpp"
#include "mcomp/cost/prices.hpp"
#include "mcomp/cost/trace.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::cost {

/// How the fleet follows the load; the members are those of AutoscaleOptions.
struct ScalingRules {
  ScalingPolicy policy = TargetUtilization{};
  double decision_seconds = 60;
  double boot_seconds = 120;
  double cooldown_out_seconds = 0;
  double cooldown_in_seconds = 300;
  std::int64_t min_instances = 1;
  std::int64_t max_instances = 1000;
  std::optional<std::int64_t> queue_limit{};
  double mean_seconds_between_interruptions = 0;

  friend bool operator==(const ScalingRules&, const ScalingRules&) = default;
};

/// One of the two models, on the machine that it runs on.
struct ForecastSide {
  std::string label{};
  /// Measured, of one batch each, in the order of measurement: where both sides have as many, the i-th of both are
  /// resampled together, which is right for rounds that alternate and for runs that have nothing to do with each other,
  /// and wrong for sorted times.
  std::vector<double> service_seconds{};
  std::optional<ServiceTime> service{}; ///< in place of samples: known, without uncertainty
  std::int64_t batch_size = 1;          ///< requests that are served together
  double batch_wait_seconds = 0;        ///< most that a request waits for its batch; > 0 for batches
  std::int64_t servers_per_instance = 1;
  std::string instance{};                ///< in the catalogue
  std::optional<ScalingPolicy> policy{}; ///< where it differs: a schedule counts instances of one side
  std::optional<double> boot_seconds{};  ///< where it differs: a smaller model loads sooner
  double storage_gib = 0;                ///< kept all the time, at the catalogue's price of `storage`
  std::string storage{};
  double egress_gib_per_request = 0; ///< sent out, at the catalogue's tiers
  double other_per_month = 0;        ///< whatever else it costs to keep
};

/// A part of the traffic that is judged for itself.
struct ForecastSlice {
  std::string name{};
  double traffic_share = 0; ///< of requests, within [0, 1]; slices may overlap
  double accuracy_loss = 0; ///< right answers that the candidate loses, as a share of the slice: 0.02 for 2 points

  friend bool operator==(const ForecastSlice&, const ForecastSlice&) = default;
};

/// Reservations that run out, for advice that knows of the candidate (cost/commitment.hpp).
struct ExpiringReservations {
  std::int64_t staying = 0, expiring = 0;
  double reserved_per_hour = 0; ///< of a renewed one
  double term_months = 12;
  double probability = 1; ///< that the candidate is adopted
  double months_until = 0;
  bool reserve_again = false;
};

struct ForecastInputs {
  ForecastSide baseline{}, candidate{};
  RequestTrace trace{};
  PriceCatalogue prices{};
  ScalingRules scaling{};
  ResponseObjectives objective{};              ///< may be empty: then capacity alone limits the head-room
  double drop_share = 0.001;                   ///< of requests, that may be dropped with the objective still kept
  std::optional<double> tokens_per_request{};  ///< mean, prompt and generated
  double compress_cost = 0, evaluate_cost = 0; ///< once, in the catalogue's currency
  double growth_per_month = 0; ///< of traffic and so of the saving: 0.02 for 2%; for the break-even time
  std::vector<ForecastSlice> slices{};
  std::optional<OfferOptions> commitment{}; ///< absent: no mix of reservations is looked for
  std::optional<ExpiringReservations> reservations{};
  std::string recipe{}; ///< name or fingerprint of what makes the candidate; kept for re-estimation
};

struct ForecastOptions {
  std::int64_t replicates = 200; ///< of the interval, at least 20; 0 for no interval
  double level = 0.95;
  std::int64_t month_days = 30;
  std::int64_t block_days = 0;   ///< 0: 7 where the trace has 21 whole days or more, else 1
  double step = 0.1;             ///< of the sensitivity, relative; within (0, 0.5]
  double little_saving = 0.05;   ///< hours that save a smaller share are pointed out
  double objective_margin = 0.9; ///< a response quantile beyond this share of its objective is pointed out
  double slice_loss = 0.01;      ///< slices that lose more are pointed out
  double horizon_months = 12;    ///< a break-even after it is not worth it
  std::uint64_t seed = 1;
};

/// How much more traffic a fleet could take for good with the objective kept (M/G/c, cost/erlang.hpp).
struct Headroom {
  double requests_per_second = 0;
  std::optional<double> factor{}; ///< over the busiest interval of the trace; absent where that has no requests

  friend bool operator==(const Headroom&, const Headroom&) = default;
};

struct SideForecast {
  std::string label{}, instance{};
  double price_per_hour = 0;
  double mean_service_seconds = 0, service_variability = 0; ///< of a batch
  std::int64_t samples = 0;                                 ///< 0 where the service time was declared
  std::int64_t batch_size = 1, servers_per_instance = 1;
  double mean_instances = 0, peak_instances = 0, instance_hours = 0, utilization = 0;
  double requests = 0, dropped = 0;
  LatencyPoint wait{}, response{};
  bool objective_kept = true;
  double machines_per_month = 0, storage_per_month = 0, egress_per_month = 0, other_per_month = 0;
  double per_month = 0;                         ///< the sum of these
  std::optional<double> per_million_requests{}; ///< answered ones; absent where there are none
  std::optional<double> per_million_tokens{};   ///< absent where tokens are not known
  Headroom at_peak_fleet{}, at_most_instances{};
  std::optional<CommitmentPlan> commitment{};  ///< for the machines needed by hour, rounded up to whole ones
  std::optional<double> committed_per_month{}; ///< machines at the cost of that plan, and all else

  friend bool operator==(const SideForecast&, const SideForecast&) = default;
};

/// In the catalogue's currency; negative where the candidate costs more.
struct ForecastSaving {
  double per_month = 0;
  double relative = 0; ///< share of the baseline's cost
  std::optional<stats::Interval> per_month_interval{};
  std::string interval_covers{};               ///< in words, or why there is none
  std::optional<double> committed_per_month{}; ///< with the best commitments on either side

  friend bool operator==(const ForecastSaving&, const ForecastSaving&) = default;
};

/// Months until the saving has paid for compressing and evaluating; absent is never. With growth g the saving of month
/// t is that of today times (1 + g)^t.
struct BreakEven {
  double one_off = 0;
  std::optional<double> months{};
  std::optional<double> earliest{}, latest{}; ///< at the ends of the saving's interval
  friend bool operator==(const BreakEven&, const BreakEven&) = default;
};

/// What one input does to the saving, all else as it is.
struct Sensitivity {
  std::string input{};
  double value = 0, low = 0, high = 0; ///< as it is, and moved by the step either way (within its range)
  double saving_at_low = 0, saving_at_high = 0;
  double moves = 0; ///< the larger of the two changes of the saving per month

  friend bool operator==(const Sensitivity&, const Sensitivity&) = default;
};

/// One hour of the day; a trace of arrivals counts hours from its first one.
struct HourForecast {
  int hour = 0;
  double traffic_share = 0;
  double baseline_per_month = 0, candidate_per_month = 0; ///< machines
  double saving_per_month = 0, relative = 0;
  double baseline_at_minimum = 0, candidate_at_minimum = 0; ///< share of intervals in which min_instances binds
  double baseline_mean_wait = 0, candidate_mean_wait = 0;   ///< seconds
  bool little = false;                                      ///< saves less than `little_saving`

  friend bool operator==(const HourForecast&, const HourForecast&) = default;
};

struct SliceForecast {
  std::string name{};
  double traffic_share = 0, accuracy_loss = 0;
  double saving_per_month = 0;       ///< its share of the saving
  double lost_answers_per_month = 0; ///< right ones, that the candidate gets wrong
  std::optional<double> saving_per_lost_answer{};
  bool risky = false; ///< loses more than `slice_loss`

  friend bool operator==(const SliceForecast&, const SliceForecast&) = default;
};

/// How requests spread over the day and over levels, to see whether later traffic is alike.
struct TrafficMix {
  double mean_per_second = 0;
  std::vector<double> hour_share{};  ///< 24 shares of requests; empty for a trace without requests or below a day
  std::vector<double> level_edges{}; ///< ascending requests per second: deciles of the intervals, equal ones once
  std::vector<double>
      level_share{}; ///< of intervals at or below each edge and above the one before; the last: above all

  friend bool operator==(const TrafficMix&, const TrafficMix&) = default;
};
/// Errors: as RequestTrace::check.
[[nodiscard]] MCOMP_API Result<TrafficMix> traffic_mix(const RequestTrace& trace);

enum class ForecastDecision { adopt, reject, undecided };
[[nodiscard]] MCOMP_API std::string to_string(ForecastDecision decision);

/// Baseline against candidate, a plain value.
struct Forecast {
  static constexpr const char* schema = "mcomp-forecast-1";

  std::string currency{}, price_date{}, price_source{}, recipe{};
  std::string policy{}; ///< in words
  TraceSummary trace{};
  double trace_hours = 0, hours_per_month = 730;
  ResponseObjectives objective{};
  SideForecast baseline{}, candidate{};
  ForecastSaving saving{};
  BreakEven break_even{};
  std::vector<Sensitivity> sensitivity{}; ///< what moves the saving most comes first
  std::vector<HourForecast> hours{};
  std::vector<SliceForecast> slices{}; ///< the least saving per lost answer first
  std::optional<ExpiryAdvice> reservations{};
  TrafficMix mix{};
  std::vector<std::string> concerns{}; ///< places where little is saved and users are at risk
  std::vector<std::string> notes{};    ///< what was left out, and why
  ForecastDecision decision = ForecastDecision::undecided;
  std::string advice{}; ///< a sentence

  friend bool operator==(const Forecast&, const Forecast&) = default;
};

/// The interval is that of the next month's saving: each replicate draws the trace's days anew in blocks (what is known
/// of the days is itself a sample) and from those a month (months differ), the same days and seeds for both sides, and
/// for measured sides the mean of resampled service times, by which all of them are scaled; percentiles over the
/// replicates. It covers days that differ as the recorded ones did and the scatter of the measurement; it does not
/// cover growth, seasons longer than the trace, other prices, or the error of the model. With a trace of less than two
/// whole days (or of intervals that do not divide a day) it covers the measurement alone, and says so. Measured on days
/// whose levels are log-normal, 30% apart: intervals of 90% held the month that followed in 77% of 200 cases with 5
/// recorded days, in 88% of 500 with 10 and in 87% of 500 with 21; fewer days make intervals that are too short. The
/// same seed gives the same forecast on any number of threads.
///
/// Time: two replays of the trace and two for every input of the sensitivity, and two of a month for every replicate: a
/// few seconds on one core for a month of minutes.
///
/// A trace without requests is a forecast of idle fleets: costs per request are absent, the objective counts as kept.
/// Errors: as `replay`; not_found for an instance or storage; insufficient_data for a side with neither samples nor
/// service; invalid_value and invalid_argument for inputs and options out of range; cancelled.
[[nodiscard]] MCOMP_API Result<Forecast> forecast(const ForecastInputs& inputs, const ForecastOptions& options = {},
                                                  const Context& context = {});

/// The replay of one side as `forecast` makes it, in requests: its timeline is for charts. Errors: as `forecast`.
[[nodiscard]] MCOMP_API Result<Replay> replay_side(const ForecastInputs& inputs, const ForecastSide& side);

/// The least factor by which the trace must be scaled so that `side` has at least `instances` at its peak, to a part in
/// 1000. The limit of the fleet is lifted to ten times that number meanwhile. Errors: as `replay_side`;
/// invalid_argument for instances < 1 or above 10^5, a trace without requests, and where no factor up to 10^12 does.
[[nodiscard]] MCOMP_API Result<double> scale_for_peak(const ForecastInputs& inputs, const ForecastSide& side,
                                                      std::int64_t instances);

/// Population stability index of two distributions over the same bins, sum of (a - e) ln(a / e), with shares below 1e-4
/// taken as 1e-4. Below 0.1 counts as stable, above 0.25 as shifted (Siddiqi, Credit Risk Scorecards, 2006). Errors:
/// invalid_shape for other numbers of bins; invalid_value for shares that are negative, not finite, or all 0.
[[nodiscard]] MCOMP_API Result<double> population_stability(const std::vector<double>& expected,
                                                            const std::vector<double>& actual);

/// Paragraphs: both sides, saving, break-even, what moves it, concerns, advice.
[[nodiscard]] MCOMP_API std::string to_string(const Forecast& forecast);
/// One JSON object with the members above under "schema"; what is absent or infinite is null.
[[nodiscard]] MCOMP_API std::string to_json(const Forecast& forecast);
/// "target utilization 0.6"
[[nodiscard]] MCOMP_API std::string to_string(const ScalingPolicy& policy);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::Forecast> = true;
template <> inline constexpr bool enable_format<cost::ForecastDecision> = true;
} // namespace mcomp::inline v0
