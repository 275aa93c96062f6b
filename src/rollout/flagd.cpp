#include "mcomp/rollout/flagd.hpp"

#include <map>

#include "rollout/fields.hpp"
#include "rollout/growthbook_condition.hpp"
#include "rollout/json_logic.hpp"

namespace mcomp::inline v0::rollout {

using detail::Fields;
using detail::Json;

namespace {

struct FlagdFlag {
  bool enabled = true;
  std::map<std::string, std::string, std::less<>> variants; ///< values as JSON
  std::optional<std::string> default_variant;
  Json targeting; ///< null where there is none
};

Result<FlagdFlag> read_flag(const Json& json, const std::string& where) {
  Fields fields(json, where);
  FlagdFlag flag;
  const std::string state = fields.needed_text("state");
  if (state != "ENABLED" && state != "DISABLED") fields.fail("state", "it is neither ENABLED nor DISABLED", "give one");
  flag.enabled = state == "ENABLED";
  for (const auto& [name, value] : fields.object("variants").items()) flag.variants[name] = detail::dumped(value);
  flag.default_variant = fields.maybe_text("defaultVariant");
  if (flag.default_variant && flag.default_variant->empty()) flag.default_variant.reset();
  if (flag.default_variant && !flag.variants.contains(*flag.default_variant))
    fields.fail("defaultVariant", "there is no such variant", "name one of the flag's variants");
  if (const Json& targeting = fields.object("targeting"); !targeting.empty()) flag.targeting = targeting;
  MCOMP_CHECK(fields.status());
  return flag;
}

FlagdDecision served(const FlagdFlag& flag, const std::string& variant, const char* reason) {
  return {.variant = variant, .value = flag.variants.find(variant)->second, .reason = reason, .error_code = {}};
}

FlagdDecision default_of(const FlagdFlag& flag, const char* reason) {
  if (flag.default_variant) return served(flag, *flag.default_variant, reason);
  return {.variant = {}, .value = {}, .reason = "DEFAULT", .error_code = {}};
}

} // namespace

struct Flagd::Flags {
  std::map<std::string, FlagdFlag, std::less<>> flags;
  Json evaluators = Json::object();
};

Result<Flagd> Flagd::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  Fields fields(json, subject);
  auto flags = std::make_shared<Flags>();
  if (!fields.get("flags")) fields.fail("flags", "the key is missing", "add it");
  for (const auto& [key, value] : fields.object("flags").items()) {
    MCOMP_TRY(flag, read_flag(value, subject + ": flag " + key));
    flags->flags.emplace(key, std::move(flag));
  }
  flags->evaluators = fields.object("$evaluators");
  MCOMP_CHECK(fields.status());
  return Flagd(std::move(flags));
}

Result<FlagdDecision> Flagd::evaluate(std::string_view key, std::string_view context, std::int64_t timestamp) const {
  MCOMP_TRY(data, detail::parse_json(context, "context"));
  if (!data.is_object()) return Error(ErrorCode::corrupt, "context", "an object is needed", "write { ... }");
  const auto found = flags_->flags.find(key);
  if (found == flags_->flags.end())
    return FlagdDecision{.variant = {}, .value = {}, .reason = "ERROR", .error_code = "FLAG_NOT_FOUND"};
  const FlagdFlag& flag = found->second;
  if (!flag.enabled) return FlagdDecision{.variant = {}, .value = {}, .reason = "DISABLED", .error_code = {}};
  if (flag.targeting.is_null()) return default_of(flag, "STATIC");
  data["$flagd"] = {{"flagKey", std::string(key)}, {"timestamp", timestamp}};
  detail::JsonLogic logic(data, flags_->evaluators, "flag " + std::string(key));
  MCOMP_TRY(value, logic.evaluate(flag.targeting));
  if (value.is_null()) return default_of(flag, "DEFAULT");
  const std::string variant = detail::text_of(value);
  if (flag.variants.contains(variant)) return served(flag, variant, "TARGETING_MATCH");
  return FlagdDecision{.variant = {}, .value = {}, .reason = "ERROR", .error_code = "GENERAL"};
}

} // namespace mcomp::inline v0::rollout
