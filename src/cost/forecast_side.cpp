#include <algorithm>
#include <cmath>
#include <utility>

#include "core/try.hpp"
#include "cost/forecast_parts.hpp"
#include "cost/limits.hpp"
#include "cost/replay_parts.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/erlang.hpp"

// One side of a forecast: its replay, what it costs, and what more it could take.

namespace mcomp::inline v0::cost {

Status detail::check_number(const std::string& what, double value, bool allowed, const char* range) {
  if (allowed && std::isfinite(value)) return {};
  return Error(ErrorCode::invalid_value, fmt::format("forecast: {}", what),
               fmt::format("{} is not finite and {}", value, range), "pass a value in that range");
}

Status detail::check_count(const std::string& what, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return {};
  return Error(ErrorCode::invalid_argument, fmt::format("forecast: {}", what),
               fmt::format("{} is not within {} and {}", value, low, high), "pass a number in that range");
}

std::vector<detail::QuantileObjective> detail::quantile_objectives(const ResponseObjectives& o) {
  std::vector<QuantileObjective> result;
  if (o.p50_seconds) result.push_back({0.5, *o.p50_seconds});
  if (o.p95_seconds) result.push_back({0.95, *o.p95_seconds});
  if (o.p99_seconds) result.push_back({0.99, *o.p99_seconds});
  return result;
}

Result<detail::PreparedSide> detail::prepare(const ForecastInputs& in, const ForecastSide& side, const char* role) {
  const std::string name = side.label.empty() ? role : fmt::format("{} '{}'", role, side.label);
  if (side.service_seconds.empty() == !side.service)
    return Error(side.service ? ErrorCode::invalid_argument : ErrorCode::insufficient_data,
                 fmt::format("forecast: {}", name),
                 side.service ? "it has both measured and declared service times" : "it has no service times",
                 "pass service_seconds as measured, or service");
  MCOMP_CHECK(check_count(fmt::format("batch_size of {}", name), side.batch_size, 1, 65536));
  MCOMP_CHECK(check_number(fmt::format("batch_wait_seconds of {}", name), side.batch_wait_seconds,
                           side.batch_wait_seconds >= 0 && (side.batch_size == 1 || side.batch_wait_seconds > 0),
                           side.batch_size == 1 ? ">= 0" : "> 0, the most that a request waits for its batch"));
  MCOMP_CHECK(check_number(fmt::format("boot_seconds of {}", name), side.boot_seconds.value_or(0),
                           side.boot_seconds.value_or(0) >= 0, ">= 0"));
  for (const auto& [what, value] : {std::pair{"storage_gib", side.storage_gib},
                                    {"egress_gib_per_request", side.egress_gib_per_request},
                                    {"other_per_month", side.other_per_month}})
    MCOMP_CHECK(check_number(fmt::format("{} of {}", what, name), value, value >= 0, ">= 0"));
  MCOMP_TRY(machine, in.prices.find(side.instance));
  MCOMP_TRY(service, side.service ? Result<ServiceTime>(*side.service) : ServiceTime::empirical(side.service_seconds));
  double storage = 0;
  if (side.storage_gib > 0) {
    MCOMP_TRY(cost, in.prices.storage_per_month(side.storage, side.storage_gib));
    storage = cost;
  }
  return PreparedSide{.side = &side, .service = service, .machine = machine, .storage_per_month = storage};
}

double detail::hours_of(const RequestTrace& trace) {
  return static_cast<double>(trace.requests.size()) * trace.interval_seconds / 3600;
}

namespace {

using detail::PreparedSide;

/// A trace of batches, and what their requests wait for them.
struct Batches {
  RequestTrace trace;
  double forming_seconds = 0; ///< of the first request, mean over requests
};

double batch_at(const ForecastSide& side, double requests_per_second) {
  return std::min(static_cast<double>(side.batch_size), 1 + requests_per_second * side.batch_wait_seconds);
}

double forming_at(const ForecastSide& side, double requests_per_second) {
  const double others = static_cast<double>(side.batch_size - 1);
  return requests_per_second > 0 ? std::min(side.batch_wait_seconds, others / requests_per_second) : 0;
}

Batches batches_of(const RequestTrace& trace, const ForecastSide& side) {
  Batches result{.trace = trace};
  if (side.batch_size == 1) return result;
  double all = 0;
  for (double& requests : result.trace.requests) {
    const double rate = requests / trace.interval_seconds;
    result.forming_seconds += requests * forming_at(side, rate);
    all += requests;
    requests /= batch_at(side, rate);
  }
  if (all > 0) result.forming_seconds /= all;
  return result;
}

AutoscaleOptions autoscale_options(const detail::Variant& variant, const PreparedSide& side, const ServiceTime& service,
                                   const PriceCatalogue& prices) {
  const ScalingRules& rules = variant.scaling;
  return {.service = service,
          .servers_per_instance = side.side->servers_per_instance,
          .policy = detail::moved(side.side->policy.value_or(rules.policy), variant.policy_factor),
          .decision_seconds = rules.decision_seconds,
          .boot_seconds = side.side->boot_seconds.value_or(rules.boot_seconds) * variant.boot_factor,
          .cooldown_out_seconds = rules.cooldown_out_seconds,
          .cooldown_in_seconds = rules.cooldown_in_seconds,
          .min_instances = rules.min_instances,
          .max_instances = rules.max_instances,
          .queue_limit = rules.queue_limit,
          .mean_seconds_between_interruptions = rules.mean_seconds_between_interruptions,
          .price_per_hour = side.machine.on_demand_per_hour,
          .hours_per_month = prices.hours_per_month,
          .seed = variant.seed};
}

/// What is paid beside machines.
Result<double> egress(const ForecastInputs& in, const ForecastSide& side, double requests_per_month) {
  if (side.egress_gib_per_request == 0) return 0.0;
  return in.prices.egress_per_month(requests_per_month * side.egress_gib_per_request);
}

} // namespace

ScalingPolicy detail::moved(const ScalingPolicy& policy, double factor) {
  if (factor == 1) return policy;
  ScalingPolicy result = policy;
  if (auto* target = std::get_if<TargetUtilization>(&result)) {
    target->target = std::min(1.0, target->target * factor);
  } else if (auto* length = std::get_if<QueueLengthTarget>(&result)) {
    length->utilization = std::min(1.0, length->utilization * factor);
  } else if (auto* ahead = std::get_if<Predictive>(&result)) {
    ahead->target = std::min(1.0, ahead->target * factor);
  } else {
    for (Scheduled::Entry& entry : std::get<Scheduled>(result).entries)
      entry.instances = static_cast<std::int64_t>(std::llround(static_cast<double>(entry.instances) * factor));
  }
  return result;
}

Result<Replay> detail::replay_variant(const ForecastInputs& in, const PreparedSide& prepared, const Variant& variant,
                                      double service_factor, bool latency) {
  const ForecastSide& side = *prepared.side;
  ServiceTime service = prepared.service;
  if (service_factor != 1) {
    MCOMP_TRY(scaled, service.scaled(service_factor));
    service = scaled;
  }
  const AutoscaleOptions options = autoscale_options(variant, prepared, service, in.prices);
  if (side.batch_size == 1) return replay_intervals(*variant.trace, options, latency);
  const Batches batches = batches_of(*variant.trace, side);
  MCOMP_TRY(result, replay_intervals(batches.trace, options, latency));
  result.requests = 0;
  result.dropped = 0;
  for (std::size_t i = 0; i < result.timeline.size(); ++i) {
    ScalingPoint& point = result.timeline[i];
    point.requests_per_second = variant.trace->requests[i] / variant.trace->interval_seconds;
    const double batch = batch_at(side, point.requests_per_second);
    point.waiting *= batch;
    point.dropped *= batch;
    result.requests += variant.trace->requests[i];
    result.dropped += point.dropped;
  }
  const double answered = result.requests - result.dropped;
  result.cost_per_million_requests = answered > 0 ? result.cost / answered * 1e6 : 0;
  if (latency && result.requests > 0)
    for (LatencyPoint* point : {&result.wait, &result.response})
      for (const auto member : {&LatencyPoint::mean, &LatencyPoint::p50, &LatencyPoint::p95, &LatencyPoint::p99})
        point->*member += batches.forming_seconds;
  return result;
}

Result<double> detail::variant_per_month(const ForecastInputs& in, const PreparedSide& side, const Variant& variant,
                                         double service_factor) {
  MCOMP_TRY(run, replay_variant(in, side, variant, service_factor, false));
  MCOMP_TRY(sent, egress(in, *side.side, run.requests / hours_of(*variant.trace) * in.prices.hours_per_month));
  return run.cost_per_month + side.storage_per_month + sent + side.side->other_per_month;
}
namespace {

double response_at(const LatencyPoint& response, double quantile) {
  return quantile == 0.5 ? response.p50 : quantile == 0.95 ? response.p95 : response.p99;
}

/// The largest steady rate that so many instances serve within the objective, by bisection: responses grow with it.
Result<Headroom> headroom(const ForecastInputs& in, const PreparedSide& prepared, double instances,
                          double busiest_per_second) {
  const ForecastSide& side = *prepared.side;
  const auto servers = static_cast<std::int64_t>(std::floor(instances + 1e-9)) * side.servers_per_instance;
  Headroom result;
  if (servers >= 1) {
    if (servers > detail::most_servers)
      return Error(ErrorCode::invalid_argument, "forecast: max_instances",
                   fmt::format("{} servers are more than {}", servers, detail::most_servers),
                   "pass the number of instances that can be had");
    const ServiceTime& service = prepared.service;
    const auto strata = detail::service_strata(service);
    const auto kept = [&](double rate) -> Result<bool> {
      const double batches = rate / batch_at(side, rate);
      if (batches * service.mean() >= static_cast<double>(servers)) return false;
      MCOMP_TRY(wait, waiting({.arrivals_per_second = batches,
                               .service_seconds = service.mean(),
                               .servers = servers,
                               .service_variability = service.variability()}));
      for (const detail::QuantileObjective& objective : detail::quantile_objectives(in.objective)) {
        double late = 0;
        for (const auto& [seconds, share] : strata)
          late += share * wait.exceeds(objective.seconds - forming_at(side, rate) - seconds);
        if (late > (1 - objective.quantile) * (1 + 1e-9)) return false;
      }
      return true;
    };
    const double capacity = static_cast<double>(servers * side.batch_size) / service.mean();
    double low = 0, high = capacity;
    while (high - low > 1e-6 * high && high > 1e-9 * capacity) { // below that there is none
      const double middle = (low + high) / 2;
      MCOMP_TRY(enough, kept(middle));
      (enough ? low : high) = middle;
    }
    result.requests_per_second = low;
  }
  if (busiest_per_second > 0) result.factor = result.requests_per_second / busiest_per_second;
  return result;
}

Result<CommitmentPlan> commitment(const ForecastInputs& in, const PreparedSide& side,
                                  const std::vector<std::int64_t>& demand) {
  MCOMP_TRY(list, offers(side.machine, *in.commitment));
  if (side.machine.reserved.empty() && side.machine.reserved_per_hour)
    list.push_back({.name = side.machine.term.empty() ? "reserved" : side.machine.term,
                    .always_per_hour = *side.machine.reserved_per_hour});
  return commit(demand, list);
}

} // namespace

std::vector<std::int64_t> detail::hourly_demand(const Replay& run, double interval_seconds) {
  std::vector<std::int64_t> demand;
  double sum = 0, intervals = 0;
  const auto close = [&](std::size_t hours) {
    if (intervals > 0) demand.insert(demand.end(), hours, static_cast<std::int64_t>(std::ceil(sum / intervals - 1e-9)));
    sum = intervals = 0;
  };
  if (interval_seconds >= 3600) {
    for (const ScalingPoint& point : run.timeline) {
      sum = point.billed;
      intervals = 1;
      close(static_cast<std::size_t>(std::max<long long>(1, std::llround(interval_seconds / 3600))));
    }
    return demand;
  }
  double hour = 0;
  for (const ScalingPoint& point : run.timeline) {
    if (const double own = std::floor((point.seconds + 1e-6) / 3600); own != hour) {
      close(1);
      hour = own;
    }
    sum += point.billed;
    ++intervals;
  }
  close(1);
  return demand;
}

Result<SideForecast> detail::side_forecast(const ForecastInputs& in, const PreparedSide& prepared, const Replay& run,
                                           const std::vector<std::int64_t>& demand, double busiest_per_second) {
  const ForecastSide& side = *prepared.side;
  SideForecast result{.label = side.label,
                      .instance = prepared.machine.name,
                      .price_per_hour = prepared.machine.on_demand_per_hour,
                      .mean_service_seconds = prepared.service.mean(),
                      .service_variability = prepared.service.variability(),
                      .samples = static_cast<std::int64_t>(side.service_seconds.size()),
                      .batch_size = side.batch_size,
                      .servers_per_instance = side.servers_per_instance,
                      .mean_instances = run.mean_instances,
                      .peak_instances = run.peak_instances,
                      .instance_hours = run.instance_hours,
                      .utilization = run.utilization,
                      .requests = run.requests,
                      .dropped = run.dropped,
                      .wait = run.wait,
                      .response = run.response,
                      .machines_per_month = run.cost_per_month,
                      .storage_per_month = prepared.storage_per_month,
                      .other_per_month = side.other_per_month};
  const double hours = hours_of(in.trace);
  MCOMP_TRY(sent, egress(in, side, run.requests / hours * in.prices.hours_per_month));
  result.egress_per_month = sent;
  const double beside = result.storage_per_month + result.egress_per_month + result.other_per_month;
  result.per_month = result.machines_per_month + beside;
  const double answered_per_month = (run.requests - run.dropped) / hours * in.prices.hours_per_month;
  if (answered_per_month > 0) {
    result.per_million_requests = result.per_month / answered_per_month * 1e6;
    if (in.tokens_per_request) result.per_million_tokens = *result.per_million_requests / *in.tokens_per_request;
    for (const detail::QuantileObjective& objective : detail::quantile_objectives(in.objective))
      if (response_at(run.response, objective.quantile) > objective.seconds) result.objective_kept = false;
  }
  if (run.dropped > in.drop_share * run.requests) result.objective_kept = false;
  MCOMP_TRY(peak, headroom(in, prepared, run.peak_instances, busiest_per_second));
  MCOMP_TRY(most, headroom(in, prepared, static_cast<double>(in.scaling.max_instances), busiest_per_second));
  result.at_peak_fleet = peak;
  result.at_most_instances = most;
  if (!std::isfinite(result.per_month) || !std::isfinite(result.per_million_requests.value_or(0)) ||
      !std::isfinite(result.per_million_tokens.value_or(0)))
    return Error(ErrorCode::invalid_value, fmt::format("forecast: {}", side.label),
                 "its cost per month, request or token overflows", "check the units of trace, prices and tokens");
  if (in.commitment) {
    MCOMP_TRY(plan, commitment(in, prepared, demand));
    result.committed_per_month = plan.cost / static_cast<double>(demand.size()) * in.prices.hours_per_month + beside;
    result.commitment = std::move(plan);
  }
  return result;
}

Result<Replay> replay_side(const ForecastInputs& in, const ForecastSide& side) {
  MCOMP_CHECK(detail::check_inputs(in));
  MCOMP_TRY(prepared, detail::prepare(in, side, "side"));
  return detail::replay_variant(in, prepared, {.trace = &in.trace, .scaling = in.scaling}, 1, true);
}

Result<double> scale_for_peak(const ForecastInputs& in, const ForecastSide& side, std::int64_t instances) {
  MCOMP_CHECK(detail::check_inputs(in));
  MCOMP_CHECK(detail::check_count("instances at the peak", instances, 1, 100'000));
  MCOMP_TRY(prepared, detail::prepare(in, side, "side"));
  MCOMP_TRY(summary, in.trace.summary());
  if (summary.requests == 0)
    return Error(ErrorCode::insufficient_data, "scale_for_peak", "the trace has no requests",
                 "pass a trace with requests, or no number of instances at its peak");
  detail::Variant variant{.trace = &in.trace, .scaling = in.scaling};
  variant.scaling.max_instances = std::max(in.scaling.min_instances, 10 * instances);
  const auto enough = [&](double factor) -> Result<bool> {
    MCOMP_TRY(scaled, in.trace.scaled(factor));
    variant.trace = &scaled;
    MCOMP_TRY(run, detail::replay_variant(in, prepared, variant, 1, false));
    return run.peak_instances >= static_cast<double>(instances);
  };
  // A guess from the busiest interval: so many instances, each busy all the time.
  const double guess = static_cast<double>(instances * side.servers_per_instance * side.batch_size) /
                       prepared.service.mean() / summary.peak_per_second / 4;
  double high = guess, low = 0;
  for (int doubling = 0;; ++doubling) {
    const bool beyond = doubling >= 40 || high * summary.peak_per_second * in.trace.interval_seconds > 1e15;
    if (beyond)
      return Error(ErrorCode::invalid_argument, "scale_for_peak",
                   fmt::format("no traffic makes {} have {} instances at its peak", side.label, instances),
                   "choose a policy that follows the load");
    MCOMP_TRY(reached, enough(high));
    if (reached) break;
    low = high;
    high *= 2;
  }
  while (high - low > 1e-3 * high) {
    const double middle = (low + high) / 2;
    if (middle < 1e-12) break;
    MCOMP_TRY(reached, enough(middle));
    (reached ? high : low) = middle;
  }
  return high;
}

} // namespace mcomp::inline v0::cost
