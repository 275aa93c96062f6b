#include "mcomp/cost/fleet_cost.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "core/try.hpp"
#include "cost/limits.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/erlang.hpp"
#include "mcomp/stats/distributions.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

bool positive(double value) {
  return std::isfinite(value) && value > 0;
}

/// Service times in ascending order with their moments.
struct Service {
  std::vector<double> seconds;
  double mean = 0;
  double variability = 0;

  [[nodiscard]] Service scaled(double factor) const {
    Service result{seconds, mean * factor, variability};
    for (double& x : result.seconds) x *= factor;
    return result;
  }
};

/// What the search for a fleet needs to know beside the service times.
struct Demand {
  double arrivals_per_second = 0; ///< of batches
  double arrival_variability = 0;
  double forming_seconds = 0; ///< that a request waits for its batch to be full
  double objective_seconds = 0;
  double allowed = 0; ///< share of requests that may take longer
  std::int64_t servers_per_instance = 1;
};

/// The fleet without spare instances.
struct Fleet {
  std::int64_t instances = 0;
  double utilisation = 0;
  double latency_seconds = 0;
  double mean_wait_seconds = 0;
};

Result<Service> summarize(const ServiceSamples& samples, const Objective& objective) {
  const auto n = static_cast<double>(samples.seconds.size());
  // Thirty for the normal approximation of the mean; 1 / (1 - q) so that the sample has a q quantile below its maximum.
  const double needed = std::max(30.0, std::ceil((1 - 1e-9) / (1 - objective.quantile)));
  if (n < needed)
    return Error(ErrorCode::insufficient_data, "service samples",
                 fmt::format("{} samples, at least {} are needed for the {} quantile", n, needed, objective.quantile),
                 "measure more requests");
  Service service{.seconds = samples.seconds};
  double sum = 0;
  for (std::size_t i = 0; i < service.seconds.size(); ++i) {
    if (!positive(service.seconds[i]))
      return Error(ErrorCode::invalid_value, "service samples",
                   fmt::format("sample {} is {}, not finite and > 0", i, service.seconds[i]),
                   "pass seconds as measured");
    sum += service.seconds[i];
  }
  service.mean = sum / n;
  double squares = 0;
  for (const double x : service.seconds) squares += (x / service.mean - 1) * (x / service.mean - 1);
  service.variability = squares / (n - 1);
  if (!std::isfinite(service.mean) || !std::isfinite(service.variability))
    return Error(ErrorCode::invalid_value, "service samples", "their mean or variance overflows",
                 "pass seconds as measured");
  std::sort(service.seconds.begin(), service.seconds.end());
  return service;
}

Status check(const ServiceSamples& samples, const Traffic& traffic, const Objective& objective,
             const FleetCostOptions& options) {
  const auto bad = [](ErrorCode code, const char* subject, const std::string& rule, const char* remedy) {
    return Error(code, subject, rule, remedy);
  };
  constexpr std::int64_t most = 1'000'000;
  for (const auto& [name, value] : {std::pair("batch_size", samples.batch_size), std::pair("threads", samples.threads),
                                    std::pair("servers_per_instance", samples.servers_per_instance)})
    if (value < 1 || value > most)
      return bad(ErrorCode::invalid_argument, name, fmt::format("{} is not within 1 and {}", value, most),
                 "pass what was measured");
  if (!positive(traffic.requests_per_second))
    return bad(ErrorCode::invalid_value, "requests_per_second",
               fmt::format("{} is not finite and > 0", traffic.requests_per_second), "pass the rate of the busy hour");
  if (!(traffic.arrival_variability >= 0) || !std::isfinite(traffic.arrival_variability))
    return bad(ErrorCode::invalid_value, "arrival_variability",
               fmt::format("{} is not finite and >= 0", traffic.arrival_variability), "pass 1 for independent users");
  if (!(objective.quantile > 0 && objective.quantile < 1))
    return bad(ErrorCode::invalid_value, "objective quantile",
               fmt::format("{} is not within (0, 1)", objective.quantile), "pass for example 0.99");
  if (!positive(objective.seconds))
    return bad(ErrorCode::invalid_value, "objective seconds",
               fmt::format("{} is not finite and > 0", objective.seconds), "pass the latency that users accept");
  if (!(options.level > 0 && options.level < 1))
    return bad(ErrorCode::invalid_argument, "level", fmt::format("{} is not within (0, 1)", options.level),
               "pass for example 0.95");
  if (options.spare_instances < 0 || options.spare_instances > most)
    return bad(ErrorCode::invalid_argument, "spare_instances",
               fmt::format("{} is not within 0 and {}", options.spare_instances, most), "pass 0 for none");
  return {};
}

/// P(wait + service > seconds), the service time drawn from the samples.
double exceeds(const Waiting& wait, const Service& service, double seconds) {
  double sum = 0;
  for (const double own : service.seconds) sum += wait.exceeds(seconds - own);
  return sum / static_cast<double>(service.seconds.size());
}

/// The least time that wait + service exceed with a probability of at most `allowed`.
Result<double> latency(const Waiting& wait, const Service& service, double allowed) {
  MCOMP_TRY(longest_wait, wait.quantile(1 - std::min(allowed, 1.0)));
  double low = 0, high = service.seconds.back() + longest_wait;
  for (int step = 0; step < 200 && high - low > 1e-12 * high; ++step) {
    const double middle = low + (high - low) / 2;
    (exceeds(wait, service, middle) <= allowed ? high : low) = middle;
  }
  return high;
}

Result<Waiting> wait_before(std::int64_t instances, const Demand& demand, const Service& service) {
  return waiting({.arrivals_per_second = demand.arrivals_per_second,
                  .service_seconds = service.mean,
                  .servers = instances * demand.servers_per_instance,
                  .arrival_variability = demand.arrival_variability,
                  .service_variability = service.variability});
}

/// The wait falls with every added server, so the least sufficient number is found by doubling and halving.
Result<Fleet> smallest_fleet(const Demand& demand, const Service& service) {
  const double within = demand.objective_seconds - demand.forming_seconds;
  const double alone = exceeds({.probability = 0}, service, within);
  if (alone > demand.allowed)
    return Error(
        ErrorCode::invalid_argument, "objective",
        fmt::format("{:.3g}% of requests may take longer than {} s, but {:.3g}% do without any wait in line{}",
                    100 * demand.allowed, demand.objective_seconds, 100 * alone,
                    demand.forming_seconds > 0
                        ? fmt::format(" (their batch takes {:.3g} s to fill)", demand.forming_seconds)
                        : ""),
        "no number of instances helps: take a faster model or instance, a smaller batch, or a wider objective");
  const std::int64_t most = detail::most_servers / demand.servers_per_instance;
  const double load = demand.arrivals_per_second * service.mean;
  const Error too_large(
      ErrorCode::invalid_argument, "traffic",
      fmt::format("a load of {:.3g} busy servers needs a fleet of more than {} instances", load, most),
      "check the units: requests and service times are per second and in seconds");
  if (load >= static_cast<double>(most * demand.servers_per_instance)) return too_large;
  const auto suffices = [&](std::int64_t instances) -> Result<bool> {
    MCOMP_TRY(wait, wait_before(instances, demand, service));
    return exceeds(wait, service, within) <= demand.allowed;
  };
  const std::int64_t least = static_cast<std::int64_t>(load / static_cast<double>(demand.servers_per_instance)) + 1;
  if (least > most) return too_large;
  std::int64_t low = least, high = least;
  for (std::int64_t step = 1;; step *= 2) {
    MCOMP_TRY(enough, suffices(high));
    if (enough) break;
    if (high == most) return too_large;
    low = high + 1;
    high = std::min(high + step, most);
  }
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    MCOMP_TRY(enough, suffices(middle));
    enough ? high = middle : low = middle + 1;
  }
  MCOMP_TRY(wait, wait_before(high, demand, service));
  MCOMP_TRY(seconds, latency(wait, service, demand.allowed));
  return Fleet{.instances = high,
               .utilisation = load / static_cast<double>(high * demand.servers_per_instance),
               .latency_seconds = demand.forming_seconds + seconds,
               .mean_wait_seconds = demand.forming_seconds + wait.mean()};
}

/// How many instances, and between which numbers their true need lies.
struct Need {
  double instances = 0, lower = 0, upper = 0;
};

Cost price(const Need& need, double per_hour, double hours_per_month, double requests_per_second, double level) {
  const double month = per_hour * hours_per_month;
  const double millions = requests_per_second * 3600 * hours_per_month / 1e6;
  return {.per_month = need.instances * month,
          .per_month_interval = {need.lower * month, need.upper * month, level},
          .per_million_requests = need.instances * month / millions,
          .per_million_requests_interval = {need.lower * month / millions, need.upper * month / millions, level}};
}

Result<Saving> saving(const Cost& baseline, const Cost& candidate) {
  for (const Cost* cost : {&baseline, &candidate})
    if (!positive(cost->per_month) || !positive(cost->per_month_interval.lower) ||
        !(cost->per_month_interval.upper >= cost->per_month_interval.lower))
      return Error(ErrorCode::invalid_value, "fleet cost", "a cost is not finite and > 0",
                   "pass values as fleet_cost() gave them");
  const stats::Interval &b = baseline.per_month_interval, &c = candidate.per_month_interval;
  const double level = std::max(0.0, b.level + c.level - 1);
  return Saving{.per_month = baseline.per_month - candidate.per_month,
                .per_month_interval = {b.lower - c.upper, b.upper - c.lower, level},
                .relative = 1 - candidate.per_month / baseline.per_month,
                .relative_interval = {1 - c.upper / b.lower, 1 - c.lower / b.upper, level}};
}

} // namespace

Result<FleetCost> fleet_cost(const ServiceSamples& samples, const Traffic& traffic, const Objective& objective,
                             const PriceCatalogue& prices, std::string_view instance, const FleetCostOptions& options) {
  MCOMP_CHECK(check(samples, traffic, objective, options));
  MCOMP_CHECK(prices.check("prices"));
  MCOMP_TRY(machine, prices.find(instance));
  if (machine.vcpus && samples.threads * samples.servers_per_instance > *machine.vcpus)
    return Error(ErrorCode::invalid_argument, fmt::format("instance '{}'", machine.name),
                 fmt::format("{} workers of {} threads need more than its {} processors", samples.servers_per_instance,
                             samples.threads, *machine.vcpus),
                 "measure with fewer workers or threads, or take a larger instance");
  MCOMP_TRY(service, summarize(samples, objective));
  const auto batch = static_cast<double>(samples.batch_size);
  const Demand demand{.arrivals_per_second = traffic.requests_per_second / batch,
                      .arrival_variability = traffic.arrival_variability / batch,
                      .forming_seconds = (batch - 1) / traffic.requests_per_second,
                      .objective_seconds = objective.seconds,
                      // Widened by a rounding error, so that exactly one slow request of a hundred is within p99.
                      .allowed = (1 - objective.quantile) * (1 + 1e-9),
                      .servers_per_instance = samples.servers_per_instance};
  const double z = stats::normal_quantile((1 + options.level) / 2);
  const double error = z * std::sqrt(service.variability / static_cast<double>(samples.seconds.size()));
  if (!(error < 1))
    return Error(ErrorCode::insufficient_data, "service samples",
                 fmt::format("their mean is known to within {:.0f}% only", 100 * error), "measure more requests");
  MCOMP_TRY(fleet, smallest_fleet(demand, service));
  MCOMP_TRY(faster, smallest_fleet(demand, service.scaled(1 - error)));
  const auto slower = smallest_fleet(demand, service.scaled(1 + error));
  const auto paid = [&](std::int64_t count) { return static_cast<double>(count + options.spare_instances); };
  const Need need{paid(fleet.instances), paid(faster.instances), slower ? paid(slower->instances) : infinity};
  FleetCost result{.instance = machine.name,
                   .currency = prices.currency,
                   .price_date = prices.date,
                   .traffic = traffic,
                   .objective = objective,
                   .instances = fleet.instances + options.spare_instances,
                   .spare_instances = options.spare_instances,
                   .utilisation = fleet.utilisation,
                   .latency_seconds = fleet.latency_seconds,
                   .mean_wait_seconds = fleet.mean_wait_seconds,
                   .mean_service_seconds = service.mean,
                   .service_variability = service.variability,
                   .samples = static_cast<std::int64_t>(samples.seconds.size()),
                   .on_demand = price(need, machine.on_demand_per_hour, prices.hours_per_month,
                                      traffic.requests_per_second, options.level),
                   .reserved = {},
                   .term = machine.term};
  if (machine.reserved_per_hour)
    result.reserved =
        price(need, *machine.reserved_per_hour, prices.hours_per_month, traffic.requests_per_second, options.level);
  return result;
}

Result<Comparison> compare(const FleetCost& baseline, const FleetCost& candidate) {
  const auto differ = [](const char* what) {
    return Error(ErrorCode::invalid_argument, "compare", fmt::format("the costs were found for another {}", what),
                 "find both for the same traffic and objective from the same prices");
  };
  if (baseline.traffic != candidate.traffic) return differ("traffic");
  if (baseline.objective != candidate.objective) return differ("objective");
  if (baseline.currency != candidate.currency) return differ("currency");
  if (baseline.price_date != candidate.price_date) return differ("price date");
  MCOMP_TRY(on_demand, saving(baseline.on_demand, candidate.on_demand));
  Comparison result{.currency = baseline.currency,
                    .baseline_instances = baseline.instances,
                    .candidate_instances = candidate.instances,
                    .on_demand = on_demand,
                    .reserved = {}};
  if (baseline.reserved && candidate.reserved) {
    MCOMP_TRY(reserved, saving(*baseline.reserved, *candidate.reserved));
    result.reserved = reserved;
  }
  return result;
}

} // namespace mcomp::inline v0::cost
