#include <array>
#include <cmath>
#include <limits>

#include "core/json_schema.hpp"
#include "mcomp/monitor/metrics_text.hpp"

namespace mcomp::inline v0::monitor {

namespace {

using mcomp::detail::dumped;
using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

constexpr const char* schema = "mcomp-metrics-1";

Json json_of(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return value;
}

double read_number(ObjectReader& object, const char* key) {
  const Json* value = object.child(key);
  if (!value || !value->is_string()) return object.number(key);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (*value == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (*value == "+Inf") return infinity;
  if (*value == "-Inf") return -infinity;
  object.fail(key, "a number is needed", R"(write a number, "NaN", "+Inf" or "-Inf")");
  return 0;
}

std::optional<double> read_timestamp(ObjectReader& object) {
  if (!object.has("timestamp")) return std::nullopt;
  return object.number("timestamp");
}

/// Pairs, since the order of labels is a part of the value.
Json json_of(const MetricLabels& labels) {
  Json json = Json::array();
  for (const auto& [name, value] : labels) json.push_back({name, value});
  return json;
}

MetricLabels read_labels(ObjectReader& object) {
  MetricLabels labels;
  if (!object.has("labels")) return labels;
  for (const Json& pair : object.array("labels")) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
      object.fail("labels", "a label is a pair of texts", R"(write [["name", "value"], ...])");
      return labels;
    }
    labels.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
  }
  return labels;
}

Json json_of(const MetricSample& sample) {
  Json json = Json::object();
  if (!sample.suffix.empty()) json["suffix"] = sample.suffix;
  if (!sample.labels.empty()) json["labels"] = json_of(sample.labels);
  json["value"] = json_of(sample.value);
  if (sample.timestamp) json["timestamp"] = *sample.timestamp;
  if (const auto& exemplar = sample.exemplar) {
    Json one = {{"labels", json_of(exemplar->labels)}, {"value", json_of(exemplar->value)}};
    if (exemplar->timestamp) one["timestamp"] = *exemplar->timestamp;
    json["exemplar"] = std::move(one);
  }
  return json;
}

Result<MetricSample> read_sample(const Json& json, const std::string& where) {
  ObjectReader object(json, where);
  MetricSample sample;
  sample.suffix = object.text("suffix", "");
  sample.labels = read_labels(object);
  sample.value = read_number(object, "value");
  sample.timestamp = read_timestamp(object);
  if (const Json* exemplar = object.child("exemplar")) {
    ObjectReader inner(*exemplar, object.where("exemplar"));
    MetricExemplar one;
    one.labels = read_labels(inner);
    one.value = read_number(inner, "value");
    one.timestamp = read_timestamp(inner);
    MCOMP_CHECK(inner.finish());
    sample.exemplar = std::move(one);
  }
  MCOMP_CHECK(object.finish());
  return sample;
}

constexpr std::array<MetricType, 8> types = {MetricType::unknown,        MetricType::gauge,  MetricType::counter,
                                             MetricType::stateset,       MetricType::info,   MetricType::histogram,
                                             MetricType::gaugehistogram, MetricType::summary};

Result<MetricFamily> read_family(const Json& json, const std::string& where) {
  ObjectReader object(json, where);
  MetricFamily family;
  family.name = object.text("name");
  const std::string type = object.text("type", "unknown");
  bool known = false;
  for (const MetricType one : types)
    if (to_string(one) == type) family.type = one, known = true;
  if (!known) object.fail("type", "\"" + type + "\" is none", "write a type of OpenMetrics, such as \"counter\"");
  family.unit = object.text("unit", "");
  family.help = object.text("help", "");
  for (const Json& sample : object.array("samples")) {
    MCOMP_TRY(one, read_sample(sample, fmt::format("{}: {}", object.where("samples"), family.samples.size())));
    family.samples.push_back(std::move(one));
  }
  MCOMP_CHECK(object.finish());
  return family;
}

} // namespace

Result<std::string> to_json(std::span<const MetricFamily> families) {
  // What is no page of metrics is not written as one either.
  MCOMP_CHECK(to_open_metrics(families));
  Json list = Json::array();
  for (const MetricFamily& family : families) {
    Json json = {{"name", family.name}, {"type", to_string(family.type)}};
    if (!family.unit.empty()) json["unit"] = family.unit;
    if (!family.help.empty()) json["help"] = family.help;
    json["samples"] = Json::array();
    for (const MetricSample& sample : family.samples) json["samples"].push_back(json_of(sample));
    list.push_back(std::move(json));
  }
  return dumped({{"schema", schema}, {"families", list}});
}

Result<std::vector<MetricFamily>> parse_metrics_json(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<std::vector<MetricFamily>> {
    std::vector<MetricFamily> families;
    for (const Json& family : object.array("families")) {
      MCOMP_TRY(one, read_family(family, fmt::format("{}: {}", object.where("families"), families.size())));
      families.push_back(std::move(one));
    }
    return families;
  };
  return mcomp::detail::parse_as(text, subject, schema, read, [](const std::vector<MetricFamily>& families) -> Status {
    MCOMP_CHECK(to_open_metrics(families));
    return {};
  });
}

} // namespace mcomp::inline v0::monitor
