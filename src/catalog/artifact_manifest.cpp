#include "mcomp/catalog/artifact_manifest.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <tuple>

#include "catalog/canonical.hpp"
#include "core/closest_name.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::catalog {

namespace {

using detail::Json;

constexpr const char* config_schema = "mcomp-artifact-config-1";
constexpr const char* title_key = "org.opencontainers.image.title";
constexpr std::int64_t largest_size = std::int64_t{1} << 53;
constexpr std::size_t largest_document = 4U << 20; // what registries accept of a manifest
constexpr std::size_t most_parts = 10000;

struct RoleRow {
  PartRole role;
  std::string_view name, media_type;
  bool several;
};
constexpr std::array<RoleRow, 7> roles = {{
    {PartRole::weights, "weights", "application/vnd.mcomp.weights.v1", true},
    {PartRole::model, "model", "application/vnd.mcomp.model.v1+json", false},
    {PartRole::calibrator, "calibrator", "application/vnd.mcomp.calibrator.v1+json", false},
    {PartRole::recipe, "recipe", "application/vnd.mcomp.recipe.v1+json", false},
    {PartRole::plan, "plan", "application/vnd.mcomp.plan.v1+json", false},
    {PartRole::device_profile, "device profile", "application/vnd.mcomp.device-profile.v1+json", false},
    {PartRole::attachment, "attachment", "application/vnd.mcomp.attachment.v1", true},
}};

const RoleRow* row_of(PartRole role) {
  const auto found = std::ranges::find(roles, role, &RoleRow::role);
  return found == roles.end() ? nullptr : &*found;
}

bool is_title(std::string_view title) {
  return !title.empty() && title.size() <= 200 && title[0] != '.' && std::ranges::all_of(title, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

Error wrong(std::string subject, std::string rule, std::string remedy) {
  return Error(ErrorCode::invalid_argument, std::move(subject), std::move(rule), std::move(remedy));
}

Status check_hardware(const HardwareRequirement& hardware) {
  const auto known = instruction_sets();
  for (const std::string& name : hardware.instruction_sets)
    if (std::ranges::find(known, name) == known.end())
      return wrong("hardware: " + name, "no instruction set has that name",
                   mcomp::detail::did_you_mean(name, {known.begin(), known.end()}));
  if (hardware.memory_bytes < 0 || hardware.memory_bytes > largest_size)
    return wrong("hardware", "the memory is no number of bytes", "give it in bytes");
  return {};
}

Status check(const ArtifactManifest& manifest) {
  if (manifest.name.empty() || manifest.library_version.empty())
    return wrong("artifact", "name and version of the library must be given",
                 "name the model and the library's version");
  if (manifest.parts.size() > most_parts)
    return wrong("artifact " + manifest.name, fmt::format("more than {} parts", most_parts), "join some");
  std::set<std::string> titles;
  std::set<PartRole> seen;
  for (const ArtifactPart& part : manifest.parts) {
    const std::string subject = "part " + part.title;
    const RoleRow* row = row_of(part.role);
    if (!row) return wrong(subject, "it has no role", "give one");
    if (!is_title(part.title))
      return wrong(subject, "a title has letters, digits, '.', '_' and '-', and does not begin with '.'", "rename it");
    if (!titles.insert(part.title).second) return wrong(subject, "the title stands twice", "rename one");
    if (!seen.insert(part.role).second && !row->several)
      return wrong(subject, fmt::format("there are two parts for the role {}", row->name), "keep one");
    if (!is_digest(part.blob.digest) || part.blob.size < 0 || part.blob.size > largest_size)
      return wrong(subject, "its blob has no SHA-256 digest and size", "give what the store's put returned");
  }
  if (!seen.contains(PartRole::weights)) return wrong("artifact " + manifest.name, "it has no weights", "add them");
  for (const auto& [name, fingerprint] : manifest.data)
    if (name.empty() || fingerprint.empty())
      return wrong("data", "a name or fingerprint is empty", "name what the data was for");
  return check_hardware(manifest.hardware);
}

Json descriptor(std::string_view media_type, const Blob& blob) {
  return {{"mediaType", media_type}, {"digest", blob.digest}, {"size", blob.size}};
}

Json config_json(const ArtifactManifest& manifest) {
  const std::set<std::string> needed(manifest.hardware.instruction_sets.begin(),
                                     manifest.hardware.instruction_sets.end());
  Json data = Json::object();
  for (const auto& [name, fingerprint] : manifest.data) data[name] = fingerprint;
  return {{"schema", config_schema},
          {"name", manifest.name},
          {"baseline", manifest.baseline},
          {"data", std::move(data)},
          {"device_profile", manifest.device_profile},
          {"library_version", manifest.library_version},
          // As text, since a JSON number has 53 bits for it.
          {"seed", fmt::format("{}", manifest.seed)},
          {"instruction_set_cap", manifest.instruction_set_cap},
          {"hardware",
           {{"instruction_sets", needed},
            {"precision", manifest.hardware.precision},
            {"memory_bytes", manifest.hardware.memory_bytes}}}};
}

Result<Blob> read_descriptor(const Json& json, const std::string& where, std::string_view media_type) {
  mcomp::detail::ObjectReader object(json, where);
  if (object.text("mediaType") != media_type)
    object.fail("mediaType", "it is not " + std::string(media_type), "use an artifact of this library");
  const Blob blob{object.text("digest"), object.integer("size")};
  if (!is_digest(blob.digest)) object.fail("digest", "it is no SHA-256 digest", "write it anew");
  if (blob.size < 0) object.fail("size", "it is negative", "write it anew");
  MCOMP_CHECK(object.finish());
  return blob;
}

Result<ArtifactPart> read_part(const Json& json) {
  mcomp::detail::ObjectReader object(json, "manifest: layers");
  ArtifactPart part;
  const std::string type = object.text("mediaType");
  const auto row = std::ranges::find(roles, type, &RoleRow::media_type);
  if (row == roles.end())
    object.fail("mediaType", "\"" + type + "\" is no part of an artifact", "use an artifact of this library");
  else
    part.role = row->role;
  part.blob = {object.text("digest"), object.integer("size")};
  static const Json none = Json::object();
  const Json* annotations = object.child("annotations");
  MCOMP_CHECK(object.finish());
  mcomp::detail::ObjectReader notes(annotations ? *annotations : none, "manifest: layers: annotations");
  part.title = notes.text(title_key);
  MCOMP_CHECK(notes.finish());
  return part;
}

struct Head {
  Blob config;
  std::vector<ArtifactPart> parts;
};

Result<Head> read_manifest(std::string_view text) {
  if (text.size() > largest_document)
    return Error(ErrorCode::corrupt, "manifest", "it is above 4 MiB", "use an artifact of this library");
  MCOMP_TRY(json, mcomp::detail::parse_json(text, "manifest"));
  mcomp::detail::ObjectReader object(json, "manifest");
  if (json.is_object() && json.value("artifactType", Json()) != artifact_type)
    return Error(ErrorCode::unsupported, "manifest", "its artifactType is not " + std::string(artifact_type),
                 "use an artifact of this library");
  static_cast<void>(object.text("artifactType"));
  if (object.integer("schemaVersion") != 2) object.fail("schemaVersion", "it is not 2", "write it anew");
  if (object.text("mediaType") != manifest_type) object.fail("mediaType", "it is no image manifest", "write it anew");
  const Json* config = object.child("config");
  const Json& layers = object.array("layers");
  MCOMP_CHECK(object.finish());
  if (!config) return Error(ErrorCode::corrupt, "manifest: config", "the key is missing", "write it anew");
  if (layers.size() > most_parts)
    return Error(ErrorCode::corrupt, "manifest: layers", "there are too many", "use an artifact of this library");
  Head head;
  MCOMP_TRY(blob, read_descriptor(*config, "manifest: config", config_type));
  head.config = blob;
  for (const Json& layer : layers) {
    MCOMP_TRY(part, read_part(layer));
    head.parts.push_back(std::move(part));
  }
  return head;
}

} // namespace

std::string to_string(PartRole role) {
  const RoleRow* row = row_of(role);
  return row ? std::string(row->name) : "unknown";
}

std::string to_string(const ArtifactManifest& manifest) {
  std::int64_t bytes = 0;
  for (const ArtifactPart& part : manifest.parts) bytes += part.blob.size;
  return fmt::format("{}: {} parts, {} bytes; for {}; mcomp {}, seed {}", manifest.name, manifest.parts.size(), bytes,
                     manifest.hardware, manifest.library_version, manifest.seed);
}

std::string digest_of(std::string_view bytes) {
  return "sha256:" + sha256(bytes);
}

bool is_digest(std::string_view text) noexcept {
  constexpr std::string_view prefix = "sha256:";
  return text.size() == prefix.size() + 64 && text.starts_with(prefix) &&
         std::ranges::all_of(text.substr(prefix.size()),
                             [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<EncodedManifest> encode(const ArtifactManifest& given) {
  MCOMP_CHECK(check(given));
  EncodedManifest encoded;
  MCOMP_TRY(config, detail::canonical_text(config_json(given)));
  encoded.config = config;
  std::vector<ArtifactPart> parts = given.parts;
  std::ranges::sort(parts, {}, [](const ArtifactPart& part) { return std::tie(part.role, part.title); });
  Json layers = Json::array();
  for (const ArtifactPart& part : parts) {
    Json layer = descriptor(row_of(part.role)->media_type, part.blob);
    layer["annotations"] = {{title_key, part.title}};
    layers.push_back(std::move(layer));
  }
  const Blob config_blob{digest_of(encoded.config), static_cast<std::int64_t>(encoded.config.size())};
  MCOMP_TRY(manifest, detail::canonical_text({{"schemaVersion", 2},
                                              {"mediaType", manifest_type},
                                              {"artifactType", artifact_type},
                                              {"config", descriptor(config_type, config_blob)},
                                              {"layers", std::move(layers)}}));
  encoded.manifest = manifest;
  encoded.id = digest_of(encoded.manifest);
  return encoded;
}

Result<Blob> config_of(std::string_view manifest) {
  MCOMP_TRY(head, read_manifest(manifest));
  return head.config;
}

Result<ArtifactManifest> decode(std::string_view manifest_text, std::string_view config_text) {
  MCOMP_TRY(head, read_manifest(manifest_text));
  if (config_text.size() > largest_document || digest_of(config_text) != head.config.digest)
    return Error(ErrorCode::corrupt, "config", "it is not the one that the manifest names", "fetch it anew");
  MCOMP_TRY(json, mcomp::detail::parse_json(config_text, "config"));
  mcomp::detail::ObjectReader object(json, "config");
  if (const std::string schema = object.text("schema"); object.has("schema") && schema != config_schema)
    return Error(ErrorCode::version_mismatch, "config",
                 fmt::format("its schema is \"{}\", not \"{}\"", schema, config_schema),
                 "use the version of the library that wrote it");
  ArtifactManifest manifest{.name = object.text("name"),
                            .parts = std::move(head.parts),
                            .baseline = object.text("baseline"),
                            .data = {},
                            .device_profile = object.text("device_profile"),
                            .library_version = object.text("library_version"),
                            .seed = 0,
                            .instruction_set_cap = object.text("instruction_set_cap"),
                            .hardware = {}};
  const std::string seed = object.text("seed");
  const auto read = std::from_chars(seed.data(), seed.data() + seed.size(), manifest.seed);
  if (seed.empty() || read.ec != std::errc() || read.ptr != seed.data() + seed.size())
    object.fail("seed", "it is no decimal number of 64 bits", "write it anew");
  static const Json none = Json::object();
  const Json* data = object.child("data");
  const Json* hardware = object.child("hardware");
  MCOMP_CHECK(object.finish());
  if (!data || !data->is_object())
    return Error(ErrorCode::corrupt, "config: data", "an object of fingerprints is needed", "write it anew");
  for (const auto& [name, fingerprint] : data->items()) {
    if (!fingerprint.is_string())
      return Error(ErrorCode::corrupt, "config: data: " + name, "a fingerprint is a string", "write it anew");
    manifest.data[name] = fingerprint.get<std::string>();
  }
  mcomp::detail::ObjectReader needs(hardware ? *hardware : none, "config: hardware");
  manifest.hardware = {needs.texts("instruction_sets"), needs.text("precision"), needs.integer("memory_bytes")};
  MCOMP_CHECK(needs.finish());
  const auto encoded = encode(manifest);
  if (!encoded)
    return Error(ErrorCode::corrupt, encoded.error().subject(), encoded.error().rule(),
                 "use an artifact of this library");
  if (encoded->manifest != manifest_text || encoded->config != config_text)
    return Error(ErrorCode::corrupt, "manifest", "it is not in canonical form", "publish the artifact anew");
  return manifest;
}

} // namespace mcomp::inline v0::catalog
