#include "core/json.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/forecast.hpp"

namespace mcomp::inline v0::cost {

namespace {

using mcomp::detail::Json;

Json value_or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

Json json(const LatencyPoint& p) {
  return {{"mean", p.mean}, {"p50", p.p50}, {"p95", p.p95}, {"p99", p.p99}};
}

Json json(const Headroom& h) {
  return {{"requests_per_second", h.requests_per_second}, {"factor", value_or_null(h.factor)}};
}

Json interval_json(const std::optional<stats::Interval>& i) {
  return i ? Json{{"lower", i->lower}, {"upper", i->upper}, {"level", i->level}} : Json();
}

Json json(const SideForecast& s) {
  return {{"label", s.label},
          {"instance", s.instance},
          {"price_per_hour", s.price_per_hour},
          {"mean_service_seconds", s.mean_service_seconds},
          {"service_variability", s.service_variability},
          {"samples", s.samples},
          {"batch_size", s.batch_size},
          {"servers_per_instance", s.servers_per_instance},
          {"mean_instances", s.mean_instances},
          {"peak_instances", s.peak_instances},
          {"instance_hours", s.instance_hours},
          {"utilization", s.utilization},
          {"requests", s.requests},
          {"dropped", s.dropped},
          {"wait_seconds", json(s.wait)},
          {"response_seconds", json(s.response)},
          {"objective_kept", s.objective_kept},
          {"machines_per_month", s.machines_per_month},
          {"storage_per_month", s.storage_per_month},
          {"egress_per_month", s.egress_per_month},
          {"other_per_month", s.other_per_month},
          {"per_month", s.per_month},
          {"per_million_requests", value_or_null(s.per_million_requests)},
          {"per_million_tokens", value_or_null(s.per_million_tokens)},
          {"at_peak_fleet", json(s.at_peak_fleet)},
          {"at_most_instances", json(s.at_most_instances)},
          {"commitment", s.commitment ? Json::parse(to_json(*s.commitment)) : Json()},
          {"committed_per_month", value_or_null(s.committed_per_month)}};
}

std::string dump(const Json& root) {
  return root.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string side_text(const SideForecast& s, const std::string& currency) {
  std::string text = fmt::format("{} on {}: {:.4g} instances on average, {:.4g} at most, {:.2f} {} a month", s.label,
                                 s.instance, s.mean_instances, s.peak_instances, s.per_month, currency);
  if (s.per_million_requests) text += fmt::format(", {:.4g} a million requests", *s.per_million_requests);
  if (s.per_million_tokens) text += fmt::format(", {:.4g} a million tokens", *s.per_million_tokens);
  text += fmt::format(
      "\n  response p50 {:.4g}, p95 {:.4g}, p99 {:.4g} s, objective {}; {:.4g} of {:.6g} requests dropped",
      s.response.p50, s.response.p95, s.response.p99, s.objective_kept ? "kept" : "missed", s.dropped, s.requests);
  if (s.at_peak_fleet.factor)
    text += fmt::format("\n  head-room: its largest fleet takes {:.3g} times the busiest interval, the most instances "
                        "{:.3g} times",
                        *s.at_peak_fleet.factor, s.at_most_instances.factor.value_or(0));
  if (s.committed_per_month)
    text += fmt::format("\n  with commitments {:.2f} {} a month: {}", *s.committed_per_month, currency, *s.commitment);
  return text + "\n";
}

} // namespace

std::string to_string(const ScalingPolicy& policy) {
  if (const auto* target = std::get_if<TargetUtilization>(&policy))
    return fmt::format("target utilization {:g}, tolerance {:g}", target->target, target->tolerance);
  if (const auto* length = std::get_if<QueueLengthTarget>(&policy))
    return fmt::format("queue length {:g} to {:g} per instance, step {:g}", length->low, length->high, length->step);
  if (const auto* ahead = std::get_if<Predictive>(&policy))
    return fmt::format("predictive, target utilization {:g}, {:g} s ahead", ahead->target, ahead->lookahead_seconds);
  const auto& entries = std::get<Scheduled>(policy).entries;
  std::string text = "scheduled";
  for (std::size_t i = 0; i < entries.size() && i < 12; ++i)
    text += fmt::format("{} {} from {:g} h", i == 0 ? "" : ",", entries[i].instances, entries[i].hour);
  return entries.size() > 12 ? text + ", ..." : text;
}

std::string to_string(const Forecast& f) {
  std::string text = fmt::format("{}; {}; prices of {}\n", f.trace, f.policy, f.price_date);
  text += side_text(f.baseline, f.currency) + side_text(f.candidate, f.currency);
  text += fmt::format("saving {:.2f} {} a month ({:.1f}%)", f.saving.per_month, f.currency, 100 * f.saving.relative);
  text += f.saving.per_month_interval ? fmt::format(" {}: {}\n", *f.saving.per_month_interval, f.saving.interval_covers)
                                      : fmt::format(", no interval: {}\n", f.saving.interval_covers);
  text += f.break_even.months ? fmt::format("break-even of {:.2f} {} after {:.3g} months\n", f.break_even.one_off,
                                            f.currency, *f.break_even.months)
                              : fmt::format("break-even of {:.2f} {}: never\n", f.break_even.one_off, f.currency);
  for (const Sensitivity& s : f.sensitivity)
    text += fmt::format("{} {:.4g} [{:.4g}, {:.4g}] moves the saving by {:.2f}: [{:.2f}, {:.2f}]\n", s.input, s.value,
                        s.low, s.high, s.moves, s.saving_at_low, s.saving_at_high);
  if (f.reservations) text += fmt::format("reservations: {}\n", *f.reservations);
  for (const std::string& concern : f.concerns) text += fmt::format("concern: {}\n", concern);
  for (const std::string& note : f.notes) text += fmt::format("note: {}\n", note);
  return text + f.advice;
}

std::string to_json(const Forecast& f) {
  Json sensitivity = Json::array(), hours = Json::array(), slices = Json::array();
  for (const Sensitivity& s : f.sensitivity)
    sensitivity.push_back({{"input", s.input},
                           {"value", s.value},
                           {"low", s.low},
                           {"high", s.high},
                           {"saving_at_low", s.saving_at_low},
                           {"saving_at_high", s.saving_at_high},
                           {"moves", s.moves}});
  for (const HourForecast& h : f.hours)
    hours.push_back({{"hour", h.hour},
                     {"traffic_share", h.traffic_share},
                     {"baseline_per_month", h.baseline_per_month},
                     {"candidate_per_month", h.candidate_per_month},
                     {"saving_per_month", h.saving_per_month},
                     {"relative", h.relative},
                     {"baseline_at_minimum", h.baseline_at_minimum},
                     {"candidate_at_minimum", h.candidate_at_minimum},
                     {"baseline_mean_wait_seconds", h.baseline_mean_wait},
                     {"candidate_mean_wait_seconds", h.candidate_mean_wait},
                     {"little", h.little}});
  for (const SliceForecast& s : f.slices)
    slices.push_back({{"name", s.name},
                      {"traffic_share", s.traffic_share},
                      {"accuracy_loss", s.accuracy_loss},
                      {"saving_per_month", s.saving_per_month},
                      {"lost_answers_per_month", s.lost_answers_per_month},
                      {"saving_per_lost_answer", value_or_null(s.saving_per_lost_answer)},
                      {"risky", s.risky}});
  return dump({{"schema", Forecast::schema},
               {"decision", to_string(f.decision)},
               {"advice", f.advice},
               {"currency", f.currency},
               {"price_date", f.price_date},
               {"price_source", f.price_source},
               {"recipe", f.recipe},
               {"policy", f.policy},
               {"trace",
                {{"intervals", f.trace.intervals},
                 {"filled", f.trace.filled},
                 {"hours", f.trace_hours},
                 {"requests", f.trace.requests},
                 {"mean_per_second", f.trace.mean_per_second},
                 {"peak_per_second", f.trace.peak_per_second},
                 {"peak_interval", f.trace.peak_interval}}},
               {"hours_per_month", f.hours_per_month},
               {"objective",
                {{"p50_seconds", value_or_null(f.objective.p50_seconds)},
                 {"p95_seconds", value_or_null(f.objective.p95_seconds)},
                 {"p99_seconds", value_or_null(f.objective.p99_seconds)}}},
               {"baseline", json(f.baseline)},
               {"candidate", json(f.candidate)},
               {"saving",
                {{"per_month", f.saving.per_month},
                 {"relative", f.saving.relative},
                 {"per_month_interval", interval_json(f.saving.per_month_interval)},
                 {"interval_covers", f.saving.interval_covers},
                 {"committed_per_month", value_or_null(f.saving.committed_per_month)}}},
               {"break_even",
                {{"one_off", f.break_even.one_off},
                 {"months", value_or_null(f.break_even.months)},
                 {"earliest_months", value_or_null(f.break_even.earliest)},
                 {"latest_months", value_or_null(f.break_even.latest)}}},
               {"sensitivity", sensitivity},
               {"hours", hours},
               {"slices", slices},
               {"reservations", f.reservations ? Json::parse(to_json(*f.reservations)) : Json()},
               {"traffic_mix",
                {{"mean_per_second", f.mix.mean_per_second},
                 {"hour_share", f.mix.hour_share},
                 {"level_edges", f.mix.level_edges},
                 {"level_share", f.mix.level_share}}},
               {"concerns", f.concerns},
               {"notes", f.notes}});
}

} // namespace mcomp::inline v0::cost
