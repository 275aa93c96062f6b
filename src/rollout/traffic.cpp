#include "mcomp/rollout/traffic.hpp"

#include <algorithm>
#include <array>

#include "rollout/conditions.hpp"
#include "rollout/ledger_json.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr const char* schema = "mcomp-traffic-1";
constexpr std::string_view shadow_suffix = ".shadow";
constexpr const char* baseline_role = "\"baseline\"";
constexpr const char* holdback_id = "holdback";
constexpr std::string_view segment_prefix = "segment ";

using detail::Json;
using detail::ObjectReader;

Rule split_rule(std::string id, std::vector<Condition> conditions, const Ledger& split, const std::string& salt) {
  return {.id = std::move(id),
          .conditions = std::move(conditions),
          .variant = {},
          .split = split,
          .salt = salt,
          .bucket_by = {}};
}

Rule share_rule(std::string id, std::uint32_t share, std::string variant) {
  return {.id = std::move(id),
          .conditions = {},
          .share = share,
          .variant = std::move(variant),
          .split = {},
          .salt = {},
          .bucket_by = {}};
}

Result<TrafficSegment> read_segment(const Json& json, const std::string& where) {
  ObjectReader object(json, where);
  TrafficSegment segment;
  segment.id = object.text("id");
  MCOMP_TRY(conditions, detail::read_conditions(object));
  segment.conditions = std::move(conditions);
  const Json* split = object.child("split");
  if (!split) {
    object.fail("split", "the key is missing", "add a ledger");
    MCOMP_CHECK(object.finish());
  }
  MCOMP_TRY(ledger, detail::read_ledger(*split, object.where("split")));
  segment.split = std::move(ledger);
  MCOMP_CHECK(object.finish());
  return segment;
}

std::uint32_t read_share(ObjectReader& object, const char* key) {
  const std::int64_t share = object.integer(key, 0);
  if (share < 0 || share > 100000) object.fail(key, "it is not within 0 and 100,000", "give parts of 100,000");
  return static_cast<std::uint32_t>(std::clamp(share, std::int64_t{0}, std::int64_t{100000}));
}

} // namespace

Result<std::vector<Flag>> TrafficPlan::flags() const {
  if (baseline == candidate)
    return Error(ErrorCode::invalid_argument, "traffic plan " + key, "baseline and candidate are one arm",
                 "name two arms");
  Flag serve{.key = key, .variants = {}, .default_variant = baseline, .off_variant = baseline, .rules = {}};
  const auto add_arm = [&](const std::string& arm) {
    if (std::ranges::find(serve.variants, arm, &Variant::name) == serve.variants.end())
      serve.variants.push_back({.name = arm,
                                .value = arm == baseline    ? baseline_role
                                         : arm == candidate ? "\"candidate\""
                                                            : "\"other\""});
  };
  add_arm(baseline);
  add_arm(candidate);
  if (holdback > 0) serve.rules.push_back(share_rule(holdback_id, holdback, baseline));
  for (const TrafficSegment& segment : segments) {
    std::ranges::for_each(segment.split.arms, add_arm);
    serve.rules.push_back(split_rule(std::string(segment_prefix) + segment.id, segment.conditions, segment.split, key));
  }
  std::ranges::for_each(split.arms, add_arm);
  serve.rules.push_back(split_rule("everybody", {}, split, key));
  Flag shadowed{.key = key + std::string(shadow_suffix),
                .variants = {{.name = "off"}, {.name = "on"}},
                .default_variant = "off",
                .off_variant = {},
                .rules = {share_rule("shadow", shadow, "on")}};
  std::vector<Flag> both = {std::move(serve), std::move(shadowed)};
  MCOMP_TRY(compiled, FlagSnapshot::compile({.revision = 1, .flags = both}));
  static_cast<void>(compiled);
  return both;
}

Result<TrafficPlan> TrafficPlan::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(detail::check_schema(object, subject, schema));
  TrafficPlan plan;
  plan.key = object.text("key");
  plan.baseline = object.text("baseline");
  plan.candidate = object.text("candidate");
  if (object.has("segments")) {
    for (const Json& segment : object.array("segments")) {
      MCOMP_TRY(one, read_segment(segment, fmt::format("{}: {}", object.where("segments"), plan.segments.size())));
      plan.segments.push_back(std::move(one));
    }
  }
  plan.holdback = read_share(object, "holdback");
  plan.shadow = read_share(object, "shadow");
  if (const Json* split = object.child("split")) {
    MCOMP_TRY(ledger, detail::read_ledger(*split, object.where("split")));
    plan.split = std::move(ledger);
  } else {
    object.fail("split", "the key is missing", "add a ledger");
  }
  MCOMP_CHECK(object.finish());
  if (const auto flags = plan.flags(); !flags)
    return Error(ErrorCode::corrupt, subject + ": " + flags.error().subject(), flags.error().rule(),
                 flags.error().remedy());
  return plan;
}

std::string to_json(const TrafficPlan& plan) {
  Json json = {{"schema", schema}, {"key", plan.key}, {"baseline", plan.baseline}, {"candidate", plan.candidate}};
  if (!plan.segments.empty()) json["segments"] = Json::array();
  for (const TrafficSegment& segment : plan.segments) {
    Json one = {{"id", segment.id}};
    if (!segment.conditions.empty()) one["conditions"] = detail::json_of(segment.conditions);
    one["split"] = detail::json_of(segment.split);
    json["segments"].push_back(std::move(one));
  }
  json["split"] = detail::json_of(plan.split);
  if (plan.holdback > 0) json["holdback"] = plan.holdback;
  if (plan.shadow > 0) json["shadow"] = plan.shadow;
  return detail::dumped(json);
}

Route route(const FlagSnapshot& snapshot, std::string_view key, const FlagContext& context) {
  const Decision serve = snapshot.decide(key, context);
  Route route{.arm = serve.variant, .segment = {}};
  route.held_back = serve.rule_id == holdback_id;
  if (serve.rule_id.starts_with(segment_prefix)) route.segment = serve.rule_id.substr(segment_prefix.size());
  if (serve.value != baseline_role) return route; // who sees the candidate needs no shadow
  std::array<char, 128> buffer;
  const std::size_t size = key.size() + shadow_suffix.size();
  std::string longer;
  std::string_view name;
  if (size <= buffer.size()) {
    std::ranges::copy(shadow_suffix, std::ranges::copy(key, buffer.begin()).out);
    name = {buffer.data(), size};
  } else {
    longer = std::string(key).append(shadow_suffix);
    name = longer;
  }
  route.shadow = snapshot.decide(name, context).variant == "on";
  return route;
}

} // namespace mcomp::inline v0::rollout
