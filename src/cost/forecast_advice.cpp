#include <cmath>

#include "cost/forecast_parts.hpp"
#include "mcomp/core/format.hpp"

// What the numbers of a forecast mean, in words.

namespace mcomp::inline v0::cost {

std::string to_string(ForecastDecision decision) {
  switch (decision) {
  case ForecastDecision::adopt:
    return "adopt";
  case ForecastDecision::reject:
    return "reject";
  case ForecastDecision::undecided:
    return "undecided";
  }
  return "unknown";
}

namespace {

std::string name_of(const SideForecast& side, const char* role) {
  return side.label.empty() ? std::string("the ") + role : side.label;
}

/// Hours one after the other, in which little is saved, as one concern each.
void concern_hours(Forecast& f, const ForecastOptions& options) {
  for (std::size_t i = 0; i < f.hours.size();) {
    if (!f.hours[i].little) {
      ++i;
      continue;
    }
    std::size_t end = i;
    double saved = 0, before = 0, minimum = 0, traffic = 0;
    for (; end < f.hours.size() && f.hours[end].little &&
           f.hours[end].hour == f.hours[i].hour + static_cast<int>(end - i);
         ++end) {
      saved += f.hours[end].saving_per_month;
      before += f.hours[end].baseline_per_month;
      minimum += f.hours[end].candidate_at_minimum;
      traffic += f.hours[end].traffic_share;
    }
    const auto hours = static_cast<double>(end - i);
    const double share = before > 0 ? 100 * saved / before : 0.0;
    std::string text = fmt::format("{:02d}:00 to {:02d}:00 ({:.1f}% of the traffic) ", f.hours[i].hour,
                                   f.hours[i].hour + static_cast<int>(hours), 100 * traffic);
    text += saved < 0 ? fmt::format("costs {:.1f}% more for machines, {:.2f} {} a month", -share, -saved, f.currency)
                      : fmt::format("saves {:.1f}% of its machines, {:.2f} {} a month, less than {:g}%", share, saved,
                                    f.currency, 100 * options.little_saving);
    if (minimum / hours > 0.5)
      text += fmt::format("; the least number of instances holds {:.0f}% of that time", 100 * minimum / hours);
    f.concerns.push_back(std::move(text));
    i = end;
  }
}

void concern_latency(Forecast& f, const ForecastOptions& options) {
  for (const auto& [side, role] : {std::pair(&f.baseline, "baseline"), std::pair(&f.candidate, "candidate")}) {
    for (const auto& [quantile, objective, seconds] : {std::tuple("p50", f.objective.p50_seconds, side->response.p50),
                                                       std::tuple("p95", f.objective.p95_seconds, side->response.p95),
                                                       std::tuple("p99", f.objective.p99_seconds, side->response.p99)})
      if (objective && seconds > options.objective_margin * *objective)
        f.concerns.push_back(fmt::format("{} of {} is {:.4g} s, {:.0f}% of its objective of {:.4g} s", quantile,
                                         name_of(*side, role), seconds, 100 * seconds / *objective, *objective));
    if (side->dropped > 0)
      f.concerns.push_back(
          fmt::format("{} drops {:.3g} of {:.4g} requests", name_of(*side, role), side->dropped, side->requests));
  }
  const auto &before = f.baseline.at_peak_fleet.factor, &after = f.candidate.at_peak_fleet.factor;
  if (before && after && *after < 0.9 * *before)
    f.concerns.push_back(fmt::format("at its peak fleet {} can take {:.2f} times the busiest interval within the "
                                     "objective, {} {:.2f} times: less room for a surge",
                                     name_of(f.candidate, "candidate"), *after, name_of(f.baseline, "baseline"),
                                     *before));
}

void concern_slices(Forecast& f) {
  for (const SliceForecast& slice : f.slices)
    if (slice.risky)
      f.concerns.push_back(fmt::format(
          "slice {}: {:.3g}% of the traffic, loses {:.3g} points, saves {:.2f} {} a month{}", slice.name,
          100 * slice.traffic_share, 100 * slice.accuracy_loss, slice.saving_per_month, f.currency,
          slice.saving_per_lost_answer
              ? fmt::format(": {:.3g} {} for each right answer lost", *slice.saving_per_lost_answer, f.currency)
              : ""));
}

/// "saves 812.40 USD a month (34%; 95% interval 700.12 to 900.40)"
std::string saving_words(const Forecast& f) {
  const double saving = f.saving.per_month;
  std::string text = fmt::format("{} {:.2f} {} a month ({:.1f}%", saving < 0 ? "costs" : "saves", std::abs(saving),
                                 f.currency + (saving < 0 ? " more" : ""), 100 * std::abs(f.saving.relative));
  if (f.saving.per_month_interval)
    text += fmt::format("; {:g}% interval {:.2f} to {:.2f}", 100 * f.saving.per_month_interval->level,
                        f.saving.per_month_interval->lower, f.saving.per_month_interval->upper);
  return text + (f.saving.per_month_interval ? ")" : "; no interval)");
}

} // namespace

void detail::advise(Forecast& f, const ForecastOptions& options) {
  concern_hours(f, options);
  concern_latency(f, options);
  concern_slices(f);
  const std::string candidate = name_of(f.candidate, "candidate"), baseline = name_of(f.baseline, "baseline");
  const std::string saving = saving_words(f);
  std::string pays;
  if (f.break_even.one_off > 0 && f.break_even.months)
    pays = fmt::format(" and pays for its {:.2f} {} within {:.3g} months", f.break_even.one_off, f.currency,
                       *f.break_even.months);
  const auto decide = [&](ForecastDecision decision, std::string text) {
    f.decision = decision;
    f.advice = std::move(text);
  };
  const auto& interval = f.saving.per_month_interval;
  if (!f.candidate.objective_kept && f.baseline.objective_kept)
    return decide(ForecastDecision::reject,
                  fmt::format("Do not adopt it like this: {} misses the objective that {} keeps; give it more room (a "
                              "lower target, more instances) and forecast again; as it is, it {}.",
                              candidate, baseline, saving));
  if (!f.candidate.objective_kept)
    return decide(
        ForecastDecision::undecided,
        fmt::format("Undecided: neither side keeps the objective, so their costs do not buy the service that is "
                    "wanted; change the scaling first. As it is, {} {}.",
                    candidate, saving));
  // Money is no reason against a side that is needed to keep the objective at all.
  if (!f.baseline.objective_kept && !(f.saving.per_month > 0))
    return decide(
        ForecastDecision::undecided,
        fmt::format("Undecided: {} keeps the objective that {} misses, and {}; give {} the room that it needs "
                    "and forecast again.",
                    candidate, baseline, f.saving.per_month == 0 ? "costs as much" : saving, baseline));
  const SideForecast& b = f.baseline;
  const std::string idle = b.mean_instances > b.peak_instances - 1e-9 && b.peak_instances == f.candidate.peak_instances
                               ? fmt::format("; either runs {:.4g} instance{} all the time", b.peak_instances,
                                             b.peak_instances == 1 ? "" : "s")
                               : "";
  if (!(f.saving.per_month > 0) || (interval && interval->upper <= 0))
    return decide(
        ForecastDecision::reject,
        f.saving.per_month == 0
            ? fmt::format("Not worth it: {} costs as much as {}{}.", candidate, baseline, idle)
            : fmt::format("Not worth it: {} {}{}.", candidate, saving,
                          f.break_even.one_off > 0 && !f.break_even.months
                              ? fmt::format(" and never pays for its {:.2f} {}", f.break_even.one_off, f.currency)
                              : ""));
  if (!f.break_even.months)
    return decide(ForecastDecision::reject,
                  fmt::format("Not worth it: {} {}, but traffic shrinks so fast that it never pays for its {:.2f} {}.",
                              candidate, saving, f.break_even.one_off, f.currency));
  if (*f.break_even.months > options.horizon_months)
    return decide(ForecastDecision::reject, fmt::format("Not worth it within {:g} months: {} {}{}.",
                                                        options.horizon_months, candidate, saving, pays));
  if (interval && interval->lower <= 0)
    return decide(ForecastDecision::undecided,
                  fmt::format("Undecided: {} {}, which may be nothing; measure more or record a longer trace.",
                              candidate, saving));
  std::string text = fmt::format("Worth it: {} {}{}", candidate, saving, pays);
  text += fmt::format(", with {:.4g} instances at its peak in place of {:.4g}", f.candidate.peak_instances,
                      f.baseline.peak_instances);
  if (!f.sensitivity.empty() && f.sensitivity.front().moves > 0)
    text += fmt::format("; what moves the saving most is the {}", f.sensitivity.front().input);
  std::size_t risky = 0;
  for (const SliceForecast& slice : f.slices) risky += slice.risky ? 1 : 0;
  if (risky > 0)
    text += fmt::format("; but {} slice{} more than {:g} points: see the concerns before", risky,
                        risky == 1 ? " loses" : "s lose", 100 * options.slice_loss);
  decide(ForecastDecision::adopt, text + ".");
}

} // namespace mcomp::inline v0::cost
