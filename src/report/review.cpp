#include "mcomp/report/review.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/proportion.hpp"
#include "report/fields.hpp"
#include "report/scale.hpp"

namespace mcomp::inline v0::report {

namespace {

constexpr std::int64_t day = 86400;

constexpr std::array<std::pair<FindingKind, const char*>, 7> kinds = {
    {{FindingKind::missed_target, "missed target"},
     {FindingKind::satisfaction_fell, "satisfaction fell"},
     {FindingKind::cost_above_benchmark, "cost above benchmark"},
     {FindingKind::forecast_miss, "forecast miss"},
     {FindingKind::risk, "risk"},
     {FindingKind::stale_recipe, "stale recipe"},
     {FindingKind::unused_margin, "unused margin"}}};

std::string percent(double share) {
  return detail::number_text(share, "fraction", 3);
}
std::string times(std::ptrdiff_t count) {
  return count == 1 ? "once" : count == 2 ? "twice" : fmt::format("{} times", count);
}
std::string signed_percent(double share) {
  return (share > 0 ? "+" : "") + percent(share);
}
std::string date(std::int64_t time) {
  return detail::date_of(static_cast<double>(time));
}

Error bad(const std::string& subject, const std::string& rule, const std::string& remedy) {
  return Error(ErrorCode::invalid_argument, subject, rule, remedy);
}

Status check(const ReviewInputs& in, const ReviewOptions& o) {
  if (in.until <= in.from) return bad("review", "the period ends before it begins", "give from < until");
  constexpr std::int64_t latest = 1'000'000'000'000; // the year 33658
  if (in.from < 0 || in.until > latest)
    return bad("review", "the period is not within 0 and 10^12 seconds since 1970", "give seconds, not smaller units");
  for (const auto& [name, value] :
       {std::pair{"missed_share", o.missed_share}, std::pair{"satisfaction_fall", o.satisfaction_fall},
        std::pair{"cost_excess", o.cost_excess}, std::pair{"forecast_error", o.forecast_error},
        std::pair{"saving_error", o.saving_error}, std::pair{"unused_share", o.unused_share}})
    if (!(value >= 0 && value < 1e6)) return bad(name, "it is not a share >= 0", "give 0.1 for a tenth");
  for (const auto& [name, value] :
       {std::pair{"least_readings", o.least_readings}, std::pair{"missed_run", o.missed_run},
        std::pair{"unmeasured_days", o.unmeasured_days}, std::pair{"least_feedback", o.least_feedback},
        std::pair{"least_judgements", o.least_judgements}, std::pair{"stale_days", o.stale_days},
        std::pair{"stale_losses", o.stale_losses}, std::pair{"repeated_alert", o.repeated_alert},
        std::pair{"open_alert_days", o.open_alert_days}})
    if (value < 1 || value > 1000000) return bad(name, "it is not within 1 and 1,000,000", "give a count or days");
  for (const auto& target : in.targets) {
    if (!std::isfinite(target.target.value)) return bad(target.target.name, "its value is not finite", "give a number");
    if (target.target.bound != "at least" && target.target.bound != "at most")
      return bad(target.target.name, "its bound is \"" + target.target.bound + "\"", "say \"at least\" or \"at most\"");
  }
  for (const auto& margin : in.margins)
    if (!(margin.margin > 0 && std::isfinite(margin.margin)))
      return bad(margin.name, "the margin is not above 0", "leave out what is not a margin");
  for (const auto& each : in.benchmarks)
    if (!(each.benchmark > 0 && std::isfinite(each.benchmark)))
      return bad(each.name, "its benchmark is not above 0", "leave out what has none");
  for (const auto& each : in.satisfaction)
    if (each.good < 0 || each.all < each.good)
      return Error(ErrorCode::invalid_value, "satisfaction", "a count is negative, or more good answers than answers",
                   "give good and all answers of each time");
  return {};
}

/// Everything that a review is made of, in the order of kinds.
class Reviewer {
 public:
  Reviewer(const ReviewInputs& inputs, const ReviewOptions& options) : in_(inputs), o_(options) {
    result_.from = in_.from, result_.until = in_.until;
  }

  Result<Review> run() {
    for (const auto& target : in_.targets) judge(target);
    MCOMP_CHECK(judge_satisfaction());
    for (const auto& benchmark : in_.benchmarks) judge(benchmark);
    for (const auto& forecast : in_.forecasts) MCOMP_CHECK(judge(forecast));
    for (const auto& alert : in_.alerts) judge(alert);
    for (const auto& decision : in_.decisions) judge(decision);
    for (const auto& recipe : in_.recipes) judge(recipe);
    for (const auto& margin : in_.margins) judge(margin);
    auto& findings = result_.findings;
    std::stable_sort(findings.begin(), findings.end(), [](const auto& a, const auto& b) { return a.kind < b.kind; });
    for (const auto& finding : findings)
      if (!finding.next.empty()) result_.next.push_back(finding.next);
    result_.next.insert(result_.next.end(), in_.ideas.begin(), in_.ideas.end());
    result_.rules = {missed_rule(), unmeasured_rule(), satisfaction_rule(), cost_rule(),  forecast_rule(),
                     alert_rule(),  decision_rule(),   stale_rule(),        margin_rule()};
    return std::move(result_);
  }

 private:
  [[nodiscard]] bool within(std::int64_t time) const { return time >= in_.from && time < in_.until; }
  [[nodiscard]] std::vector<Reading> taken(std::vector<Reading> readings) const {
    std::erase_if(readings, [&](const Reading& r) { return !within(r.time) || !std::isfinite(r.value); });
    std::stable_sort(readings.begin(), readings.end(), [](const auto& a, const auto& b) { return a.time < b.time; });
    return readings;
  }
  void line(const char* topic, const std::string& subject, const std::string& sentence, bool finding) {
    result_.lines.push_back({topic, subject, sentence, finding});
  }

  // The rules, in words.
  [[nodiscard]] std::string missed_rule() const {
    return fmt::format(
        "A target in force is missed where more than {} of its readings (of at least {}) broke it, or the "
        "last {} in a row did.",
        percent(o_.missed_share), o_.least_readings, o_.missed_run);
  }
  [[nodiscard]] std::string unmeasured_rule() const {
    return fmt::format("A target in force without a reading in the last {} days is a risk.", o_.unmeasured_days);
  }
  [[nodiscard]] std::string satisfaction_rule() const {
    return fmt::format(
        "Satisfaction fell where its share in the last third of the period is lower by more than {} than "
        "in the first, with at least {} answers in each and 95 % intervals that are apart.",
        percent(o_.satisfaction_fall), o_.least_feedback);
  }
  [[nodiscard]] std::string cost_rule() const {
    return fmt::format("A cost is too high where it exceeds its benchmark by more than {}.", percent(o_.cost_excess));
  }
  [[nodiscard]] std::string forecast_rule() const {
    return fmt::format(
        "A forecast missed where the cost of a side is off by more than {}, or the saving lies outside of "
        "its interval and is off by more than {} of what was forecast.",
        percent(o_.forecast_error), percent(o_.saving_error));
  }
  [[nodiscard]] std::string alert_rule() const {
    return fmt::format("An alert is a risk where it fired {} times and more in the period, or is open for more than {} "
                       "days.",
                       o_.repeated_alert, o_.open_alert_days);
  }
  [[nodiscard]] static std::string decision_rule() { return "A decision past its review date is a risk."; }
  [[nodiscard]] std::string stale_rule() const {
    return fmt::format("A standard recipe is stale where it was not used for {} days and was standard for as long, or "
                       "where its last {} uses were all lost.",
                       o_.stale_days, o_.stale_losses);
  }
  [[nodiscard]] std::string margin_rule() const {
    return fmt::format("A margin is unused where at least {} judgements took no more than {} of it each.",
                       o_.least_judgements, percent(o_.unused_share));
  }

  void judge(const TargetHistory& history) {
    const catalog::Target& target = history.target;
    if (target.status != "in force") return;
    const std::vector<Reading> readings = taken(history.readings);
    const bool at_most = target.bound == "at most";
    const auto broken = [&](const Reading& r) { return at_most ? r.value > target.value : r.value < target.value; };
    TargetResult row{.name = target.name,
                     .metric = target.metric,
                     .slice = target.slice,
                     .bound = target.bound,
                     .unit = history.unit,
                     .limit = target.value,
                     .readings = static_cast<std::int64_t>(readings.size()),
                     .answer = "met"};
    row.missed = std::count_if(readings.begin(), readings.end(), broken);
    double sum = 0;
    for (const Reading& r : readings) sum += r.value / static_cast<double>(readings.size());
    if (!readings.empty()) row.mean = sum, row.last = readings.back().value;
    std::int64_t run = 0;
    for (auto r = readings.rbegin(); r != readings.rend() && broken(*r); ++r) ++run;

    const std::string asked = fmt::format("{} {} is asked", target.bound, format_number(target.value, history.unit));
    const double share = readings.empty() ? 0 : static_cast<double>(row.missed) / static_cast<double>(readings.size());
    if ((row.readings >= o_.least_readings && share > o_.missed_share) || run >= o_.missed_run) {
      row.answer = "missed";
      const auto worst = std::max_element(readings.begin(), readings.end(), [&](const auto& a, const auto& b) {
        return at_most ? a.value < b.value : a.value > b.value;
      });
      const auto first = std::find_if(readings.begin(), readings.end(), broken);
      result_.findings.push_back(
          {.kind = FindingKind::missed_target,
           .subject = target.name,
           .sentence = fmt::format("{}{}: {} of {} readings broke it ({}); {}.", target.metric,
                                   target.slice.empty() ? "" : " of " + target.slice, row.missed, row.readings,
                                   percent(share), asked),
           .rule = missed_rule(),
           .evidence = {{.name = "share of readings that broke it", .value = share, .unit = "fraction"},
                        {.name = "last in a row", .value = static_cast<double>(run), .unit = "count"},
                        {.name = "first on", .text = date(first->time)},
                        {.name = "worst reading", .value = worst->value, .unit = history.unit},
                        {.name = "mean", .value = row.mean, .unit = history.unit},
                        {.name = "source of the target", .text = target.source.empty() ? "not known" : target.source}},
           .next = fmt::format("Give more bits to what serves {}, or ask whether \"{}\" still is what is needed.",
                               target.slice.empty() ? "all requests" : target.slice, target.name)});
    } else if (readings.empty() || readings.back().time < in_.until - o_.unmeasured_days * day) {
      row.answer = "not measured";
      result_.findings.push_back(
          {.kind = FindingKind::risk,
           .subject = target.name,
           .sentence = readings.empty()
                           ? std::string("It is in force, and nothing was measured in the whole period.")
                           : fmt::format("It is in force, and was last measured on {}.", date(readings.back().time)),
           .rule = unmeasured_rule(),
           .evidence = {{.name = "readings in the period",
                         .value = static_cast<double>(row.readings),
                         .unit = "count"}},
           .next = fmt::format("Measure {} again.", target.metric)});
    }
    result_.targets.push_back(std::move(row));
  }

  Status judge_satisfaction() {
    if (in_.satisfaction.empty()) return {};
    const std::int64_t third = (in_.until - in_.from) / 3;
    std::int64_t good[2] = {0, 0}, all[2] = {0, 0};
    for (const FeedbackCount& count : in_.satisfaction) {
      if (!within(count.time)) continue;
      if (count.time < in_.from + third) good[0] += count.good, all[0] += count.all;
      if (count.time >= in_.until - third) good[1] += count.good, all[1] += count.all;
    }
    if (all[0] < o_.least_feedback || all[1] < o_.least_feedback) {
      line("satisfaction", "feedback",
           fmt::format("{} answers in the first third of the period, {} in the last: too few to say.", all[0], all[1]),
           false);
      return {};
    }
    MCOMP_TRY(before, stats::wilson_interval(good[0], all[0]));
    MCOMP_TRY(after, stats::wilson_interval(good[1], all[1]));
    const double first = static_cast<double>(good[0]) / static_cast<double>(all[0]);
    const double last = static_cast<double>(good[1]) / static_cast<double>(all[1]);
    const bool fell = first - last > o_.satisfaction_fall && after.upper < before.lower;
    const std::string sentence =
        fmt::format("{} of {} answers were good in the first third of the period, {} of {} in the "
                    "last.",
                    percent(first), all[0], percent(last), all[1]);
    line("satisfaction", "feedback", sentence, fell);
    if (fell)
      result_.findings.push_back(
          {.kind = FindingKind::satisfaction_fell,
           .subject = "user satisfaction",
           .sentence = sentence,
           .rule = satisfaction_rule(),
           .evidence = {{.name = "first third", .value = first, .unit = "fraction"},
                        {.name = "last third", .value = last, .unit = "fraction"},
                        {.name = "interval of the last third",
                         .text = fmt::format("{} to {}", percent(after.lower), percent(after.upper))}},
           .next = "Compare the slices of unhappy users with those that lost accuracy or speed."});
    return {};
  }

  void judge(const CostBenchmark& cost) {
    if (!std::isfinite(cost.measured)) {
      line("cost", cost.name, "It was not measured.", false);
      return;
    }
    const double excess = cost.measured / cost.benchmark - 1;
    const bool high = excess > o_.cost_excess;
    const std::string sentence =
        fmt::format("{} against a benchmark of {} ({}).", format_number(cost.measured, cost.unit),
                    format_number(cost.benchmark, cost.unit), signed_percent(excess));
    line("cost", cost.name, sentence, high);
    if (high)
      result_.findings.push_back(
          {.kind = FindingKind::cost_above_benchmark,
           .subject = cost.name,
           .sentence = sentence,
           .rule = cost_rule(),
           .evidence = {{.name = "measured", .value = cost.measured, .unit = cost.unit},
                        {.name = "benchmark", .value = cost.benchmark, .unit = cost.unit},
                        {.name = "source of the benchmark", .text = cost.source.empty() ? "not known" : cost.source}},
           .next = fmt::format("Look for what \"{}\" pays for and does not use.", cost.name)});
  }

  Status judge(const cost::ForecastRecord& record) {
    const auto& baseline = record.measured_baseline;
    const auto& candidate = record.measured_candidate;
    const std::string subject = "forecast of " + record.date;
    if (!baseline.per_month && !candidate.per_month) {
      line("forecast", subject, "Nothing was measured since.", false);
      return {};
    }
    MCOMP_TRY(error, cost::forecast_error(record));
    bool missed = false;
    std::vector<Evidence> evidence;
    std::string sentence;
    for (const auto& [side, said, measured, off] :
         {std::tuple{"baseline", record.baseline.per_month, baseline.per_month, error.baseline.per_month},
          std::tuple{"candidate", record.candidate.per_month, candidate.per_month, error.candidate.per_month}}) {
      if (!said || !measured || !off) continue;
      missed = missed || std::abs(*off) > o_.forecast_error;
      sentence += fmt::format("{}{}: {} forecast, {} measured ({})", sentence.empty() ? "" : "; ", side,
                              format_number(*said, record.currency), format_number(*measured, record.currency),
                              signed_percent(*off));
      evidence.push_back(
          {.name = fmt::format("{} cost per month, forecast", side), .value = *said, .unit = record.currency});
      evidence.push_back(
          {.name = fmt::format("{} cost per month, measured", side), .value = *measured, .unit = record.currency});
    }
    if (error.saving_error) {
      const bool outside = error.within_interval && !*error.within_interval;
      missed =
          missed || (outside && std::abs(*error.saving_error) > o_.saving_error * std::abs(record.saving_per_month));
      sentence += fmt::format("{}saving off by {}", sentence.empty() ? "" : "; ",
                              format_number(*error.saving_error, record.currency));
      evidence.push_back(
          {.name = "saving per month, forecast", .value = record.saving_per_month, .unit = record.currency});
      evidence.push_back(
          {.name = "forecast less measured saving", .value = *error.saving_error, .unit = record.currency});
      if (error.within_interval)
        evidence.push_back({.name = "measured saving within the interval", .text = outside ? "no" : "yes"});
    }
    if (sentence.empty()) sentence = "no cost was both forecast and measured";
    sentence += ".";
    line("forecast", subject, sentence, missed);
    if (missed)
      result_.findings.push_back({.kind = FindingKind::forecast_miss,
                                  .subject = subject,
                                  .sentence = sentence,
                                  .rule = forecast_rule(),
                                  .evidence = std::move(evidence),
                                  .next =
                                      "Forecast anew on the traffic of this period, and decide on reservations after "
                                      "that."});
    return {};
  }

  void judge(const AlertHistory& alert) {
    std::vector<std::int64_t> fired = alert.fired;
    std::erase_if(fired, [&](std::int64_t time) { return time >= in_.until; });
    std::sort(fired.begin(), fired.end());
    const auto count = std::count_if(fired.begin(), fired.end(), [&](std::int64_t time) { return within(time); });
    const bool lasting = alert.open && !fired.empty() && fired.back() < in_.until - o_.open_alert_days * day;
    const bool risk = count >= o_.repeated_alert || lasting;
    const std::string sentence = fmt::format("It fired {}{}.", times(count),
                                             lasting      ? fmt::format(" and is open since {}", date(fired.back()))
                                             : alert.open ? " and is open"
                                                          : "");
    line("alert", alert.name, sentence, risk);
    if (risk)
      result_.findings.push_back(
          {.kind = FindingKind::risk,
           .subject = alert.name,
           .sentence = sentence,
           .rule = alert_rule(),
           .evidence = {{.name = "fired in the period", .value = static_cast<double>(count), .unit = "count"},
                        {.name = "last fired", .text = fired.empty() ? "never" : date(fired.back())}},
           .next = fmt::format("Follow the playbook of \"{}\" to its end, or change its limit.", alert.name)});
  }

  void judge(const PendingDecision& pending) {
    const catalog::Decision& decision = pending.decision;
    const bool settled = decision.status == "superseded" || decision.status == "rejected";
    if (decision.review_by == 0 || settled || decision.review_by >= in_.until) return;
    result_.findings.push_back(
        {.kind = FindingKind::risk,
         .subject = decision.title,
         .sentence = fmt::format("It was to be reviewed by {}.", date(decision.review_by)),
         .rule = decision_rule(),
         .evidence = {{.name = "decision", .text = pending.id},
                      {.name = "owner", .text = decision.owner.empty() ? "nobody" : decision.owner}},
         .next = fmt::format("Review \"{}\".", decision.title)});
  }

  void judge(const RecipeHistory& recipe) {
    std::vector<RecipeHistory::Use> uses = recipe.uses;
    std::erase_if(uses, [&](const auto& use) { return use.time >= in_.until; });
    std::stable_sort(uses.begin(), uses.end(), [](const auto& a, const auto& b) { return a.time < b.time; });
    const std::string name = recipe.name.empty() ? recipe.id : recipe.name;
    const auto won = std::count_if(uses.begin(), uses.end(), [](const auto& use) { return use.won; });
    std::int64_t lost = 0;
    for (auto use = uses.rbegin(); use != uses.rend() && !use->won; ++use) ++lost;
    const std::int64_t before = in_.until - o_.stale_days * day;
    const bool standard = recipe.status == "standard";
    const bool idle = standard && recipe.since < before && (uses.empty() || uses.back().time < before);
    const bool losing = standard && lost >= o_.stale_losses;
    const std::string sentence =
        uses.empty() ? fmt::format("{} since {}, never used.", recipe.status, date(recipe.since))
                     : fmt::format("{}; used {}, {} won; last used on {}{}.", recipe.status,
                                   times(static_cast<std::ptrdiff_t>(uses.size())), won, date(uses.back().time),
                                   losing ? fmt::format("; the last {} were lost", lost) : "");
    line("recipe", name, sentence, idle || losing);
    if (idle || losing)
      result_.findings.push_back(
          {.kind = FindingKind::stale_recipe,
           .subject = name,
           .sentence = sentence,
           .rule = stale_rule(),
           .evidence = {{.name = "recipe", .text = recipe.id},
                        {.name = "uses", .value = static_cast<double>(uses.size()), .unit = "count"},
                        {.name = "won", .value = static_cast<double>(won), .unit = "count"},
                        {.name = "last used", .text = uses.empty() ? "never" : date(uses.back().time)}},
           .next = fmt::format("Retire the recipe \"{}\", with the reason.", name)});
  }

  void judge(const MarginUse& margin) {
    const std::vector<Reading> used = taken(margin.used);
    double most = 0;
    for (const Reading& r : used) most = std::max(most, r.value / margin.margin);
    const bool enough = static_cast<std::int64_t>(used.size()) >= o_.least_judgements;
    const bool unused = enough && most <= o_.unused_share;
    const std::string sentence = used.empty()
                                     ? std::string("No judgement in the period.")
                                     : fmt::format("{} judgements took at most {} of the {} that are allowed ({}).",
                                                   used.size(), format_number(most * margin.margin, margin.unit),
                                                   format_number(margin.margin, margin.unit), percent(most));
    line("margin", margin.name, sentence, unused);
    if (unused)
      result_.findings.push_back(
          {.kind = FindingKind::unused_margin,
           .subject = margin.name,
           .sentence = sentence,
           .rule = margin_rule(),
           .evidence = {{.name = "margin", .value = margin.margin, .unit = margin.unit},
                        {.name = "most of it that was taken", .value = most, .unit = "fraction"},
                        {.name = "judgements", .value = static_cast<double>(used.size()), .unit = "count"}},
           .next = fmt::format("Try a recipe with fewer bits under {}, or tighten the margin.", margin.name)});
  }

  const ReviewInputs& in_;
  const ReviewOptions& o_;
  Review result_;
};

} // namespace

std::string to_string(FindingKind kind) {
  for (const auto& [known, name] : kinds)
    if (known == kind) return name;
  return "unknown";
}

Result<FindingKind> detail::finding_kind_from_string(std::string_view text) {
  std::vector<std::string> all;
  for (const auto& [kind, name] : kinds) {
    if (text == name) return kind;
    all.emplace_back(name);
  }
  return Error(ErrorCode::not_found, std::string(text), "is no kind of finding",
               mcomp::detail::did_you_mean(std::string(text), all));
}

Result<Review> review(const ReviewInputs& inputs, const ReviewOptions& options) {
  MCOMP_CHECK(check(inputs, options));
  return Reviewer(inputs, options).run();
}

std::string to_string(const Review& review) {
  std::string text =
      fmt::format("Review of {} to {}: {}\n", date(review.from), date(review.until),
                  review.findings.empty() ? "nothing found" : fmt::format("{} findings", review.findings.size()));
  for (const Finding& finding : review.findings) {
    text += fmt::format("\n{}: {}\n  {}\n  Rule: {}\n", finding.kind, finding.subject, finding.sentence, finding.rule);
    for (const Evidence& evidence : finding.evidence)
      text += fmt::format("  {}: {}\n", evidence.name,
                          evidence.text.empty() ? format_number(evidence.value, evidence.unit) : evidence.text);
  }
  if (!review.next.empty()) text += "\nTo try next:\n";
  for (const std::string& next : review.next) text += "  - " + next + "\n";
  return text;
}

} // namespace mcomp::inline v0::report
