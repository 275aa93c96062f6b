#pragma once

// Sections of a report, filled from the records of other rooms.
//
//     report.verdict = report::verdict_section(evaluation);
//     report.rollout = report::rollout_section(begin, history, policy);
//     report.service = report::service_section(instruments.last(now, 86400).value(), "region").value();
//     report.audit   = report::audit_section(catalog.events(0).value(), &verified);

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcomp/calibrate/reliability_diagram.hpp"
#include "mcomp/catalog/catalog.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/compress/plan.hpp"
#include "mcomp/compress/sensitivity.hpp"
#include "mcomp/cost/forecast.hpp"
#include "mcomp/evaluate/attribution.hpp"
#include "mcomp/evaluate/evaluation.hpp"
#include "mcomp/monitor/alerts.hpp"
#include "mcomp/monitor/drift.hpp"
#include "mcomp/monitor/service_snapshot.hpp"
#include "mcomp/report/report.hpp"
#include "mcomp/rollout/stage_machine.hpp"
#include "mcomp/stats/sketch.hpp"

namespace mcomp::inline v0::report {

[[nodiscard]] MCOMP_WORKFLOW_API VerdictSection verdict_section(const evaluate::Evaluation& evaluation);

[[nodiscard]] MCOMP_WORKFLOW_API TrialSection::Trial trial(const std::string& id,
                                                           const catalog::Experiment& experiment);

/// The loss of every weight in every format, as far as it was measured.
[[nodiscard]] MCOMP_WORKFLOW_API LayerSection layer_section(const compress::SensitivityTable& table);
/// Bytes before and after, and seconds where they were measured.
[[nodiscard]] MCOMP_WORKFLOW_API LayerSection layer_section(const compress::Plan& plan);
/// What each layer would win if it was put back, and costs alone.
[[nodiscard]] MCOMP_WORKFLOW_API LayerSection layer_section(const evaluate::Attribution& attribution);

[[nodiscard]] MCOMP_WORKFLOW_API ReliabilitySection reliability_section(const calibrate::ReliabilityDiagram& diagram);

/// A model's latencies from a sketch: its bins joined to at most `most_bins`, quantiles with intervals where there are
/// enough values for them.
[[nodiscard]] MCOMP_WORKFLOW_API LatencySection::Model
latency_model(const std::string& name, const stats::QuantileSketch& seconds, std::size_t most_bins = 48);
/// What instruments have counted, its bins joined likewise.
[[nodiscard]] MCOMP_WORKFLOW_API LatencySection::Model
latency_model(const std::string& name, const monitor::LatencyBins& bins, std::size_t most_bins = 48);
/// Quantiles alone.
[[nodiscard]] MCOMP_WORKFLOW_API LatencySection::Model latency_model(const std::string& name,
                                                                     const stats::LatencySummary& summary);

/// Accuracy lost (Tango's interval), ECE and loss gained, p99, of all rows and of every slice; intervals at the
/// confidence of the criteria. Errors: those of stats::tango_interval but for slices without rows, which are not known.
[[nodiscard]] MCOMP_WORKFLOW_API Result<SliceSection> slice_section(const evaluate::Evaluation& evaluation);

/// What the service did, all requests and each value of a dimension: errors, accuracy where labels came (both with
/// Wilson's interval), calibration error, p99, satisfaction and cost, as far as anything is known of them. The lines
/// are of the snapshot alone, and so `baseline` is empty. Error: not_found for a dimension that it has not.
[[nodiscard]] MCOMP_WORKFLOW_API Result<SliceSection>
service_section(const monitor::ServiceSnapshot& snapshot, std::string_view dimension, std::string version = {});

/// Adds what a window says at a time (seconds since 1970, UTC): of each slice that it knows the population stability
/// index of the feature that moved most, in a series of its name ("drift of region=eu", "drift of all inputs") with the
/// threshold as its limit.
MCOMP_WORKFLOW_API void add_window(DriftSection& section, std::int64_t time, const monitor::DriftAnswer& answer,
                                   const monitor::DriftThresholds& thresholds = {});
/// Marks where alerts began to fire and were resolved; those that only repeat are left out.
MCOMP_WORKFLOW_API void add_alerts(DriftSection& section, std::span<const monitor::AlertNotice> notices);

/// What a playbook needs to know of an alert: the slice, layer or cost item that moved most, or else the slice that its
/// labels name; value and limit; the address of the rule's own playbook. Version and baseline are the caller's.
[[nodiscard]] MCOMP_WORKFLOW_API AlertFacts alert_facts(const monitor::AlertNotice& notice, AlertKind kind);

/// Replays a history: stages with the share of the units that saw the artifact, and its gates that failed, approvals,
/// rollbacks, pauses and whatever else changed the stage as marks.
/// @param until  end of the last stage; 0: the time of the last event
[[nodiscard]] MCOMP_WORKFLOW_API RolloutSection rollout_section(const rollout::RolloutState& begin,
                                                                std::span<const rollout::RolloutEvent> history,
                                                                const rollout::RolloutPolicy& policy,
                                                                std::int64_t until = 0);

/// The release of a cycle of the loop, as the versions of its record tell it. Errors: not_found where there is no such
/// cycle; insufficient_data where it has released nothing; corrupt; those of the catalogue.
[[nodiscard]] MCOMP_WORKFLOW_API Result<RolloutSection> rollout_section(const catalog::Catalog& catalog,
                                                                        const std::string& cycle);

[[nodiscard]] MCOMP_WORKFLOW_API CostSection cost_section(const cost::Forecast& forecast);

/// @param report  of `Catalog::verify`; null: it was not verified, and the section says so
[[nodiscard]] MCOMP_WORKFLOW_API AuditSection audit_section(std::span<const catalog::LoggedEvent> events,
                                                            const catalog::CatalogReport* report);

/// From a record of the kind "decision". Errors: those of `parse_decision`; a redacted one has its id and time alone.
[[nodiscard]] MCOMP_WORKFLOW_API Result<DecisionEntry> decision_entry(const catalog::Record& record);

// For the review.

/// Of every check of a criterion "max_..." with a bound above 0, slices by themselves: the bound, and what each
/// evaluation showed, by its time: the upper limit where there is one, otherwise the number. Where bounds changed, the
/// latest.
[[nodiscard]] MCOMP_WORKFLOW_API std::vector<MarginUse>
margin_uses(std::span<const std::pair<std::int64_t, evaluate::Evaluation>> evaluations);

/// All recipes of a catalogue, with the experiments that name them as input "recipe", by id or fingerprint: won, or
/// lost and failed. Errors: those of the catalogue.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<RecipeHistory>> recipe_histories(const catalog::Catalog& catalog);

/// When each rule fired, over all its labels, by name; open where one of its alerts was not resolved. Notices in the
/// order of their times, as sinks are told.
[[nodiscard]] MCOMP_WORKFLOW_API std::vector<AlertHistory>
alert_histories(std::span<const monitor::AlertNotice> notices);

} // namespace mcomp::inline v0::report
