#pragma once

// The catalogue's own kinds of events, what they say, and the rules by which one follows from another. Both sides use
// them: what writes a catalogue, and what verifies it.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/catalog/catalog.hpp"

namespace mcomp::inline v0::catalog::detail {

inline constexpr std::string_view record_kind = "record", alias_kind = "alias", redaction_kind = "redaction";
inline constexpr std::string_view governance_kind = "governance", governance_id = "current";
inline constexpr std::string_view redacted_status = "redacted";

/// The body of an event of kind "record".
struct RecordEvent {
  std::string kind, id;
  std::int64_t version = 0;
  std::string name, owner, status, fingerprint;
  std::string value; ///< canonical JSON
  std::vector<Envelope> approvals;
  std::vector<std::string> links; ///< sorted, each once
};
[[nodiscard]] Result<std::string> to_body(const RecordEvent& event);
[[nodiscard]] Result<RecordEvent> parse_record_event(const std::string& body);

/// The body of an event of kind "alias".
struct AliasEvent {
  std::string alias;
  std::int64_t version = 0;
  std::string artifact, reason;
  bool rollback = false;
  std::vector<Envelope> approvals;
};
[[nodiscard]] Result<std::string> to_body(const AliasEvent& event);
[[nodiscard]] Result<AliasEvent> parse_alias_event(const std::string& body);

/// Says the leaf too, since nothing else is left to hold it against.
struct RedactionEvent {
  std::uint64_t index = 0;
  std::string leaf; ///< of the event that was redacted, in hexadecimal
  std::string reason;
};
[[nodiscard]] Result<std::string> to_body(const RedactionEvent& event);
[[nodiscard]] Result<RedactionEvent> parse_redaction_event(const std::string& body);

/// What lets an alias be promoted.
[[nodiscard]] Result<std::vector<Approval>> authorize_promotion(const Governance& governance, const std::string& alias,
                                                                const std::string& artifact, const std::string& author,
                                                                std::span<const Envelope> approvals, std::int64_t time,
                                                                const NonceUsed& used);
/// What lets governance be changed to that of this JSON; nothing is needed where there is none yet.
[[nodiscard]] Result<std::vector<Approval>> authorize_governance(const Governance* current, const std::string& json,
                                                                 const std::string& author,
                                                                 std::span<const Envelope> approvals, std::int64_t time,
                                                                 const NonceUsed& used);
/// Where an alias goes back to, by what it named so far, oldest first.
struct AliasStep {
  std::string artifact;
  bool rollback = false;
};
[[nodiscard]] Result<std::string> rollback_target(const std::string& alias, std::span<const AliasStep> history);

} // namespace mcomp::inline v0::catalog::detail
