#include "mcomp/report/sections.hpp"

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/paired.hpp"
#include "report/scale.hpp"

namespace mcomp::inline v0::report {

namespace {

Estimate estimate(const stats::QuantileEstimate& q) {
  Estimate result{.value = q.value};
  if (q.lower && q.upper) result.interval = stats::Interval{*q.lower, *q.upper, q.level};
  return result;
}

std::string words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

Estimate estimate(const std::optional<evaluate::Increase>& increase) {
  return increase ? Estimate{.value = increase->value, .interval = increase->interval} : Estimate{};
}

} // namespace

VerdictSection verdict_section(const evaluate::Evaluation& evaluation) {
  VerdictSection section{.baseline = evaluation.baseline,
                         .candidate = evaluation.candidate,
                         .suite = evaluation.suite_version.empty() ? evaluation.suite
                                                                   : evaluation.suite + " " + evaluation.suite_version,
                         .rows = evaluation.rows,
                         .outcome = to_string(evaluation.verdict.outcome)};
  for (const auto& check : evaluation.verdict.checks)
    section.checks.push_back({check.name, to_string(check.outcome), check.sentence});
  return section;
}

TrialSection::Trial trial(const std::string& id, const catalog::Experiment& experiment) {
  return {.id = id,
          .name = experiment.name,
          .owner = experiment.owner,
          .status = experiment.status,
          .metrics = experiment.metrics,
          .parameters = experiment.parameters};
}

LayerSection layer_section(const compress::SensitivityTable& table) {
  LayerSection section{.subject = "Sensitivity: " + words(to_string(table.measure))};
  for (const auto& tensor : table.tensors)
    for (const auto& entry : tensor.entries)
      if (std::none_of(section.measures.begin(), section.measures.end(),
                       [&](const Measure& m) { return m.name == entry.candidate; }))
        section.measures.push_back({.name = entry.candidate, .higher_better = false});
  for (const auto& tensor : table.tensors) {
    LayerSection::Layer layer{.name = tensor.tensor, .values = {}};
    for (const Measure& measure : section.measures) {
      const auto entry = std::find_if(tensor.entries.begin(), tensor.entries.end(),
                                      [&](const auto& e) { return e.candidate == measure.name; });
      layer.values.push_back(entry == tensor.entries.end() ? not_known : entry->loss);
    }
    section.layers.push_back(std::move(layer));
  }
  return section;
}

LayerSection layer_section(const compress::Plan& plan) {
  LayerSection section{.subject = "Plan: " + plan.recipe};
  section.measures = {{.name = "bytes before", .unit = "bytes", .higher_better = false},
                      {.name = "bytes after", .unit = "bytes", .higher_better = false}};
  bool timed = false;
  for (const auto& decision : plan.decisions)
    for (const auto& entry : decision.entries) timed = timed || entry.seconds_after.has_value();
  if (timed) {
    section.measures.push_back({.name = "time before", .unit = "seconds", .higher_better = false});
    section.measures.push_back({.name = "time after", .unit = "seconds", .higher_better = false});
  }
  for (const auto& decision : plan.decisions)
    for (const auto& entry : decision.entries) {
      LayerSection::Layer layer{
          .name = entry.subject,
          .action = entry.action,
          .values = {static_cast<double>(entry.bytes_before), static_cast<double>(entry.bytes_after)}};
      if (timed) {
        layer.values.push_back(entry.seconds_before.value_or(not_known));
        layer.values.push_back(entry.seconds_after.value_or(not_known));
      }
      section.layers.push_back(std::move(layer));
    }
  return section;
}

LayerSection layer_section(const evaluate::Attribution& attribution) {
  LayerSection section{.subject = "What each layer costs"};
  section.measures = {{.name = "loss won when put back", .higher_better = false},
                      {.name = "accuracy won when put back", .unit = "fraction", .higher_better = false},
                      {.name = "loss when compressed alone", .higher_better = false},
                      {.name = "accuracy lost when compressed alone", .unit = "fraction", .higher_better = false}};
  for (const auto& each : attribution.layers)
    section.layers.push_back({.name = each.layer,
                              .values = {-each.put_back.loss_increase, -each.put_back.accuracy.loss(),
                                         each.alone ? each.alone->loss_increase : not_known,
                                         each.alone ? each.alone->accuracy.loss() : not_known}});
  return section;
}

ReliabilitySection reliability_section(const calibrate::ReliabilityDiagram& diagram) {
  const auto& m = diagram.metrics;
  ReliabilitySection section{.name = diagram.title, .rows = m.count};
  if (m.count > 0) section.ece = m.ece, section.accuracy = m.accuracy, section.confidence = m.confidence;
  for (std::size_t i = 0; i < m.bins.size(); ++i) {
    const auto& bin = m.bins[i];
    ReliabilityChart::Bin out{.lower = bin.lower,
                              .upper = bin.upper,
                              .count = bin.count,
                              .confidence = bin.confidence,
                              .accuracy = bin.accuracy};
    if (i < diagram.bands.size() && std::isfinite(diagram.bands[i].lower) && std::isfinite(diagram.bands[i].upper))
      out.band = diagram.bands[i];
    section.bins.push_back(out);
  }
  return section;
}

LatencySection::Model latency_model(const std::string& name, const stats::QuantileSketch& seconds,
                                    std::size_t most_bins) {
  LatencySection::Model model{.name = name, .count = seconds.count()};
  if (seconds.count() == 0) return model;
  model.mean.value = seconds.mean();
  for (const auto& [probability, out] :
       {std::pair(0.5, &model.p50), std::pair(0.95, &model.p95), std::pair(0.99, &model.p99)})
    if (const auto q = seconds.estimate_quantile(probability)) *out = estimate(*q);
  // As many neighbours of the geometric sketch are joined in each, so that a picture shows a shape and no comb of
  // unlike bins. Empty ones, which the sketch leaves out, count by the ratio of their borders.
  const std::vector<stats::SketchBin> bins = seconds.bins();
  const double accuracy = seconds.options().relative_accuracy, step = std::log1p(2 * accuracy / (1 - accuracy));
  std::vector<std::size_t> place(bins.size(), 0);
  for (std::size_t i = 1; i < bins.size(); ++i) {
    const double gap = bins[i - 1].upper > 0 ? std::log(bins[i].lower / bins[i - 1].upper) / step : 0;
    place[i] = place[i - 1] + 1 + static_cast<std::size_t>(std::lround(std::clamp(gap, 0., 1e6)));
  }
  const std::size_t joined = bins.empty() ? 1 : place.back() / std::max<std::size_t>(most_bins, 1) + 1;
  for (std::size_t i = 0; i < bins.size(); ++i) {
    const bool again = i > 0 && place[i] / joined == place[i - 1] / joined;
    if (!again) model.bins.push_back({.lower = bins[i].lower, .upper = bins[i].upper, .count = 0});
    model.bins.back().upper = bins[i].upper;
    model.bins.back().count += bins[i].count;
  }
  return model;
}

LatencySection::Model latency_model(const std::string& name, const stats::LatencySummary& summary) {
  return {.name = name,
          .count = summary.count,
          .mean = {.value = summary.mean},
          .p50 = estimate(summary.p50),
          .p95 = estimate(summary.p95),
          .p99 = estimate(summary.p99)};
}

Result<SliceSection> slice_section(const evaluate::Evaluation& evaluation) {
  const auto& evidence = evaluation.evidence;
  const auto& criteria = evaluation.criteria;
  SliceSection section{.baseline = evaluation.baseline, .candidate = evaluation.candidate};
  section.measures = {
      {.name = "accuracy_loss",
       .label = "accuracy lost",
       .unit = "fraction",
       .higher_better = false,
       .limit = criteria.max_slice_accuracy_loss ? criteria.max_slice_accuracy_loss : criteria.max_accuracy_loss},
      {.name = "ece_increase",
       .label = "calibration error gained",
       .unit = "fraction",
       .higher_better = false,
       .limit = criteria.max_slice_ece_increase ? criteria.max_slice_ece_increase : criteria.max_ece_increase},
      {.name = "loss_increase",
       .label = "loss gained",
       .unit = "nats",
       .higher_better = false,
       .limit = criteria.max_loss_increase}};
  const auto latency_of = [](const auto& each) { return each.candidate_latency.has_value(); };
  const bool timed = latency_of(evidence) || std::any_of(evidence.slices.begin(), evidence.slices.end(), latency_of);
  if (timed)
    section.measures.push_back({.name = "p99_latency",
                                .label = "p99 latency",
                                .unit = "seconds",
                                .higher_better = false,
                                .limit = criteria.max_latency_p99_seconds});
  const double level = 2 * criteria.confidence - 1;
  const auto add = [&](const std::string& name, const stats::PairedCounts& counts, const auto& numbers) -> Status {
    SliceSection::Slice slice{.name = name, .rows = counts.pairs(), .values = {}};
    Estimate accuracy;
    if (counts.pairs() > 0) {
      accuracy.value = counts.loss();
      if (level > 0) {
        MCOMP_TRY(interval, stats::tango_interval(counts, level));
        accuracy.interval = interval;
      }
    }
    slice.values = {accuracy, estimate(numbers.ece_increase), estimate(numbers.loss_increase)};
    if (timed)
      slice.values.push_back(numbers.candidate_latency ? estimate(numbers.candidate_latency->p99) : Estimate{});
    section.slices.push_back(std::move(slice));
    return {};
  };
  if (evidence.accuracy) MCOMP_CHECK(add("all requests", *evidence.accuracy, evidence));
  for (const auto& slice : evidence.slices) MCOMP_CHECK(add(slice.name, slice.accuracy, slice));
  return section;
}

RolloutSection rollout_section(const rollout::RolloutState& begin, std::span<const rollout::RolloutEvent> history,
                               const rollout::RolloutPolicy& policy, std::int64_t until) {
  using rollout::EventKind;
  RolloutSection section{.artifact = begin.artifact, .baseline = begin.baseline};
  rollout::RolloutState state = begin;
  const auto name_of = [](const rollout::RolloutState& s) {
    return s.stage == rollout::Stage::canary        ? fmt::format("canary {}", s.step + 1)
           : s.stage == rollout::Stage::rolled_back ? std::string("rolled back")
                                                    : to_string(s.stage);
  };
  const auto open = [&](std::int64_t time) {
    section.stages.push_back({.name = name_of(state),
                              .from = time,
                              .until = time,
                              .share = static_cast<double>(rollout::exposed_share(state, policy)) / 100000});
  };
  open(begin.now);
  for (const auto& event : history) {
    const rollout::Transition step = rollout::advance(state, event, policy);
    const bool moved = step.state.stage != state.stage || step.state.step != state.step;
    state = step.state;
    if (moved) {
      section.stages.back().until = state.now;
      open(state.now);
    }
    if (!step.refusal.empty()) continue;
    if (event.kind == EventKind::approve)
      section.marks.push_back({.time = state.now,
                               .label = fmt::format("{} approved {}", event.approver, to_string(event.stage)),
                               .detail = event.role.empty() ? "" : "as " + event.role});
    else if (event.kind == EventKind::gate && event.verdict == rollout::Gate::fail)
      section.marks.push_back(
          {.time = state.now,
           .label = moved ? fmt::format("{}: gate failed", name_of(state)) : std::string("gate failed"),
           .detail = event.text});
    else if (moved)
      section.marks.push_back({.time = state.now, .label = name_of(state), .detail = state.reason});
  }
  section.stages.back().until = std::max(until, state.now);
  section.state =
      fmt::format("{}: {} since {} UTC{}", name_of(state), state.artifact,
                  detail::time_of(static_cast<double>(state.since)), state.reason.empty() ? "" : ", " + state.reason);
  return section;
}

CostSection cost_section(const cost::Forecast& f) {
  CostSection section{.currency = f.currency,
                      .baseline = f.baseline.label,
                      .candidate = f.candidate.label,
                      .baseline_per_month = f.baseline.per_month,
                      .break_even_months = f.break_even.months,
                      .decision = to_string(f.decision),
                      .advice = f.advice,
                      .concerns = f.concerns};
  for (const auto& [name, before, after] :
       {std::tuple{"machines", f.baseline.machines_per_month, f.candidate.machines_per_month},
        std::tuple{"storage", f.baseline.storage_per_month, f.candidate.storage_per_month},
        std::tuple{"data sent out", f.baseline.egress_per_month, f.candidate.egress_per_month},
        std::tuple{"other", f.baseline.other_per_month, f.candidate.other_per_month}})
    if (before != 0 || after != 0) section.changes.push_back({name, after - before});
  section.saving = {.value = f.saving.per_month, .interval = f.saving.per_month_interval};
  for (const auto& lever : f.sensitivity)
    section.levers.push_back({lever.input, lever.low, lever.high, lever.saving_at_low, lever.saving_at_high});
  for (const auto& hour : f.hours)
    section.hours.push_back({hour.hour, hour.baseline_per_month, hour.candidate_per_month});
  return section;
}

AuditSection audit_section(std::span<const catalog::LoggedEvent> events, const catalog::CatalogReport* report) {
  AuditSection section{.events = events.size()};
  for (const auto& logged : events) {
    AuditSection::Entry entry{.index = logged.index, .kind = "redacted", .digest = mcomp::to_hex(logged.leaf)};
    entry.redacted = !logged.event;
    if (logged.event) {
      entry.time = logged.event->time, entry.kind = logged.event->kind;
      entry.subject = logged.event->subject, entry.actor = logged.event->actor;
    } else {
      ++section.redacted;
    }
    section.entries.push_back(std::move(entry));
  }
  if (report == nullptr) return section;
  section.verified = true;
  section.events = report->events, section.redacted = report->redacted;
  section.records = report->records, section.aliases = report->aliases;
  section.root = mcomp::to_hex(report->root);
  for (const auto& problem : report->problems) section.problems.push_back(problem.where + ": " + problem.rule);
  return section;
}

Result<DecisionEntry> decision_entry(const catalog::Record& record) {
  DecisionEntry entry{
      .id = record.id, .title = record.name, .owner = record.owner, .status = record.status, .time = record.time};
  if (record.redacted) {
    entry.title = "redacted";
    return entry;
  }
  MCOMP_TRY(decision, catalog::parse_decision(record.body));
  entry.title = decision.title, entry.owner = decision.owner, entry.status = decision.status;
  entry.review_by = decision.review_by, entry.rationale = decision.rationale;
  entry.consequences = decision.consequences, entry.evidence = decision.evidence;
  return entry;
}

std::vector<MarginUse> margin_uses(std::span<const std::pair<std::int64_t, evaluate::Evaluation>> evaluations) {
  std::vector<MarginUse> margins;
  for (const auto& [time, evaluation] : evaluations)
    for (const auto& check : evaluation.verdict.checks) {
      if (!check.name.starts_with("max_")) continue;
      const auto first = [&](std::initializer_list<const char*> names) -> std::optional<double> {
        for (const char* name : names)
          if (const auto number = check.number(name)) return number;
        return {};
      };
      const auto bound = first({"margin", "bound", "bound_seconds"});
      const auto used = first({"upper_limit", "upper_limit_seconds", "value", "value_seconds"});
      if (!bound || !used || *bound <= 0) continue;
      auto margin = std::find_if(margins.begin(), margins.end(), [&](const auto& m) { return m.name == check.name; });
      if (margin == margins.end()) {
        const bool seconds = check.number("bound_seconds").has_value();
        margins.push_back({.name = check.name, .unit = seconds ? "seconds" : check.number("margin") ? "fraction" : ""});
        margin = margins.end() - 1;
      }
      margin->margin = *bound;
      margin->used.push_back({time, *used});
    }
  return margins;
}

Result<std::vector<RecipeHistory>> recipe_histories(const catalog::Catalog& catalog) {
  constexpr std::int64_t page = 500;
  const auto all = [&](const char* kind) -> Result<std::vector<catalog::Record>> {
    std::vector<catalog::Record> records;
    for (std::int64_t offset = 0;; offset += page) {
      MCOMP_TRY(part, catalog.find({.kind = kind, .limit = page, .offset = offset}));
      records.insert(records.end(), part.begin(), part.end());
      if (static_cast<std::int64_t>(part.size()) < page) return records;
    }
  };
  MCOMP_TRY(recipes, all("recipe"));
  MCOMP_TRY(experiments, all("experiment"));
  std::vector<std::pair<std::int64_t, catalog::Experiment>> trials; // that are over
  for (const auto& each : experiments) {
    if (each.redacted) continue;
    MCOMP_TRY(experiment, catalog::parse_experiment(each.body));
    if (experiment.status != "running") trials.emplace_back(each.time, std::move(experiment));
  }
  std::vector<RecipeHistory> histories;
  for (const auto& record : recipes) {
    RecipeHistory history{.id = record.id, .name = record.name, .status = record.status, .since = record.time};
    MCOMP_TRY(versions, catalog.history("recipe", record.id));
    for (auto version = versions.rbegin(); version != versions.rend() && version->status == record.status; ++version)
      history.since = version->time;
    for (auto each = trials.rbegin(); each != trials.rend(); ++each) { // the catalogue gives the newest first
      const auto& [time, experiment] = *each;
      const auto input = experiment.inputs.find("recipe");
      if (input == experiment.inputs.end()) continue;
      if (input->second != record.id && (record.fingerprint.empty() || input->second != record.fingerprint)) continue;
      history.uses.push_back({.time = time, .where = experiment.name, .won = experiment.status == "won"});
    }
    histories.push_back(std::move(history));
  }
  return histories;
}

} // namespace mcomp::inline v0::report
