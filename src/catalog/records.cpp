#include "mcomp/catalog/records.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>

#include "catalog/canonical.hpp"
#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

using detail::Json;
using mcomp::detail::ObjectReader;
using Texts = std::map<std::string, std::string>;

constexpr std::string_view experiment_schema = "mcomp-experiment-1", target_schema = "mcomp-target-1",
                           decision_schema = "mcomp-decision-1", recipe_schema = "mcomp-recipe-entry-1",
                           investigation_schema = "mcomp-investigation-1", suite_schema = "mcomp-suite-1";
using Words = std::span<const std::string_view>;
constexpr std::array<std::string_view, 4> experiment_status = {"running", "won", "lost", "failed"},
                                          decision_status = {"proposed", "accepted", "rejected", "superseded"};
constexpr std::array<std::string_view, 3> target_status = {"proposed", "in force", "retired"},
                                          recipe_status = {"proposed", "standard", "retired"};
constexpr std::array<std::string_view, 2> investigation_status = {"open", "concluded"},
                                          suite_status = {"frozen", "retired"}, bounds = {"at least", "at most"};

Status check(const char* what, std::string_view name, std::string_view status, Words statuses) {
  if (name.empty()) return Error(ErrorCode::invalid_argument, what, "it has no name, question or title", "give it one");
  if (std::ranges::find(statuses, status) == statuses.end())
    return Error(ErrorCode::invalid_argument, fmt::format("{} {}", what, name),
                 fmt::format("\"{}\" is no status", status), fmt::format("use one of: {}", fmt::join(statuses, ", ")));
  return {};
}

Json object_of(const Texts& texts) {
  Json object = Json::object();
  for (const auto& [name, text] : texts) object[name] = text;
  return object;
}
Json object_of(const Metrics& metrics) {
  Json object = Json::object();
  for (const auto& [name, value] : metrics) object[name] = value;
  return object;
}

/// Members of an object one by one; what is no object, or a member of another type, is recorded as a failure.
template <class Take> void each_member(ObjectReader& object, const char* key, const Take& take) {
  const Json* value = object.child(key);
  if (!value || !value->is_object()) return object.fail(key, "an object is needed", "write { ... }");
  for (const auto& [name, child] : value->items())
    if (!take(name, child)) object.fail(key, "the member \"" + name + "\" is of another type", "write it anew");
}
Texts texts_of(ObjectReader& object, const char* key) {
  Texts texts;
  each_member(object, key, [&](const std::string& name, const Json& child) {
    if (child.is_string()) texts[name] = child.get<std::string>();
    return child.is_string();
  });
  return texts;
}
Metrics metrics_of(ObjectReader& object, const char* key) {
  Metrics metrics;
  each_member(object, key, [&](const std::string& name, const Json& child) {
    if (child.is_number()) metrics[name] = child.get<double>();
    return child.is_number();
  });
  return metrics;
}

/// Reads a document of a schema through `fill`, and holds the value to the rules of writing.
template <class T, class Fill>
Result<T> parse(std::string_view text, const char* what, std::string_view schema, const Fill& fill) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, what));
  ObjectReader object(json, what);
  const std::string found = object.text("schema");
  if (object.has("schema") && found != schema)
    return Error(ErrorCode::version_mismatch, what, fmt::format("its schema is \"{}\", not \"{}\"", found, schema),
                 "use the version of the library that wrote it");
  T value;
  MCOMP_CHECK(fill(object, value));
  MCOMP_CHECK(object.finish());
  if (const auto written = to_json(value); !written)
    return Error(ErrorCode::corrupt, written.error().subject(), written.error().rule(), written.error().remedy());
  return value;
}

/// Links as records have them: without those that are empty.
using Links = std::vector<std::string>;
void link(Links& links, std::string_view kind, const std::string& id) {
  if (!id.empty()) links.push_back(kind.empty() ? id : fmt::format("{}/{}", kind, id));
}

template <class T>
Result<RecordDraft> draft_of(const T& value, std::string kind, std::string name, std::string fingerprint, Links links,
                             const DraftInfo& info) {
  MCOMP_TRY(body, to_json(value));
  return RecordDraft{.kind = std::move(kind),
                     .id = info.id,
                     .expected_version = info.expected_version,
                     .name = std::move(name),
                     .owner = value.owner,
                     .status = value.status,
                     .fingerprint = std::move(fingerprint),
                     .author = info.author,
                     .time = info.time,
                     .body = body,
                     .personal = info.personal,
                     .links = std::move(links)};
}

} // namespace

Result<std::string> to_json(const Experiment& e) {
  MCOMP_CHECK(check("experiment", e.name, e.status, experiment_status));
  Json slices = Json::object();
  for (const auto& [slice, metrics] : e.slices) slices[slice] = object_of(metrics);
  return detail::canonical_text({{"schema", experiment_schema},
                                 {"name", e.name},
                                 {"owner", e.owner},
                                 {"status", e.status},
                                 {"parameters", object_of(e.parameters)},
                                 {"inputs", object_of(e.inputs)},
                                 {"metrics", object_of(e.metrics)},
                                 {"slices", std::move(slices)},
                                 {"environment", object_of(e.environment)},
                                 {"duration_seconds", e.duration_seconds},
                                 {"parent", e.parent},
                                 {"investigation", e.investigation},
                                 {"artifact", e.artifact},
                                 {"attribution", e.attribution}});
}

Result<Experiment> parse_experiment(std::string_view json) {
  return parse<Experiment>(json, "experiment", experiment_schema, [](ObjectReader& object, Experiment& e) -> Status {
    e.name = object.text("name"), e.owner = object.text("owner"), e.status = object.text("status");
    e.parameters = texts_of(object, "parameters"), e.inputs = texts_of(object, "inputs");
    e.metrics = metrics_of(object, "metrics"), e.environment = texts_of(object, "environment");
    e.duration_seconds = object.number("duration_seconds");
    e.parent = object.text("parent"), e.investigation = object.text("investigation");
    e.artifact = object.text("artifact"), e.attribution = object.text("attribution");
    each_member(object, "slices", [&](const std::string& slice, const Json& child) {
      if (!child.is_object()) return false;
      for (const auto& [name, value] : child.items()) {
        if (!value.is_number()) return false;
        e.slices[slice][name] = value.get<double>();
      }
      return true;
    });
    return {};
  });
}

Result<std::string> to_json(const Target& t) {
  MCOMP_CHECK(check("target", t.name, t.status, target_status));
  MCOMP_CHECK(check("target: bound", t.name, t.bound, bounds));
  if (t.metric.empty())
    return Error(ErrorCode::invalid_argument, "target " + t.name, "it names no metric", "say what is to be measured");
  return detail::canonical_text({{"schema", target_schema},
                                 {"name", t.name},
                                 {"owner", t.owner},
                                 {"status", t.status},
                                 {"metric", t.metric},
                                 {"slice", t.slice},
                                 {"bound", t.bound},
                                 {"value", t.value},
                                 {"suite", t.suite},
                                 {"source", t.source},
                                 {"reason", t.reason}});
}

Result<Target> parse_target(std::string_view json) {
  return parse<Target>(json, "target", target_schema, [](ObjectReader& object, Target& t) -> Status {
    t.name = object.text("name"), t.owner = object.text("owner"), t.status = object.text("status");
    t.metric = object.text("metric"), t.slice = object.text("slice"), t.bound = object.text("bound");
    t.value = object.number("value"), t.suite = object.text("suite"), t.source = object.text("source");
    t.reason = object.text("reason");
    return {};
  });
}

Result<std::string> to_json(const Decision& d) {
  MCOMP_CHECK(check("decision", d.title, d.status, decision_status));
  if (d.review_by < 0 || d.review_by > std::int64_t{1} << 53)
    return Error(ErrorCode::invalid_argument, "decision " + d.title, "review_by is no time", "give seconds since 1970");
  return detail::canonical_text({{"schema", decision_schema},
                                 {"title", d.title},
                                 {"owner", d.owner},
                                 {"status", d.status},
                                 {"context", d.context},
                                 {"options", d.options},
                                 {"evidence", d.evidence},
                                 {"rationale", d.rationale},
                                 {"consequences", d.consequences},
                                 {"review_by", d.review_by}});
}

Result<Decision> parse_decision(std::string_view json) {
  return parse<Decision>(json, "decision", decision_schema, [](ObjectReader& object, Decision& d) -> Status {
    d.title = object.text("title"), d.owner = object.text("owner"), d.status = object.text("status");
    d.context = object.text("context"), d.options = object.texts("options"), d.evidence = object.texts("evidence");
    d.rationale = object.text("rationale"), d.consequences = object.text("consequences");
    d.review_by = object.integer("review_by");
    return {};
  });
}

Result<std::string> to_json(const RecipeEntry& r) {
  MCOMP_CHECK(check("recipe", r.name, r.status, recipe_status));
  if (r.status == "retired" && r.reason.empty())
    return Error(ErrorCode::invalid_argument, "recipe " + r.name, "it is retired without a reason", "say why");
  MCOMP_TRY(recipe, mcomp::detail::parse_json(r.recipe, "recipe " + r.name));
  if (!recipe.is_object())
    return Error(ErrorCode::corrupt, "recipe " + r.name, "it is no JSON object", "give the recipe's JSON");
  Json uses = Json::array();
  for (const auto& use : r.uses) uses.push_back({{"where", use.where}, {"result", use.result}});
  Json json = {{"schema", recipe_schema}, {"name", r.name},     {"owner", r.owner},
               {"status", r.status},      {"change", r.change}, {"reason", r.reason}};
  json["recipe"] = std::move(recipe), json["uses"] = std::move(uses);
  if (!r.families.empty()) json["families"] = r.families;
  if (r.together) json["together"] = true;
  return detail::canonical_text(json);
}

Result<RecipeEntry> parse_recipe_entry(std::string_view json) {
  return parse<RecipeEntry>(json, "recipe", recipe_schema, [](ObjectReader& object, RecipeEntry& r) -> Status {
    r.name = object.text("name"), r.owner = object.text("owner"), r.status = object.text("status");
    r.change = object.text("change"), r.reason = object.text("reason");
    if (object.has("families")) r.families = object.texts("families");
    r.together = object.boolean("together", false);
    if (const Json* recipe = object.child("recipe")) {
      MCOMP_TRY(text, detail::canonical_text(*recipe));
      r.recipe = text;
    }
    for (const Json& item : object.array("uses")) {
      ObjectReader use(item, "recipe: uses");
      r.uses.push_back({use.text("where"), use.text("result")});
      MCOMP_CHECK(use.finish());
    }
    return {};
  });
}

Result<std::string> to_json(const Investigation& i) {
  MCOMP_CHECK(check("investigation", i.question, i.status, investigation_status));
  return detail::canonical_text({{"schema", investigation_schema},
                                 {"question", i.question},
                                 {"owner", i.owner},
                                 {"status", i.status},
                                 {"trials", i.trials},
                                 {"conclusion", i.conclusion}});
}

Result<Investigation> parse_investigation(std::string_view json) {
  return parse<Investigation>(json, "investigation", investigation_schema,
                              [](ObjectReader& object, Investigation& i) -> Status {
                                i.question = object.text("question"), i.owner = object.text("owner");
                                i.status = object.text("status"), i.trials = object.texts("trials");
                                i.conclusion = object.text("conclusion");
                                return {};
                              });
}

Result<std::string> to_json(const BenchmarkSuite& s) {
  MCOMP_CHECK(check("suite", s.name, s.status, suite_status));
  if (s.fingerprint.empty() || s.rows < 0 || s.rows > std::int64_t{1} << 53)
    return Error(ErrorCode::invalid_argument, "suite " + s.name, "it has no fingerprint, or no number of rows",
                 "give those of the frozen suite");
  return detail::canonical_text({{"schema", suite_schema},
                                 {"name", s.name},
                                 {"owner", s.owner},
                                 {"status", s.status},
                                 {"fingerprint", s.fingerprint},
                                 {"rows", s.rows},
                                 {"purpose", s.purpose}});
}

Result<BenchmarkSuite> parse_benchmark_suite(std::string_view json) {
  return parse<BenchmarkSuite>(json, "suite", suite_schema, [](ObjectReader& object, BenchmarkSuite& s) -> Status {
    s.name = object.text("name"), s.owner = object.text("owner"), s.status = object.text("status");
    s.fingerprint = object.text("fingerprint"), s.rows = object.integer("rows"), s.purpose = object.text("purpose");
    return {};
  });
}

namespace {

/// A parameter as it counts: a number however it is written ("4", "4.0", "+4", "1e-3", " .001") is one number.
std::string same_number(const std::string& text) {
  std::string_view number = text;
  while (!number.empty() && number.front() == ' ') number.remove_prefix(1);
  while (!number.empty() && number.back() == ' ') number.remove_suffix(1);
  if (number.size() > 1 && number.front() == '+' && number[1] != '-') number.remove_prefix(1);
  double value = 0;
  const auto [end, failure] = std::from_chars(number.data(), number.data() + number.size(), value);
  // Beyond 2^53 two integers may be one double; seeds are such numbers.
  constexpr double exact = 9007199254740992.0;
  if (failure != std::errc() || end != number.data() + number.size() || !(std::abs(value) < exact)) return text;
  return fmt::format("{}", value == 0 ? 0.0 : value);
}

} // namespace

Result<std::string> fingerprint(const Experiment& e) {
  Texts parameters;
  for (const auto& [name, value] : e.parameters) parameters[name] = same_number(value);
  MCOMP_TRY(text, detail::canonical_text({{"parameters", object_of(parameters)}, {"inputs", object_of(e.inputs)}}));
  return digest_of(text);
}

Result<std::string> fingerprint(const RecipeEntry& recipe) {
  MCOMP_TRY(json, mcomp::detail::parse_json(recipe.recipe, "recipe " + recipe.name));
  MCOMP_TRY(text, detail::canonical_text(json));
  return digest_of(text);
}

Result<std::vector<Record>> already_run(const Catalog& catalog, const Experiment& experiment) {
  MCOMP_TRY(mark, fingerprint(experiment));
  MCOMP_TRY(records, catalog.find({.kind = "experiment", .fingerprint = mark, .limit = 1000}));
  // One that failed or still runs says nothing yet: whoever has an answer comes first.
  std::ranges::stable_partition(records, [](const Record& r) { return r.status == "won" || r.status == "lost"; });
  return records;
}

namespace {

/// Both values under every name of two maps, in order.
template <class Map, class Take> void pair_up(const Map& first, const Map& second, const Take& take) {
  std::map<std::string, std::pair<std::optional<typename Map::mapped_type>, std::optional<typename Map::mapped_type>>>
      both;
  for (const auto& [name, value] : first) both[name].first = value;
  for (const auto& [name, value] : second) both[name].second = value;
  for (const auto& [name, values] : both) take(name, values.first, values.second);
}

std::vector<ExperimentComparison::Choice> differing(const Texts& first, const Texts& second) {
  std::vector<ExperimentComparison::Choice> choices;
  pair_up(first, second, [&](const std::string& name, const auto& a, const auto& b) {
    if (a != b) choices.push_back({name, a, b});
  });
  return choices;
}

} // namespace

ExperimentComparison compare(const Experiment& first, const Experiment& second) {
  ExperimentComparison comparison{.parameters = differing(first.parameters, second.parameters),
                                  .inputs = differing(first.inputs, second.inputs),
                                  .environment = differing(first.environment, second.environment),
                                  .metrics = {}};
  const auto measures = [&](const std::string& slice, const Metrics& a, const Metrics& b) {
    pair_up(a, b, [&](const std::string& metric, const auto& x, const auto& y) {
      comparison.metrics.push_back({slice, metric, x, y});
    });
  };
  measures({}, first.metrics, second.metrics);
  pair_up(first.slices, second.slices, [&](const std::string& slice, const auto& a, const auto& b) {
    measures(slice, a.value_or(Metrics{}), b.value_or(Metrics{}));
  });
  return comparison;
}

std::string to_string(const ExperimentComparison& comparison) {
  std::string text;
  const auto choices = [&](const char* what, const auto& list) {
    for (const auto& choice : list)
      text += fmt::format("{} {}: {} -> {}\n", what, choice.name, choice.first.value_or("none"),
                          choice.second.value_or("none"));
  };
  choices("parameter", comparison.parameters);
  choices("input", comparison.inputs);
  choices("environment", comparison.environment);
  for (const auto& measure : comparison.metrics) {
    const auto number = [](const std::optional<double>& value) {
      return value ? fmt::format("{:g}", *value) : std::string("none");
    };
    text += fmt::format("{}{}: {} -> {}", measure.slice.empty() ? "" : measure.slice + " ", measure.metric,
                        number(measure.first), number(measure.second));
    if (measure.first && measure.second) text += fmt::format(" ({:+g})", *measure.second - *measure.first);
    text += "\n";
  }
  return text;
}

Result<std::vector<Record>> lineage(const Catalog& catalog, const std::string& experiment) {
  std::vector<Record> line;
  for (std::string id = experiment; !id.empty();) {
    if (std::ranges::find(line, id, &Record::id) != line.end())
      return Error(ErrorCode::corrupt, "experiment " + id, "its parents go in a circle", "correct the parent of one");
    MCOMP_TRY(record, catalog.get("experiment", id));
    line.push_back(record);
    if (record.redacted) break; // nothing is left of whom it continued
    MCOMP_TRY(value, parse_experiment(record.body));
    id = value.parent;
  }
  return line;
}

Result<RecordDraft> draft(const Experiment& experiment, const DraftInfo& info) {
  MCOMP_TRY(mark, fingerprint(experiment));
  Links links;
  link(links, {}, experiment.artifact);
  link(links, "experiment", experiment.parent);
  link(links, "investigation", experiment.investigation);
  for (const auto& [name, input] : experiment.inputs) link(links, {}, input);
  return draft_of(experiment, "experiment", experiment.name, mark, std::move(links), info);
}
Result<RecordDraft> draft(const Target& target, const DraftInfo& info) {
  Links links;
  link(links, "suite", target.suite);
  return draft_of(target, "target", target.name, {}, std::move(links), info);
}
Result<RecordDraft> draft(const Decision& decision, const DraftInfo& info) {
  Links links;
  for (const std::string& evidence : decision.evidence) link(links, {}, evidence);
  return draft_of(decision, "decision", decision.title, {}, std::move(links), info);
}
Result<RecordDraft> draft(const RecipeEntry& recipe, const DraftInfo& info) {
  MCOMP_TRY(mark, fingerprint(recipe));
  Links links;
  for (const std::string& family : recipe.families) link(links, "family", family);
  return draft_of(recipe, "recipe", recipe.name, mark, std::move(links), info);
}
Result<RecordDraft> draft(const Investigation& investigation, const DraftInfo& info) {
  Links links;
  for (const std::string& trial : investigation.trials) link(links, "experiment", trial);
  return draft_of(investigation, "investigation", investigation.question, {}, std::move(links), info);
}
Result<RecordDraft> draft(const BenchmarkSuite& suite, const DraftInfo& info) {
  return draft_of(suite, "suite", suite.name, suite.fingerprint, {}, info);
}

} // namespace mcomp::inline v0::catalog
