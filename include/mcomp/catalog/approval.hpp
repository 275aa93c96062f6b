#pragma once

// Who may let a change happen: approvals are signed statements about one artifact and one class of change, and a policy
// says how many of whom are needed. Nothing is decided by possession of a database: an approval is worth what its
// signature is, and a copied, late or misdirected one is worth nothing.
//
//     auto envelope = catalog::sign_approval({.subject = artifact_id, .change = "promote", .role = "reviewer",
//                                             .issued = now, .expires = now + 86400}, key).value();
//     auto granted  = catalog::authorize(policy, {.subject = artifact_id, .change = "promote", .author = "ci"},
//                                        {&envelope, 1}, keyring, now, used_nonce).value();

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/signature.hpp"

namespace mcomp::inline v0::catalog {

/// What a signer says. Times are seconds since 1970, UTC.
struct Approval {
  std::string subject;  ///< what it is about, by digest: "sha256:..."
  std::string change;   ///< class of change: "promote", "retire", ...
  std::string role;     ///< in which role the signer says so
  std::string signer{}; ///< name of the key; filled in by `sign_approval`
  std::int64_t issued = 0;
  std::int64_t expires = 0;
  std::string nonce{}; ///< once only; `sign_approval` fills an empty one with 128 random bits
  std::string comment{};

  /// Reads the canonical JSON of a statement, schema "mcomp-approval-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Approval> parse(std::string_view json,
                                                                 const std::string& subject = "approval");
  friend bool operator==(const Approval&, const Approval&) = default;
};

/// Canonical JSON. Error: invalid_value for text that is not UTF-8.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const Approval& approval);

/// The payload type of an approval's envelope.
inline constexpr std::string_view approval_type = "application/vnd.mcomp.approval.v1+json";

/// The statement in an envelope with the key's signature. Errors: invalid_argument for a missing subject, change or
/// role, or times that are no interval.
[[nodiscard]] MCOMP_WORKFLOW_API Result<Envelope> sign_approval(Approval approval, const SigningKey& key);

/// A key of the catalogue: in which roles it may speak, and when.
struct KeyRecord {
  PublicKey key;
  std::vector<std::string> roles;
  std::int64_t valid_from = 0;
  std::optional<std::int64_t>
      valid_until{}; ///< first second in which it is no longer valid; also the time of revocation
  friend bool operator==(const KeyRecord&, const KeyRecord&) = default;
};

/// Who may approve one class of change.
struct ApprovalRule {
  std::string change;
  std::vector<std::string> roles; ///< any of them counts
  int approvals = 1;              ///< of different signers
  bool four_eyes = true;          ///< the author's own approval does not count
  std::int64_t max_age =
      30 * 86400; ///< seconds since `issued` after which it no longer counts, whatever it says itself
  friend bool operator==(const ApprovalRule&, const ApprovalRule&) = default;
};

/// A class of change without a rule is nobody's to approve.
struct Policy {
  std::vector<ApprovalRule> rules;
  friend bool operator==(const Policy&, const Policy&) = default;
};

/// What somebody wants to do.
struct ChangeRequest {
  std::string subject;
  std::string change;
  std::string author{}; ///< name of the key of whoever made or asked for it
};

/// Whether a nonce was used for an earlier change.
using NonceUsed = std::function<bool(std::string_view nonce)>;

/// Checks one approval for the request. The first rule that does not hold is the error:
/// corrupt for a forged signature, or an unknown or revoked key; invalid_argument for another subject or change, a role
/// that the rule does not name or the key does not have, the author's own; invalid_value for one that is expired, not
/// yet valid, too old, or used before.
[[nodiscard]] MCOMP_WORKFLOW_API Result<Approval> check_approval(const ApprovalRule& rule, const ChangeRequest& request,
                                                                 const Envelope& envelope,
                                                                 std::span<const KeyRecord> keyring, std::int64_t now,
                                                                 const NonceUsed& used);

/// The approvals that let the request happen; their nonces are to be marked as used together with the change. Envelopes
/// that do not count are left out. Error: invalid_argument, with the reason why each of the others did not count, where
/// too few do or no rule names the change.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<Approval>>
authorize(const Policy& policy, const ChangeRequest& request, std::span<const Envelope> envelopes,
          std::span<const KeyRecord> keyring, std::int64_t now, const NonceUsed& used);

} // namespace mcomp::inline v0::catalog
