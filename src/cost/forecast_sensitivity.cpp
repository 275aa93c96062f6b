#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "cost/forecast_parts.hpp"
#include "mcomp/core/format.hpp"

// One input at a time is moved by the step and the saving found anew, with the same seeds.

namespace mcomp::inline v0::cost::detail {

namespace {

/// The number that `moved` changes, and what it is called; where sides have policies of their own, the baseline's is
/// shown, and the candidate's moves by the same factor.
struct PolicyTarget {
  const char* name;
  double value;
};

PolicyTarget target_of(const ScalingPolicy& policy) {
  if (const auto* target = std::get_if<TargetUtilization>(&policy)) return {"target utilization", target->target};
  if (const auto* ahead = std::get_if<Predictive>(&policy)) return {"target utilization", ahead->target};
  if (const auto* length = std::get_if<QueueLengthTarget>(&policy))
    return {"utilization to shrink", length->utilization};
  std::int64_t most = 0;
  for (const Scheduled::Entry& entry : std::get<Scheduled>(policy).entries) most = std::max(most, entry.instances);
  return {"scheduled instances", static_cast<double>(most)};
}

} // namespace

Result<std::vector<Sensitivity>> sensitivity(const ForecastInputs& in, const PreparedSide& baseline,
                                             const PreparedSide& candidate, const Forecast& f,
                                             const ForecastOptions& options, const Context& context) {
  std::vector<Sensitivity> result;
  const double now = f.saving.per_month;
  const auto keep = [&](std::string input, double value, double low, double high, double at_low, double at_high) {
    result.push_back({.input = std::move(input),
                      .value = value,
                      .low = low,
                      .high = high,
                      .saving_at_low = at_low,
                      .saving_at_high = at_high,
                      .moves = std::max(std::abs(at_low - now), std::abs(at_high - now))});
  };
  const Variant as_it_is{.trace = &in.trace, .scaling = in.scaling, .seed = options.seed};
  const auto saving = [&](const Variant& variant) -> Result<double> {
    MCOMP_CHECK(context.check("forecast"));
    MCOMP_TRY(before, variant_per_month(in, baseline, variant, 1));
    MCOMP_TRY(after, variant_per_month(in, candidate, variant, 1));
    return before - after;
  };
  const double down = 1 - options.step, up = 1 + options.step;

  // Prices need no replay.
  const double before = f.baseline.machines_per_month, after = f.candidate.machines_per_month;
  if (f.baseline.instance == f.candidate.instance) {
    const double price = f.baseline.price_per_hour, change = options.step * (before - after);
    keep(fmt::format("price of {}", f.baseline.instance), price, price * down, price * up, now - change, now + change);
  } else {
    const double first = f.baseline.price_per_hour, second = f.candidate.price_per_hour;
    keep(fmt::format("price of {}", f.baseline.instance), first, first * down, first * up, now - options.step * before,
         now + options.step * before);
    keep(fmt::format("price of {}", f.candidate.instance), second, second * down, second * up,
         now + options.step * after, now - options.step * after);
  }

  // Service times: one side moves, the other stays.
  for (const bool first : {true, false}) {
    const PreparedSide& side = first ? baseline : candidate;
    const double other = first ? f.candidate.per_month : f.baseline.per_month;
    double moved_saving[2] = {};
    for (int k = 0; k < 2; ++k) {
      MCOMP_CHECK(context.check("forecast"));
      MCOMP_TRY(cost, variant_per_month(in, side, as_it_is, k == 0 ? down : up));
      moved_saving[k] = first ? cost - other : other - cost;
    }
    const double mean = side.service.mean();
    keep(first ? "service time of the baseline" : "service time of the candidate", mean, mean * down, mean * up,
         moved_saving[0], moved_saving[1]);
  }

  if (f.trace.requests > 0) {
    MCOMP_TRY(less, in.trace.scaled(down));
    MCOMP_TRY(more, in.trace.scaled(up));
    Variant variant = as_it_is;
    variant.trace = &less;
    MCOMP_TRY(at_less, saving(variant));
    variant.trace = &more;
    MCOMP_TRY(at_more, saving(variant));
    const double mean = f.trace.mean_per_second;
    keep("traffic", mean, mean * down, mean * up, at_less, at_more);
  }

  const auto both = [&](const std::string& name, double value, double low, double high, const auto& change) -> Status {
    Variant variant = as_it_is;
    change(variant, low);
    MCOMP_TRY(at_low, saving(variant));
    variant = as_it_is;
    change(variant, high);
    MCOMP_TRY(at_high, saving(variant));
    keep(name, value, low, high, at_low, at_high);
    return {};
  };
  const PolicyTarget target = target_of(in.baseline.policy.value_or(in.scaling.policy));
  const bool share = target.name[0] != 's';
  if (target.value > 0)
    MCOMP_CHECK(both(target.name, target.value, target.value * down,
                     share ? std::min(1.0, target.value * up) : target.value * up,
                     [&](Variant& variant, double to) { variant.policy_factor = to / target.value; }));
  if (const double boot = in.scaling.boot_seconds; boot > 0)
    MCOMP_CHECK(both("boot delay", boot, boot * down, boot * up,
                     [&](Variant& variant, double to) { variant.boot_factor = to / boot; }));
  if (const double cooldown = in.scaling.cooldown_in_seconds; cooldown > 0)
    MCOMP_CHECK(both("cool-down before shrinking", cooldown, cooldown * down, cooldown * up,
                     [&](Variant& variant, double to) { variant.scaling.cooldown_in_seconds = to; }));
  const auto least = static_cast<double>(in.scaling.min_instances),
             most = static_cast<double>(in.scaling.max_instances);
  // Whole instances: at least one either way.
  MCOMP_CHECK(both("least instances", least, std::max(1.0, std::min(least - 1, std::round(least * down))),
                   std::min(most, std::max(least + 1, std::round(least * up))), [&](Variant& variant, double to) {
                     variant.scaling.min_instances = static_cast<std::int64_t>(to);
                   }));
  MCOMP_CHECK(both("most instances", most, std::max(least, std::min(most - 1, std::round(most * down))),
                   std::min(1e6, std::max(most + 1, std::round(most * up))), [&](Variant& variant, double to) {
                     variant.scaling.max_instances = static_cast<std::int64_t>(to);
                   }));
  std::stable_sort(result.begin(), result.end(),
                   [](const Sensitivity& a, const Sensitivity& b) { return a.moves > b.moves; });
  return result;
}

} // namespace mcomp::inline v0::cost::detail
