#include "table.hpp"

#include <algorithm>

#include "mcomp/core/format.hpp"

namespace example {

using namespace mcomp::cost;

namespace {

std::string response(const SideForecast& side, double seconds) {
  if (!side.per_million_requests) return "-";
  return seconds < 1 ? fmt::format("{:.4g} ms", seconds * 1e3) : fmt::format("{:.4g} s", seconds);
}

/// Money of any size with at least four digits: "0.04143", "61180.12".
std::string price(const std::optional<double>& value, const std::string& currency) {
  if (!value) return "-";
  return *value < 100 ? fmt::format("{:.4g} {}", *value, currency) : fmt::format("{:.2f} {}", *value, currency);
}

/// "6 of 12 months, no upfront, standard, 14 of on demand"
std::string mix(const SideForecast& side) {
  std::string text;
  for (const CommitmentShare& share : side.commitment->shares)
    if (share.count > 0) text += fmt::format("{}{} of {}", text.empty() ? "" : "; ", share.count, share.name);
  return text.empty() ? "none" : text;
}

std::string months(const std::optional<double>& value) {
  return value ? fmt::format("{:.3g} months", *value) : std::string("never");
}

} // namespace

std::vector<ResultRow> result_rows(const Forecast& f, bool tokens_measured) {
  std::vector<ResultRow> rows;
  const auto both = [&](const char* name, const auto& text, const char* first, const char* second) {
    rows.push_back({name, text(f.baseline), text(f.candidate),
                    std::string(first) == second ? first : fmt::format("{}; {}", first, second)});
  };
  const auto money = [&](double value) { return fmt::format("{:.2f} {}", value, f.currency); };
  both(
      "instances in service, mean", [](const auto& s) { return fmt::format("{:.4g}", s.mean_instances); }, "T S B",
      "T S C");
  both(
      "instances in service, peak", [](const auto& s) { return fmt::format("{:.4g}", s.peak_instances); }, "T S B",
      "T S C");
  both(
      "instance-hours paid, in the trace", [](const auto& s) { return fmt::format("{:.1f}", s.instance_hours); },
      "T S B", "T S C");
  both(
      "busy share", [](const auto& s) { return fmt::format("{:.1f} %", 100 * s.utilization); }, "T S B", "T S C");
  both(
      "response p50", [](const auto& s) { return response(s, s.response.p50); }, "T S B", "T S C");
  both(
      "response p95", [](const auto& s) { return response(s, s.response.p95); }, "T S B", "T S C");
  both(
      "response p99", [](const auto& s) { return response(s, s.response.p99); }, "T S B", "T S C");
  both(
      "dropped requests",
      [](const auto& s) { return fmt::format("{:.3g} %", s.requests > 0 ? 100 * s.dropped / s.requests : 0.0); },
      "T S B", "T S C");
  both(
      "objective", [](const auto& s) { return std::string(s.objective_kept ? "kept" : "missed"); }, "O T S B",
      "O T S C");
  both(
      "head-room of the largest fleet",
      [](const auto& s) {
        return s.at_peak_fleet.factor ? fmt::format("{:.2f} x peak", *s.at_peak_fleet.factor) : std::string("-");
      },
      "T O S B", "T O S C");
  both(
      "head-room of the most instances",
      [](const auto& s) {
        return s.at_most_instances.factor ? fmt::format("{:.2f} x peak", *s.at_most_instances.factor)
                                          : std::string("-");
      },
      "T O S B", "T O S C");
  both(
      "price of an instance-hour",
      [&](const auto& s) { return fmt::format("{:.5g} {}", s.price_per_hour, f.currency); }, "P I", "P I");
  both(
      "cost per month", [&](const auto& s) { return money(s.per_month); }, "T S B P I", "T S C P I");
  both(
      "cost per million requests", [&](const auto& s) { return price(s.per_million_requests, f.currency); },
      "T S B P I", "T S C P I");
  if (f.baseline.per_million_tokens || f.candidate.per_million_tokens)
    both(
        "cost per million tokens", [&](const auto& s) { return price(s.per_million_tokens, f.currency); },
        tokens_measured ? "K T S B P I" : "O T S B P I", tokens_measured ? "K T S C P I" : "O T S C P I");
  if (f.baseline.committed_per_month)
    both(
        "cost per month with commitments",
        [&](const auto& s) { return s.committed_per_month ? money(*s.committed_per_month) : std::string("-"); },
        "M T S B P I", "M T S C P I");
  const auto one = [&](const char* name, std::string value, const char* from) {
    rows.push_back({name, "", std::move(value), from});
  };
  one("saving per month", fmt::format("{} ({:.1f} %)", money(f.saving.per_month), 100 * f.saving.relative),
      "T S B C P I");
  if (f.saving.per_month_interval)
    one("its interval",
        fmt::format("{:.2f} to {:.2f} ({:g} %)", f.saving.per_month_interval->lower, f.saving.per_month_interval->upper,
                    100 * f.saving.per_month_interval->level),
        "T S B C P I");
  if (f.saving.committed_per_month)
    one("saving per month with commitments", money(*f.saving.committed_per_month), "M T S B C P I");
  const bool pays_back = f.break_even.one_off > 0;
  one("break-even", pays_back ? months(f.break_even.months) : "nothing was paid", "E, saving");
  if (f.saving.per_month_interval && pays_back)
    one("its range", fmt::format("{} to {}", months(f.break_even.earliest), months(f.break_even.latest)),
        "E, interval of the saving");
  return rows;
}

std::string forecast_text(const Forecast& f, const std::vector<Source>& sources, const std::vector<ResultRow>& rows) {
  std::string text = "Inputs\n";
  for (const Source& s : sources)
    text += fmt::format("  {}  {:<10} {}\n     {:<10} from {}\n", s.key, s.what, s.value, "", s.from);
  std::size_t wide[3] = {8, 8, 9};
  for (const ResultRow& row : rows) {
    wide[0] = std::max(wide[0], row.name.size());
    wide[1] = std::max(wide[1], row.baseline.size());
    wide[2] = std::max(wide[2], row.candidate.size());
  }
  const auto line = [&](const std::string& a, const std::string& b, const std::string& c, const std::string& d) {
    text += fmt::format("  {:<{}}  {:>{}}  {:>{}}  {}\n", a, wide[0], b, wide[1], c, wide[2], d);
  };
  text += fmt::format("\nResults: {} on {} against {} on {}\n", f.baseline.label, f.baseline.instance,
                      f.candidate.label, f.candidate.instance);
  line("", "baseline", "candidate", "from");
  for (const ResultRow& row : rows) line(row.name, row.baseline, row.candidate, row.from);
  if (f.saving.per_month_interval)
    text += fmt::format("  The interval covers {}.\n", f.saving.interval_covers);
  else
    text += fmt::format("  No interval: {}.\n", f.saving.interval_covers);
  text += "\nWhat moves the saving per month most, each input moved alone\n";
  std::size_t name = 0;
  for (const Sensitivity& s : f.sensitivity) name = std::max(name, s.input.size());
  for (const Sensitivity& s : f.sensitivity)
    text += fmt::format("  {:<{}}  {:>10.4g} to {:>10.4g}: {:>12.2f} to {:>12.2f} {}\n", s.input, name, s.low, s.high,
                        s.saving_at_low, s.saving_at_high, f.currency);
  if (f.baseline.commitment && f.candidate.commitment) {
    text += "\nThe cheapest mix of commitments for the machines of each hour, most at one time\n";
    for (const SideForecast* side : {&f.baseline, &f.candidate})
      text += fmt::format("  {}: {}\n", side->label, mix(*side));
  }
  if (f.reservations)
    text += fmt::format("\nReservations of {} that run out, in {}: {}\n", f.baseline.instance, f.currency,
                        to_string(*f.reservations));
  if (!f.concerns.empty()) text += "\nWhere it saves little or users are at risk\n";
  for (const std::string& concern : f.concerns) text += fmt::format("  {}\n", concern);
  if (!f.notes.empty()) text += "\nNotes\n";
  for (const std::string& note : f.notes) text += fmt::format("  {}\n", note);
  return text + fmt::format("\n{}\n", f.advice);
}

} // namespace example
