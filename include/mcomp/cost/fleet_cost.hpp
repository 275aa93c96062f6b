#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/cost/prices.hpp"
#include "mcomp/stats/interval.hpp"

// What it costs to serve a request rate at a latency objective, from service times measured on the instance itself.
//
// The model. One line of requests before all servers of the fleet, first come first served. A request's latency is its
// wait plus its own service time, and the two are independent; the service time is taken as measured (the empirical
// distribution, no shape is assumed), the wait from cost/erlang.hpp: exact for exponential service times, elsewhere the
// M/G/c approximation of Allen and Cunneen with the squared coefficient of variation of the samples. What the model
// leaves out: traffic that is not steady (pass the rate of the busy hour), start and loss of instances (pass
// spare_instances), network time, and a load balancer that keeps a line before each server (waits are then longer).
// Against simulated fleets at 40% to 97% utilisation the predicted p99 is off by at most 6% for service times of a
// squared coefficient of variation up to 1, and by 12% for 2 (test/cost/fleet_cost_test.cpp).

namespace mcomp::inline v0::cost {

/// Measured service times of one model on one instance type. Measure while `servers_per_instance` workers are busy:
/// they share caches and memory bandwidth, and a worker alone is faster than it will be.
struct ServiceSamples {
  std::vector<double> seconds;           ///< of one batch each (of one request where batch_size is 1), without waiting
  std::int64_t batch_size = 1;           ///< requests that are served together, always in full batches
  std::int64_t threads = 1;              ///< that one worker uses
  std::int64_t servers_per_instance = 1; ///< workers side by side on one instance
};

struct Traffic {
  double requests_per_second = 0;
  double arrival_variability = 1; ///< squared coefficient of variation of the gaps; 1 for independent users (Poisson)

  friend bool operator==(const Traffic&, const Traffic&) = default;
};

/// A share `quantile` of requests is answered within `seconds`.
struct Objective {
  double quantile = 0.99;
  double seconds = 0;

  friend bool operator==(const Objective&, const Objective&) = default;
};

struct FleetCostOptions {
  double level = 0.95;              ///< of the intervals
  std::int64_t spare_instances = 0; ///< paid for, but not counted on
};

/// A cost in the catalogue's currency. The interval tells what the cost may be, given how well the samples determine
/// the mean service time: the fleet for all service times longer or shorter by z standard errors of the mean. Its upper
/// end is infinite where no fleet meets the objective with the longer times. It does not cover the approximations
/// above.
struct Cost {
  double per_month = 0;
  stats::Interval per_month_interval{};
  double per_million_requests = 0;
  stats::Interval per_million_requests_interval{};

  friend bool operator==(const Cost&, const Cost&) = default;
};

/// The smallest fleet that meets the objective, and what it costs.
struct FleetCost {
  std::string instance;
  std::string currency;
  std::string price_date;
  Traffic traffic;
  Objective objective;
  std::int64_t instances = 0; ///< with the spare ones
  std::int64_t spare_instances = 0;
  double utilisation = 0;     ///< share of time that a server is busy, spare instances not counted
  double latency_seconds = 0; ///< predicted, at the quantile of the objective
  double mean_wait_seconds = 0;
  double mean_service_seconds = 0;
  double service_variability = 0; ///< squared coefficient of variation of the samples
  std::int64_t samples = 0;
  Cost on_demand;
  std::optional<Cost> reserved; ///< absent where the catalogue has no reserved price
  std::string term;             ///< of the reserved price

  friend bool operator==(const FleetCost&, const FleetCost&) = default;
};

/// Finds the least number of instances with utilisation below 1 and the latency quantile within the objective.
///
///     auto prices = mcomp::cost::PriceCatalogue::read("prices.json").value();
///     auto f = mcomp::cost::fleet_cost({.seconds = measured}, {.requests_per_second = 400},
///                                    {.quantile = 0.99, .seconds = 0.05}, prices, "c7i.large").value();
///
/// Batches: full batches are formed from the whole stream, so a batch is a customer that arrives with rate
/// requests_per_second / batch_size and variability arrival_variability / batch_size, and every request is charged the
/// mean time that the first one of a batch waits for the last, (batch_size - 1) / requests_per_second.
///
/// Errors: insufficient_data for fewer samples than 30 or than 1 / (1 - quantile), or so scattered that the interval of
/// their mean reaches zero; invalid_value for samples, traffic, objective or prices out of range; invalid_argument for
/// options, for workers that need more processors than the catalogue says that the instance has, and for an objective
/// that no number of instances meets, since the service time alone exceeds it; not_found for the instance.
[[nodiscard]] MCOMP_API Result<FleetCost> fleet_cost(const ServiceSamples& samples, const Traffic& traffic,
                                                     const Objective& objective, const PriceCatalogue& prices,
                                                     std::string_view instance, const FleetCostOptions& options = {});

/// What the candidate saves; negative where it costs more. The interval is [baseline lower - candidate upper,
/// baseline upper - candidate lower]: both costs lie in their intervals, and so the saving in this one, with a
/// confidence of at least 1 - (1 - level of one) - (1 - level of the other) (Bonferroni), which is its level.
struct Saving {
  double per_month = 0;
  stats::Interval per_month_interval{};
  double relative = 0; ///< share of the baseline's cost
  stats::Interval relative_interval{};

  friend bool operator==(const Saving&, const Saving&) = default;
};

struct Comparison {
  std::string currency;
  std::int64_t baseline_instances = 0;
  std::int64_t candidate_instances = 0;
  Saving on_demand;
  std::optional<Saving> reserved; ///< absent where either has no reserved price

  friend bool operator==(const Comparison&, const Comparison&) = default;
};

/// Errors: invalid_argument where the two were made for other traffic, another objective, another currency or prices of
/// another day; invalid_value for a cost that is not positive.
[[nodiscard]] MCOMP_API Result<Comparison> compare(const FleetCost& baseline, const FleetCost& candidate);

/// Several lines: the fleet, how it meets the objective, and each cost with its interval.
[[nodiscard]] MCOMP_API std::string to_string(const FleetCost& cost);
/// One line a price: what is saved, with its interval.
[[nodiscard]] MCOMP_API std::string to_string(const Comparison& comparison);
/// One JSON object with the members above; an infinite end of an interval is null.
[[nodiscard]] MCOMP_API std::string to_json(const FleetCost& cost);
[[nodiscard]] MCOMP_API std::string to_json(const Comparison& comparison);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::FleetCost> = true;
template <> inline constexpr bool enable_format<cost::Comparison> = true;
} // namespace mcomp::inline v0
