#include "story_report.hpp"

#include <algorithm>

#include "mcomp/catalog/records.hpp"
#include "mcomp/loop/cycle.hpp"
#include "mcomp/report/playbook.hpp"
#include "mcomp/report/sections.hpp"

namespace example {

using namespace mcomp;

namespace {

/// The release of a cycle, as its versions in the catalogue tell it.
Result<report::RolloutSection> release_of(const catalog::Catalog& catalog, const std::string& cycle) {
  const auto versions = catalog.history("cycle", cycle);
  if (!versions) return versions.error();
  rollout::RolloutState begin;
  std::vector<rollout::RolloutEvent> events;
  rollout::RolloutPolicy policy;
  for (const auto& version : *versions) {
    const auto state = loop::CycleState::parse(version.body);
    if (!state) return state.error();
    policy = state->options.policy;
    if (state->rollout.empty()) continue;
    if (begin.artifact.empty()) {
      auto reached = rollout::RolloutState::parse(state->rollout);
      if (!reached) return reached.error();
      begin = std::move(*reached);
    }
    for (const std::string& json : state->rollout_events) {
      auto event = rollout::RolloutEvent::parse(json);
      if (!event) return event.error();
      events.push_back(std::move(*event));
    }
  }
  return report::rollout_section(begin, events, policy);
}

report::AlertFacts facts_of(const monitor::AlertNotice& notice, const std::string& version,
                            const std::string& baseline) {
  report::AlertFacts facts{.name = notice.rule.name, .kind = report::AlertKind::drift};
  if (const auto region = notice.labels.find("region"); region != notice.labels.end())
    facts.slice = "region=" + region->second;
  facts.version = version, facts.baseline = baseline;
  facts.time = static_cast<std::int64_t>(notice.at);
  facts.value = notice.value, facts.limit = notice.rule.raise;
  return facts;
}

} // namespace

Result<report::Report> story_report(const catalog::Catalog& catalog, const catalog::CatalogReport& verified,
                                    const Service& service, const FashionWorkshop& workshop, const Chronicle& chronicle,
                                    std::int64_t now) {
  report::Report all{.title = "A classifier, compressed again and again",
                     .subject = "fashion-classifier",
                     .summary =
                         "From the first compression through a change of the inputs, a release that went back by "
                         "itself, and falling traffic.",
                     .time = now};
  const auto production = catalog.alias("production");
  if (!production) return production.error();
  const std::string& artifact = production->artifact;
  if (const auto found = workshop.evaluations().find(artifact); found != workshop.evaluations().end()) {
    all.verdict = report::verdict_section(found->second);
    auto slices = report::slice_section(found->second);
    if (!slices) return slices.error();
    all.slices = std::move(*slices);
  }
  report::TrialSection trials;
  const auto experiments = catalog.find({.kind = "experiment"});
  if (!experiments) return experiments.error();
  for (const auto& record : *experiments) {
    const auto experiment = catalog::parse_experiment(record.body);
    if (!experiment) return experiment.error();
    trials.trials.push_back(report::trial(record.id, *experiment));
  }
  all.trials = std::move(trials);
  if (const auto plan = workshop.plans().find(artifact); plan != workshop.plans().end())
    all.layers.push_back(report::layer_section(plan->second));
  const auto diagram = workshop.reliability(artifact);
  if (!diagram) return diagram.error();
  all.reliability.push_back(report::reliability_section(*diagram));
  report::LatencySection latency;
  const auto history = catalog.alias_history("production");
  if (!history) return history.error();
  std::vector<std::string> served;
  for (const auto& state : *history)
    if (std::ranges::find(served, state.artifact) == served.end()) served.push_back(state.artifact);
  for (const std::string& one : served)
    if (const auto* sketch = service.latencies(one); sketch && sketch->count() > 0)
      latency.models.push_back(report::latency_model(one.substr(0, 15), *sketch));
  latency.p99_limit = workshop.slow_seconds();
  all.latency = std::move(latency);
  all.drift = report::DriftSection{.series = chronicle.drift, .marks = chronicle.marks};
  for (const std::string& cycle : chronicle.cycles) {
    const auto state = catalog.get("cycle", cycle);
    if (!state) return state.error();
    if (state->body.find("\"outcome\":\"rolled back\"") == std::string::npos && all.rollout) continue;
    auto section = release_of(catalog, cycle);
    if (!section) return section.error();
    all.rollout = std::move(*section); // of the release that went back, where one did
  }
  if (const auto forecast = workshop.forecasts().find(artifact); forecast != workshop.forecasts().end())
    all.cost = report::cost_section(forecast->second);
  const auto size = catalog.size();
  if (!size) return size.error();
  constexpr std::uint64_t shown = 200;
  const auto events = catalog.events(*size > shown ? *size - shown : 0, shown);
  if (!events) return events.error();
  all.audit = report::audit_section(*events, &verified);
  const auto decisions = catalog.find({.kind = "decision"});
  if (!decisions) return decisions.error();
  for (const auto& record : *decisions) {
    auto entry = report::decision_entry(record);
    if (!entry) return entry.error();
    all.decisions.push_back(std::move(*entry));
  }
  for (const auto& notice : chronicle.alerts)
    if (notice.state == monitor::AlertState::firing)
      all.playbooks.push_back(report::playbook(facts_of(notice, artifact, service.baseline())));
  return all;
}

} // namespace example
