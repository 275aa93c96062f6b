#include "mcomp/rollout/growthbook.hpp"

#include <algorithm>
#include <set>

#include "mcomp/rollout/hash.hpp"
#include "rollout/fields.hpp"
#include "rollout/growthbook_condition.hpp"
#include "rollout/text.hpp"

namespace mcomp::inline v0::rollout {

using detail::Fields;
using detail::Json;

struct GrowthBook::Context {
  std::shared_ptr<const Json> source; ///< shared by the users of one set of features
  Json attributes = Json::object();

  [[nodiscard]] const Json& part(const char* key) const {
    static const Json empty = Json::object();
    const auto found = source->find(key);
    return found == source->end() || !found->is_object() ? empty : *found;
  }
  [[nodiscard]] bool flag(const char* key, bool fallback) const {
    const auto found = source->find(key);
    return found == source->end() || !found->is_boolean() ? fallback : found->get<bool>();
  }
};

namespace {

const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool is_range(const Json& json) {
  return json.is_array() && json.size() == 2 && json[0].is_number() && json[1].is_number();
}
BucketRange range_of(const Json& json) {
  return {json[0].get<double>(), json[1].get<double>()};
}
bool within(double n, BucketRange range) {
  return n >= range.first && n < range.second;
}

/// Checks the parts of a rule or an experiment whose types matter, so that the evaluation can rely on them.
Status check_experiment(const Json& json, const std::string& where) {
  Fields fields(json, where);
  MCOMP_CHECK(fields.status());
  for (const char* key : {"key", "seed", "hashAttribute", "status", "id", "url"})
    static_cast<void>(fields.maybe_text(key));
  for (const char* key : {"coverage", "hashVersion"}) static_cast<void>(fields.maybe_number(key));
  static_cast<void>(fields.boolean("active", true));
  for (const char* key : {"condition"}) static_cast<void>(fields.object(key));
  for (const char* key : {"variations", "contextualVariations"}) static_cast<void>(fields.array(key));
  for (const Json& weight : fields.array("weights"))
    if (!weight.is_number()) fields.fail("weights", "a weight is no number", "write numbers");
  for (const Json& range : fields.array("ranges"))
    if (!is_range(range)) fields.fail("ranges", "a range is not [begin, end]", "write two numbers");
  if (const Json* range = fields.get("range"); range && !is_range(*range))
    fields.fail("range", "it is not [begin, end]", "write two numbers");
  for (const Json& meta : fields.array("meta"))
    if (!meta.is_object()) fields.fail("meta", "an entry is no object", "write { ... }");
  if (const Json& space = fields.array("namespace");
      fields.get("namespace") &&
      (space.size() != 3 || !space[0].is_string() || !space[1].is_number() || !space[2].is_number()))
    fields.fail("namespace", "it is not [name, begin, end]", "write a name and two numbers");
  for (const Json& filter : fields.array("filters")) {
    Fields inner(filter, fields.where("filters"));
    static_cast<void>(inner.maybe_text("seed"));
    static_cast<void>(inner.maybe_text("attribute"));
    static_cast<void>(inner.maybe_number("hashVersion"));
    for (const Json& range : inner.array("ranges"))
      if (!is_range(range)) inner.fail("ranges", "a range is not [begin, end]", "write two numbers");
    MCOMP_CHECK(inner.status());
  }
  for (const Json& parent : fields.array("parentConditions")) {
    Fields inner(parent, fields.where("parentConditions"));
    static_cast<void>(inner.needed_text("id"));
    static_cast<void>(inner.object("condition"));
    static_cast<void>(inner.boolean("gate", false));
    MCOMP_CHECK(inner.status());
  }
  return fields.status();
}

std::string text_or(const Json& object, const char* key, const std::string& fallback) {
  const Json* value = member(object, key);
  const std::string text = value ? value->get<std::string>() : std::string();
  return text.empty() ? fallback : text;
}

/// Saturating, so that no version of a hash is out of an int's range.
int version_or(const Json& object, int fallback) {
  const Json* value = member(object, "hashVersion");
  if (!value) return fallback;
  const double version = value->get<double>();
  return version == 1 ? 1 : version == 2 ? 2 : 0;
}

/// The variation that "?key=n" in a URL asks for.
std::optional<int> asked_by_url(const std::string& url, const std::string& key, std::size_t variations) {
  std::string_view query = url;
  query = query.substr(0, query.find('#'));
  const std::size_t begin = query.find('?');
  if (begin == std::string_view::npos) return std::nullopt;
  query.remove_prefix(begin + 1);
  while (true) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    if (const std::size_t equals = pair.find('='); equals != std::string_view::npos && pair.substr(0, equals) == key) {
      const std::string_view digits = pair.substr(equals + 1);
      const bool number = !digits.empty() && digits.size() < 6 &&
                          std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
      const auto value = number ? detail::parse_number(digits) : std::nullopt;
      if (!value || *value >= static_cast<double>(variations)) return std::nullopt;
      return static_cast<int>(*value);
    }
    if (end == std::string_view::npos) return std::nullopt;
    query.remove_prefix(end + 1);
  }
}

} // namespace

/// One question and what it leads to. The count of evaluations bounds what features that depend on others can cost.
class GrowthBookEvaluation {
 public:
  explicit GrowthBookEvaluation(const GrowthBook::Context& context) : context_(context) {}

  Result<GrowthBookFeature> feature(const std::string& key) {
    const Json& features = context_.part("features");
    const auto found = features.find(key);
    if (found == features.end()) return outcome(Json(), "unknownFeature");
    constexpr std::size_t deepest = 64;
    if (open_.contains(key) || open_.size() >= deepest) return outcome(Json(), "cyclicPrerequisite");
    constexpr int most_evaluations = 10000;
    if (++evaluations_ > most_evaluations)
      return Error(ErrorCode::unsupported, "feature " + key, "its prerequisites lead to more than 10,000 evaluations",
                   "make the prerequisites fewer");
    open_.insert(key);
    auto result = rules(key, *found);
    open_.erase(key);
    return result;
  }

  Result<GrowthBookResult> run(const Json& experiment, const std::string& feature_id) {
    const Json& variations = variations_of(experiment);
    const std::string key = text_or(experiment, "key", "");
    const auto without = [&] { return result(experiment, feature_id, -1, false, std::nullopt); };
    const auto forced = [&](int variation) { return result(experiment, feature_id, variation, false, std::nullopt); };
    if (variations.size() < 2 || !context_.flag("enabled", true)) return without();
    if (const Json* url = member(*context_.source, "url"); url && url->is_string())
      if (const auto asked = asked_by_url(url->get<std::string>(), key, variations.size())) return forced(*asked);
    if (const Json* forced_variation = member(context_.part("forcedVariations"), key.c_str());
        forced_variation && forced_variation->is_number())
      return forced(variation_number(*forced_variation));
    const std::string status = text_or(experiment, "status", "running");
    const Json* active = member(experiment, "active");
    if (status == "draft" || (active && !active->get<bool>())) return without();
    const std::string unit = hash_text(text_or(experiment, "hashAttribute", "id"));
    if (unit.empty()) return without();
    MCOMP_TRY(included, includes(experiment, unit));
    if (!included) return without();
    const auto n = growthbook_hash(text_or(experiment, "seed", key), unit, version_or(experiment, 1));
    if (!n) return without();
    const int chosen = growthbook_choose_variation(*n, ranges_of(experiment, variations.size()));
    if (chosen < 0) return without();
    if (const Json* force = member(experiment, "force"))
      return forced(force->is_number() ? variation_number(*force) : -1);
    if (context_.flag("qaMode", false) || status == "stopped") return without();
    return result(experiment, feature_id, chosen, true, n);
  }

 private:
  enum class Gate { pass, skip, block, cyclic };

  static GrowthBookFeature outcome(const Json& value, std::string source, std::string rule_id = {}) {
    return {.value = detail::dumped(value),
            .on = detail::truthy(value),
            .source = std::move(source),
            .rule_id = std::move(rule_id),
            .experiment = {},
            .result = {}};
  }

  static int variation_number(const Json& json) {
    const double value = json.get<double>();
    return value >= 0 && value < 1e6 ? static_cast<int>(value) : -1;
  }

  static const Json& variations_of(const Json& experiment) {
    static const Json none = Json::array();
    const Json* variations = member(experiment, "variations");
    return variations ? *variations : none;
  }

  [[nodiscard]] bool holds(const Json& condition) const {
    return detail::condition_holds(condition, context_.attributes, context_.part("savedGroups"));
  }

  [[nodiscard]] Json hash_value(const std::string& attribute) const {
    const auto found = context_.attributes.find(attribute);
    return found == context_.attributes.end() || !detail::truthy(*found) ? Json("") : *found;
  }
  [[nodiscard]] std::string hash_text(const std::string& attribute) const {
    return detail::text_of(hash_value(attribute));
  }

  Result<GrowthBookFeature> rules(const std::string& key, const Json& feature) {
    if (const Json* list = member(feature, "rules"))
      for (const Json& rule : *list) {
        const std::string id = text_or(rule, "id", "");
        MCOMP_TRY(gate, prerequisites(rule));
        if (gate == Gate::block) return outcome(Json(), "prerequisite");
        if (gate == Gate::cyclic) return outcome(Json(), "cyclicPrerequisite");
        if (gate == Gate::skip) continue;
        if (const Json* filters = member(rule, "filters"); filters && filtered_out(*filters)) continue;
        if (const auto force = rule.find("force"); force != rule.end()) {
          const Json* condition = member(rule, "condition");
          if ((condition && !holds(*condition)) || !rolled_out(rule, key)) continue;
          return outcome(*force, "force", id);
        }
        Json experiment = experiment_of(rule, key);
        if (!experiment.contains("variations")) continue;
        MCOMP_TRY(tried, run(experiment, key));
        if (!tried.in_experiment || tried.passthrough) continue;
        GrowthBookFeature found =
            outcome(experiment["variations"][static_cast<std::size_t>(tried.variation)], "experiment", id);
        if (!tried.hash_used) experiment.erase("contextualBandit"); // the bandit did not decide
        found.experiment = detail::dumped(experiment);
        found.result = tried;
        return found;
      }
    const Json* value = member(feature, "defaultValue");
    return outcome(value ? *value : Json(), "defaultValue");
  }

  Result<Gate> prerequisites(const Json& rule) {
    const Json* parents = member(rule, "parentConditions");
    if (!parents) return Gate::pass;
    for (const Json& parent : *parents) {
      MCOMP_TRY(found, feature(parent["id"].get<std::string>()));
      if (found.source == "cyclicPrerequisite") return Gate::cyclic;
      const Json* condition = member(parent, "condition");
      if (!condition) continue;
      MCOMP_TRY(value, detail::parse_json(found.value, "value"));
      if (detail::condition_holds(*condition, Json{{"value", value}}, context_.part("savedGroups"))) continue;
      const Json* gate = member(parent, "gate");
      return gate && gate->get<bool>() ? Gate::block : Gate::skip;
    }
    return Gate::pass;
  }

  [[nodiscard]] bool filtered_out(const Json& filters) const {
    return std::ranges::any_of(filters, [&](const Json& filter) {
      const std::string unit = hash_text(text_or(filter, "attribute", "id"));
      const auto n = growthbook_hash(text_or(filter, "seed", ""), unit, version_or(filter, 2));
      const Json* ranges = member(filter, "ranges");
      return unit.empty() || !n || !ranges ||
             std::ranges::none_of(*ranges, [&](const Json& range) { return within(*n, range_of(range)); });
    });
  }

  [[nodiscard]] bool rolled_out(const Json& rule, const std::string& key) const {
    const Json *coverage = member(rule, "coverage"), *range = member(rule, "range");
    if (!coverage && !range) return true;
    if (!range && coverage->get<double>() == 0) return false;
    const std::string unit = hash_text(text_or(rule, "hashAttribute", "id"));
    const auto n = growthbook_hash(text_or(rule, "seed", key), unit, version_or(rule, 1));
    if (unit.empty() || !n) return false;
    return range ? within(*n, range_of(*range)) : *n <= coverage->get<double>();
  }

  /// The experiment that a rule describes.
  [[nodiscard]] Json experiment_of(const Json& rule, const std::string& key) const {
    Json experiment = Json::object();
    if (const Json* variations = member(rule, "variations")) experiment["variations"] = *variations;
    experiment["key"] = text_or(rule, "key", key);
    for (const char* name : {"coverage", "weights", "hashAttribute", "fallbackAttribute", "disableStickyBucketing",
                             "bucketVersion", "minBucketVersion", "namespace", "meta", "ranges", "name", "phase",
                             "seed", "hashVersion", "filters", "condition"})
      if (const Json* value = member(rule, name)) experiment[name] = *value;
    if (const Json* arms = member(rule, "contextualVariations")) {
      experiment["variations"] = *arms;
      add_bandit(rule, experiment);
    }
    return experiment;
  }

  /// A contextual bandit's weights are those of the first leaf whose condition holds, or the rule's own.
  void add_bandit(const Json& rule, Json& experiment) const {
    const Json* reference = member(rule, "contextualBanditRef");
    const Json& bandits = context_.part("contextualBandits");
    const Json* bandit = reference && reference->is_string()
                             ? member(bandits, reference->get_ref<const std::string&>().c_str())
                             : nullptr;
    if (!bandit || !bandit->is_object()) return;
    Json leaf = {{"leafId", -1}, {"variationWeights", experiment.value("weights", Json::array())}};
    const Json* leaves = member(*bandit, "contexts");
    if (leaves && leaves->is_array())
      for (const Json& one : *leaves) {
        if (!one.is_object() || !holds(one.value("condition", Json::object()))) continue;
        const Json* weights = member(one, "weights");
        if (!weights || !weights->is_array() ||
            !std::ranges::all_of(*weights, [](const Json& w) { return w.is_number(); }))
          continue;
        leaf = {{"leafId", one.value("leafId", Json(-1))}, {"variationWeights", *weights}};
        experiment["weights"] = *weights;
        break;
      }
    if (const Json* version = member(*bandit, "banditVersion")) leaf["banditVersion"] = *version;
    experiment["contextualBandit"] = leaf;
  }

  /// Filters or namespace, condition and prerequisites of an experiment.
  Result<bool> includes(const Json& experiment, const std::string& unit) {
    if (const Json* filters = member(experiment, "filters")) {
      if (filtered_out(*filters)) return false;
    } else if (const Json* space = member(experiment, "namespace")) {
      if (!growthbook_in_namespace(unit, (*space)[0].get<std::string>(),
                                   {(*space)[1].get<double>(), (*space)[2].get<double>()}))
        return false;
    }
    if (const Json* condition = member(experiment, "condition"); condition && !holds(*condition)) return false;
    if (member(experiment, "urlPatterns") || member(experiment, "url")) return false;
    MCOMP_TRY(gate, prerequisites(experiment));
    return gate == Gate::pass;
  }

  static std::vector<BucketRange> ranges_of(const Json& experiment, std::size_t variations) {
    if (const Json* given = member(experiment, "ranges")) {
      std::vector<BucketRange> ranges;
      for (const Json& range : *given)
        if (ranges.size() < variations) ranges.push_back(range_of(range));
      return ranges;
    }
    std::vector<double> weights;
    if (const Json* given = member(experiment, "weights"))
      for (const Json& weight : *given) weights.push_back(weight.get<double>());
    const Json* coverage = member(experiment, "coverage");
    constexpr std::size_t most = 10000;
    return growthbook_bucket_ranges(static_cast<int>(std::min(variations, most)),
                                    coverage ? coverage->get<double>() : 1, weights);
  }

  [[nodiscard]] GrowthBookResult result(const Json& experiment, const std::string& feature_id, int variation,
                                        bool hash_used, std::optional<double> bucket) const {
    const Json& variations = variations_of(experiment);
    GrowthBookResult result;
    result.feature_id = feature_id;
    result.in_experiment = variation >= 0 && static_cast<std::size_t>(variation) < variations.size();
    result.variation = result.in_experiment ? variation : 0;
    const auto index = static_cast<std::size_t>(result.variation);
    if (index < variations.size()) result.value = detail::dumped(variations[index]);
    result.key = std::to_string(result.variation);
    if (const Json* meta = member(experiment, "meta"); meta && index < meta->size()) {
      const Json& own = (*meta)[index];
      const auto text = [&](const char* key) {
        const Json* value = member(own, key);
        return value && value->is_string() ? value->get<std::string>() : std::string();
      };
      if (const std::string key = text("key"); !key.empty()) result.key = key;
      result.name = text("name");
      const Json* passthrough = member(own, "passthrough");
      result.passthrough = passthrough && detail::truthy(*passthrough);
    }
    result.hash_used = hash_used;
    result.hash_attribute = text_or(experiment, "hashAttribute", "id");
    result.hash_value = detail::dumped(hash_value(result.hash_attribute));
    result.bucket = bucket;
    if (const Json* bandit = member(experiment, "contextualBandit"); bandit && hash_used)
      result.bandit = detail::dumped(*bandit);
    return result;
  }

  const GrowthBook::Context& context_;
  std::set<std::string> open_; ///< features that are being evaluated
  int evaluations_ = 0;
};

namespace {

Json json_of(const GrowthBookResult& result) {
  const auto parsed = [](const std::string& text) { return Json::parse(text, nullptr, false); };
  Json json = {{"key", result.key},
               {"inExperiment", result.in_experiment},
               {"hashUsed", result.hash_used},
               {"variationId", result.variation},
               {"value", parsed(result.value)},
               {"hashAttribute", result.hash_attribute},
               {"hashValue", parsed(result.hash_value)},
               {"stickyBucketUsed", false}};
  json["featureId"] = result.feature_id.empty() ? Json() : Json(result.feature_id);
  if (!result.name.empty()) json["name"] = result.name;
  if (result.bucket) json["bucket"] = *result.bucket;
  if (result.passthrough) json["passthrough"] = true;
  if (!result.bandit.empty()) json.update(parsed(result.bandit));
  return json;
}

} // namespace

std::string to_json(const GrowthBookResult& result) {
  return detail::dumped(json_of(result));
}

std::string to_json(const GrowthBookFeature& feature) {
  Json json = {{"value", Json::parse(feature.value, nullptr, false)},
               {"on", feature.on},
               {"off", !feature.on},
               {"source", feature.source},
               {"ruleId", feature.rule_id}};
  if (!feature.experiment.empty()) json["experiment"] = Json::parse(feature.experiment, nullptr, false);
  if (feature.result) json["experimentResult"] = json_of(*feature.result);
  return detail::dumped(json);
}

Result<GrowthBook> GrowthBook::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  Fields fields(json, subject);
  for (const auto& [key, feature] : fields.object("features").items()) {
    const std::string where = subject + ": feature " + key;
    Fields inner(feature, where);
    int number = 0;
    for (const Json& rule : inner.array("rules"))
      MCOMP_CHECK(check_experiment(rule, fmt::format("{}: rule {}", where, number++)));
    MCOMP_CHECK(inner.status());
  }
  auto context = std::make_shared<Context>();
  context->attributes = fields.object("attributes");
  for (const char* key : {"savedGroups", "forcedVariations", "contextualBandits"})
    static_cast<void>(fields.object(key));
  for (const char* key : {"enabled", "qaMode"}) static_cast<void>(fields.boolean(key, true));
  static_cast<void>(fields.maybe_text("url"));
  MCOMP_CHECK(fields.status());
  context->source = std::make_shared<const Json>(std::move(json));
  return GrowthBook(std::move(context));
}

Result<GrowthBook> GrowthBook::with_attributes(std::string_view attributes) const {
  MCOMP_TRY(json, detail::parse_json(attributes, "attributes"));
  if (!json.is_object()) return Error(ErrorCode::corrupt, "attributes", "an object is needed", "write { ... }");
  auto context = std::make_shared<Context>();
  context->source = context_->source;
  context->attributes = std::move(json);
  return GrowthBook(std::move(context));
}

Result<GrowthBookFeature> GrowthBook::feature(std::string_view key) const {
  return GrowthBookEvaluation(*context_).feature(std::string(key));
}

Result<GrowthBookResult> GrowthBook::run(std::string_view experiment) const {
  MCOMP_TRY(json, detail::parse_json(experiment, "experiment"));
  MCOMP_CHECK(check_experiment(json, "experiment"));
  return GrowthBookEvaluation(*context_).run(json, "");
}

} // namespace mcomp::inline v0::rollout
