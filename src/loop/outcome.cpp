#include "loop/outcome.hpp"

#include <algorithm>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::loop::detail {

catalog::Experiment trial_of(const CycleState& cycle, const Candidate& candidate, const std::string& recipe) {
  catalog::Experiment trial{.name = recipe,
                            .owner = cycle.options.author,
                            .parameters = {{"recipe", candidate.proposal.fingerprint}},
                            .inputs = {{"recipe", candidate.proposal.fingerprint}},
                            .artifact = candidate.artifact};
  if (!cycle.options.model.empty()) trial.inputs["model"] = cycle.options.model;
  if (!cycle.options.suite.empty()) trial.inputs["suite"] = cycle.options.suite;
  // What was compressed tells trials of one recipe on fresh samples apart.
  trial.parameters["artifact"] = candidate.artifact;
  return trial;
}

void describe_trial(catalog::Experiment& trial, const evaluate::Evaluation& evaluation,
                    const Workshop::Judged& judged) {
  const evaluate::Evidence& e = evaluation.evidence;
  const auto put = [](catalog::Metrics& metrics, const char* name, const auto& value) {
    if (value) metrics[name] = static_cast<double>(*value);
  };
  if (e.accuracy && e.accuracy->pairs() > 0) {
    trial.metrics["accuracy"] = e.accuracy->candidate_accuracy();
    trial.metrics["accuracy_loss"] = e.accuracy->loss();
  }
  put(trial.metrics, "bytes", e.candidate_bytes), put(trial.metrics, "ece", e.candidate_ece);
  put(trial.metrics, "loss", e.candidate_loss), put(trial.metrics, "monthly_cost", e.candidate_monthly_cost);
  if (e.candidate_latency) trial.metrics["latency_p50_seconds"] = e.candidate_latency->p50.value;
  trial.metrics["saving_per_month"] = judged.saving_per_month;
  for (const evaluate::SliceEvidence& slice : e.slices) {
    catalog::Metrics& metrics = trial.slices[slice.name];
    if (slice.accuracy.pairs() > 0) {
      metrics["accuracy"] = slice.accuracy.candidate_accuracy();
      metrics["accuracy_loss"] = slice.accuracy.loss();
    }
    put(metrics, "ece", slice.candidate_ece);
  }
  trial.environment["library_version"] = evaluation.library_version;
  trial.duration_seconds = judged.seconds;
}

std::string broken_rule(const evaluate::Evaluation& evaluation) {
  for (const evaluate::Check& check : evaluation.verdict.checks)
    if (check.outcome != evaluate::Outcome::pass) return check.sentence.empty() ? check.name : check.sentence;
  return {};
}

std::vector<MarginUse> margins_of(const evaluate::Evaluation& evaluation) {
  std::vector<MarginUse> margins;
  const evaluate::Criteria& c = evaluation.criteria;
  const evaluate::Evidence& e = evaluation.evidence;
  const auto add = [&](const char* name, const std::optional<double>& allowed, const std::optional<double>& used) {
    if (allowed && used && *allowed > 0) margins.push_back({name, *allowed, std::max(0.0, *used)});
  };
  const auto increase = [](const auto& measured, const auto& before, const auto& after) -> std::optional<double> {
    if (measured) return measured->value;
    if (before && after) return *after - *before;
    return std::nullopt;
  };
  if (e.accuracy && e.accuracy->pairs() > 0) {
    add("max_accuracy_loss", c.max_accuracy_loss, e.accuracy->loss());
    add("max_negative_flip_fraction", c.max_negative_flip_fraction,
        static_cast<double>(e.accuracy->only_baseline_right) / static_cast<double>(e.accuracy->pairs()));
  }
  add("max_ece_increase", c.max_ece_increase, increase(e.ece_increase, e.baseline_ece, e.candidate_ece));
  add("max_loss_increase", c.max_loss_increase, increase(e.loss_increase, e.baseline_loss, e.candidate_loss));
  std::optional<double> worst;
  for (const evaluate::SliceEvidence& slice : e.slices)
    if (slice.accuracy.pairs() > 0) worst = std::max(worst.value_or(0), slice.accuracy.loss());
  add("max_slice_accuracy_loss", c.max_slice_accuracy_loss, worst);
  return margins;
}

catalog::Decision decision_of(const CycleState& cycle, const Candidate* chosen) {
  catalog::Decision decision{.title = fmt::format("{}: {}", cycle.options.family, to_string(cycle.trigger.kind)),
                             .owner = cycle.options.author,
                             .status = chosen ? "accepted" : "rejected",
                             .context = to_string(cycle.trigger)};
  for (const Candidate& candidate : cycle.candidates) {
    decision.options.push_back(fmt::format("{} ({}): {}", candidate.id,
                                           candidate.proposal.recipe_id.empty() ? candidate.proposal.fingerprint
                                                                                : candidate.proposal.recipe_id,
                                           candidate.reason));
    if (!candidate.evaluation.empty()) decision.evidence.push_back("experiment/" + candidate.evaluation);
    if (!candidate.artifact.empty()) decision.evidence.push_back(candidate.artifact);
  }
  if (!chosen) {
    decision.rationale = "no candidate meets the criteria within the budget";
    decision.consequences =
        cycle.options.baseline.empty() ? "nothing is in service" : cycle.options.baseline + " stays in service";
    return decision;
  }
  decision.rationale = fmt::format("{} saves the most of those that pass: {}", chosen->id, chosen->reason);
  decision.consequences =
      fmt::format("{} is released step by step; {} serves again where a guardrail says so", chosen->artifact,
                  cycle.options.baseline.empty() ? "nothing" : cycle.options.baseline);
  return decision;
}

std::vector<catalog::Approval> counting_approvals(const catalog::Governance& governance, const CycleOptions& options,
                                                  const std::string& artifact,
                                                  std::span<const catalog::Envelope> envelopes, std::int64_t now) {
  const std::string change = "promote:" + options.alias;
  const auto& rules = governance.policy.rules;
  auto rule = std::ranges::find(rules, change, &catalog::ApprovalRule::change);
  if (rule == rules.end()) rule = std::ranges::find(rules, "promote", &catalog::ApprovalRule::change);
  std::vector<catalog::Approval> counting;
  if (rule == rules.end()) return counting;
  catalog::ApprovalRule named = *rule;
  named.change = change;
  for (const catalog::Envelope& envelope : envelopes) {
    const auto approval =
        catalog::check_approval(named, {.subject = artifact, .change = change, .author = options.author}, envelope,
                                governance.keys, now, [](std::string_view) { return false; });
    if (approval && std::ranges::find(counting, approval->signer, &catalog::Approval::signer) == counting.end())
      counting.push_back(*approval);
  }
  return counting;
}

} // namespace mcomp::inline v0::loop::detail
