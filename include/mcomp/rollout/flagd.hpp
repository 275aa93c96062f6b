#pragma once

// Flags of flagd (OpenFeature's flag daemon, flagd.dev/reference/flag-definitions), decided in process: targeting in
// JsonLogic with flagd's operators fractional (version 2: integers only), sem_ver, starts_with and ends_with, shared
// evaluators by "$ref". For teams whose flags live there; mcomp's own are in flags.hpp.
//
//     auto flags = rollout::Flagd::parse(definitions).value();
//     auto decision = flags.evaluate("banner", R"({"targetingKey": "u1", "tier": "gold"})").value();
//     if (decision.reason != "ERROR" && !decision.value.empty()) show(decision.value);

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::rollout {

struct FlagdDecision {
  std::string variant;
  std::string value;      ///< JSON; empty: the caller's own default holds
  std::string reason;     ///< STATIC, TARGETING_MATCH, DEFAULT, DISABLED or ERROR
  std::string error_code; ///< FLAG_NOT_FOUND, or GENERAL where targeting names no variant

  /// Reads schema "mcomp-flagd-decision-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<FlagdDecision> parse(std::string_view json,
                                                                      const std::string& subject = "flagd decision");
  friend bool operator==(const FlagdDecision&, const FlagdDecision&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const FlagdDecision& value);

/// The flags of one definition, immutable; copies share them, any number of threads may ask.
class MCOMP_WORKFLOW_API Flagd {
 public:
  /// Error: corrupt, naming the flag and key.
  [[nodiscard]] static Result<Flagd> parse(std::string_view json, const std::string& subject = "flagd");
  /// `timestamp`: seconds since 1970, which targeting sees as $flagd.timestamp. Errors: corrupt for a context that is
  /// no object; unsupported for targeting that knows an operator that is not known here, or takes too many steps.
  [[nodiscard]] Result<FlagdDecision> evaluate(std::string_view flag, std::string_view context = "{}",
                                               std::int64_t timestamp = 0) const;

 private:
  struct Flags;
  explicit Flagd(std::shared_ptr<const Flags> flags) : flags_(std::move(flags)) {}
  std::shared_ptr<const Flags> flags_;
};

} // namespace mcomp::inline v0::rollout
