#include "catalog/catalog_events.hpp"

#include <algorithm>

#include "catalog/canonical.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace {

Result<Json> envelopes_json(std::span<const Envelope> envelopes) {
  Json list = Json::array();
  for (const Envelope& envelope : envelopes) {
    MCOMP_TRY(text, to_json(envelope));
    MCOMP_TRY(json, mcomp::detail::parse_json(text, "approval"));
    list.push_back(std::move(json));
  }
  return list;
}

Result<std::vector<Envelope>> read_envelopes(const Json& list) {
  std::vector<Envelope> envelopes;
  for (const Json& item : list) {
    MCOMP_TRY(text, canonical_text(item));
    MCOMP_TRY(envelope, Envelope::parse(text, "approval"));
    envelopes.push_back(std::move(envelope));
  }
  return envelopes;
}

const Json& list_or_none(mcomp::detail::ObjectReader& object, const char* key) {
  static const Json none = Json::array();
  return object.has(key) ? object.array(key) : none;
}

} // namespace

Result<std::string> to_body(const RecordEvent& event) {
  MCOMP_TRY(value, mcomp::detail::parse_json(event.value, "record: body"));
  if (!value.is_object()) return Error(ErrorCode::corrupt, "record: body", "it is no JSON object", "write { ... }");
  Json json = {{"kind", event.kind},
               {"id", event.id},
               {"version", event.version},
               {"name", event.name},
               {"owner", event.owner},
               {"status", event.status},
               {"fingerprint", event.fingerprint},
               {"value", std::move(value)}};
  if (!event.approvals.empty()) {
    MCOMP_TRY(approvals, envelopes_json(event.approvals));
    json["approvals"] = std::move(approvals);
  }
  if (!event.links.empty()) json["links"] = event.links;
  return canonical_text(json);
}

Result<RecordEvent> parse_record_event(const std::string& body) {
  MCOMP_TRY(json, mcomp::detail::parse_json(body, "record"));
  mcomp::detail::ObjectReader object(json, "record");
  RecordEvent event{.kind = object.text("kind"),
                    .id = object.text("id"),
                    .version = object.integer("version"),
                    .name = object.text("name"),
                    .owner = object.text("owner"),
                    .status = object.text("status"),
                    .fingerprint = object.text("fingerprint"),
                    .value = {},
                    .approvals = {},
                    .links = {}};
  if (object.has("links")) event.links = object.texts("links");
  const Json* value = object.child("value");
  const Json& approvals = list_or_none(object, "approvals");
  MCOMP_CHECK(object.finish());
  if (!value || !value->is_object())
    return Error(ErrorCode::corrupt, "record: value", "it is no JSON object", "restore the catalogue");
  MCOMP_TRY(text, canonical_text(*value));
  event.value = text;
  MCOMP_TRY(envelopes, read_envelopes(approvals));
  event.approvals = std::move(envelopes);
  return event;
}

Result<std::string> to_body(const AliasEvent& event) {
  MCOMP_TRY(approvals, envelopes_json(event.approvals));
  return canonical_text({{"alias", event.alias},
                         {"version", event.version},
                         {"artifact", event.artifact},
                         {"reason", event.reason},
                         {"rollback", event.rollback},
                         {"approvals", std::move(approvals)}});
}

Result<AliasEvent> parse_alias_event(const std::string& body) {
  MCOMP_TRY(json, mcomp::detail::parse_json(body, "alias"));
  mcomp::detail::ObjectReader object(json, "alias");
  AliasEvent event{.alias = object.text("alias"),
                   .version = object.integer("version"),
                   .artifact = object.text("artifact"),
                   .reason = object.text("reason"),
                   .rollback = object.boolean("rollback", false),
                   .approvals = {}};
  const Json& approvals = object.array("approvals");
  MCOMP_CHECK(object.finish());
  MCOMP_TRY(envelopes, read_envelopes(approvals));
  event.approvals = std::move(envelopes);
  return event;
}

Result<std::string> to_body(const RedactionEvent& event) {
  return canonical_text({{"index", event.index}, {"leaf", event.leaf}, {"reason", event.reason}});
}

Result<RedactionEvent> parse_redaction_event(const std::string& body) {
  MCOMP_TRY(json, mcomp::detail::parse_json(body, "redaction"));
  mcomp::detail::ObjectReader object(json, "redaction");
  const std::int64_t index = object.integer("index");
  if (index < 0) object.fail("index", "it is negative", "restore the catalogue");
  RedactionEvent event{static_cast<std::uint64_t>(index), object.text("leaf"), object.text("reason")};
  MCOMP_CHECK(object.finish());
  return event;
}

Result<std::vector<Approval>> authorize_promotion(const Governance& governance, const std::string& alias,
                                                  const std::string& artifact, const std::string& author,
                                                  std::span<const Envelope> approvals, std::int64_t time,
                                                  const NonceUsed& used) {
  const std::string change = "promote:" + alias;
  const auto& rules = governance.policy.rules;
  auto rule = std::ranges::find(rules, change, &ApprovalRule::change);
  if (rule == rules.end()) rule = std::ranges::find(rules, "promote", &ApprovalRule::change);
  Policy policy;
  if (rule != rules.end()) {
    policy.rules.push_back(*rule);
    policy.rules[0].change = change; // the approval is for this alias, whichever rule it counts by
  }
  return authorize(policy, {artifact, change, author}, approvals, governance.keys, time, used);
}

Result<std::vector<Approval>> authorize_governance(const Governance* current, const std::string& json,
                                                   const std::string& author, std::span<const Envelope> approvals,
                                                   std::int64_t time, const NonceUsed& used) {
  if (!current) return std::vector<Approval>();
  return authorize(current->policy, {digest_of(json), std::string(govern_change), author}, approvals, current->keys,
                   time, used);
}

Result<std::string> rollback_target(const std::string& alias, std::span<const AliasStep> history) {
  if (!history.empty()) {
    const std::string& current = history.back().artifact;
    for (std::size_t i = history.size(); i-- > 1;)
      if (!history[i].rollback && history[i].artifact == current) return history[i - 1].artifact;
  }
  return Error(ErrorCode::not_found, "alias " + alias, "it named nothing before", "promote another artifact");
}

} // namespace mcomp::inline v0::catalog::detail
