#include "core/try.hpp"
#include "mcomp/rollout/guardrail.hpp"
#include "rollout/schema.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr const char* options_schema = "mcomp-guardrail-1";
constexpr const char* counts_schema = "mcomp-guardrail-counts-1";
using detail::Json;
using detail::ObjectReader;

Json json_of(const PairedAccuracyRule& rule) {
  return {{"margin", rule.margin},
          {"planned_pairs", rule.planned_pairs},
          {"expected_disagreement", rule.expected_disagreement},
          {"least", rule.least}};
}
Json json_of(const LatencyRule& rule) {
  return {{"tail", rule.tail}, {"planned_requests", rule.planned_requests}, {"least", rule.least}};
}
Json json_of(const GroupRule& rule) {
  return {{"margin", rule.margin}, {"planned", rule.planned}, {"expected", rule.expected}, {"least", rule.least}};
}
Json json_of(const FloorRule& rule) {
  return {{"floor", rule.floor}, {"planned", rule.planned}, {"least", rule.least}};
}
Json json_of(const ConfidenceRule& rule) {
  return {{"floor", rule.floor}, {"calibration_error", rule.calibration_error}, {"least", rule.least}};
}
Json json_of(const AnomalyRule& rule) {
  return {{"share", rule.share}, {"looks", rule.looks}, {"least", rule.least}};
}

void read(ObjectReader& object, PairedAccuracyRule& rule) {
  rule.margin = object.number("margin", rule.margin);
  rule.planned_pairs = object.number("planned_pairs", rule.planned_pairs);
  rule.expected_disagreement = object.number("expected_disagreement", rule.expected_disagreement);
  rule.least = object.integer("least", rule.least);
}
void read(ObjectReader& object, LatencyRule& rule) {
  rule.tail = object.number("tail", rule.tail);
  rule.planned_requests = object.number("planned_requests", rule.planned_requests);
  rule.least = object.integer("least", rule.least);
}
void read(ObjectReader& object, GroupRule& rule) {
  rule.margin = object.number("margin", rule.margin);
  rule.planned = object.number("planned", rule.planned);
  rule.expected = object.number("expected", rule.expected);
  rule.least = object.integer("least", rule.least);
}
void read(ObjectReader& object, FloorRule& rule) {
  rule.floor = object.number("floor", rule.floor);
  rule.planned = object.number("planned", rule.planned);
  rule.least = object.integer("least", rule.least);
}
void read(ObjectReader& object, ConfidenceRule& rule) {
  rule.floor = object.number("floor", rule.floor);
  rule.calibration_error = object.number("calibration_error", rule.calibration_error);
  rule.least = object.integer("least", rule.least);
}
void read(ObjectReader& object, AnomalyRule& rule) {
  rule.share = object.number("share", rule.share);
  rule.looks = object.number("looks", rule.looks);
  rule.least = object.integer("least", rule.least);
}

/// A rule is on where its key is there.
template <class Rule> Status read_rule(ObjectReader& object, const char* key, std::optional<Rule>& rule) {
  rule.reset();
  const Json* json = object.child(key);
  if (!json) return {};
  ObjectReader inner(*json, object.where(key));
  read(inner, rule.emplace());
  return inner.finish();
}

/// Those of another room bring their own schema.
template <class Options> Status read_options(ObjectReader& object, const char* key, std::optional<Options>& options) {
  const Json* json = object.child(key);
  if (!json) return {};
  MCOMP_TRY(read, Options::parse(detail::dumped(*json), object.where(key)));
  options = std::move(read);
  return {};
}

Json json_of(const stats::SuccessCounts& counts) {
  return {{"successes", counts.successes}, {"trials", counts.trials}};
}

Status read_counts(ObjectReader& object, const char* key, stats::SuccessCounts& counts) {
  const Json* json = object.child(key);
  if (!json) return {};
  ObjectReader inner(*json, object.where(key));
  counts.successes = inner.integer("successes");
  counts.trials = inner.integer("trials");
  return inner.finish();
}

Status read_pairs(ObjectReader& object, stats::PairedCounts& pairs) {
  const Json* json = object.child("pairs");
  if (!json) return {};
  ObjectReader inner(*json, object.where("pairs"));
  pairs.both_right = inner.integer("both_right");
  pairs.only_baseline_right = inner.integer("only_baseline_right");
  pairs.only_candidate_right = inner.integer("only_candidate_right");
  pairs.both_wrong = inner.integer("both_wrong");
  return inner.finish();
}

} // namespace

Result<GuardrailOptions> GuardrailOptions::parse(std::string_view text, const std::string& subject) {
  const auto read_all = [](ObjectReader& object) -> Result<GuardrailOptions> {
    GuardrailOptions options;
    options.alpha = object.number("alpha", options.alpha);
    MCOMP_CHECK(read_rule(object, "pairs", options.pairs));
    MCOMP_CHECK(read_rule(object, "latency", options.latency));
    MCOMP_CHECK(read_rule(object, "accuracy", options.accuracy));
    MCOMP_CHECK(read_rule(object, "accuracy_floor", options.accuracy_floor));
    MCOMP_CHECK(read_rule(object, "confidence", options.confidence));
    MCOMP_CHECK(read_rule(object, "satisfaction", options.satisfaction));
    MCOMP_CHECK(read_rule(object, "satisfaction_floor", options.satisfaction_floor));
    MCOMP_CHECK(read_rule(object, "anomaly", options.anomaly));
    MCOMP_CHECK(read_options(object, "burn", options.burn));
    MCOMP_CHECK(read_options(object, "heartbeat", options.heartbeat));
    return options;
  };
  return detail::parse_as(text, subject, options_schema, read_all, [](const GuardrailOptions& options) -> Status {
    MCOMP_CHECK(Guardrail::create(options));
    return {};
  });
}

std::string to_json(const GuardrailOptions& options) {
  Json json = {{"schema", options_schema}, {"alpha", options.alpha}};
  const auto add = [&](const char* key, const auto& rule) {
    if (rule) json[key] = json_of(*rule);
  };
  add("pairs", options.pairs);
  add("latency", options.latency);
  add("accuracy", options.accuracy);
  add("accuracy_floor", options.accuracy_floor);
  add("confidence", options.confidence);
  add("satisfaction", options.satisfaction);
  add("satisfaction_floor", options.satisfaction_floor);
  add("anomaly", options.anomaly);
  if (options.burn) json["burn"] = Json::parse(monitor::to_json(*options.burn));
  if (options.heartbeat) json["heartbeat"] = Json::parse(monitor::to_json(*options.heartbeat));
  return detail::dumped(json);
}

Result<GuardrailCounts> GuardrailCounts::parse(std::string_view text, const std::string& subject) {
  const auto read_all = [](ObjectReader& object) -> Result<GuardrailCounts> {
    GuardrailCounts counts;
    counts.time = object.number("time", 0);
    MCOMP_CHECK(read_pairs(object, counts.pairs));
    counts.requests = object.integer("requests", 0);
    counts.slow = object.integer("slow", 0);
    counts.failed = object.integer("failed", 0);
    counts.anomalous = object.integer("anomalous", 0);
    MCOMP_CHECK(read_counts(object, "baseline", counts.baseline));
    MCOMP_CHECK(read_counts(object, "candidate", counts.candidate));
    MCOMP_CHECK(read_counts(object, "baseline_users", counts.baseline_users));
    MCOMP_CHECK(read_counts(object, "candidate_users", counts.candidate_users));
    counts.estimates = object.integer("estimates", 0);
    counts.confidence = object.number("confidence", 0);
    counts.beat = object.boolean("beat", false);
    return counts;
  };
  return detail::parse_as(text, subject, counts_schema, read_all,
                          [](const GuardrailCounts& counts) { return counts.check(); });
}

std::string to_json(const GuardrailCounts& counts) {
  Json json = {{"schema", counts_schema}, {"time", counts.time}};
  if (counts.pairs != stats::PairedCounts())
    json["pairs"] = {{"both_right", counts.pairs.both_right},
                     {"only_baseline_right", counts.pairs.only_baseline_right},
                     {"only_candidate_right", counts.pairs.only_candidate_right},
                     {"both_wrong", counts.pairs.both_wrong}};
  json.update({{"requests", counts.requests},
               {"slow", counts.slow},
               {"failed", counts.failed},
               {"anomalous", counts.anomalous}});
  const auto add = [&](const char* key, const stats::SuccessCounts& group) {
    if (group != stats::SuccessCounts()) json[key] = json_of(group);
  };
  add("baseline", counts.baseline);
  add("candidate", counts.candidate);
  add("baseline_users", counts.baseline_users);
  add("candidate_users", counts.candidate_users);
  json.update({{"estimates", counts.estimates}, {"confidence", counts.confidence}, {"beat", counts.beat}});
  return detail::dumped(json);
}

} // namespace mcomp::inline v0::rollout
