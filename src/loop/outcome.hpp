#pragma once

// What a cycle writes down of a candidate; never part of the interface.

#include <span>
#include <string>
#include <vector>

#include "mcomp/catalog/records.hpp"
#include "mcomp/loop/cycle.hpp"

namespace mcomp::inline v0::loop::detail {

/// The trial of a candidate, before anything is known of its outcome.
[[nodiscard]] catalog::Experiment trial_of(const CycleState& cycle, const Candidate& candidate,
                                           const std::string& recipe);
/// Adds what was measured.
void describe_trial(catalog::Experiment& trial, const evaluate::Evaluation& evaluation, const Workshop::Judged& judged);
/// The first check that does not pass, in its own words; empty where all do.
[[nodiscard]] std::string broken_rule(const evaluate::Evaluation& evaluation);
/// How much of each margin was used, of criteria that are margins.
[[nodiscard]] std::vector<MarginUse> margins_of(const evaluate::Evaluation& evaluation);
/// @param chosen null: nothing is released
[[nodiscard]] catalog::Decision decision_of(const CycleState& cycle, const Candidate* chosen);
/// Approvals of the release that count by the policy in force. Whether they were spent before is seen when they are:
/// promoting spends them.
[[nodiscard]] std::vector<catalog::Approval>
counting_approvals(const catalog::Governance& governance, const CycleOptions& options, const std::string& artifact,
                   std::span<const catalog::Envelope> envelopes, std::int64_t now);

} // namespace mcomp::inline v0::loop::detail
