#pragma once

// The members of the room's values by their JSON keys: one list, by which they are written and read. Never part of the
// interface.

#include <cmath>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "core/json.hpp"
#include "mcomp/report/report.hpp"

namespace mcomp::inline v0::report::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

template <class V> void fields(V& visit, stats::Interval& x) {
  visit("lower", x.lower), visit("upper", x.upper), visit("level", x.level);
}
template <class V> void fields(V& visit, Estimate& x) {
  visit("value", x.value), visit("interval", x.interval);
}
template <class V> void fields(V& visit, Reading& x) {
  visit("time", x.time), visit("value", x.value);
}
template <class V> void fields(V& visit, Evidence& x) {
  visit("name", x.name), visit("value", x.value), visit("unit", x.unit), visit("text", x.text);
}
template <class V> void fields(V& visit, Finding& x) {
  visit("kind", x.kind), visit("subject", x.subject), visit("sentence", x.sentence), visit("rule", x.rule);
  visit("evidence", x.evidence), visit("next", x.next);
}
template <class V> void fields(V& visit, TargetResult& x) {
  visit("name", x.name), visit("metric", x.metric), visit("slice", x.slice), visit("bound", x.bound);
  visit("unit", x.unit), visit("limit", x.limit), visit("readings", x.readings), visit("missed", x.missed);
  visit("mean", x.mean), visit("last", x.last), visit("answer", x.answer);
}
template <class V> void fields(V& visit, ReviewLine& x) {
  visit("topic", x.topic), visit("subject", x.subject), visit("sentence", x.sentence), visit("finding", x.finding);
}
template <class V> void fields(V& visit, Review& x) {
  visit("from", x.from), visit("until", x.until), visit("findings", x.findings), visit("targets", x.targets);
  visit("lines", x.lines), visit("next", x.next), visit("rules", x.rules);
}
template <class V> void fields(V& visit, Link& x) {
  visit("label", x.label), visit("address", x.address);
}
template <class V> void fields(V& visit, AlertFacts& x) {
  visit("name", x.name), visit("kind", x.kind), visit("slice", x.slice), visit("layer", x.layer);
  visit("cost_item", x.cost_item), visit("version", x.version), visit("baseline", x.baseline), visit("alias", x.alias);
  visit("time", x.time), visit("value", x.value), visit("limit", x.limit), visit("unit", x.unit);
  visit("numbers", x.numbers), visit("links", x.links);
}
template <class V> void fields(V& visit, Playbook& x) {
  visit("alert", x.alert), visit("meaning", x.meaning), visit("look_at", x.look_at), visit("recompress", x.recompress);
  visit("roll_back", x.roll_back), visit("closed_when", x.closed_when);
}
template <class V> void fields(V& visit, Measure& x) {
  visit("name", x.name), visit("label", x.label), visit("unit", x.unit), visit("higher_better", x.higher_better);
  visit("limit", x.limit);
}
template <class V> void fields(V& visit, VerdictSection::Check& x) {
  visit("name", x.name), visit("outcome", x.outcome), visit("sentence", x.sentence);
}
template <class V> void fields(V& visit, VerdictSection& x) {
  visit("baseline", x.baseline), visit("candidate", x.candidate), visit("suite", x.suite), visit("rows", x.rows);
  visit("outcome", x.outcome), visit("checks", x.checks);
}
template <class V> void fields(V& visit, TrialSection::Trial& x) {
  visit("id", x.id), visit("name", x.name), visit("owner", x.owner), visit("status", x.status);
  visit("metrics", x.metrics), visit("parameters", x.parameters);
}
template <class V> void fields(V& visit, TrialSection& x) {
  visit("across", x.across), visit("up", x.up), visit("others", x.others), visit("trials", x.trials);
}
template <class V> void fields(V& visit, LayerSection::Layer& x) {
  visit("name", x.name), visit("action", x.action), visit("values", x.values);
}
template <class V> void fields(V& visit, LayerSection& x) {
  visit("subject", x.subject), visit("measures", x.measures), visit("layers", x.layers);
}
template <class V> void fields(V& visit, ReliabilityChart::Bin& x) {
  visit("lower", x.lower), visit("upper", x.upper), visit("count", x.count), visit("confidence", x.confidence);
  visit("accuracy", x.accuracy), visit("band", x.band);
}
template <class V> void fields(V& visit, ReliabilitySection& x) {
  visit("name", x.name), visit("rows", x.rows), visit("ece", x.ece), visit("accuracy", x.accuracy);
  visit("confidence", x.confidence), visit("bins", x.bins);
}
template <class V> void fields(V& visit, Histogram::Bin& x) {
  visit("lower", x.lower), visit("upper", x.upper), visit("count", x.count);
}
template <class V> void fields(V& visit, LatencySection::Model& x) {
  visit("name", x.name), visit("count", x.count), visit("mean", x.mean), visit("p50", x.p50), visit("p95", x.p95);
  visit("p99", x.p99), visit("bins", x.bins);
}
template <class V> void fields(V& visit, LatencySection& x) {
  visit("models", x.models), visit("p99_limit", x.p99_limit);
}
template <class V> void fields(V& visit, SliceSection::Slice& x) {
  visit("name", x.name), visit("rows", x.rows), visit("values", x.values);
}
template <class V> void fields(V& visit, SliceSection& x) {
  visit("baseline", x.baseline), visit("candidate", x.candidate), visit("measures", x.measures);
  visit("slices", x.slices);
}
template <class V> void fields(V& visit, TimelineMark& x) {
  visit("time", x.time), visit("label", x.label), visit("detail", x.detail);
}
template <class V> void fields(V& visit, DriftSection::Series& x) {
  visit("name", x.name), visit("unit", x.unit), visit("readings", x.readings), visit("limit", x.limit);
}
template <class V> void fields(V& visit, DriftSection& x) {
  visit("series", x.series), visit("marks", x.marks);
}
template <class V> void fields(V& visit, RolloutSection::Stage& x) {
  visit("name", x.name), visit("from", x.from), visit("until", x.until), visit("share", x.share);
}
template <class V> void fields(V& visit, RolloutSection& x) {
  visit("artifact", x.artifact), visit("baseline", x.baseline), visit("state", x.state), visit("stages", x.stages);
  visit("marks", x.marks);
}
template <class V> void fields(V& visit, Waterfall::Step& x) {
  visit("name", x.name), visit("change", x.change);
}
template <class V> void fields(V& visit, CostSection::Hour& x) {
  visit("hour", x.hour), visit("baseline", x.baseline), visit("candidate", x.candidate);
}
template <class V> void fields(V& visit, CostSection::Lever& x) {
  visit("input", x.input), visit("low", x.low), visit("high", x.high), visit("saving_at_low", x.saving_at_low);
  visit("saving_at_high", x.saving_at_high);
}
template <class V> void fields(V& visit, CostSection& x) {
  visit("currency", x.currency), visit("baseline", x.baseline), visit("candidate", x.candidate);
  visit("baseline_per_month", x.baseline_per_month), visit("changes", x.changes), visit("saving", x.saving);
  visit("break_even_months", x.break_even_months), visit("decision", x.decision), visit("advice", x.advice);
  visit("concerns", x.concerns), visit("levers", x.levers), visit("hours", x.hours);
}
template <class V> void fields(V& visit, AuditSection::Entry& x) {
  visit("index", x.index), visit("time", x.time), visit("kind", x.kind), visit("subject", x.subject);
  visit("actor", x.actor), visit("digest", x.digest), visit("redacted", x.redacted);
}
template <class V> void fields(V& visit, AuditSection& x) {
  visit("events", x.events), visit("redacted", x.redacted), visit("records", x.records), visit("aliases", x.aliases);
  visit("root", x.root), visit("verified", x.verified), visit("problems", x.problems), visit("entries", x.entries);
}
template <class V> void fields(V& visit, DecisionEntry& x) {
  visit("id", x.id), visit("title", x.title), visit("owner", x.owner), visit("status", x.status);
  visit("time", x.time), visit("review_by", x.review_by), visit("rationale", x.rationale);
  visit("consequences", x.consequences), visit("evidence", x.evidence);
}
template <class V> void fields(V& visit, Report& x) {
  visit("title", x.title), visit("subject", x.subject), visit("summary", x.summary), visit("time", x.time);
  visit("verdict", x.verdict), visit("trials", x.trials), visit("layers", x.layers),
      visit("reliability", x.reliability);
  visit("latency", x.latency), visit("slices", x.slices), visit("service", x.service), visit("drift", x.drift);
  visit("rollout", x.rollout);
  visit("cost", x.cost), visit("audit", x.audit), visit("decisions", x.decisions), visit("review", x.review);
  visit("playbooks", x.playbooks);
}

/// Error: not_found.
[[nodiscard]] Result<FindingKind> finding_kind_from_string(std::string_view name);

} // namespace mcomp::inline v0::report::detail
