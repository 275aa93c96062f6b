#include "mcomp/rollout/unleash.hpp"

#include <algorithm>

#include "mcomp/rollout/hash.hpp"
#include "rollout/ip_network.hpp"
#include "rollout/text.hpp"
#include "rollout/unleash_constraint.hpp"

namespace mcomp::inline v0::rollout {

namespace {

using detail::Fields;
using detail::Json;
using detail::UnleashConstraint;

struct Choice {
  UnleashVariant variant;
  std::uint32_t weight = 0;
  std::string stickiness;
  std::vector<std::pair<std::string, std::vector<std::string>>> overrides; ///< field and values
};

struct Strategy {
  std::string name;
  std::map<std::string, std::string, std::less<>> parameters;
  std::vector<UnleashConstraint> constraints;
  std::vector<std::int64_t> segments;
  std::vector<Choice> variants;

  [[nodiscard]] std::string parameter(const char* key, std::string fallback = {}) const {
    const auto found = parameters.find(key);
    return found == parameters.end() ? std::move(fallback) : found->second;
  }
};

struct Dependency {
  std::string feature;
  bool enabled = true;
  std::vector<std::string> variants;
};

struct Feature {
  std::string name;
  bool enabled = false;
  std::vector<Strategy> strategies;
  std::vector<Choice> variants;
  std::vector<Dependency> dependencies;
};

template <class Read> auto read_all(const Json& array, const std::string& where, const Read& read) {
  using Value = typename decltype(read(array, where))::value_type;
  std::vector<Value> values;
  for (const Json& json : array) {
    auto value = read(json, fmt::format("{} {}", where, values.size()));
    if (!value) return Result<std::vector<Value>>(value.error());
    values.push_back(std::move(*value));
  }
  return Result<std::vector<Value>>(std::move(values));
}

Result<Choice> read_choice(const Json& json, const std::string& where) {
  Fields fields(json, where);
  Choice choice;
  choice.variant.name = fields.needed_text("name");
  choice.variant.enabled = choice.variant.feature_enabled = true;
  const std::int64_t weight = fields.integer("weight", 0);
  constexpr std::int64_t heaviest = 1000000;
  if (weight < 0 || weight > heaviest) fields.fail("weight", "it is not within 0 and 1,000,000", "give parts of 1000");
  choice.weight = static_cast<std::uint32_t>(std::clamp(weight, std::int64_t{0}, heaviest));
  choice.stickiness = fields.text("stickiness");
  if (fields.get("payload")) {
    Fields payload(fields.object("payload"), fields.where("payload"));
    choice.variant.has_payload = true;
    choice.variant.payload_type = payload.text("type");
    choice.variant.payload_value = payload.text("value");
    MCOMP_CHECK(payload.status());
  }
  for (const Json& one : fields.array("overrides")) {
    Fields override_fields(one, fields.where("overrides"));
    choice.overrides.emplace_back(override_fields.needed_text("contextName"), override_fields.texts("values"));
    MCOMP_CHECK(override_fields.status());
  }
  MCOMP_CHECK(fields.status());
  return choice;
}

Result<Strategy> read_strategy(const Json& json, const std::string& where) {
  Fields fields(json, where);
  Strategy strategy;
  strategy.name = fields.needed_text("name");
  for (const auto& [key, value] : fields.object("parameters").items()) {
    if (value.is_string())
      strategy.parameters[key] = value.get<std::string>();
    else if (value.is_number() || value.is_boolean())
      strategy.parameters[key] = value.dump();
  }
  MCOMP_TRY(constraints, read_all(fields.array("constraints"), where + ": constraint", UnleashConstraint::read));
  MCOMP_TRY(variants, read_all(fields.array("variants"), where + ": variant", read_choice));
  strategy.constraints = std::move(constraints);
  strategy.variants = std::move(variants);
  for (const Json& id : fields.array("segments")) {
    if (id.is_number_integer())
      strategy.segments.push_back(id.get<std::int64_t>());
    else
      fields.fail("segments", "a segment's id is no whole number", "write whole numbers");
  }
  MCOMP_CHECK(fields.status());
  return strategy;
}

Result<Dependency> read_dependency(const Json& json, const std::string& where) {
  Fields fields(json, where);
  Dependency dependency{.feature = fields.needed_text("feature"),
                        .enabled = fields.boolean("enabled", true),
                        .variants = fields.texts("variants")};
  MCOMP_CHECK(fields.status());
  return dependency;
}

Result<Feature> read_feature(const Json& json, const std::string& where) {
  Fields fields(json, where);
  Feature feature;
  feature.name = fields.needed_text("name");
  MCOMP_CHECK(fields.status());
  const std::string here = where + ": " + feature.name;
  feature.enabled = fields.boolean("enabled", false);
  MCOMP_TRY(strategies, read_all(fields.array("strategies"), here + ": strategy", read_strategy));
  MCOMP_TRY(variants, read_all(fields.array("variants"), here + ": variant", read_choice));
  MCOMP_TRY(dependencies, read_all(fields.array("dependencies"), here + ": dependency", read_dependency));
  feature.strategies = std::move(strategies);
  feature.variants = std::move(variants);
  feature.dependencies = std::move(dependencies);
  MCOMP_CHECK(fields.status());
  return feature;
}

/// The id that a stickiness stands for. "default" takes the first that is there; nothing means: be random.
struct Sticky {
  std::optional<std::string> id;
  bool random = false;
};

Sticky stickiness_of(const std::string& name, const UnleashContext& context) {
  if (name == "random") return {.id = {}, .random = true};
  if (name.empty() || name == "default") {
    if (context.user_id && !context.user_id->empty()) return {.id = context.user_id};
    if (context.session_id && !context.session_id->empty()) return {.id = context.session_id};
    return {.id = {}, .random = true};
  }
  return {.id = detail::field_of(context, name)};
}

bool within_percentage(std::uint32_t normalized, const std::string& percentage) {
  const auto percent = detail::parse_number(percentage);
  return percent && *percent > 0 && normalized <= *percent;
}

bool rolled_out(const Sticky& sticky, const std::string& group, const std::string& percentage,
                const UnleashContext& context) {
  if (sticky.random) return within_percentage(slot_of(context.random, 100) + 1, percentage);
  return sticky.id && !sticky.id->empty() && within_percentage(unleash_normalized(*sticky.id, group), percentage);
}

bool activated(const Strategy& strategy, const Feature& feature, const UnleashContext& context) {
  const auto gradual = [&](const std::optional<std::string>& id) {
    return rolled_out({.id = id}, strategy.parameter("groupId"), strategy.parameter("percentage"), context);
  };
  if (strategy.name == "default") return true;
  if (strategy.name == "userWithId") {
    const std::string list = strategy.parameter("userIds");
    const auto ids = detail::comma_list(list);
    return context.user_id && !context.user_id->empty() && std::ranges::find(ids, *context.user_id) != ids.end();
  }
  if (strategy.name == "gradualRolloutUserId") return gradual(context.user_id);
  if (strategy.name == "gradualRolloutSessionId") return gradual(context.session_id);
  if (strategy.name == "gradualRolloutRandom")
    return rolled_out({.id = {}, .random = true}, "", strategy.parameter("percentage"), context);
  if (strategy.name == "flexibleRollout") {
    const std::string group = strategy.parameter("groupId");
    return rolled_out(stickiness_of(strategy.parameter("stickiness"), context), group.empty() ? feature.name : group,
                      strategy.parameter("rollout"), context);
  }
  if (strategy.name == "remoteAddress") {
    const auto address = context.remote_address ? detail::IpAddress::parse(*context.remote_address) : std::nullopt;
    const std::string list = strategy.parameter("IPs");
    return address && std::ranges::any_of(detail::comma_list(list), [&](std::string_view network) {
             return detail::in_network(*address, network);
           });
  }
  if (strategy.name == "applicationHostname") {
    const std::string list = detail::lower_case(strategy.parameter("hostNames"));
    const auto names = detail::comma_list(list);
    return context.hostname && std::ranges::find(names, detail::lower_case(*context.hostname)) != names.end();
  }
  return false;
}

bool overridden(const Choice& choice, const UnleashContext& context) {
  return std::ranges::any_of(choice.overrides, [&](const auto& one) {
    const auto value = detail::field_of(context, one.first);
    return value && std::ranges::find(one.second, *value) != one.second.end();
  });
}

/// Where a unit falls among the weights, by the group.
const Choice* choose(const std::vector<Choice>& choices, const std::string& group, const std::string& inherited,
                     const UnleashContext& context) {
  std::uint64_t total = 0;
  for (const Choice& choice : choices) total += choice.weight;
  if (total == 0 || total > 0xffffffffU) return nullptr;
  const auto forced = std::ranges::find_if(choices, [&](const Choice& choice) { return overridden(choice, context); });
  if (forced != choices.end()) return &*forced;
  const std::string& own = choices.front().stickiness;
  Sticky sticky = stickiness_of(own.empty() ? inherited : own, context);
  if (sticky.random && own != "random" && inherited != "random" && context.remote_address &&
      !context.remote_address->empty())
    sticky = {.id = context.remote_address}; // the last that "default" takes, for variants only
  const auto sum = static_cast<std::uint32_t>(total);
  const std::uint32_t target = sticky.id && !sticky.id->empty()
                                   ? unleash_normalized(*sticky.id, group, sum, unleash_variant_seed)
                                   : slot_of(context.random, sum) + 1;
  std::uint64_t end = 0;
  for (const Choice& choice : choices) {
    end += choice.weight;
    if (choice.weight > 0 && target <= end) return &choice;
  }
  return nullptr;
}

} // namespace

struct Unleash::Features {
  std::map<std::string, Feature, std::less<>> features;
  std::map<std::int64_t, std::vector<UnleashConstraint>> segments;

  struct Outcome {
    bool enabled = false;
    const Strategy* strategy = nullptr; ///< that enabled it; null without strategies
  };

  [[nodiscard]] const Feature* find(std::string_view name) const {
    const auto found = features.find(name);
    return found == features.end() ? nullptr : &found->second;
  }

  [[nodiscard]] bool constraints_hold(const Strategy& strategy, const UnleashContext& context) const {
    const auto all = [&](const std::vector<UnleashConstraint>& constraints) {
      return std::ranges::all_of(constraints, [&](const UnleashConstraint& one) { return one.holds(context); });
    };
    return all(strategy.constraints) && std::ranges::all_of(strategy.segments, [&](std::int64_t id) {
             const auto found = segments.find(id);
             return found != segments.end() && all(found->second);
           });
  }

  /// Of a feature for itself, whatever it depends on.
  [[nodiscard]] Outcome alone(const Feature& feature, const UnleashContext& context) const {
    if (!feature.enabled) return {};
    if (feature.strategies.empty()) return {.enabled = true};
    for (const Strategy& strategy : feature.strategies)
      if (constraints_hold(strategy, context) && activated(strategy, feature, context))
        return {.enabled = true, .strategy = &strategy};
    return {};
  }

  [[nodiscard]] UnleashVariant variant(const Feature& feature, const Outcome& outcome,
                                       const UnleashContext& context) const {
    if (!outcome.enabled) return {};
    const Choice* choice = nullptr;
    if (outcome.strategy && !outcome.strategy->variants.empty()) {
      const std::string group = outcome.strategy->parameter("groupId", feature.name);
      choice = choose(outcome.strategy->variants, group, outcome.strategy->parameter("stickiness"), context);
    } else if (!feature.variants.empty()) {
      choice = choose(feature.variants, feature.name, "", context);
    }
    if (choice) return choice->variant;
    UnleashVariant none;
    none.feature_enabled = true;
    return none;
  }

  /// A parent that depends on others itself does not count, so that there is no chain and no circle to follow.
  [[nodiscard]] bool satisfied(const Dependency& dependency, const UnleashContext& context) const {
    const Feature* parent = find(dependency.feature);
    if (!parent || !parent->dependencies.empty()) return false;
    const Outcome outcome = alone(*parent, context);
    if (!dependency.enabled) return !outcome.enabled;
    if (!outcome.enabled || dependency.variants.empty()) return outcome.enabled;
    const std::string name = variant(*parent, outcome, context).name;
    return std::ranges::find(dependency.variants, name) != dependency.variants.end();
  }

  [[nodiscard]] Outcome outcome(const Feature& feature, const UnleashContext& context) const {
    const bool all =
        std::ranges::all_of(feature.dependencies, [&](const Dependency& parent) { return satisfied(parent, context); });
    return all ? alone(feature, context) : Outcome{};
  }

  Status add_features(const Json& array, const std::string& where) {
    for (const Json& json : array) {
      MCOMP_TRY(feature, read_feature(json, where));
      features.insert_or_assign(feature.name, std::move(feature));
    }
    return {};
  }

  Status add_segment(const Json& json, const std::string& where) {
    Fields fields(json, where);
    const std::int64_t id = fields.integer("id", -1);
    MCOMP_TRY(constraints,
              read_all(fields.array("constraints"), fmt::format("{} {}", where, id), UnleashConstraint::read));
    MCOMP_CHECK(fields.status());
    segments.insert_or_assign(id, std::move(constraints));
    return {};
  }

  Status add_segments(const Json& array, const std::string& where) {
    for (const Json& json : array) MCOMP_CHECK(add_segment(json, where));
    return {};
  }

  Status apply(const Json& event, const std::string& where) {
    Fields fields(event, where);
    const std::string type = fields.needed_text("type");
    if (type == "hydration") {
      features.clear();
      segments.clear();
      MCOMP_CHECK(add_segments(fields.array("segments"), where + ": segment"));
      MCOMP_CHECK(add_features(fields.array("features"), where + ": feature"));
    } else if (type == "feature-updated") {
      MCOMP_CHECK(add_features(Json::array({fields.object("feature")}), where + ": feature"));
    } else if (type == "feature-removed") {
      features.erase(fields.needed_text("featureName"));
    } else if (type == "segment-updated") {
      MCOMP_CHECK(add_segment(fields.object("segment"), where + ": segment"));
    } else if (type == "segment-removed") {
      segments.erase(fields.integer("segmentId", -1));
    }
    return fields.status();
  }
};

Result<Unleash> Unleash::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  Fields fields(json, subject);
  auto features = std::make_shared<Features>();
  if (!fields.get("features") && !fields.get("events"))
    fields.fail("features", "the key is missing", "give the answer of /api/client/features or /api/client/delta");
  MCOMP_CHECK(features->add_segments(fields.array("segments"), subject + ": segment"));
  MCOMP_CHECK(features->add_features(fields.array("features"), subject + ": feature"));
  for (const Json& event : fields.array("events")) MCOMP_CHECK(features->apply(event, subject + ": event"));
  MCOMP_CHECK(fields.status());
  return Unleash(std::move(features));
}

bool Unleash::enabled(std::string_view name, const UnleashContext& context) const {
  const Feature* feature = features_->find(name);
  return feature && features_->outcome(*feature, context).enabled;
}

UnleashVariant Unleash::variant(std::string_view name, const UnleashContext& context) const {
  const Feature* feature = features_->find(name);
  return feature ? features_->variant(*feature, features_->outcome(*feature, context), context) : UnleashVariant{};
}

} // namespace mcomp::inline v0::rollout
