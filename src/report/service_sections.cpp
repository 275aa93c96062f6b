// Sections of what happens in service: what instruments counted, drift, alerts, and the releases of the loop.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/loop/cycle.hpp"
#include "mcomp/loop/signals.hpp"
#include "mcomp/report/sections.hpp"
#include "mcomp/stats/proportion.hpp"

namespace mcomp::inline v0::report {

namespace {

using monitor::AlertNotice;
using monitor::AlertState;

Estimate share(std::int64_t count, std::int64_t all) {
  const auto interval = stats::wilson_interval(count, all);
  if (!interval) return {}; // of nothing
  return {.value = static_cast<double>(count) / static_cast<double>(all), .interval = *interval};
}

/// Whole seconds of a time that the caller may have made up.
std::int64_t seconds_of(double time) {
  constexpr double latest = 1e15;
  return std::isfinite(time) ? static_cast<std::int64_t>(std::clamp(time, -latest, latest)) : 0;
}

std::string labels_of(const AlertNotice& notice) {
  std::string text;
  for (const auto& [name, value] : notice.labels) text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, value);
  return text;
}

} // namespace

LatencySection::Model latency_model(const std::string& name, const monitor::LatencyBins& bins, std::size_t most_bins) {
  LatencySection::Model model{.name = name, .count = bins.count()};
  if (bins.counts.empty()) return model;
  model.mean.value = bins.mean_seconds();
  for (const auto& [probability, out] :
       {std::pair(0.5, &model.p50), std::pair(0.95, &model.p95), std::pair(0.99, &model.p99)})
    if (const auto q = bins.quantile(probability)) out->value = *q;
  // As many neighbours in each, so that a picture shows a shape and no comb; bins have one ratio of borders.
  const std::size_t first = bins.counts.front().index, last = bins.counts.back().index;
  const std::size_t joined = (last - std::min(first, last)) / std::max<std::size_t>(most_bins, 1) + 1;
  std::size_t group = 0;
  for (const auto& bin : bins.counts) {
    const double lower = bin.index == 0 ? 0 : monitor::LatencyBins::upper_border(bin.index - 1);
    const double border = monitor::LatencyBins::upper_border(bin.index);
    const double upper = std::isfinite(border) ? border : 2 * monitor::LatencyBins::highest;
    const std::size_t here = bin.index / joined;
    if (model.bins.empty() || here != group) model.bins.push_back({.lower = lower, .upper = upper, .count = 0});
    group = here;
    model.bins.back().upper = upper;
    model.bins.back().count += bin.count;
  }
  return model;
}

Result<SliceSection> service_section(const monitor::ServiceSnapshot& snapshot, std::string_view dimension,
                                     std::string version) {
  MCOMP_TRY(slices, snapshot.by(dimension));
  SliceSection all{.candidate = std::move(version)};
  all.measures = {
      {.name = "errors", .unit = "fraction", .higher_better = false},
      {.name = "accuracy", .unit = "fraction"},
      {.name = "calibration_error", .label = "calibration error", .unit = "fraction", .higher_better = false},
      {.name = "p99_latency", .label = "p99 latency", .unit = "seconds", .higher_better = false},
      {.name = "satisfaction", .unit = "fraction"},
      {.name = "cost", .label = "cost of a million requests", .higher_better = false}};
  const auto add = [&](std::string name, const monitor::SeriesSnapshot& series) {
    SliceSection::Slice slice{.name = std::move(name), .rows = series.events, .values = {}};
    std::int64_t right = 0;
    for (const std::int64_t n : series.labelled_right) right += n;
    const auto p99 = series.latency.quantile(0.99);
    const auto cost = loop::cost_signal(series);
    slice.values = {share(series.errors, series.events),
                    share(right, series.labels_seen()),
                    {.value = series.calibration_error().value_or(not_known)},
                    {.value = p99 ? *p99 : not_known},
                    {.value = series.mean_satisfaction().value_or(not_known)},
                    {.value = cost && cost->per_million > 0 ? cost->per_million : not_known}};
    all.slices.push_back(std::move(slice));
  };
  add("all requests", snapshot.total());
  const auto place = static_cast<std::size_t>(
      std::find(snapshot.dimensions.begin(), snapshot.dimensions.end(), dimension) - snapshot.dimensions.begin());
  for (const auto& slice : slices)
    add(slice.labels[place].empty() ? fmt::format("without {}", dimension)
                                    : fmt::format("{}={}", dimension, slice.labels[place]),
        slice);
  // What nothing is known of is no column.
  for (std::size_t m = all.measures.size(); m-- > 0;)
    if (std::none_of(all.slices.begin(), all.slices.end(),
                     [m](const auto& slice) { return std::isfinite(slice.values[m].value); })) {
      all.measures.erase(all.measures.begin() + static_cast<std::ptrdiff_t>(m));
      for (auto& slice : all.slices) slice.values.erase(slice.values.begin() + static_cast<std::ptrdiff_t>(m));
    }
  return all;
}

void add_window(DriftSection& section, std::int64_t time, const monitor::DriftAnswer& answer,
                const monitor::DriftThresholds& thresholds) {
  for (const loop::DriftSignal& signal : loop::drift_signals(answer)) {
    const std::string name = "drift of " + signal.subject;
    auto series = std::find_if(section.series.begin(), section.series.end(),
                               [&](const auto& known) { return known.name == name; });
    if (series == section.series.end()) {
      section.series.push_back({.name = name, .limit = thresholds.population_stability});
      series = std::prev(section.series.end());
    }
    series->readings.push_back({time, signal.distance});
  }
}

void add_alerts(DriftSection& section, std::span<const AlertNotice> notices) {
  std::set<std::string> open;
  for (const AlertNotice& notice : notices) {
    const bool fires = notice.state == AlertState::firing;
    if (fires ? !open.insert(notice.fingerprint()).second : open.erase(notice.fingerprint()) == 0) continue;
    const std::string where = labels_of(notice);
    section.marks.push_back({.time = seconds_of(notice.at),
                             .label = fmt::format("{} {}", notice.rule.name, fires ? "fires" : "is resolved"),
                             .detail = fmt::format("{}{}{}", where, where.empty() || !notice.moved ? "" : "; ",
                                                   notice.moved ? to_string(*notice.moved) : "")});
  }
}

AlertFacts alert_facts(const AlertNotice& notice, AlertKind kind) {
  AlertFacts facts{.name = notice.rule.name, .kind = kind};
  facts.time = seconds_of(notice.at);
  facts.value = notice.value, facts.limit = notice.rule.raise;
  if (notice.moved) {
    using monitor::PartKind;
    std::string& part = notice.moved->kind == PartKind::layer       ? facts.layer
                        : notice.moved->kind == PartKind::cost_item ? facts.cost_item
                                                                    : facts.slice;
    part = notice.moved->name;
    facts.numbers = {{.name = "before", .value = notice.moved->before}};
    if (notice.moved->after != notice.value) facts.numbers.push_back({.name = "now", .value = notice.moved->after});
  }
  if (facts.slice.empty()) facts.slice = labels_of(notice);
  if (!notice.rule.playbook.empty()) facts.links.push_back({"playbook of the rule", notice.rule.playbook});
  return facts;
}

std::vector<AlertHistory> alert_histories(std::span<const AlertNotice> notices) {
  std::map<std::string, AlertHistory> histories;
  std::map<std::string, std::set<std::string>> open;
  for (const AlertNotice& notice : notices) {
    AlertHistory& history = histories[notice.rule.name];
    history.name = notice.rule.name;
    auto& alerts = open[notice.rule.name];
    if (notice.state != AlertState::firing)
      alerts.erase(notice.fingerprint());
    else if (alerts.insert(notice.fingerprint()).second)
      history.fired.push_back(seconds_of(notice.at));
    history.open = !alerts.empty();
  }
  std::vector<AlertHistory> all;
  for (auto& [name, history] : histories) all.push_back(std::move(history));
  return all;
}

Result<RolloutSection> rollout_section(const catalog::Catalog& catalog, const std::string& cycle) {
  MCOMP_TRY(versions, catalog.history("cycle", cycle));
  if (versions.empty())
    return Error(ErrorCode::not_found, "cycle " + cycle, "the catalogue has no such record", "look at its cycles");
  rollout::RolloutState begin;
  std::vector<rollout::RolloutEvent> events;
  rollout::RolloutPolicy policy;
  bool begun = false;
  for (const catalog::Record& version : versions) {
    if (version.redacted) continue;
    MCOMP_TRY(state, loop::CycleState::parse(version.body, "cycle " + cycle));
    if (state.rollout.empty()) continue;
    if (!begun) {
      // The first version with a release is the one that decided on it: a draft, to which nothing has happened.
      MCOMP_TRY(draft, rollout::RolloutState::parse(state.rollout, "cycle " + cycle + ": rollout"));
      begin = std::move(draft);
      policy = state.options.policy;
      begun = true;
    }
    for (const std::string& json : state.rollout_events) {
      MCOMP_TRY(event, rollout::RolloutEvent::parse(json, "cycle " + cycle + ": event"));
      events.push_back(std::move(event));
    }
  }
  if (!begun)
    return Error(ErrorCode::insufficient_data, "cycle " + cycle, "it has released nothing",
                 "ask for a cycle whose outcome is not \"kept\"");
  return rollout_section(begin, events, policy);
}

} // namespace mcomp::inline v0::report
