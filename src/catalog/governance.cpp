#include "mcomp/catalog/governance.hpp"

#include <algorithm>

#include "catalog/canonical.hpp"
#include "catalog/catalog_events.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

using detail::Json;

constexpr const char* schema = "mcomp-governance-1";

Error wrong(std::string subject, const char* rule) {
  return Error(ErrorCode::invalid_argument, std::move(subject), rule, "change the governance");
}

Status check(const Governance& governance) {
  const auto& keys = governance.keys;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].key.name.empty() || keys[i].roles.empty())
      return wrong("key " + keys[i].key.name, "it has no name or role");
    for (std::size_t k = 0; k < i; ++k)
      if (keys[k].key.bytes == keys[i].key.bytes) return wrong("key " + keys[i].key.name, "it stands twice");
  }
  const auto& rules = governance.policy.rules;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string subject = "rule " + rules[i].change;
    if (rules[i].change.empty() || rules[i].roles.empty() || rules[i].approvals < 1 || rules[i].max_age < 0)
      return wrong(subject, "it has no class of change, no roles, no approvals or no age");
    for (std::size_t k = 0; k < i; ++k)
      if (rules[k].change == rules[i].change) return wrong(subject, "there are two for one class of change");
  }
  const auto& retention = governance.retention;
  for (std::size_t i = 0; i < retention.size(); ++i) {
    const std::string& kind = retention[i].kind;
    const std::string subject = "retention of " + kind;
    if (kind.empty() || retention[i].keep_seconds < 0) return wrong(subject, "it has no kind, or a negative time");
    if (kind == detail::record_kind || kind == detail::alias_kind || kind == detail::redaction_kind ||
        kind == detail::governance_kind)
      return wrong(subject, "such events are what the log is for");
    for (std::size_t k = 0; k < i; ++k)
      if (retention[k].kind == kind) return wrong(subject, "there are two for one kind");
  }
  return {};
}

Result<KeyRecord> read_key(const Json& json, const std::string& subject) {
  mcomp::detail::ObjectReader object(json, subject + ": keys");
  KeyRecord record;
  const std::string text = object.text("key");
  record.roles = object.texts("roles");
  record.valid_from = object.integer("valid_from", 0);
  if (object.has("valid_until")) record.valid_until = object.integer("valid_until");
  MCOMP_CHECK(object.finish());
  MCOMP_TRY(key, PublicKey::parse(text));
  record.key = key;
  return record;
}

Result<ApprovalRule> read_rule(const Json& json, const std::string& subject) {
  mcomp::detail::ObjectReader object(json, subject + ": rules");
  ApprovalRule rule;
  rule.change = object.text("change");
  rule.roles = object.texts("roles");
  const std::int64_t approvals = object.integer("approvals", 1);
  if (approvals < 1 || approvals > 1000) object.fail("approvals", "it is not within 1 and 1000", "change it");
  rule.four_eyes = object.boolean("four_eyes", true);
  rule.max_age = object.integer("max_age", ApprovalRule{}.max_age);
  MCOMP_CHECK(object.finish());
  rule.approvals = static_cast<int>(approvals);
  return rule;
}

Result<RetentionRule> read_retention(const Json& json, const std::string& subject) {
  mcomp::detail::ObjectReader object(json, subject + ": retention");
  RetentionRule rule{.kind = object.text("kind"), .keep_seconds = object.integer("keep_seconds")};
  rule.personal_only = object.boolean("personal_only", true);
  MCOMP_CHECK(object.finish());
  return rule;
}

} // namespace

Result<std::string> to_json(const Governance& governance) {
  MCOMP_CHECK(check(governance));
  Json keys = Json::array(), rules = Json::array();
  for (const KeyRecord& record : governance.keys) {
    keys.push_back({{"key", to_string(record.key)}, {"roles", record.roles}, {"valid_from", record.valid_from}});
    if (record.valid_until) keys.back()["valid_until"] = *record.valid_until;
  }
  for (const ApprovalRule& rule : governance.policy.rules)
    rules.push_back({{"change", rule.change},
                     {"roles", rule.roles},
                     {"approvals", rule.approvals},
                     {"four_eyes", rule.four_eyes},
                     {"max_age", rule.max_age}});
  Json json = {{"schema", schema}, {"keys", std::move(keys)}, {"rules", std::move(rules)}};
  for (const RetentionRule& rule : governance.retention)
    json["retention"].push_back(
        {{"kind", rule.kind}, {"keep_seconds", rule.keep_seconds}, {"personal_only", rule.personal_only}});
  return detail::canonical_text(json);
}

Result<Governance> Governance::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  mcomp::detail::ObjectReader object(json, subject);
  if (const std::string name = object.text("schema"); object.has("schema") && name != schema)
    return Error(ErrorCode::version_mismatch, subject, fmt::format("its schema is \"{}\", not \"{}\"", name, schema),
                 "use the version of the library that wrote it");
  const Json& keys = object.array("keys");
  const Json& rules = object.array("rules");
  static const Json none = Json::array();
  const Json& retention = object.has("retention") ? object.array("retention") : none;
  MCOMP_CHECK(object.finish());
  Governance governance;
  for (const Json& item : keys) {
    MCOMP_TRY(key, read_key(item, subject));
    governance.keys.push_back(key);
  }
  for (const Json& item : rules) {
    MCOMP_TRY(rule, read_rule(item, subject));
    governance.policy.rules.push_back(rule);
  }
  for (const Json& item : retention) {
    MCOMP_TRY(rule, read_retention(item, subject));
    governance.retention.push_back(rule);
  }
  if (const auto status = check(governance); !status)
    return Error(ErrorCode::corrupt, status.error().subject(), status.error().rule(), status.error().remedy());
  return governance;
}

} // namespace mcomp::inline v0::catalog
