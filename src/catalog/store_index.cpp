#include "catalog/store_index.hpp"

#include <algorithm>

#include "catalog/canonical.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace {

constexpr const char* tag_key = "org.opencontainers.image.ref.name";
constexpr const char* seal_key = "dev.mcomp.index.sha256";

Json entry(const std::string& digest, std::int64_t size) {
  return {{"mediaType", manifest_type}, {"artifactType", artifact_type}, {"digest", digest}, {"size", size}};
}

Json to_value(const StoreIndex& index) {
  Json manifests = Json::array();
  for (const auto& [digest, size] : index.artifacts) manifests.push_back(entry(digest, size));
  for (const auto& [tag, digest] : index.tags) {
    Json tagged = entry(digest, index.artifacts.at(digest));
    tagged["annotations"] = {{tag_key, tag}};
    manifests.push_back(std::move(tagged));
  }
  return {{"schemaVersion", 2},
          {"mediaType", "application/vnd.oci.image.index.v1+json"},
          {"manifests", std::move(manifests)}};
}

Error corrupt(std::string rule) {
  return Error(ErrorCode::corrupt, "index.json", std::move(rule), "restore it from an export, or publish anew");
}

Status read_entry(const Json& item, StoreIndex& index) {
  mcomp::detail::ObjectReader object(item, "index.json: manifests");
  const std::string type = object.text("mediaType"), kind = object.text("artifactType", std::string(artifact_type));
  const std::string digest = object.text("digest");
  const std::int64_t size = object.integer("size");
  const Json* annotations = object.child("annotations");
  MCOMP_CHECK(object.finish());
  if (type != manifest_type || kind != artifact_type)
    return Error(ErrorCode::unsupported, "index.json: " + digest, "it is no artifact of this library",
                 "take it out of the layout");
  if (!is_digest(digest) || size < 0) return corrupt("an entry has no SHA-256 digest and size");
  const auto [known, fresh] = index.artifacts.emplace(digest, size);
  if (!fresh && known->second != size) return corrupt(digest + " has two sizes");
  if (!annotations) return {};
  if (!annotations->is_object()) return corrupt("annotations are no object");
  const auto tag = annotations->find(tag_key);
  if (tag == annotations->end()) return {};
  if (!tag->is_string() || !is_tag(tag->get_ref<const std::string&>())) return corrupt("a tag is none");
  if (!index.tags.emplace(tag->get<std::string>(), digest).second) return corrupt("a tag stands twice");
  return {};
}

} // namespace

bool is_tag(std::string_view tag) noexcept {
  static constexpr std::string_view others = "._-/+:@";
  return !tag.empty() && tag.size() <= 128 && std::ranges::all_of(tag, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
  });
}

std::string to_json(const StoreIndex& index) {
  Json value = to_value(index);
  // Digests and tags are ASCII, so that this cannot fail.
  value["annotations"] = {{seal_key, sha256(canonical_text(value).value())}};
  return canonical_text(value).value();
}

Result<StoreIndex> parse_index(std::string_view text) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, "index.json"));
  mcomp::detail::ObjectReader object(json, "index.json");
  if (object.integer("schemaVersion") != 2) object.fail("schemaVersion", "it is not 2", "write it anew");
  static_cast<void>(object.text("mediaType", ""));
  const Json& manifests = object.array("manifests");
  const Json* annotations = object.child("annotations");
  MCOMP_CHECK(object.finish());
  StoreIndex index;
  for (const Json& item : manifests) MCOMP_CHECK(read_entry(item, index));
  index.sealed = annotations && annotations->is_object() && annotations->contains(seal_key);
  if (index.sealed && to_json(index) != text) return corrupt("it is not what its own checksum says");
  return index;
}

Status check_layout(std::string_view text) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, "oci-layout"));
  mcomp::detail::ObjectReader object(json, "oci-layout");
  if (const std::string version = object.text("imageLayoutVersion"); version != "1.0.0")
    object.fail("imageLayoutVersion", "it is not 1.0.0", "use another tool for this layout");
  return object.finish();
}

} // namespace mcomp::inline v0::catalog::detail
