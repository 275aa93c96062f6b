#include <limits>

#include "core/json.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/evaluation.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

constexpr const char* schema = "mcomp-evaluation-1";

// --- Writing: what is absent has no key.

Json json(double value) {
  return value;
}
Json json(std::int64_t value) {
  return value;
}
Json json(std::int32_t value) {
  return value;
}
Json json(const stats::PairedCounts& counts) {
  return {{"both_right", counts.both_right},
          {"only_baseline_right", counts.only_baseline_right},
          {"only_candidate_right", counts.only_candidate_right},
          {"both_wrong", counts.both_wrong}};
}
Json json(const stats::Interval& interval) {
  return {{"lower", interval.lower}, {"upper", interval.upper}, {"level", interval.level}};
}

Json json(const Increase& increase);
Json json(const stats::QuantileEstimate& q);
Json json(const stats::LatencySummary& latency);

template <class T> void put(Json& object, const char* key, const std::optional<T>& value) {
  if (value) object[key] = json(*value);
}

Json json(const Increase& increase) {
  Json object{{"value", increase.value}};
  put(object, "interval", increase.interval);
  return object;
}
Json json(const stats::QuantileEstimate& q) {
  Json object{{"probability", q.probability}, {"value", q.value}};
  put(object, "lower", q.lower);
  put(object, "upper", q.upper);
  object["level"] = q.level;
  object["count"] = q.count;
  return object;
}
Json json(const stats::LatencySummary& latency) {
  return {{"count", latency.count},
          {"mean", latency.mean},
          {"p50", json(latency.p50)},
          {"p95", json(latency.p95)},
          {"p99", json(latency.p99)}};
}
Json json(const SliceEvidence& slice) {
  Json object{{"name", slice.name}, {"accuracy", json(slice.accuracy)}, {"changed", slice.changed}};
  put(object, "baseline_ece", slice.baseline_ece);
  put(object, "candidate_ece", slice.candidate_ece);
  put(object, "ece_increase", slice.ece_increase);
  put(object, "baseline_loss", slice.baseline_loss);
  put(object, "candidate_loss", slice.candidate_loss);
  put(object, "loss_increase", slice.loss_increase);
  put(object, "baseline_latency_seconds", slice.baseline_latency);
  put(object, "candidate_latency_seconds", slice.candidate_latency);
  return object;
}
Json json(const FairnessEvidence& fairness) {
  Json object{{"dimension", fairness.dimension}};
  put(object, "baseline_demographic_parity", fairness.baseline_demographic_parity);
  put(object, "candidate_demographic_parity", fairness.candidate_demographic_parity);
  put(object, "baseline_equalized_odds", fairness.baseline_equalized_odds);
  put(object, "candidate_equalized_odds", fairness.candidate_equalized_odds);
  put(object, "demographic_parity_increase", fairness.demographic_parity_increase);
  put(object, "equalized_odds_increase", fairness.equalized_odds_increase);
  put(object, "disparate_flip_ratio", fairness.disparate_flip_ratio);
  put(object, "disparate_flip_interval", fairness.disparate_flip_interval);
  object["worst_flip_group"] = fairness.worst_flip_group;
  return object;
}
Json json(const Evidence& evidence) {
  Json object = Json::object();
  put(object, "accuracy", evidence.accuracy);
  put(object, "baseline_latency_seconds", evidence.baseline_latency);
  put(object, "candidate_latency_seconds", evidence.candidate_latency);
  put(object, "paired_speedup", evidence.paired_speedup);
  put(object, "baseline_bytes", evidence.baseline_bytes);
  put(object, "candidate_bytes", evidence.candidate_bytes);
  put(object, "baseline_ece", evidence.baseline_ece);
  put(object, "candidate_ece", evidence.candidate_ece);
  put(object, "ece_increase", evidence.ece_increase);
  put(object, "baseline_monthly_cost", evidence.baseline_monthly_cost);
  put(object, "candidate_monthly_cost", evidence.candidate_monthly_cost);
  put(object, "baseline_memory_bytes", evidence.baseline_memory_bytes);
  put(object, "candidate_memory_bytes", evidence.candidate_memory_bytes);
  put(object, "baseline_loss", evidence.baseline_loss);
  put(object, "candidate_loss", evidence.candidate_loss);
  put(object, "loss_increase", evidence.loss_increase);
  object["slices"] = Json::array();
  for (const SliceEvidence& slice : evidence.slices) object["slices"].push_back(json(slice));
  object["fairness"] = Json::array();
  for (const FairnessEvidence& fairness : evidence.fairness) object["fairness"].push_back(json(fairness));
  return object;
}
Json json(const ResourceUse& use) {
  Json object{{"latency_seconds", json(use.latency)}, {"processor_seconds", use.processor_seconds}};
  object["stages"] = Json::array();
  for (const auto& [name, latency] : use.stages)
    object["stages"].push_back({{"name", name}, {"latency_seconds", json(latency)}});
  return object;
}
Json json(const Exemplar& e) {
  Json object{{"row", e.row}, {"label", e.label}};
  put(object, "baseline_class", e.baseline_class);
  put(object, "candidate_class", e.candidate_class);
  put(object, "baseline_confidence", e.baseline_confidence);
  put(object, "candidate_confidence", e.candidate_confidence);
  put(object, "loss_increase", e.loss_increase);
  object["slices"] = e.slices;
  return object;
}

// --- Reading: every reader of an object ends in `finish`, so that unknown keys are found.

/// A member of `reader` that may be absent.
template <class T, class Read>
void maybe(ObjectReader& reader, const char* key, std::optional<T>& into, const Read& read) {
  const Json* child = reader.child(key);
  if (!child) return;
  auto value = read(*child, reader.where(key));
  if (value)
    into = *std::move(value);
  else
    reader.fail(value.error());
}
template <class T, class Read> void must(ObjectReader& reader, const char* key, T& into, const Read& read) {
  std::optional<T> value;
  maybe(reader, key, value, read);
  if (value)
    into = *std::move(value);
  else
    reader.fail(key, "it is missing or wrong", "write the file anew");
}
void maybe(ObjectReader& reader, const char* key, std::optional<double>& into) {
  if (reader.has(key)) into = reader.number(key);
}
void maybe(ObjectReader& reader, const char* key, std::optional<std::int64_t>& into) {
  if (reader.has(key)) into = reader.integer(key);
}
void maybe(ObjectReader& reader, const char* key, std::optional<std::int32_t>& into) {
  if (!reader.has(key)) return;
  const std::int64_t value = reader.integer(key);
  if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max())
    return reader.fail(key, fmt::format("{} is no 32-bit number", value), "write the file anew");
  into = static_cast<std::int32_t>(value);
}
template <class T, class Read>
void list(ObjectReader& reader, const char* key, std::vector<T>& into, const Read& read) {
  std::size_t index = 0;
  for (const Json& item : reader.array(key)) {
    auto value = read(item, fmt::format("{} {}", reader.where(key), index++));
    if (!value) return reader.fail(value.error());
    into.push_back(*std::move(value));
  }
}

Result<stats::PairedCounts> read_counts(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  stats::PairedCounts counts;
  counts.both_right = reader.integer("both_right");
  counts.only_baseline_right = reader.integer("only_baseline_right");
  counts.only_candidate_right = reader.integer("only_candidate_right");
  counts.both_wrong = reader.integer("both_wrong");
  MCOMP_CHECK(reader.finish());
  return counts;
}
Result<stats::Interval> read_interval(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  stats::Interval interval;
  interval.lower = reader.number("lower");
  interval.upper = reader.number("upper");
  interval.level = reader.number("level");
  MCOMP_CHECK(reader.finish());
  return interval;
}
Result<Increase> read_increase(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  Increase increase;
  increase.value = reader.number("value");
  maybe(reader, "interval", increase.interval, read_interval);
  MCOMP_CHECK(reader.finish());
  return increase;
}
Result<stats::QuantileEstimate> read_quantile(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  stats::QuantileEstimate q;
  q.probability = reader.number("probability");
  q.value = reader.number("value");
  maybe(reader, "lower", q.lower);
  maybe(reader, "upper", q.upper);
  q.level = reader.number("level");
  q.count = reader.integer("count");
  MCOMP_CHECK(reader.finish());
  return q;
}
Result<stats::LatencySummary> read_latency(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  stats::LatencySummary latency;
  latency.count = reader.integer("count");
  latency.mean = reader.number("mean");
  must(reader, "p50", latency.p50, read_quantile);
  must(reader, "p95", latency.p95, read_quantile);
  must(reader, "p99", latency.p99, read_quantile);
  MCOMP_CHECK(reader.finish());
  return latency;
}
Result<SliceEvidence> read_slice(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  SliceEvidence slice;
  slice.name = reader.text("name");
  must(reader, "accuracy", slice.accuracy, read_counts);
  slice.changed = reader.integer("changed");
  maybe(reader, "baseline_ece", slice.baseline_ece);
  maybe(reader, "candidate_ece", slice.candidate_ece);
  maybe(reader, "ece_increase", slice.ece_increase, read_increase);
  maybe(reader, "baseline_loss", slice.baseline_loss);
  maybe(reader, "candidate_loss", slice.candidate_loss);
  maybe(reader, "loss_increase", slice.loss_increase, read_increase);
  maybe(reader, "baseline_latency_seconds", slice.baseline_latency, read_latency);
  maybe(reader, "candidate_latency_seconds", slice.candidate_latency, read_latency);
  MCOMP_CHECK(reader.finish());
  return slice;
}
Result<FairnessEvidence> read_fairness(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  FairnessEvidence fairness;
  fairness.dimension = reader.text("dimension");
  maybe(reader, "baseline_demographic_parity", fairness.baseline_demographic_parity);
  maybe(reader, "candidate_demographic_parity", fairness.candidate_demographic_parity);
  maybe(reader, "baseline_equalized_odds", fairness.baseline_equalized_odds);
  maybe(reader, "candidate_equalized_odds", fairness.candidate_equalized_odds);
  maybe(reader, "demographic_parity_increase", fairness.demographic_parity_increase, read_increase);
  maybe(reader, "equalized_odds_increase", fairness.equalized_odds_increase, read_increase);
  maybe(reader, "disparate_flip_ratio", fairness.disparate_flip_ratio);
  maybe(reader, "disparate_flip_interval", fairness.disparate_flip_interval, read_interval);
  fairness.worst_flip_group = reader.text("worst_flip_group");
  MCOMP_CHECK(reader.finish());
  return fairness;
}
Result<Evidence> read_evidence(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  Evidence evidence;
  maybe(reader, "accuracy", evidence.accuracy, read_counts);
  maybe(reader, "baseline_latency_seconds", evidence.baseline_latency, read_latency);
  maybe(reader, "candidate_latency_seconds", evidence.candidate_latency, read_latency);
  maybe(reader, "paired_speedup", evidence.paired_speedup, read_quantile);
  maybe(reader, "baseline_bytes", evidence.baseline_bytes);
  maybe(reader, "candidate_bytes", evidence.candidate_bytes);
  maybe(reader, "baseline_ece", evidence.baseline_ece);
  maybe(reader, "candidate_ece", evidence.candidate_ece);
  maybe(reader, "ece_increase", evidence.ece_increase, read_increase);
  maybe(reader, "baseline_monthly_cost", evidence.baseline_monthly_cost);
  maybe(reader, "candidate_monthly_cost", evidence.candidate_monthly_cost);
  maybe(reader, "baseline_memory_bytes", evidence.baseline_memory_bytes);
  maybe(reader, "candidate_memory_bytes", evidence.candidate_memory_bytes);
  maybe(reader, "baseline_loss", evidence.baseline_loss);
  maybe(reader, "candidate_loss", evidence.candidate_loss);
  maybe(reader, "loss_increase", evidence.loss_increase, read_increase);
  list(reader, "slices", evidence.slices, read_slice);
  list(reader, "fairness", evidence.fairness, read_fairness);
  MCOMP_CHECK(reader.finish());
  return evidence;
}
Result<std::pair<std::string, stats::LatencySummary>> read_stage(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  std::pair<std::string, stats::LatencySummary> stage;
  stage.first = reader.text("name");
  must(reader, "latency_seconds", stage.second, read_latency);
  MCOMP_CHECK(reader.finish());
  return stage;
}
Result<ResourceUse> read_use(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  ResourceUse use;
  must(reader, "latency_seconds", use.latency, read_latency);
  use.processor_seconds = reader.number("processor_seconds");
  list(reader, "stages", use.stages, read_stage);
  MCOMP_CHECK(reader.finish());
  return use;
}
Result<Exemplar> read_exemplar(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  Exemplar e;
  e.row = reader.integer("row");
  e.label = reader.integer("label");
  maybe(reader, "baseline_class", e.baseline_class);
  maybe(reader, "candidate_class", e.candidate_class);
  maybe(reader, "baseline_confidence", e.baseline_confidence);
  maybe(reader, "candidate_confidence", e.candidate_confidence);
  maybe(reader, "loss_increase", e.loss_increase);
  e.slices = reader.texts("slices");
  MCOMP_CHECK(reader.finish());
  return e;
}
Result<Check> read_check(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  Check check;
  check.name = reader.text("name");
  const std::string outcome = reader.text("outcome");
  check.sentence = reader.text("sentence");
  if (const Json* numbers = reader.child("numbers"); numbers && numbers->is_object()) {
    for (const auto& [name, value] : numbers->items()) {
      if (!value.is_number())
        reader.fail("numbers", fmt::format("'{}' is no number", name), "write the file anew");
      else
        check.numbers.push_back({name, value.get<double>()});
    }
  } else {
    reader.fail("numbers", "an object is needed", "write the file anew");
  }
  MCOMP_CHECK(reader.finish());
  for (const Outcome known : {Outcome::pass, Outcome::fail, Outcome::insufficient_data})
    if (outcome == to_string(known)) {
      check.outcome = known;
      return check;
    }
  return Error(ErrorCode::corrupt, where, fmt::format("'{}' is no outcome", outcome), "write the file anew");
}
Result<Verdict> read_verdict(const Json& object, const std::string& where) {
  ObjectReader reader(object, where);
  Verdict verdict;
  const std::string outcome = reader.text("outcome");
  list(reader, "checks", verdict.checks, read_check);
  MCOMP_CHECK(reader.finish());
  for (const Outcome known : {Outcome::pass, Outcome::fail, Outcome::insufficient_data})
    if (outcome == to_string(known)) {
      verdict.outcome = known;
      return verdict;
    }
  return Error(ErrorCode::corrupt, where, fmt::format("'{}' is no outcome", outcome), "write the file anew");
}
Result<Criteria> read_criteria(const Json& object, const std::string& where) {
  return criteria_from_json(object.dump(-1, ' ', false, Json::error_handler_t::replace), where);
}

} // namespace

std::string to_json(const Evaluation& e) {
  Json object{{"schema", schema},
              {"baseline", e.baseline},
              {"candidate", e.candidate},
              {"suite", e.suite},
              {"suite_version", e.suite_version},
              {"suite_fingerprint", e.suite_fingerprint},
              {"suite_versions", e.suite_versions},
              {"rows", e.rows},
              {"library_version", e.library_version},
              {"criteria", Json::parse(to_json(e.criteria), nullptr, false)},
              {"verdict", Json::parse(to_json(e.verdict), nullptr, false)},
              {"evidence", json(e.evidence)}};
  if (e.baseline_use) object["baseline_use"] = json(*e.baseline_use);
  if (e.candidate_use) object["candidate_use"] = json(*e.candidate_use);
  object["exemplars"] = Json::array();
  for (const Exemplar& exemplar : e.exemplars) object["exemplars"].push_back(json(exemplar));
  // Names are the caller's and may hold any bytes; what is not UTF-8 is replaced rather than thrown over.
  return object.dump(1, ' ', false, Json::error_handler_t::replace);
}

Result<Evaluation> evaluation_from_json(std::string_view text, const std::string& subject) {
  MCOMP_TRY(document, mcomp::detail::parse_json(text, subject));
  ObjectReader reader(document, subject);
  if (const std::string found = reader.text("schema", ""); document.is_object() && found != schema)
    return Error(ErrorCode::version_mismatch, subject,
                 fmt::format("its schema is '{}', '{}' is read here", found, schema),
                 "write it with this version of the library");
  Evaluation e;
  e.baseline = reader.text("baseline");
  e.candidate = reader.text("candidate");
  e.suite = reader.text("suite");
  e.suite_version = reader.text("suite_version");
  e.suite_fingerprint = reader.text("suite_fingerprint");
  if (const Json* versions = reader.child("suite_versions"); versions && versions->is_object()) {
    for (const auto& [name, value] : versions->items())
      if (value.is_string())
        e.suite_versions[name] = value.get<std::string>();
      else
        reader.fail("suite_versions", fmt::format("'{}' is no text", name), "write the file anew");
  } else {
    reader.fail("suite_versions", "an object is needed", "write the file anew");
  }
  e.rows = reader.integer("rows");
  e.library_version = reader.text("library_version");
  must(reader, "criteria", e.criteria, read_criteria);
  must(reader, "verdict", e.verdict, read_verdict);
  must(reader, "evidence", e.evidence, read_evidence);
  maybe(reader, "baseline_use", e.baseline_use, read_use);
  maybe(reader, "candidate_use", e.candidate_use, read_use);
  list(reader, "exemplars", e.exemplars, read_exemplar);
  MCOMP_CHECK(reader.finish());
  return e;
}

} // namespace mcomp::inline v0::evaluate
