#include "mcomp/cost/forecast.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/try.hpp"
#include "cost/forecast_parts.hpp"
#include "cost/limits.hpp"
#include "cost/replay_parts.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/erlang.hpp"
#include "mcomp/stats/quantile.hpp"

namespace mcomp::inline v0::cost {

namespace {

using detail::PreparedSide;

constexpr double day_seconds = 86400;

Status number(const std::string& what, double value, bool allowed, const char* range) {
  if (allowed && std::isfinite(value)) return {};
  return Error(ErrorCode::invalid_value, fmt::format("forecast: {}", what),
               fmt::format("{} is not finite and {}", value, range), "pass a value in that range");
}

Status count(const std::string& what, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return {};
  return Error(ErrorCode::invalid_argument, fmt::format("forecast: {}", what),
               fmt::format("{} is not within {} and {}", value, low, high), "pass a number in that range");
}

bool fraction(double value) {
  return value >= 0 && value <= 1;
}

Status check(const ForecastInputs& in) {
  MCOMP_CHECK(in.trace.check());
  MCOMP_CHECK(in.prices.check("prices"));
  for (const auto& [name, value] : {std::pair{"p50", in.objective.p50_seconds},
                                    {"p95", in.objective.p95_seconds},
                                    {"p99", in.objective.p99_seconds}})
    if (value) MCOMP_CHECK(number(fmt::format("objective {}", name), *value, *value > 0, "> 0"));
  MCOMP_CHECK(number("drop_share", in.drop_share, fraction(in.drop_share), "within [0, 1]"));
  if (in.tokens_per_request)
    MCOMP_CHECK(number("tokens_per_request", *in.tokens_per_request, *in.tokens_per_request > 0, "> 0"));
  MCOMP_CHECK(number("compress_cost", in.compress_cost, in.compress_cost >= 0, ">= 0"));
  MCOMP_CHECK(number("evaluate_cost", in.evaluate_cost, in.evaluate_cost >= 0, ">= 0"));
  MCOMP_CHECK(number("growth_per_month", in.growth_per_month, in.growth_per_month > -1 && in.growth_per_month <= 10,
                     "above -1 and at most 10"));
  for (std::size_t i = 0; i < in.slices.size(); ++i) {
    const ForecastSlice& slice = in.slices[i];
    MCOMP_CHECK(number(fmt::format("traffic_share of slice '{}'", slice.name), slice.traffic_share,
                       fraction(slice.traffic_share), "within [0, 1]"));
    MCOMP_CHECK(number(fmt::format("accuracy_loss of slice '{}'", slice.name), slice.accuracy_loss,
                       std::abs(slice.accuracy_loss) <= 1, "within [-1, 1]"));
  }
  return {};
}

Status check(const ForecastOptions& o) {
  if (o.replicates != 0) MCOMP_CHECK(count("replicates", o.replicates, 20, 1'000'000));
  MCOMP_CHECK(number("level", o.level, o.level > 0 && o.level < 1, "within (0, 1)"));
  MCOMP_CHECK(count("month_days", o.month_days, 1, 366));
  MCOMP_CHECK(count("block_days", o.block_days, 0, 366));
  MCOMP_CHECK(number("step", o.step, o.step > 0 && o.step <= 0.5, "within (0, 0.5]"));
  MCOMP_CHECK(number("little_saving", o.little_saving, fraction(o.little_saving), "within [0, 1]"));
  MCOMP_CHECK(number("objective_margin", o.objective_margin, o.objective_margin > 0, "> 0"));
  MCOMP_CHECK(number("slice_loss", o.slice_loss, fraction(o.slice_loss), "within [0, 1]"));
  MCOMP_CHECK(number("horizon_months", o.horizon_months, o.horizon_months > 0, "> 0"));
  return {};
}

Result<PreparedSide> prepare(const ForecastInputs& in, const ForecastSide& side, const char* role) {
  const std::string name = side.label.empty() ? role : fmt::format("{} '{}'", role, side.label);
  if (side.service_seconds.empty() == !side.service)
    return Error(side.service ? ErrorCode::invalid_argument : ErrorCode::insufficient_data,
                 fmt::format("forecast: {}", name),
                 side.service ? "it has both measured and declared service times" : "it has no service times",
                 "pass service_seconds as measured, or service");
  MCOMP_CHECK(count(fmt::format("batch_size of {}", name), side.batch_size, 1, 65536));
  MCOMP_CHECK(number(fmt::format("batch_wait_seconds of {}", name), side.batch_wait_seconds,
                     side.batch_wait_seconds >= 0 && (side.batch_size == 1 || side.batch_wait_seconds > 0),
                     side.batch_size == 1 ? ">= 0" : "> 0, the most that a request waits for its batch"));
  MCOMP_CHECK(number(fmt::format("boot_seconds of {}", name), side.boot_seconds.value_or(0),
                     side.boot_seconds.value_or(0) >= 0, ">= 0"));
  for (const auto& [what, value] : {std::pair{"storage_gib", side.storage_gib},
                                    {"egress_gib_per_request", side.egress_gib_per_request},
                                    {"other_per_month", side.other_per_month}})
    MCOMP_CHECK(number(fmt::format("{} of {}", what, name), value, value >= 0, ">= 0"));
  MCOMP_TRY(machine, in.prices.find(side.instance));
  MCOMP_TRY(service, side.service ? Result<ServiceTime>(*side.service) : ServiceTime::empirical(side.service_seconds));
  double storage = 0;
  if (side.storage_gib > 0) {
    MCOMP_TRY(cost, in.prices.storage_per_month(side.storage, side.storage_gib));
    storage = cost;
  }
  return PreparedSide{.side = &side, .service = service, .machine = machine, .storage_per_month = storage};
}

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

double hours_of(const RequestTrace& trace) {
  return static_cast<double>(trace.requests.size()) * trace.interval_seconds / 3600;
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

using detail::replay_variant;
using detail::Variant;
using detail::variant_per_month;

struct Objective3 {
  double quantile, seconds;
};

std::vector<Objective3> objectives(const ResponseObjectives& o) {
  std::vector<Objective3> result;
  if (o.p50_seconds) result.push_back({0.5, *o.p50_seconds});
  if (o.p95_seconds) result.push_back({0.95, *o.p95_seconds});
  if (o.p99_seconds) result.push_back({0.99, *o.p99_seconds});
  return result;
}

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
      for (const Objective3& objective : objectives(in.objective)) {
        double late = 0;
        for (const auto& [seconds, share] : strata)
          late += share * wait.exceeds(objective.seconds - forming_at(side, rate) - seconds);
        if (late > (1 - objective.quantile) * (1 + 1e-9)) return false;
      }
      return true;
    };
    double low = 0, high = static_cast<double>(servers * side.batch_size) / service.mean();
    while (high - low > 1e-6 * high) {
      const double middle = (low + high) / 2;
      MCOMP_TRY(enough, kept(middle));
      (enough ? low : high) = middle;
    }
    result.requests_per_second = low;
  }
  if (busiest_per_second > 0) result.factor = result.requests_per_second / busiest_per_second;
  return result;
}

/// Machines needed by hour, whole ones.
std::vector<std::int64_t> hourly_demand(const Replay& run, double interval_seconds) {
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

Result<CommitmentPlan> commitment(const ForecastInputs& in, const PreparedSide& side,
                                  const std::vector<std::int64_t>& demand) {
  MCOMP_TRY(list, offers(side.machine, *in.commitment));
  if (side.machine.reserved.empty() && side.machine.reserved_per_hour)
    list.push_back({.name = side.machine.term.empty() ? "reserved" : side.machine.term,
                    .always_per_hour = *side.machine.reserved_per_hour});
  return commit(demand, list);
}

Result<SideForecast> side_forecast(const ForecastInputs& in, const PreparedSide& prepared, const Replay& run,
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
    for (const Objective3& objective : objectives(in.objective))
      if (response_at(run.response, objective.quantile) > objective.seconds) result.objective_kept = false;
  }
  if (run.dropped > in.drop_share * run.requests) result.objective_kept = false;
  MCOMP_TRY(peak, headroom(in, prepared, run.peak_instances, busiest_per_second));
  MCOMP_TRY(most, headroom(in, prepared, static_cast<double>(in.scaling.max_instances), busiest_per_second));
  result.at_peak_fleet = peak;
  result.at_most_instances = most;
  if (!std::isfinite(result.per_month))
    return Error(ErrorCode::invalid_value, fmt::format("forecast: {}", side.label), "its cost per month overflows",
                 "check the units of trace and prices");
  if (in.commitment) {
    MCOMP_TRY(plan, commitment(in, prepared, demand));
    result.committed_per_month = plan.cost / static_cast<double>(demand.size()) * in.prices.hours_per_month + beside;
    result.commitment = std::move(plan);
  }
  return result;
}

/// How replicates of the interval vary.
struct Resampling {
  std::int64_t whole_days = 0, skipped = 0, day_length = 0, block_days = 1; ///< no whole days: the trace as it is
  bool service = false;
};

Resampling resampling_of(const ForecastInputs& in, const ForecastOptions& options) {
  Resampling result;
  result.service = !in.baseline.service_seconds.empty() || !in.candidate.service_seconds.empty();
  const double per_day = day_seconds / in.trace.interval_seconds;
  if (per_day < 1 || per_day != std::floor(per_day)) return result;
  const auto day_length = static_cast<std::int64_t>(per_day);
  const std::int64_t skipped = (day_length - in.trace.first_interval % day_length) % day_length;
  const std::int64_t days = (static_cast<std::int64_t>(in.trace.requests.size()) - skipped) / day_length;
  const std::int64_t block = options.block_days > 0 ? options.block_days : days >= 21 ? 7 : 1;
  if (days < block + 1) return result;
  result.whole_days = days;
  result.skipped = skipped;
  result.day_length = day_length;
  result.block_days = block;
  return result;
}

/// `wanted` of the days, drawn in blocks of successive ones.
std::vector<std::int64_t> draw_days(const std::vector<std::int64_t>& days, std::int64_t wanted, std::int64_t block,
                                    Random& random) {
  std::vector<std::int64_t> result;
  while (static_cast<std::int64_t>(result.size()) < wanted) {
    const auto starts = static_cast<std::int64_t>(days.size()) - block + 1;
    const auto begin = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(starts)));
    for (std::int64_t k = 0; k < block && static_cast<std::int64_t>(result.size()) < wanted; ++k)
      result.push_back(days[static_cast<std::size_t>(begin + k)]);
  }
  return result;
}

RequestTrace month_of(const RequestTrace& trace, const Resampling& how, std::int64_t month_days, Random& random) {
  std::vector<std::int64_t> days(static_cast<std::size_t>(how.whole_days));
  for (std::size_t i = 0; i < days.size(); ++i) days[i] = static_cast<std::int64_t>(i);
  // One block fewer than there are: the variance of what is drawn is then that of the mean of the recorded days, not
  // the n-th part less.
  const std::int64_t known = std::max(how.whole_days - how.block_days, how.block_days);
  days = draw_days(days, known, how.block_days, random);
  days = draw_days(days, month_days, how.block_days, random);
  RequestTrace month{.interval_seconds = trace.interval_seconds, .requests = {}};
  month.requests.reserve(days.size() * static_cast<std::size_t>(how.day_length));
  for (const std::int64_t day : days) {
    const auto begin = trace.requests.begin() + how.skipped + day * how.day_length;
    month.requests.insert(month.requests.end(), begin, begin + how.day_length);
  }
  return month;
}

/// The mean of as many resampled times, over their mean.
double resampled_factor(const std::vector<double>& seconds, double mean, Random& random) {
  if (seconds.empty()) return 1;
  double sum = 0;
  for (std::size_t k = 0; k < seconds.size(); ++k) sum += seconds[random.below(seconds.size())];
  return sum / static_cast<double>(seconds.size()) / mean;
}

Status saving_interval(const ForecastInputs& in, const PreparedSide& baseline, const PreparedSide& candidate,
                       const ForecastOptions& options, const Context& context, ForecastSaving& saving) {
  const Resampling how = resampling_of(in, options);
  if (options.replicates == 0) {
    saving.interval_covers = "no interval was asked for";
    return {};
  }
  if (how.whole_days == 0 && !how.service) {
    saving.interval_covers = "there is no interval: the trace has too few whole days to draw from, and the service "
                             "times are declared";
    return {};
  }
  const auto n = static_cast<std::size_t>(options.replicates);
  std::vector<double> savings(n);
  std::vector<Status> status(n);
  const auto one = [&](std::size_t i) -> Status {
    MCOMP_CHECK(context.check("forecast"));
    Random days(options.seed, 3 * i), first(options.seed, 3 * i + 1), second(options.seed, 3 * i + 2);
    // As many samples on both sides are drawn by the same numbers: pairs.
    if (in.baseline.service_seconds.size() == in.candidate.service_seconds.size()) second = first;
    Variant variant{.trace = &in.trace, .scaling = in.scaling, .seed = days.next()};
    RequestTrace month;
    if (how.whole_days > 0) {
      month = month_of(in.trace, how, options.month_days, days);
      variant.trace = &month;
    }
    MCOMP_TRY(before, variant_per_month(in, baseline, variant,
                                        resampled_factor(in.baseline.service_seconds, baseline.service.mean(), first)));
    MCOMP_TRY(after,
              variant_per_month(in, candidate, variant,
                                resampled_factor(in.candidate.service_seconds, candidate.service.mean(), second)));
    savings[i] = before - after;
    return {};
  };
  context.executor_or_serial().run(n, [&](std::size_t i) { status[i] = one(i); });
  for (const Status& item : status) MCOMP_CHECK(item);
  MCOMP_TRY(lower, stats::quantile(savings, (1 - options.level) / 2));
  MCOMP_TRY(upper, stats::quantile(savings, (1 + options.level) / 2));
  saving.per_month_interval = stats::Interval{.lower = lower, .upper = upper, .level = options.level};
  std::string text;
  if (how.whole_days > 0)
    text = fmt::format("the next {} days, if days differ as the {} whole days of the trace did (blocks of {})",
                       options.month_days, how.whole_days, how.block_days);
  if (how.service)
    text += fmt::format("{}the scatter of {} and {} measured service times", text.empty() ? "" : "; ",
                        in.baseline.service_seconds.size(), in.candidate.service_seconds.size());
  else
    text += "; service times are declared and taken as exact";
  if (how.whole_days == 0) text += "; not how days differ, since the trace has too few whole ones";
  saving.interval_covers = text + "; not growth, other seasons, other prices or the error of the replay";
  return {};
}

std::optional<double> months_to_pay(double one_off, double saving_per_month, double growth) {
  if (!(saving_per_month > 0)) return std::nullopt;
  const double rate = std::log1p(growth);
  if (std::abs(rate) < 1e-12) return one_off / saving_per_month;
  const double grown = one_off * rate / saving_per_month;
  if (grown <= -1) return std::nullopt; // it shrinks faster than it pays
  return std::log1p(grown) / rate;
}

std::vector<HourForecast> hours_of_day(const ForecastInputs& in, const SideForecast& baseline,
                                       const SideForecast& candidate, const Replay& before, const Replay& after,
                                       double little) {
  struct Sum {
    double intervals = 0, requests = 0, billed[2] = {}, minimum[2] = {}, waiting[2] = {}, answered[2] = {};
  };
  std::array<Sum, 24> sums;
  const double interval = in.trace.interval_seconds, minimum = static_cast<double>(in.scaling.min_instances) + 1e-9;
  const double start = std::fmod(detail::clock_of(in.trace), day_seconds);
  double all = 0;
  for (std::size_t i = 0; i < before.timeline.size(); ++i) {
    const double clock = std::fmod(start + static_cast<double>(i) * interval + 1e-6, day_seconds);
    Sum& sum = sums[std::min<std::size_t>(23, static_cast<std::size_t>(clock / 3600))];
    ++sum.intervals;
    sum.requests += in.trace.requests[i];
    all += in.trace.requests[i];
    const ScalingPoint* points[] = {&before.timeline[i], &after.timeline[i]};
    for (int k = 0; k < 2; ++k) {
      sum.billed[k] += points[k]->billed;
      sum.minimum[k] += points[k]->billed <= minimum ? 1 : 0;
      sum.waiting[k] += points[k]->waiting * interval;
      sum.answered[k] += in.trace.requests[i] - points[k]->dropped;
    }
  }
  // Hours of machines in the trace, to a month's.
  const double to_month = interval / 3600 / hours_of(in.trace) * in.prices.hours_per_month;
  std::vector<HourForecast> result;
  for (std::size_t hour = 0; hour < sums.size(); ++hour) {
    const Sum& sum = sums[hour];
    if (sum.intervals == 0) continue;
    HourForecast item{.hour = static_cast<int>(hour),
                      .traffic_share = all > 0 ? sum.requests / all : 0,
                      .baseline_per_month = sum.billed[0] * to_month * baseline.price_per_hour,
                      .candidate_per_month = sum.billed[1] * to_month * candidate.price_per_hour,
                      .baseline_at_minimum = sum.minimum[0] / sum.intervals,
                      .candidate_at_minimum = sum.minimum[1] / sum.intervals};
    item.saving_per_month = item.baseline_per_month - item.candidate_per_month;
    if (item.baseline_per_month > 0) item.relative = item.saving_per_month / item.baseline_per_month;
    if (sum.answered[0] > 0) item.baseline_mean_wait = sum.waiting[0] / sum.answered[0];
    if (sum.answered[1] > 0) item.candidate_mean_wait = sum.waiting[1] / sum.answered[1];
    item.little = item.relative < little;
    result.push_back(item);
  }
  return result;
}

std::vector<SliceForecast> slices_of(const ForecastInputs& in, const Forecast& f, double risky_loss) {
  std::vector<SliceForecast> result;
  const double requests = f.candidate.requests / f.trace_hours * f.hours_per_month;
  for (const ForecastSlice& slice : in.slices) {
    SliceForecast item{.name = slice.name,
                       .traffic_share = slice.traffic_share,
                       .accuracy_loss = slice.accuracy_loss,
                       .saving_per_month = slice.traffic_share * f.saving.per_month,
                       .lost_answers_per_month = slice.traffic_share * slice.accuracy_loss * requests,
                       .risky = slice.accuracy_loss > risky_loss};
    if (item.lost_answers_per_month > 0)
      item.saving_per_lost_answer = item.saving_per_month / item.lost_answers_per_month;
    result.push_back(std::move(item));
  }
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  std::stable_sort(result.begin(), result.end(), [](const SliceForecast& a, const SliceForecast& b) {
    return a.saving_per_lost_answer.value_or(infinity) < b.saving_per_lost_answer.value_or(infinity);
  });
  return result;
}

Result<std::optional<ExpiryAdvice>> expiry(const ForecastInputs& in, Forecast& f,
                                           const std::vector<std::int64_t>& demand) {
  std::optional<ExpiryAdvice> none;
  if (!in.reservations) return none;
  if (f.baseline.instance != f.candidate.instance) {
    f.notes.push_back(fmt::format("reservations of {} serve no machine of the candidate, which runs on {}: none of "
                                  "them is needed once it is adopted, and how many to renew is not computed",
                                  f.baseline.instance, f.candidate.instance));
    return none;
  }
  const ExpiringReservations& r = *in.reservations;
  const double kept = f.baseline.instance_hours > 0 ? f.candidate.instance_hours / f.baseline.instance_hours : 1;
  if (kept > 1) f.notes.push_back("the candidate needs more machines: reservations are advised on as if it saved none");
  MCOMP_TRY(advice, advise_expiry({.demand = demand,
                                   .staying = r.staying,
                                   .expiring = r.expiring,
                                   .on_demand_per_hour = f.baseline.price_per_hour,
                                   .reserved_per_hour = r.reserved_per_hour,
                                   .term_months = r.term_months,
                                   .reduction = std::max(0.0, 1 - kept),
                                   .probability = r.probability,
                                   .months_until = r.months_until,
                                   .hours_per_month = in.prices.hours_per_month,
                                   .reserve_again = r.reserve_again}));
  return std::optional(advice);
}

void take_notes(const ForecastInputs& in, Forecast& f) {
  if (f.trace.requests == 0) f.notes.push_back("the trace has no requests: costs are those of idle fleets");
  if (f.trace.filled > 0)
    f.notes.push_back(fmt::format("{} intervals of the trace were not recorded and are filled in", f.trace.filled));
  if (f.trace_hours < 24)
    f.notes.push_back(fmt::format("the trace is {:.3g} hours long: a month is taken to be like them", f.trace_hours));
  if (objectives(in.objective).empty()) f.notes.push_back("there is no latency objective: any wait counts as kept");
  const bool scheduled = std::holds_alternative<Scheduled>(in.scaling.policy);
  if (scheduled && !in.candidate.policy)
    f.notes.push_back("both sides follow the same schedule of instances, so the same machines are paid for; give the "
                      "candidate its own");
  for (const SideForecast* side : {&f.baseline, &f.candidate}) {
    if (side->peak_instances >= static_cast<double>(in.scaling.max_instances) - 1e-9)
      f.notes.push_back(fmt::format("{} reaches the limit of {} instances", side->label, in.scaling.max_instances));
    // Fewer than ten servers: the replay's own error is larger.
    if (side->peak_instances * static_cast<double>(side->servers_per_instance) < 10)
      f.notes.push_back(fmt::format("{} has fewer than ten servers: the replay is within 12% of the event simulator, "
                                    "not 3%",
                                    side->label));
  }
}

} // namespace

Result<Forecast> forecast(const ForecastInputs& in, const ForecastOptions& options, const Context& context) {
  MCOMP_CHECK(check(in));
  MCOMP_CHECK(check(options));
  MCOMP_TRY(baseline, prepare(in, in.baseline, "baseline"));
  MCOMP_TRY(candidate, prepare(in, in.candidate, "candidate"));
  MCOMP_TRY(summary, in.trace.summary());
  context.report("forecast: replay", 0, 3);
  const Variant as_it_is{.trace = &in.trace, .scaling = in.scaling, .seed = options.seed};
  MCOMP_TRY(before, replay_variant(in, baseline, as_it_is, 1, true));
  MCOMP_CHECK(context.check("forecast"));
  MCOMP_TRY(after, replay_variant(in, candidate, as_it_is, 1, true));

  Forecast f{.currency = in.prices.currency,
             .price_date = in.prices.date,
             .price_source = in.prices.source,
             .recipe = in.recipe,
             .policy = to_string(in.scaling.policy),
             .trace = summary,
             .trace_hours = hours_of(in.trace),
             .hours_per_month = in.prices.hours_per_month,
             .objective = in.objective};
  const auto demand = hourly_demand(before, in.trace.interval_seconds);
  MCOMP_TRY(first, side_forecast(in, baseline, before, demand, summary.peak_per_second));
  MCOMP_TRY(second, side_forecast(in, candidate, after, hourly_demand(after, in.trace.interval_seconds),
                                  summary.peak_per_second));
  f.baseline = std::move(first);
  f.candidate = std::move(second);
  f.saving.per_month = f.baseline.per_month - f.candidate.per_month;
  if (f.baseline.per_month > 0) f.saving.relative = f.saving.per_month / f.baseline.per_month;
  if (in.commitment) f.saving.committed_per_month = *f.baseline.committed_per_month - *f.candidate.committed_per_month;

  context.report("forecast: sensitivity", 1, 3);
  MCOMP_TRY(moved_by, detail::sensitivity(in, baseline, candidate, f, options, context));
  f.sensitivity = std::move(moved_by);
  context.report("forecast: interval", 2, 3);
  MCOMP_CHECK(saving_interval(in, baseline, candidate, options, context, f.saving));
  f.break_even.one_off = in.compress_cost + in.evaluate_cost;
  const auto pays = [&](double saving) { return months_to_pay(f.break_even.one_off, saving, in.growth_per_month); };
  f.break_even.months = pays(f.saving.per_month);
  if (f.saving.per_month_interval) {
    f.break_even.earliest = pays(f.saving.per_month_interval->upper);
    f.break_even.latest = pays(f.saving.per_month_interval->lower);
  }
  f.hours = hours_of_day(in, f.baseline, f.candidate, before, after, options.little_saving);
  f.slices = slices_of(in, f, options.slice_loss);
  MCOMP_TRY(renewals, expiry(in, f, demand));
  f.reservations = renewals;
  MCOMP_TRY(mix, traffic_mix(in.trace));
  f.mix = std::move(mix);
  take_notes(in, f);
  detail::advise(f, options);
  context.report("forecast: done", 3, 3);
  return f;
}

Result<Replay> replay_side(const ForecastInputs& in, const ForecastSide& side) {
  MCOMP_CHECK(check(in));
  MCOMP_TRY(prepared, prepare(in, side, "side"));
  return replay_variant(in, prepared, {.trace = &in.trace, .scaling = in.scaling}, 1, true);
}

Result<double> scale_for_peak(const ForecastInputs& in, const ForecastSide& side, std::int64_t instances) {
  MCOMP_CHECK(check(in));
  MCOMP_CHECK(count("instances at the peak", instances, 1, 100'000));
  MCOMP_TRY(prepared, prepare(in, side, "side"));
  MCOMP_TRY(summary, in.trace.summary());
  if (summary.requests == 0)
    return Error(ErrorCode::insufficient_data, "scale_for_peak", "the trace has no requests",
                 "pass a trace with requests, or no number of instances at its peak");
  Variant variant{.trace = &in.trace, .scaling = in.scaling};
  variant.scaling.max_instances = std::max(in.scaling.min_instances, 10 * instances);
  const auto enough = [&](double factor) -> Result<bool> {
    MCOMP_TRY(scaled, in.trace.scaled(factor));
    variant.trace = &scaled;
    MCOMP_TRY(run, replay_variant(in, prepared, variant, 1, false));
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
