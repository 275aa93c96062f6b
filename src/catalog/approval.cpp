#include "mcomp/catalog/approval.hpp"

#include <algorithm>

#include "catalog/canonical.hpp"
#include "catalog/random_text.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

constexpr const char* schema = "mcomp-approval-1";
/// How far the clocks of signer and catalogue may be apart, in seconds.
constexpr std::int64_t clock_skew = 60;
constexpr std::int64_t largest_time = std::int64_t{1} << 53;

Error refused(ErrorCode code, const Approval& approval, std::string rule, std::string remedy) {
  return Error(code, fmt::format("approval of {} by {}", approval.change, approval.signer), std::move(rule),
               std::move(remedy));
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::ranges::find(list, name) != list.end();
}

} // namespace

Result<Approval> Approval::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  mcomp::detail::ObjectReader object(json, subject);
  if (const std::string name = object.text("schema"); object.has("schema") && name != schema)
    return Error(ErrorCode::version_mismatch, subject, fmt::format("its schema is \"{}\", not \"{}\"", name, schema),
                 "use the version of the library that wrote it");
  Approval approval;
  approval.subject = object.text("subject");
  approval.change = object.text("change");
  approval.role = object.text("role");
  approval.signer = object.text("signer");
  approval.issued = object.integer("issued");
  approval.expires = object.integer("expires");
  approval.nonce = object.text("nonce");
  approval.comment = object.text("comment", "");
  MCOMP_CHECK(object.finish());
  MCOMP_TRY(canonical, to_json(approval));
  if (canonical != text)
    return Error(ErrorCode::corrupt, subject, "it is not in canonical form (RFC 8785)", "sign it anew");
  return approval;
}

Result<std::string> to_json(const Approval& approval) {
  detail::Json json = {{"schema", schema},
                       {"subject", approval.subject},
                       {"change", approval.change},
                       {"role", approval.role},
                       {"signer", approval.signer},
                       {"issued", approval.issued},
                       {"expires", approval.expires},
                       {"nonce", approval.nonce}};
  if (!approval.comment.empty()) json["comment"] = approval.comment;
  return detail::canonical_text(json);
}

Result<Envelope> sign_approval(Approval approval, const SigningKey& key) {
  const auto wrong = [](const char* subject, const char* rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, subject, rule, remedy);
  };
  if (approval.subject.empty() || approval.change.empty() || approval.role.empty())
    return wrong("approval", "subject, change and role must be given", "say what is approved, and as whom");
  if (approval.issued < 0 || approval.expires <= approval.issued || approval.expires > largest_time)
    return wrong("approval: expires", "it does not lie behind issued", "give both in seconds since 1970");
  approval.signer = key.public_key().name;
  if (approval.nonce.empty()) {
    MCOMP_TRY(nonce, detail::random_text());
    approval.nonce = nonce;
  }
  MCOMP_TRY(payload, to_json(approval));
  Envelope envelope{.payload_type = std::string(approval_type), .payload = payload, .signatures = {}};
  MCOMP_CHECK(sign(envelope, key));
  return envelope;
}

Result<Approval> check_approval(const ApprovalRule& rule, const ChangeRequest& request, const Envelope& envelope,
                                std::span<const KeyRecord> keyring, std::int64_t now, const NonceUsed& used) {
  if (envelope.payload_type != approval_type)
    return Error(ErrorCode::corrupt, "approval", fmt::format("the envelope holds \"{}\"", envelope.payload_type),
                 "give an approval");
  if (now < 0 || now > largest_time)
    return Error(ErrorCode::invalid_argument, "now", "it is no time", "give seconds since 1970");
  MCOMP_TRY(approval, Approval::parse(envelope.payload));
  const auto no = [&](ErrorCode code, std::string why, std::string remedy) {
    return refused(code, approval, std::move(why), std::move(remedy));
  };
  const std::string ask = "ask for a new approval";
  // Whose it is, by the signature and not by what the statement says.
  const KeyRecord* record = nullptr;
  for (const KeyRecord& candidate : keyring) {
    if (candidate.key.name != approval.signer) continue;
    MCOMP_TRY(found, signers(envelope, {&candidate.key, 1}));
    if (!found.empty()) record = &candidate;
  }
  if (!record)
    return no(ErrorCode::corrupt, "no key of that signer in the keyring has signed it", "enrol the key, or " + ask);
  // Two names of one key would make two signers of one.
  const bool two_names = std::ranges::any_of(keyring, [&](const KeyRecord& other) {
    return other.key.bytes == record->key.bytes && other.key.name != record->key.name;
  });
  if (two_names) return no(ErrorCode::corrupt, "its key has two names in the keyring", "enrol each key once");
  if (approval.issued < record->valid_from || (record->valid_until && approval.issued >= *record->valid_until) ||
      (record->valid_until && now >= *record->valid_until))
    return no(ErrorCode::corrupt, "its key is not valid, or no longer", "sign with a valid key");
  if (approval.subject != request.subject)
    return no(ErrorCode::invalid_argument, "it is about " + approval.subject + ", not " + request.subject, ask);
  if (approval.change != request.change || rule.change != request.change)
    return no(ErrorCode::invalid_argument, "another class of change was approved than " + request.change, ask);
  if (!contains(rule.roles, approval.role))
    return no(ErrorCode::invalid_argument, "the policy does not let the role \"" + approval.role + "\" approve this",
              "ask one of the roles that the policy names");
  if (!contains(record->roles, approval.role))
    return no(ErrorCode::invalid_argument, "the signer does not have the role \"" + approval.role + "\"",
              "ask somebody who has it");
  if (rule.four_eyes && approval.signer == request.author)
    return no(ErrorCode::invalid_argument, "the author approves their own change", "ask somebody else");
  if (approval.issued > now + clock_skew)
    return no(ErrorCode::invalid_value, "it is of the future", "check both clocks");
  if (now >= approval.expires) return no(ErrorCode::invalid_value, "it has expired", ask);
  if (now - approval.issued > rule.max_age)
    return no(ErrorCode::invalid_value, fmt::format("it is older than {} seconds", rule.max_age), ask);
  if (approval.nonce.empty() || !used || used(approval.nonce))
    return no(ErrorCode::invalid_value, "it was used before, or nobody can say whether it was", ask);
  return approval;
}

Result<std::vector<Approval>> authorize(const Policy& policy, const ChangeRequest& request,
                                        std::span<const Envelope> envelopes, std::span<const KeyRecord> keyring,
                                        std::int64_t now, const NonceUsed& used) {
  const auto rule = std::ranges::find(policy.rules, request.change, &ApprovalRule::change);
  if (rule == policy.rules.end() || rule->approvals < 1)
    return Error(ErrorCode::invalid_argument, "policy", "no rule says who may approve \"" + request.change + "\"",
                 "add a rule, with at least one approval");
  std::vector<Approval> granted;
  std::string reasons;
  for (const Envelope& envelope : envelopes) {
    const auto approval = check_approval(*rule, request, envelope, keyring, now, used);
    if (!approval) {
      reasons += fmt::format("; {}: {}", approval.error().subject(), approval.error().rule());
      continue;
    }
    const bool again = std::ranges::any_of(granted, [&](const Approval& other) {
      return other.signer == approval->signer || other.nonce == approval->nonce;
    });
    if (!again) granted.push_back(*approval);
  }
  if (granted.size() < static_cast<std::size_t>(rule->approvals))
    return Error(ErrorCode::invalid_argument, fmt::format("{} of {}", request.change, request.subject),
                 fmt::format("{} approvals of different signers count, {} are needed{}", granted.size(),
                             rule->approvals, reasons),
                 "ask for the approvals that the policy names");
  return granted;
}

} // namespace mcomp::inline v0::catalog
