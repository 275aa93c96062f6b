#include "mcomp/catalog/exports.hpp"

#include <algorithm>
#include <cmath>

#include "catalog/canonical.hpp"
#include "catalog/document_text.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::catalog {

namespace {

using detail::Json;
using detail::plain;
using detail::timestamp;

Error bad(const std::string& subject, const std::string& rule, const char* remedy) {
  return Error(ErrorCode::invalid_argument, subject, rule, remedy);
}

constexpr std::int64_t end_of_9999 = 253'402'300'799;

Status check_time(std::int64_t seconds) {
  if (seconds >= 0 && seconds <= end_of_9999) return {};
  return bad("time", fmt::format("{} is not within the years 1970 to 9999", seconds), "pass seconds since 1970");
}

Status check(const ArtifactDescription& a) {
  if (!is_digest(a.id)) return bad("id", fmt::format("'{}' is no digest", a.id), "pass what `publish` returned");
  if (a.manifest.name.empty()) return bad("manifest", "it has no name", "pass the artifact's own manifest");
  if (a.version.empty()) return bad("version", "it is empty", "pass for example \"1\"");
  for (const DescribedMetric& metric : a.metrics) {
    if (metric.name.empty()) return bad("metrics", "one has no name", "name it");
    if (metric.lower.has_value() != metric.upper.has_value())
      return bad(fmt::format("metric '{}'", metric.name), "it has half an interval", "give both ends or neither");
    for (const double number : {metric.value, metric.lower.value_or(0), metric.upper.value_or(0)})
      if (!std::isfinite(number))
        return Error(ErrorCode::invalid_value, fmt::format("metric '{}'", metric.name), "it is not finite",
                     "leave it out");
  }
  return check_time(a.time);
}

/// The 64 digits of a fingerprint, with or without "sha256:" before them; empty for another kind.
std::string hex_of(std::string_view fingerprint) {
  if (is_digest(fingerprint)) return std::string(fingerprint.substr(7));
  return is_digest("sha256:" + std::string(fingerprint)) ? std::string(fingerprint) : std::string();
}

/// Text of a finished document; checks that all of it is UTF-8.
Result<std::string> document(const Json& root) {
  MCOMP_TRY(canonical, detail::canonical_text(root));
  static_cast<void>(canonical);
  return root.dump(2) + "\n";
}

/// Shortest text that reads back as the same number.
std::string number(double value) {
  return fmt::format("{}", value);
}

Json hashes(const std::string& hex) {
  return Json::array({{{"alg", "SHA-256"}, {"content", hex}}});
}

Json property(const std::string& name, const std::string& value) {
  return {{"name", name}, {"value", value}};
}

/// A version 8 UUID (RFC 9562) of bytes that belong to the document, so that the same document has the same one.
std::string uuid_of(std::string_view bytes) {
  std::string hex = sha256(bytes).substr(0, 32);
  hex[12] = '8';
  hex[16] = "89ab"[static_cast<std::size_t>(hex[16] % 4)];
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                     hex.substr(20, 12));
}

Json metric_json(const DescribedMetric& metric) {
  Json json = {{"name", metric.name}, {"value", metric.value}};
  if (metric.lower) json["interval"] = {*metric.lower, *metric.upper};
  if (!metric.slice.empty()) json["slice"] = metric.slice;
  return json;
}

std::int64_t total_bytes(const ArtifactManifest& manifest) {
  std::int64_t bytes = 0;
  for (const ArtifactPart& part : manifest.parts) bytes += part.blob.size;
  return bytes;
}

} // namespace

Result<std::string> to_model_card_json(const ArtifactDescription& a) {
  MCOMP_CHECK(check(a));
  Json root = {{"schema", "mcomp-model-card-1"},
               {"artifact", a.id},
               {"name", a.manifest.name},
               {"version", a.version},
               {"time", timestamp(a.time)}};
  for (const auto& [key, value] :
       {std::pair("owner", &a.owner), std::pair("licence", &a.licence), std::pair("task", &a.task),
        std::pair("architecture", &a.architecture), std::pair("intended_use", &a.intended_use),
        std::pair("baseline", &a.manifest.baseline), std::pair("library_version", &a.manifest.library_version)})
    if (!value->empty()) root[key] = *value;
  root["limitations"] = a.limitations;
  root["considerations"] = a.considerations;
  root["metrics"] = Json::array();
  for (const DescribedMetric& metric : a.metrics) root["metrics"].push_back(metric_json(metric));
  root["files"] = Json::array();
  for (const ArtifactPart& part : a.manifest.parts)
    root["files"].push_back({{"role", to_string(part.role)},
                             {"name", part.title},
                             {"digest", part.blob.digest},
                             {"bytes", part.blob.size}});
  root["data"] = a.manifest.data;
  root["hardware"] = {{"instruction_sets", a.manifest.hardware.instruction_sets},
                      {"precision", a.manifest.hardware.precision},
                      {"memory_bytes", a.manifest.hardware.memory_bytes}};
  root["seed"] = a.manifest.seed;
  root["details"] = a.details;
  return document(root);
}

Result<std::string> to_model_card(const ArtifactDescription& a) {
  MCOMP_TRY(json, to_model_card_json(a)); // the same checks, of the text too
  static_cast<void>(json);
  std::string text = fmt::format("# {}\n\n## Model details\n\n", plain(a.manifest.name));
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format("- {}: {}\n", name, value);
  };
  line("Version", plain(a.version));
  line("Artifact", "`" + a.id + "`");
  line("Date", timestamp(a.time));
  line("Owner", plain(a.owner));
  line("Licence", plain(a.licence));
  line("Task", plain(a.task));
  line("Architecture", plain(a.architecture));
  line("Precision", plain(a.manifest.hardware.precision));
  line("Size", fmt::format("{} bytes", total_bytes(a.manifest)));
  line("Compressed from", plain(a.manifest.baseline));
  line("Made with", a.manifest.library_version.empty() ? "" : "mcomp " + plain(a.manifest.library_version));
  std::string sets;
  for (const std::string& name : a.manifest.hardware.instruction_sets) sets += (sets.empty() ? "" : ", ") + name;
  line("Needs", plain(sets));
  if (a.manifest.hardware.memory_bytes > 0)
    line("Memory", fmt::format("{} bytes while it runs", a.manifest.hardware.memory_bytes));
  for (const auto& [name, value] : a.details) text += fmt::format("- {}: {}\n", plain(name), plain(value));
  if (!a.intended_use.empty()) text += fmt::format("\n## Intended use\n\n{}\n", plain(a.intended_use));
  if (!a.metrics.empty()) {
    text += "\n## Metrics\n\n| metric | slice | value | interval |\n| --- | --- | --- | --- |\n";
    for (const DescribedMetric& m : a.metrics)
      text += fmt::format("| {} | {} | {} | {} |\n", plain(m.name), m.slice.empty() ? "all" : plain(m.slice),
                          number(m.value), m.lower ? fmt::format("{} to {}", *m.lower, *m.upper) : "");
  }
  if (!a.manifest.data.empty()) {
    text += "\n## Data\n\n| used for | fingerprint |\n| --- | --- |\n";
    for (const auto& [use, fingerprint] : a.manifest.data)
      text += fmt::format("| {} | {} |\n", plain(use), plain(fingerprint));
  }
  const auto list = [&](const char* title, const std::vector<std::string>& items) {
    if (items.empty()) return;
    text += fmt::format("\n## {}\n\n", title);
    for (const std::string& item : items) text += fmt::format("- {}\n", plain(item));
  };
  list("Ethical considerations", a.considerations);
  list("Caveats and limitations", a.limitations);
  text += "\n## Files\n\n| role | name | bytes | digest |\n| --- | --- | --- | --- |\n";
  for (const ArtifactPart& part : a.manifest.parts)
    text += fmt::format("| {} | {} | {} | `{}` |\n", part.role, plain(part.title), part.blob.size, part.blob.digest);
  return text;
}

Result<std::string> to_cyclonedx(const ArtifactDescription& a) {
  MCOMP_CHECK(check(a));
  const ArtifactManifest& m = a.manifest;
  Json parameters = {{"approach", {{"type", "supervised"}}}};
  if (!a.task.empty()) parameters["task"] = a.task;
  if (!a.architecture.empty()) parameters["modelArchitecture"] = a.architecture;
  Json card = {{"modelParameters", std::move(parameters)}};
  if (!a.metrics.empty()) {
    Json metrics = Json::array();
    for (const DescribedMetric& metric : a.metrics) {
      Json json = {{"type", metric.name}, {"value", number(metric.value)}};
      if (!metric.slice.empty()) json["slice"] = metric.slice;
      if (metric.lower)
        json["confidenceInterval"] = {{"lowerBound", number(*metric.lower)}, {"upperBound", number(*metric.upper)}};
      metrics.push_back(std::move(json));
    }
    card["quantitativeAnalysis"] = {{"performanceMetrics", std::move(metrics)}};
  }
  Json considerations = Json::object();
  if (!a.intended_use.empty()) considerations["useCases"] = Json::array({a.intended_use});
  if (!a.limitations.empty()) considerations["technicalLimitations"] = a.limitations;
  for (const std::string& name : a.considerations) considerations["ethicalConsiderations"].push_back({{"name", name}});
  if (!considerations.empty()) card["considerations"] = std::move(considerations);

  Json model = {{"type", "machine-learning-model"}, {"bom-ref", "model"}, {"name", m.name}, {"version", a.version}};
  if (!a.owner.empty()) model["authors"] = Json::array({{{"name", a.owner}}});
  model["hashes"] = hashes(hex_of(a.id));
  if (!a.licence.empty()) model["licenses"] = Json::array({{{"license", {{"id", a.licence}}}}});
  model["modelCard"] = std::move(card);
  Json properties = Json::array({property("mcomp:artifact", a.id), property("mcomp:seed", fmt::format("{}", m.seed))});
  if (!m.hardware.precision.empty()) properties.push_back(property("mcomp:precision", m.hardware.precision));
  for (const std::string& set : m.hardware.instruction_sets)
    properties.push_back(property("mcomp:instruction-set", set));
  if (!m.device_profile.empty()) properties.push_back(property("mcomp:device-profile", m.device_profile));
  if (!m.instruction_set_cap.empty())
    properties.push_back(property("mcomp:instruction-set-cap", m.instruction_set_cap));
  for (const auto& [name, value] : a.details) properties.push_back(property(name, value));
  model["properties"] = std::move(properties);

  Json components = Json::array(), needs = Json::array(), dependencies = Json::array();
  const auto add = [&](Json component) {
    needs.push_back(component["bom-ref"]);
    components.push_back(std::move(component));
  };
  if (!m.baseline.empty()) {
    Json baseline = {{"type", "machine-learning-model"}, {"bom-ref", "baseline"}, {"name", m.name + " baseline"}};
    if (const std::string hex = hex_of(m.baseline); !hex.empty()) baseline["hashes"] = hashes(hex);
    baseline["properties"] = Json::array({property("mcomp:fingerprint", m.baseline)});
    add(std::move(baseline));
  }
  for (const auto& [use, fingerprint] : m.data) {
    Json data = {{"type", "data"},
                 {"bom-ref", "data:" + use},
                 {"name", use},
                 {"data", Json::array({{{"type", "dataset"}, {"name", use}}})}};
    if (const std::string hex = hex_of(fingerprint); !hex.empty()) data["hashes"] = hashes(hex);
    data["properties"] = Json::array({property("mcomp:fingerprint", fingerprint)});
    add(std::move(data));
  }
  for (const ArtifactPart& part : m.parts)
    add({{"type", "file"},
         {"bom-ref", "file:" + part.title},
         {"name", part.title},
         {"hashes", hashes(hex_of(part.blob.digest))},
         {"properties", Json::array({property("mcomp:role", to_string(part.role)),
                                     property("mcomp:bytes", fmt::format("{}", part.blob.size))})}});
  dependencies.push_back({{"ref", "model"}, {"dependsOn", needs}});
  for (const Json& name : needs) dependencies.push_back({{"ref", name}});

  Json metadata = {
      {"timestamp", timestamp(a.time)},
      {"tools",
       {{"components", Json::array({{{"type", "library"},
                                     {"name", "mcomp"},
                                     {"version", m.library_version.empty() ? "unknown" : m.library_version}}})}}},
      {"component", std::move(model)}};
  Json root = {{"$schema", "http://cyclonedx.org/schema/bom-1.6.schema.json"},
               {"bomFormat", "CycloneDX"},
               {"specVersion", "1.6"},
               {"serialNumber", ""},
               {"version", 1},
               {"metadata", std::move(metadata)},
               {"components", std::move(components)},
               {"dependencies", std::move(dependencies)}};
  MCOMP_TRY(content, detail::canonical_text(root));
  root["serialNumber"] = "urn:uuid:" + uuid_of(content);
  return document(root);
}

Result<std::string> to_provenance(const ArtifactDescription& a, const ProvenanceOptions& options) {
  MCOMP_CHECK(check(a));
  const auto colon = options.builder.find(':');
  if (colon == std::string::npos || colon == 0 || options.builder.find(' ') != std::string::npos)
    return bad("builder", fmt::format("'{}' is no URI", options.builder), "pass for example https://example.com/build");
  for (const auto& time : {options.started, options.finished})
    if (time) MCOMP_CHECK(check_time(*time));
  if (options.started && options.finished && *options.finished < *options.started)
    return bad("finished", "it is before the start", "pass both in order");
  const ArtifactManifest& m = a.manifest;
  Json subjects = Json::array(), dependencies = Json::array();
  for (const ArtifactPart& part : m.parts)
    subjects.push_back({{"name", part.title}, {"digest", {{"sha256", hex_of(part.blob.digest)}}}});
  // A dependency must have a digest or a URI; fingerprints of another kind are told by a URI of their own.
  const auto dependency = [&](const std::string& name, const std::string& fingerprint) {
    const std::string hex = hex_of(fingerprint);
    Json json = {{"name", name}};
    if (hex.empty())
      json["uri"] = "urn:mcomp:fingerprint:" + sha256(fingerprint);
    else
      json["digest"] = {{"sha256", hex}};
    dependencies.push_back(std::move(json));
  };
  if (!m.baseline.empty()) dependency("baseline", m.baseline);
  for (const auto& [use, fingerprint] : m.data) dependency(use, fingerprint);
  if (!m.device_profile.empty()) dependency("device profile", m.device_profile);
  Json external = {{"artifact", a.id}, {"name", m.name}, {"seed", fmt::format("{}", m.seed)}};
  for (const ArtifactPart& part : m.parts)
    if (part.role == PartRole::recipe) external["recipe"] = part.blob.digest;
  Json definition = {{"buildType", "urn:mcomp:artifact:v1"},
                     {"externalParameters", std::move(external)},
                     {"internalParameters", {{"instruction_set_cap", m.instruction_set_cap}}},
                     {"resolvedDependencies", std::move(dependencies)}};
  Json builder = {{"id", options.builder}};
  if (!m.library_version.empty()) builder["version"] = {{"mcomp", m.library_version}};
  Json metadata = Json::object();
  if (!options.invocation.empty()) metadata["invocationId"] = options.invocation;
  if (options.started) metadata["startedOn"] = timestamp(*options.started);
  if (options.finished) metadata["finishedOn"] = timestamp(*options.finished);
  Json run = {{"builder", std::move(builder)}};
  if (!metadata.empty()) run["metadata"] = std::move(metadata);
  return document({{"_type", "https://in-toto.io/Statement/v1"},
                   {"subject", std::move(subjects)},
                   {"predicateType", "https://slsa.dev/provenance/v1"},
                   {"predicate", {{"buildDefinition", std::move(definition)}, {"runDetails", std::move(run)}}}});
}

} // namespace mcomp::inline v0::catalog
