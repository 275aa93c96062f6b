// The JSON of what was decided about a unit, and from what: for logs, and to ask again later.

#include <algorithm>
#include <limits>

#include "mcomp/rollout/flagd.hpp"
#include "mcomp/rollout/hash.hpp"
#include "mcomp/rollout/traffic.hpp"
#include "mcomp/rollout/unleash.hpp"
#include "rollout/schema.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr const char* decision_schema = "mcomp-flag-decision-1";
constexpr const char* context_schema = "mcomp-flag-context-1";
constexpr const char* route_schema = "mcomp-route-1";
constexpr const char* assignment_schema = "mcomp-assignment-1";
constexpr const char* flagd_schema = "mcomp-flagd-decision-1";
constexpr const char* unleash_variant_schema = "mcomp-unleash-variant-1";
constexpr const char* unleash_context_schema = "mcomp-unleash-context-1";
constexpr const char* launchdarkly_schema = "mcomp-launchdarkly-1";

using detail::dumped;
using detail::Json;
using detail::ObjectReader;
using detail::parse_as;

constexpr auto anything = [](const auto&) -> Status { return {}; };

std::uint32_t word(ObjectReader& object, const char* key) {
  constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max();
  const std::int64_t value = object.integer(key);
  if (value < 0 || value > most) object.fail(key, "it is no number of 32 bits", "give 0 to 4,294,967,295");
  return static_cast<std::uint32_t>(std::clamp(value, std::int64_t{0}, most));
}

std::optional<std::string> maybe_text(ObjectReader& object, const char* key) {
  if (!object.has(key)) return std::nullopt;
  return object.text(key);
}

/// A value of a flag, which is JSON, or text where somebody made it of something else.
Json value_of(std::string_view text) {
  const auto json = mcomp::detail::parse_json(text, "value");
  return json ? *json : Json(std::string(text));
}

Json json_of(const Attribute::Value& value) {
  return std::visit(
      [](const auto& one) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(one)>, std::span<const std::string_view>>) {
          Json list = Json::array();
          for (const std::string_view text : one) list.push_back(std::string(text));
          return list;
        } else if constexpr (std::is_same_v<std::decay_t<decltype(one)>, std::string_view>) {
          return std::string(one);
        } else {
          return one; // a number that is not finite is written as null
        }
      },
      value);
}

} // namespace

std::string to_json(const Decision& decision) {
  Json json = {{"schema", decision_schema}, {"variant", std::string(decision.variant)}};
  if (!decision.value.empty()) json["value"] = value_of(decision.value);
  json["reason"] = to_string(decision.reason);
  if (decision.rule >= 0) {
    json["rule"] = decision.rule;
    json["rule_id"] = std::string(decision.rule_id);
  }
  if (decision.reason == Reason::split) json["position"] = decision.position;
  return dumped(json);
}

std::string to_json(const FlagContext& context) {
  Json attributes = Json::object();
  for (const Attribute& attribute : context.attributes)
    attributes[std::string(attribute.name)] = json_of(attribute.value);
  return dumped({{"schema", context_schema}, {"unit", std::string(context.unit)}, {"attributes", attributes}});
}

std::string to_json(const Route& route) {
  Json json = {{"schema", route_schema},
               {"arm", std::string(route.arm)},
               {"shadow", route.shadow},
               {"held_back", route.held_back}};
  if (!route.segment.empty()) json["segment"] = std::string(route.segment);
  return dumped(json);
}

Result<Assignment> Assignment::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<Assignment> {
    Assignment assignment;
    assignment.arm = object.text("arm");
    assignment.position = word(object, "position");
    assignment.sticky = object.boolean("sticky", false);
    return assignment;
  };
  return parse_as(text, subject, assignment_schema, read, anything);
}

std::string to_json(const Assignment& assignment) {
  return dumped({{"schema", assignment_schema},
                 {"arm", assignment.arm},
                 {"position", assignment.position},
                 {"sticky", assignment.sticky}});
}

Result<FlagdDecision> FlagdDecision::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<FlagdDecision> {
    FlagdDecision decision;
    decision.variant = object.text("variant", "");
    decision.value = object.text("value", "");
    decision.reason = object.text("reason", "");
    decision.error_code = object.text("error_code", "");
    return decision;
  };
  const auto check = [](const FlagdDecision& decision) -> Status {
    if (!decision.value.empty()) MCOMP_CHECK(detail::parse_json(decision.value, "value"));
    return {};
  };
  return parse_as(text, subject, flagd_schema, read, check);
}

std::string to_json(const FlagdDecision& decision) {
  // The value as the text that it is, so that it comes back byte by byte.
  return dumped({{"schema", flagd_schema},
                 {"variant", decision.variant},
                 {"value", decision.value},
                 {"reason", decision.reason},
                 {"error_code", decision.error_code}});
}

Result<UnleashVariant> UnleashVariant::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<UnleashVariant> {
    UnleashVariant result;
    result.name = object.text("name");
    if (const Json* payload = object.child("payload")) {
      ObjectReader inner(*payload, object.where("payload"));
      result.has_payload = true;
      result.payload_type = inner.text("type");
      result.payload_value = inner.text("value");
      MCOMP_CHECK(inner.finish());
    }
    result.enabled = object.boolean("enabled", false);
    result.feature_enabled = object.boolean("feature_enabled", false);
    return result;
  };
  return parse_as(text, subject, unleash_variant_schema, read, anything);
}

std::string to_json(const UnleashVariant& variant) {
  Json json = {{"schema", unleash_variant_schema}, {"name", variant.name}};
  if (variant.has_payload) json["payload"] = {{"type", variant.payload_type}, {"value", variant.payload_value}};
  json["enabled"] = variant.enabled;
  json["feature_enabled"] = variant.feature_enabled;
  return dumped(json);
}

Result<UnleashContext> UnleashContext::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<UnleashContext> {
    UnleashContext context;
    context.user_id = maybe_text(object, "user_id");
    context.session_id = maybe_text(object, "session_id");
    context.remote_address = maybe_text(object, "remote_address");
    context.environment = maybe_text(object, "environment");
    context.app_name = maybe_text(object, "app_name");
    context.hostname = maybe_text(object, "hostname");
    context.current_time = maybe_text(object, "current_time");
    if (const Json* all = object.child("properties")) {
      if (!all->is_object()) object.fail("properties", "an object is needed", "write { ... }");
      for (const auto& [name, value] : all->items()) {
        if (!value.is_string()) {
          object.fail("properties", "\"" + name + "\" is no text", "write it in quotes");
          break;
        }
        context.properties[name] = value.get<std::string>();
      }
    }
    context.random = word(object, "random");
    return context;
  };
  return parse_as(text, subject, unleash_context_schema, read, anything);
}

std::string to_json(const UnleashContext& context) {
  Json json = {{"schema", unleash_context_schema}};
  const auto add = [&](const char* key, const std::optional<std::string>& text) {
    if (text) json[key] = *text;
  };
  add("user_id", context.user_id);
  add("session_id", context.session_id);
  add("remote_address", context.remote_address);
  add("environment", context.environment);
  add("app_name", context.app_name);
  add("hostname", context.hostname);
  add("current_time", context.current_time);
  if (!context.properties.empty()) {
    json["properties"] = Json::object();
    for (const auto& [name, value] : context.properties) json["properties"][name] = value;
  }
  json["random"] = context.random;
  return dumped(json);
}

Result<LaunchDarklyRollout> LaunchDarklyRollout::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<LaunchDarklyRollout> {
    LaunchDarklyRollout rollout;
    rollout.flag_key = object.text("flag_key", "");
    rollout.salt = object.text("salt", "");
    if (object.has("seed")) rollout.seed = object.integer("seed");
    return rollout;
  };
  return parse_as(text, subject, launchdarkly_schema, read, anything);
}

std::string to_json(const LaunchDarklyRollout& rollout) {
  Json json = {{"schema", launchdarkly_schema}, {"flag_key", rollout.flag_key}, {"salt", rollout.salt}};
  if (rollout.seed) json["seed"] = *rollout.seed;
  return dumped(json);
}

} // namespace mcomp::inline v0::rollout
