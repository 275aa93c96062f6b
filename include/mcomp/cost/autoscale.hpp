#pragma once

// What a recorded load costs under a scaling policy, and how long its requests wait: machines come late, and leave
// late.
//
//     mcomp::cost::AutoscaleOptions options{.service = service, .policy = mcomp::cost::TargetUtilization{.target =
//     0.7},
//                                           .price_per_hour = 0.17};
//     auto month = mcomp::cost::replay(trace, options).value();            // minute by minute: milliseconds a day
//     auto exact = mcomp::cost::replay_requests(trace, options).value();   // request by request: for short traces
//     auto bill = mcomp::cost::monthly_cost(trace, options).value();       // with an interval, from bootstrapped
//     months

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/cost/service_time.hpp"
#include "mcomp/cost/trace.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::cost {

/// As many instances as would have been busy for the share `target` in the period before. Nothing changes while the
/// measured utilization is within `tolerance` of the target, relatively.
struct TargetUtilization {
  double target = 0.6; ///< within (0, 1]
  double tolerance = 0.1;
  friend bool operator==(const TargetUtilization&, const TargetUtilization&) = default;
};
/// Adds a `step` of the fleet (at least one instance) while more than `high` requests wait per instance, removes one
/// while at most `low` do and the rest would be busy for less than the share `utilization`.
struct QueueLengthTarget {
  double high = 1, low = 0.05, step = 0.2, utilization = 0.8;
  friend bool operator==(const QueueLengthTarget&, const QueueLengthTarget&) = default;
};
/// The number of instances from an hour of the day on, until the next entry; hours ascend within [0, 24).
struct Scheduled {
  struct Entry {
    double hour = 0;
    std::int64_t instances = 1;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::vector<Entry> entries{};
  friend bool operator==(const Scheduled&, const Scheduled&) = default;
};
/// As many instances as the highest rate expected until `lookahead_seconds` from now keeps busy for the share `target`.
/// Expected is yesterday's rate of the same time, times the ratio of the last ten periods to theirs; on the first day
/// the straight line through the last ten periods; never less than the present rate.
struct Predictive {
  double target = 0.6;
  double lookahead_seconds = 600;
  friend bool operator==(const Predictive&, const Predictive&) = default;
};
using ScalingPolicy = std::variant<TargetUtilization, QueueLengthTarget, Scheduled, Predictive>;

struct AutoscaleOptions {
  ServiceTime service;                   ///< of one request on one server
  std::int64_t servers_per_instance = 1; ///< at most 1024
  ScalingPolicy policy = TargetUtilization{};
  double decision_seconds = 60;     ///< how often the policy looks
  double boot_seconds = 120;        ///< from the decision until an instance serves; it is paid for from the decision on
  double cooldown_out_seconds = 0;  ///< after growth, until it may grow again
  double cooldown_in_seconds = 300; ///< after any change, until it may shrink
  std::int64_t min_instances = 1;
  std::int64_t max_instances = 1000;                                 ///< at most 10^6
  std::int64_t max_surge = std::numeric_limits<std::int64_t>::max(); ///< most that one decision adds
  std::int64_t initial_instances = 0;        ///< 0: what keeps the first interval at 60% utilization, within the limits
  std::optional<std::int64_t> queue_limit{}; ///< requests beyond it are dropped
  double mean_seconds_between_interruptions = 0; ///< of one instance (spot); 0 for none. A new one boots in its place
  double price_per_hour = 0;                     ///< of an instance, in the currency of its catalogue
  double hours_per_month = 730;
  std::uint64_t seed = 1; ///< for interruptions, arrivals and service times
};

struct ScalingPoint {
  double seconds = 0; ///< start of the interval
  double requests_per_second = 0;
  double instances = 0; ///< that serve, mean over the interval
  double billed = 0;    ///< with those that boot
  double utilization = 0;
  double waiting = 0; ///< requests, mean over the interval
  double dropped = 0; ///< requests

  friend bool operator==(const ScalingPoint&, const ScalingPoint&) = default;
};

struct LatencyPoint {
  double mean = 0, p50 = 0, p95 = 0, p99 = 0; ///< seconds
  friend bool operator==(const LatencyPoint&, const LatencyPoint&) = default;
};

struct Replay {
  std::vector<ScalingPoint> timeline; ///< one for each interval of the trace
  double requests = 0;                ///< that came
  double dropped = 0;
  double instance_hours = 0; ///< that are paid for
  double mean_instances = 0, peak_instances = 0;
  double utilization = 0;      ///< busy share of the servers that were up
  LatencyPoint wait, response; ///< of all requests that were not dropped; 0 where there are none
  double interruptions = 0;
  double cost = 0; ///< instance_hours x price
  double cost_per_month = 0;
  double cost_per_million_requests = 0; ///< of answered ones; 0 where there are none

  friend bool operator==(const Replay&, const Replay&) = default;
};

/// Minute by minute (interval by interval), without single requests. In each tenth of an interval the line in the
/// system L follows dL/dt = arrivals - c mu rho(L), where rho(L) is the utilization at which M/G/c (Allen and Cunneen)
/// has L requests in steady state (pointwise stationary fluid flow; Wang, Tipper and Banerjee, INFOCOM 1996): steady
/// lines have their steady waits, overloaded ones grow and drain as a fluid does. Waits are distributed as in
/// cost/erlang.hpp while the line is near its steady state, and are all alike in a backlog. Dropped are what exceeds
/// the limit of the fluid, or the share of requests that a steady line of M/M/c finds beyond it. Cost: about a tenth of
/// a microsecond a step. Against the mean of eight runs of `replay_requests` on two hours of a recorded service, one of
/// them with a surge to four times the usual load: for fleets of ten servers and more instance hours, mean and 95th
/// percentile of the response within 3%, but for a fixed fleet that stays at 85% of its capacity and beyond (9%); for
/// fewer servers within 12%. Errors: as RequestTrace::check; invalid_value and invalid_argument for options out of
/// their range.
[[nodiscard]] MCOMP_API Result<Replay> replay(const RequestTrace& trace, const AutoscaleOptions& options);

/// Request by request with the engine of cost/simulate.hpp, each interval's arrivals a Poisson stream: the reference
/// for `replay`, for traces of up to 10^9 requests. Errors: as `replay`, and as RequestTrace::arrivals.
[[nodiscard]] MCOMP_API Result<Replay> replay_requests(const RequestTrace& trace, const AutoscaleOptions& options);

struct MonthlyCostOptions {
  std::int64_t replicates = 200; ///< at least 20
  DayBootstrap bootstrap{};      ///< its seed also draws the replicates' own
  double level = 0.95;
};
struct MonthlyCost {
  double per_month = 0;           ///< of the trace as it is
  stats::Interval interval{};     ///< of a month of the same service, by percentiles over bootstrapped traces
  std::vector<double> replicates; ///< cost per month, in order of drawing

  friend bool operator==(const MonthlyCost&, const MonthlyCost&) = default;
};
/// Replays `replicates` traces of days drawn in blocks. The interval tells how much months differ when days differ as
/// they did; it does not cover growth, seasons longer than the trace or other prices. The same seed gives the same
/// result on any number of threads. Errors: as `replay` and `bootstrap_days`; invalid_argument for too few replicates
/// or a level outside (0, 1); cancelled.
[[nodiscard]] MCOMP_API Result<MonthlyCost> monthly_cost(const RequestTrace& trace, const AutoscaleOptions& options,
                                                         const MonthlyCostOptions& how = {},
                                                         const Context& context = {});

/// Three lines: instances and cost, latency, drops.
[[nodiscard]] MCOMP_API std::string to_string(const Replay& replay);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::Replay> = true;
}
