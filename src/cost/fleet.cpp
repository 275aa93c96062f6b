#include "mcomp/cost/fleet.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/try.hpp"
#include "cost/simulate_checks.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/queue.hpp"

namespace mcomp::inline v0::cost {

namespace {

struct Objective {
  const char* name;
  double quantile;
  std::optional<double> seconds;
  Estimate FleetSize::*estimate;
};
using Objectives = std::array<Objective, 3>;

Status check(const Objectives& objectives, const ServerPool& pool, const FleetSearch& search) {
  bool any = false;
  for (const Objective& objective : objectives) {
    if (!objective.seconds) continue;
    any = true;
    const double seconds = *objective.seconds;
    if (!std::isfinite(seconds) || seconds <= 0)
      return Error(ErrorCode::invalid_value, objective.name, fmt::format("{} s is not finite and > 0", seconds),
                   "pass the longest response that is allowed");
    // A batch takes at least as long as its quickest size; nothing is shorter than the service itself.
    const auto& scales = pool.batching.scale;
    const double scale = scales.empty() ? 1 : *std::min_element(scales.begin(), scales.end());
    const double alone = scale * pool.service.quantile(objective.quantile);
    if (pool.interruptions.mean_seconds_between == 0 && alone > seconds)
      return Error(ErrorCode::invalid_argument, objective.name,
                   fmt::format("{} s is shorter than the service alone, {:.4g} s", seconds, alone),
                   "make the model faster, or allow more time: more servers do not help");
  }
  if (!any)
    return Error(ErrorCode::invalid_argument, "objectives", "there is none",
                 "set p50_seconds, p95_seconds or p99_seconds");
  if (search.max_servers < 1 || search.max_servers > 1'000'000)
    return Error(ErrorCode::invalid_argument, "max_servers",
                 fmt::format("{} is not within 1 and 10^6", search.max_servers), "pass a number in that range");
  if (!(search.margin_errors >= 0) || !std::isfinite(search.margin_errors))
    return Error(ErrorCode::invalid_argument, "margin_errors",
                 fmt::format("{} is not finite and >= 0", search.margin_errors), "pass 2");
  return {};
}

} // namespace

Result<FleetSize> smallest_fleet(double arrivals_per_second, const ServerPool& pool, const ResponseObjectives& wanted,
                                 const FleetSearch& search) {
  const Objectives objectives{{{"p50_seconds", 0.5, wanted.p50_seconds, &FleetSize::p50},
                               {"p95_seconds", 0.95, wanted.p95_seconds, &FleetSize::p95},
                               {"p99_seconds", 0.99, wanted.p99_seconds, &FleetSize::p99}}};
  if (!std::isfinite(arrivals_per_second) || arrivals_per_second <= 0)
    return Error(ErrorCode::invalid_value, "arrivals_per_second",
                 fmt::format("{} is not finite and > 0", arrivals_per_second),
                 "without traffic there is nothing to size: one server answers at once");
  ServerPool fleet = pool;
  fleet.servers = 1;
  MCOMP_CHECK(detail::check_pool(fleet));
  MCOMP_CHECK(check(objectives, fleet, search));
  const bool exact = !search.simulate_always && pool.service.kind() == ServiceKind::exponential &&
                     pool.batching.max_size == 1 && pool.batching.scale.empty() &&
                     pool.interruptions.mean_seconds_between == 0 && !pool.queue_limit && !pool.cold_start;
  const auto measure = [&](std::int64_t servers) -> Result<FleetSize> {
    FleetSize size{.servers = servers, .exact = exact};
    if (exact) {
      MCOMP_TRY(response, markov_response(arrivals_per_second, pool.service.mean(), servers));
      for (const Objective& objective : objectives) {
        MCOMP_TRY(value, response.quantile(objective.quantile));
        size.*objective.estimate = {value, 0};
      }
      size.utilization = arrivals_per_second * pool.service.mean() / static_cast<double>(servers);
      return size;
    }
    fleet.servers = servers;
    MCOMP_TRY(run, simulate(arrivals_per_second, fleet, {.requests = search.requests, .seed = search.seed}));
    size.p50 = run.response.p50;
    size.p95 = run.response.p95;
    size.p99 = run.response.p99;
    size.utilization = run.utilization;
    size.drop_share = static_cast<double>(run.dropped) / static_cast<double>(run.requests + run.dropped + run.lost);
    return size;
  };
  const auto kept = [&](const FleetSize& size) {
    return std::all_of(objectives.begin(), objectives.end(), [&](const Objective& objective) {
      const Estimate& estimate = size.*objective.estimate;
      return !objective.seconds ||
             estimate.value + search.margin_errors * estimate.standard_error <= *objective.seconds;
    });
  };
  // The least number that carries the load; a bounded line may be overloaded.
  const double least = pool.queue_limit ? 1 : std::floor(arrivals_per_second / detail::capacity(fleet)) + 1;
  const auto too_many = [&] {
    return Error(ErrorCode::invalid_argument, "max_servers",
                 fmt::format("{} servers do not keep the objectives at {:.4g} requests per second", search.max_servers,
                             arrivals_per_second),
                 "allow more servers or more time");
  };
  if (least > static_cast<double>(search.max_servers)) return too_many();
  std::int64_t low = static_cast<std::int64_t>(least) - 1, high = low + 1; // low does not keep them
  FleetSize best;
  for (std::int64_t more = 1;; more *= 2) {
    MCOMP_TRY(size, measure(high));
    if (kept(size)) {
      best = size;
      break;
    }
    if (high == search.max_servers) return too_many();
    low = high;
    high = std::min(search.max_servers, high + more);
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    MCOMP_TRY(size, measure(middle));
    if (kept(size)) {
      best = size;
      high = middle;
    } else {
      low = middle;
    }
  }
  return best;
}

std::string to_string(const FleetSize& fleet) {
  return fmt::format("{} server{}, {:.3g}% busy: p50 {:.3g}, p95 {:.3g}, p99 {:.3g} s ({})", fleet.servers,
                     fleet.servers == 1 ? "" : "s", 100 * fleet.utilization, fleet.p50.value, fleet.p95.value,
                     fleet.p99.value, fleet.exact ? "exact" : "simulated");
}

} // namespace mcomp::inline v0::cost
