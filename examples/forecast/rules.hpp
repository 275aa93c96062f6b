#pragma once

#include <optional>
#include <string>

#include "inputs.hpp"

namespace example {

/// Scaling rules as they are given on the command line; what is absent is taken from the policy file, else the default.
struct RuleArguments {
  std::string file;
  std::optional<std::string> policy; ///< target, queue, scheduled, predictive
  std::optional<double> target, tolerance, lookahead_seconds, queue_high, queue_low, step;
  std::optional<std::string> schedule, candidate_schedule; ///< "0:10,8.5:40": hour and instances
  std::optional<double> decision_seconds, boot_seconds, candidate_boot_seconds, cooldown_out_seconds,
      cooldown_in_seconds;
  std::optional<std::int64_t> min_instances, max_instances, queue_limit;
};

struct Rules {
  mcomp::cost::ScalingRules scaling;
  std::optional<mcomp::cost::ScalingPolicy> candidate_policy;
  std::optional<double> candidate_boot_seconds;
  std::vector<Source> sources;
};

/// A policy file is one JSON object; its keys are the members of RuleArguments in the same words, "policy" among them.
/// An option goes before the file. Errors name the key or option.
[[nodiscard]] mcomp::Result<Rules> read_rules(const RuleArguments& arguments);

} // namespace example
