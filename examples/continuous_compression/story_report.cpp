#include "story_report.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "mcomp/catalog/records.hpp"
#include "mcomp/report/playbook.hpp"
#include "mcomp/report/sections.hpp"

namespace example {

using namespace mcomp;

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
  // Accuracies of two suites are no comparison: those of the one that most trials are of.
  const auto experiments = catalog.find({.kind = "experiment"});
  if (!experiments) return experiments.error();
  std::map<std::string, report::TrialSection> by_suite;
  for (const auto& record : *experiments) {
    const auto experiment = catalog::parse_experiment(record.body);
    if (!experiment) return experiment.error();
    const auto suite = experiment->inputs.find("suite");
    by_suite[suite == experiment->inputs.end() ? "" : suite->second].trials.push_back(
        report::trial(record.id, *experiment));
  }
  for (auto& [suite, trials] : by_suite)
    if (!all.trials || trials.trials.size() > all.trials->trials.size()) all.trials = std::move(trials);
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
  auto in_service = report::service_section(service.since_start(), "region");
  if (!in_service) return in_service.error();
  all.service = std::move(*in_service);
  all.drift = chronicle.drift;
  report::add_alerts(*all.drift, chronicle.alerts);
  for (const std::string& cycle : chronicle.cycles) {
    const auto state = catalog.get("cycle", cycle);
    if (!state) return state.error();
    if (state->body.find("\"outcome\":\"rolled back\"") == std::string::npos && all.rollout) continue;
    auto section = report::rollout_section(catalog, cycle);
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
    if (notice.state == monitor::AlertState::firing) {
      report::AlertFacts facts = report::alert_facts(notice, report::AlertKind::drift);
      // What served when it fired, and what had served before.
      for (const auto& state : *history) // oldest first
        if (static_cast<double>(state.time) <= notice.at && state.artifact != facts.version)
          facts.baseline = std::exchange(facts.version, state.artifact);
      all.playbooks.push_back(report::playbook(facts));
    }
  return all;
}

} // namespace example
