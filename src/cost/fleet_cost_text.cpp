#include "core/json.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/fleet_cost.hpp"

namespace mcomp::inline v0::cost {

namespace {

using mcomp::detail::Json;

std::string text(const std::string& label, const Cost& cost, const std::string& currency) {
  return fmt::format("{}: {:.2f} {} per month [{:.2f}, {:.2f}], {:.4g} per million requests [{:.4g}, {:.4g}] ({:g}%)",
                     label, cost.per_month, currency, cost.per_month_interval.lower, cost.per_month_interval.upper,
                     cost.per_million_requests, cost.per_million_requests_interval.lower,
                     cost.per_million_requests_interval.upper, 100 * cost.per_month_interval.level);
}

std::string text(const std::string& label, const Saving& saving, const std::string& currency) {
  return fmt::format("{}: saves {:.2f} {} per month [{:.2f}, {:.2f}], {:.1f}% [{:.1f}, {:.1f}] ({:g}%)", label,
                     saving.per_month, currency, saving.per_month_interval.lower, saving.per_month_interval.upper,
                     100 * saving.relative, 100 * saving.relative_interval.lower, 100 * saving.relative_interval.upper,
                     100 * saving.per_month_interval.level);
}

/// The serializer writes an infinite number as null.
Json json(const stats::Interval& interval) {
  return {{"lower", interval.lower}, {"upper", interval.upper}, {"level", interval.level}};
}

Json json(const Cost& cost) {
  return {{"per_month", cost.per_month},
          {"per_month_interval", json(cost.per_month_interval)},
          {"per_million_requests", cost.per_million_requests},
          {"per_million_requests_interval", json(cost.per_million_requests_interval)}};
}

Json json(const Saving& saving) {
  return {{"per_month", saving.per_month},
          {"per_month_interval", json(saving.per_month_interval)},
          {"relative", saving.relative},
          {"relative_interval", json(saving.relative_interval)}};
}

std::string dump(const Json& root) {
  return root.dump(2, ' ', false, Json::error_handler_t::replace);
}

} // namespace

std::string to_string(const FleetCost& f) {
  std::string result =
      fmt::format("{} x {}{} for {:g} requests/s, p{:g} within {:g} s\nutilisation {:.1f}%, p{:g} {:.3g} s, mean wait "
                  "{:.3g} s, mean "
                  "service {:.3g} s ({} samples)\n{}",
                  f.instances, f.instance, f.spare_instances > 0 ? fmt::format(" ({} spare)", f.spare_instances) : "",
                  f.traffic.requests_per_second, 100 * f.objective.quantile, f.objective.seconds, 100 * f.utilisation,
                  100 * f.objective.quantile, f.latency_seconds, f.mean_wait_seconds, f.mean_service_seconds, f.samples,
                  text("on demand", f.on_demand, f.currency));
  if (f.reserved) result += fmt::format("\n{}", text(fmt::format("reserved ({})", f.term), *f.reserved, f.currency));
  return result;
}

std::string to_string(const Comparison& c) {
  std::string result = fmt::format("{} instances instead of {}\n{}", c.candidate_instances, c.baseline_instances,
                                   text("on demand", c.on_demand, c.currency));
  if (c.reserved) result += fmt::format("\n{}", text("reserved", *c.reserved, c.currency));
  return result;
}

std::string to_json(const FleetCost& f) {
  Json root = {
      {"instance", f.instance},
      {"currency", f.currency},
      {"price_date", f.price_date},
      {"traffic",
       {{"requests_per_second", f.traffic.requests_per_second},
        {"arrival_variability", f.traffic.arrival_variability}}},
      {"objective", {{"quantile", f.objective.quantile}, {"seconds", f.objective.seconds}}},
      {"instances", f.instances},
      {"spare_instances", f.spare_instances},
      {"utilisation", f.utilisation},
      {"latency_seconds", f.latency_seconds},
      {"mean_wait_seconds", f.mean_wait_seconds},
      {"mean_service_seconds", f.mean_service_seconds},
      {"service_variability", f.service_variability},
      {"samples", f.samples},
      {"on_demand", json(f.on_demand)},
  };
  if (f.reserved) {
    root["reserved"] = json(*f.reserved);
    root["term"] = f.term;
  }
  return dump(root);
}

std::string to_json(const Comparison& c) {
  Json root = {{"currency", c.currency},
               {"baseline_instances", c.baseline_instances},
               {"candidate_instances", c.candidate_instances},
               {"on_demand", json(c.on_demand)}};
  if (c.reserved) root["reserved"] = json(*c.reserved);
  return dump(root);
}

} // namespace mcomp::inline v0::cost
