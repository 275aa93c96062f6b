#pragma once

// What a compressed model is made of and from, in the form of an OCI image manifest (opencontainers/image-spec 1.1), so
// that registries and their tools can carry it. The artifact's id is the SHA-256 of the canonical manifest: the same
// inputs give the same id, whoever publishes them, wherever and whenever. Nothing stands in it that differs between
// machines: no time, no path, no measurement.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/hardware.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::catalog {

/// Bytes by what they are.
struct Blob {
  std::string digest; ///< "sha256:" and 64 lower-case hexadecimal digits
  std::int64_t size = 0;
  friend bool operator==(const Blob&, const Blob&) = default;
};

/// What a file of an artifact is.
enum class PartRole {
  weights,        ///< safetensors, GGUF or another file of tensors; an artifact has at least one
  model,          ///< description of network and quantization
  calibrator,     ///< of its confidence
  recipe,         ///< that it was made by
  plan,           ///< that the recipe came to
  device_profile, ///< that the plan was made for
  attachment,     ///< any other file that belongs to it
};

/// "weights", "model", ...
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(PartRole role);

struct ArtifactPart {
  PartRole role = PartRole::weights;
  std::string title; ///< file name: letters, digits, '.', '_', '-', not first a '.'; each once
  Blob blob;
  friend bool operator==(const ArtifactPart&, const ArtifactPart&) = default;
};

struct ArtifactManifest {
  std::string name; ///< of the model
  std::vector<ArtifactPart> parts{};
  std::string baseline{};                    ///< fingerprint of the model that was compressed
  std::map<std::string, std::string> data{}; ///< fingerprints of the data that decided about bytes, by what it was for
  std::string device_profile{};              ///< fingerprint of the profile, where one was used
  std::string library_version{};             ///< that made it
  std::uint64_t seed = 0;
  std::string instruction_set_cap{}; ///< at which it was made; empty: none
  HardwareRequirement hardware{};    ///< that it is for
  friend bool operator==(const ArtifactManifest&, const ArtifactManifest&) = default;
};

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const ArtifactManifest& manifest);

/// The two documents of an artifact and its id.
struct EncodedManifest {
  std::string config;   ///< canonical JSON, schema "mcomp-artifact-config-1"
  std::string manifest; ///< canonical JSON, an OCI image manifest
  std::string id;       ///< digest of `manifest`
};

/// Parts are put in order of role and title, instruction sets in order of name; several for one role are allowed for
/// weights and attachments alone. Errors: invalid_argument for a manifest without weights, or titles, digests, sizes or
/// names that are none; invalid_value for text that is not UTF-8.
[[nodiscard]] MCOMP_WORKFLOW_API Result<EncodedManifest> encode(const ArtifactManifest& manifest);

/// The blob that a manifest's text names as its config, so that it can be fetched. Errors: those of `decode`.
[[nodiscard]] MCOMP_WORKFLOW_API Result<Blob> config_of(std::string_view manifest);

/// Reads both documents. What is accepted encodes to the same bytes. Errors: corrupt, unsupported for the manifest of
/// something else, version_mismatch for another schema of the config.
[[nodiscard]] MCOMP_WORKFLOW_API Result<ArtifactManifest> decode(std::string_view manifest, std::string_view config);

/// "sha256:..." of some bytes.
[[nodiscard]] MCOMP_WORKFLOW_API std::string digest_of(std::string_view bytes);
/// Whether it is "sha256:" with 64 lower-case hexadecimal digits.
[[nodiscard]] MCOMP_WORKFLOW_API bool is_digest(std::string_view text) noexcept;

/// The artifact type of manifests, and the media type of their configs.
inline constexpr std::string_view artifact_type = "application/vnd.mcomp.artifact.v1";
inline constexpr std::string_view config_type = "application/vnd.mcomp.artifact.config.v1+json";
inline constexpr std::string_view manifest_type = "application/vnd.oci.image.manifest.v1+json";

} // namespace mcomp::inline v0::catalog

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<catalog::PartRole> = true;
template <> inline constexpr bool enable_format<catalog::ArtifactManifest> = true;
} // namespace mcomp::inline v0
