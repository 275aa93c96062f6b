#include <algorithm>

#include "rollout/conditions.hpp"
#include "rollout/ledger_json.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr const char* schema = "mcomp-flags-1";
using detail::Json;
using detail::ObjectReader;

Result<Variant> read_variant(const Json& json, const std::string& where) {
  ObjectReader object(json, where);
  Variant variant;
  variant.name = object.text("name");
  if (const Json* value = object.child("value")) variant.value = detail::dumped(*value);
  MCOMP_CHECK(object.finish());
  return variant;
}

Result<Rule> read_rule(const Json& json, const std::string& where) {
  ObjectReader object(json, where);
  Rule rule;
  rule.id = object.text("id");
  MCOMP_TRY(conditions, detail::read_conditions(object));
  rule.conditions = std::move(conditions);
  const std::int64_t share = object.integer("share", 100000);
  if (share < 0 || share > 100000) object.fail("share", "it is not within 0 and 100,000", "give parts of 100,000");
  rule.share = static_cast<std::uint32_t>(std::clamp(share, std::int64_t{0}, std::int64_t{100000}));
  rule.variant = object.text("variant", "");
  if (const Json* split = object.child("split")) {
    MCOMP_TRY(ledger, detail::read_ledger(*split, object.where("split")));
    rule.split = std::move(ledger);
  }
  rule.salt = object.text("salt", "");
  rule.bucket_by = object.text("bucket_by", "");
  MCOMP_CHECK(object.finish());
  return rule;
}

Result<Flag> read_flag(const Json& json, const std::string& where) {
  ObjectReader object(json, where);
  Flag flag;
  flag.key = object.text("key");
  flag.enabled = object.boolean("enabled", true);
  for (const Json& variant : object.array("variants")) {
    MCOMP_TRY(one, read_variant(variant, fmt::format("{}: {}", object.where("variants"), flag.variants.size())));
    flag.variants.push_back(std::move(one));
  }
  flag.default_variant = object.text("default");
  flag.off_variant = object.text("off", "");
  if (object.has("rules")) {
    for (const Json& rule : object.array("rules")) {
      MCOMP_TRY(one, read_rule(rule, fmt::format("{}: {}", object.where("rules"), flag.rules.size())));
      flag.rules.push_back(std::move(one));
    }
  }
  MCOMP_CHECK(object.finish());
  return flag;
}

Json json_of(const Rule& rule) {
  Json json = {{"id", rule.id}};
  if (!rule.conditions.empty()) json["conditions"] = detail::json_of(rule.conditions);
  if (rule.share != 100000) json["share"] = rule.share;
  if (!rule.variant.empty()) json["variant"] = rule.variant;
  if (rule.split) json["split"] = detail::json_of(*rule.split);
  if (!rule.salt.empty()) json["salt"] = rule.salt;
  if (!rule.bucket_by.empty()) json["bucket_by"] = rule.bucket_by;
  return json;
}

} // namespace

Result<FlagSet> FlagSet::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(detail::check_schema(object, subject, schema));
  FlagSet set;
  set.revision = object.integer("revision", 1);
  for (const Json& flag : object.array("flags")) {
    MCOMP_TRY(one, read_flag(flag, fmt::format("{}: {}", object.where("flags"), set.flags.size())));
    set.flags.push_back(std::move(one));
  }
  MCOMP_CHECK(object.finish());
  return set;
}

Result<std::string> to_json(const FlagSet& set) {
  Json flags = Json::array();
  for (const Flag& flag : set.flags) {
    Json variants = Json::array();
    for (const Variant& variant : flag.variants) {
      MCOMP_TRY(value, detail::parse_json(variant.value, fmt::format("flag {}: variant {}", flag.key, variant.name)));
      variants.push_back({{"name", variant.name}, {"value", value}});
    }
    Json json = {
        {"key", flag.key}, {"enabled", flag.enabled}, {"variants", variants}, {"default", flag.default_variant}};
    if (!flag.off_variant.empty()) json["off"] = flag.off_variant;
    if (!flag.rules.empty()) {
      json["rules"] = Json::array();
      for (const Rule& rule : flag.rules) json["rules"].push_back(json_of(rule));
    }
    flags.push_back(std::move(json));
  }
  return detail::dumped({{"schema", schema}, {"revision", set.revision}, {"flags", flags}});
}

} // namespace mcomp::inline v0::rollout
