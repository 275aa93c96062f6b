#pragma once

// Flags of an Unleash server, decided in process as its official clients do (github.com/Unleash/client-specification):
// strategies, constraints, segments, variants, strategy variants and dependencies. For teams whose flags live there;
// mcomp's own are in flags.hpp.
//
//     auto flags = rollout::Unleash::parse(body_of_client_features).value();
//     if (flags.enabled("new-ranker", {.user_id = user, .random = draw})) ...
//     const std::string colour = flags.variant("banner", {.user_id = user}).name;

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::rollout {

/// Who asks. What is absent is not known.
struct UnleashContext {
  std::optional<std::string> user_id{}, session_id{}, remote_address{}, environment{}, app_name{};
  std::optional<std::string> hostname{};     ///< of this machine, for the strategy applicationHostname
  std::optional<std::string> current_time{}; ///< ISO 8601; absent: the system's clock
  std::map<std::string, std::string, std::less<>> properties{};
  /// Any 32 bits, drawn by the caller for this decision: what is random here is a function of it.
  std::uint32_t random = 0;

  /// Reads schema "mcomp-unleash-context-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<UnleashContext> parse(std::string_view json,
                                                                       const std::string& subject = "Unleash context");
  friend bool operator==(const UnleashContext&, const UnleashContext&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const UnleashContext& value);

struct UnleashVariant {
  std::string name = "disabled";
  std::string payload_type{}, payload_value{}; ///< empty where there is no payload
  bool has_payload = false;
  bool enabled = false;
  bool feature_enabled = false;

  /// Reads schema "mcomp-unleash-variant-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<UnleashVariant> parse(std::string_view json,
                                                                       const std::string& subject = "Unleash variant");
  friend bool operator==(const UnleashVariant&, const UnleashVariant&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const UnleashVariant& value);

/// The features of one server, immutable; copies share them, any number of threads may ask.
class MCOMP_WORKFLOW_API Unleash {
 public:
  /// Reads what /api/client/features answers ({"features": [...], "segments": [...]}), or the events of
  /// /api/client/delta ({"events": [...]}), applied in order. Unknown keys are passed over, unknown strategies and
  /// operators never hold. Error: corrupt, naming the feature and key.
  [[nodiscard]] static Result<Unleash> parse(std::string_view json, const std::string& subject = "Unleash features");

  /// False for a feature that is not known.
  [[nodiscard]] bool enabled(std::string_view feature, const UnleashContext& context) const;
  [[nodiscard]] UnleashVariant variant(std::string_view feature, const UnleashContext& context) const;

 private:
  struct Features;
  explicit Unleash(std::shared_ptr<const Features> features) : features_(std::move(features)) {}
  std::shared_ptr<const Features> features_;
};

} // namespace mcomp::inline v0::rollout
