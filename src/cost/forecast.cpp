#include "mcomp/cost/forecast.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/try.hpp"
#include "cost/forecast_parts.hpp"
#include "cost/replay_parts.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr double day_seconds = 86400;

bool fraction(double value) {
  return value >= 0 && value <= 1;
}

} // namespace

Status detail::check_inputs(const ForecastInputs& in) {
  MCOMP_CHECK(in.trace.check());
  MCOMP_CHECK(in.prices.check("prices"));
  for (const auto& [name, value] : {std::pair{"p50", in.objective.p50_seconds},
                                    {"p95", in.objective.p95_seconds},
                                    {"p99", in.objective.p99_seconds}})
    if (value) MCOMP_CHECK(check_number(fmt::format("objective {}", name), *value, *value > 0, "> 0"));
  MCOMP_CHECK(check_number("drop_share", in.drop_share, fraction(in.drop_share), "within [0, 1]"));
  if (in.tokens_per_request)
    MCOMP_CHECK(check_number("tokens_per_request", *in.tokens_per_request, *in.tokens_per_request > 0, "> 0"));
  MCOMP_CHECK(check_number("compress_cost", in.compress_cost, in.compress_cost >= 0, ">= 0"));
  MCOMP_CHECK(check_number("evaluate_cost", in.evaluate_cost, in.evaluate_cost >= 0, ">= 0"));
  MCOMP_CHECK(check_number("compress_cost and evaluate_cost", in.compress_cost + in.evaluate_cost, true, ">= 0"));
  MCOMP_CHECK(check_number("growth_per_month", in.growth_per_month,
                           in.growth_per_month > -1 && in.growth_per_month <= 10, "above -1 and at most 10"));
  for (std::size_t i = 0; i < in.slices.size(); ++i) {
    const ForecastSlice& slice = in.slices[i];
    MCOMP_CHECK(check_number(fmt::format("traffic_share of slice '{}'", slice.name), slice.traffic_share,
                             fraction(slice.traffic_share), "within [0, 1]"));
    MCOMP_CHECK(check_number(fmt::format("accuracy_loss of slice '{}'", slice.name), slice.accuracy_loss,
                             std::abs(slice.accuracy_loss) <= 1, "within [-1, 1]"));
  }
  return {};
}

namespace {

using detail::check_count;
using detail::check_number;
using detail::hourly_demand;
using detail::hours_of;
using detail::PreparedSide;
using detail::Variant;

Status check(const ForecastOptions& o) {
  if (o.replicates != 0) MCOMP_CHECK(check_count("replicates", o.replicates, 20, 1'000'000));
  MCOMP_CHECK(check_number("level", o.level, o.level > 0 && o.level < 1, "within (0, 1)"));
  MCOMP_CHECK(check_count("month_days", o.month_days, 1, 366));
  MCOMP_CHECK(check_count("block_days", o.block_days, 0, 366));
  MCOMP_CHECK(check_number("step", o.step, o.step > 0 && o.step <= 0.5, "within (0, 0.5]"));
  MCOMP_CHECK(check_number("little_saving", o.little_saving, fraction(o.little_saving), "within [0, 1]"));
  MCOMP_CHECK(check_number("objective_margin", o.objective_margin, o.objective_margin > 0, "> 0"));
  MCOMP_CHECK(check_number("slice_loss", o.slice_loss, fraction(o.slice_loss), "within [0, 1]"));
  MCOMP_CHECK(check_number("horizon_months", o.horizon_months, o.horizon_months > 0, "> 0"));
  return {};
}
std::optional<double> months_to_pay(double one_off, double saving_per_month, double growth) {
  if (!(saving_per_month > 0)) return std::nullopt;
  const double rate = std::log1p(growth);
  const double steady = one_off / saving_per_month, grown = steady * rate;
  if (grown <= -1) return std::nullopt; // it shrinks faster than it pays
  const double months = std::abs(rate) < 1e-12 ? steady : std::log1p(grown) / rate;
  if (!std::isfinite(months)) return std::nullopt; // longer than a number holds
  return months;
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
  if (detail::quantile_objectives(in.objective).empty())
    f.notes.push_back("there is no latency objective: any wait counts as kept");
  const ScalingPolicy before = in.baseline.policy.value_or(in.scaling.policy),
                      after = in.candidate.policy.value_or(in.scaling.policy);
  if (std::holds_alternative<Scheduled>(before) && before == after)
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
  MCOMP_CHECK(detail::check_inputs(in));
  MCOMP_CHECK(check(options));
  MCOMP_TRY(baseline, detail::prepare(in, in.baseline, "baseline"));
  MCOMP_TRY(candidate, detail::prepare(in, in.candidate, "candidate"));
  MCOMP_TRY(summary, in.trace.summary());
  context.report("forecast: replay", 0, 3);
  const Variant as_it_is{.trace = &in.trace, .scaling = in.scaling, .seed = options.seed};
  MCOMP_TRY(before, detail::replay_variant(in, baseline, as_it_is, 1, true));
  MCOMP_CHECK(context.check("forecast"));
  MCOMP_TRY(after, detail::replay_variant(in, candidate, as_it_is, 1, true));

  const ScalingPolicy first_policy = in.baseline.policy.value_or(in.scaling.policy),
                      second_policy = in.candidate.policy.value_or(in.scaling.policy);
  std::string policy = to_string(first_policy);
  if (second_policy != first_policy) policy += "; the candidate: " + to_string(second_policy);
  Forecast f{.currency = in.prices.currency,
             .price_date = in.prices.date,
             .price_source = in.prices.source,
             .recipe = in.recipe,
             .policy = policy,
             .trace = summary,
             .trace_hours = hours_of(in.trace),
             .hours_per_month = in.prices.hours_per_month,
             .objective = in.objective};
  const auto demand = hourly_demand(before, in.trace.interval_seconds);
  MCOMP_TRY(first, detail::side_forecast(in, baseline, before, demand, summary.peak_per_second));
  MCOMP_TRY(second, detail::side_forecast(in, candidate, after, hourly_demand(after, in.trace.interval_seconds),
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
  MCOMP_CHECK(detail::saving_interval(in, baseline, candidate, options, context, f.saving));
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

} // namespace mcomp::inline v0::cost
