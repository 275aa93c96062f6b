#pragma once

// The index.json of an OCI image layout as this library writes it: one entry an artifact, and one more for each of its
// tags. It is canonical JSON, and carries the SHA-256 of itself without that very annotation, since nothing else
// addresses it by content: a flipped bit in it shows like one in a blob.

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "mcomp/catalog/artifact_manifest.hpp"

namespace mcomp::inline v0::catalog::detail {

inline constexpr std::string_view layout_text = R"({"imageLayoutVersion":"1.0.0"})";

struct StoreIndex {
  std::map<std::string, std::int64_t> artifacts; ///< manifest digest: size
  std::map<std::string, std::string> tags;       ///< tag: manifest digest
  bool sealed = false;                           ///< read with its checksum
  friend bool operator==(const StoreIndex&, const StoreIndex&) = default;
};

[[nodiscard]] std::string to_json(const StoreIndex& index);
/// Indexes of other tools are read too, and are then not sealed. Errors: corrupt, unsupported for what is no artifact
/// of this library.
[[nodiscard]] Result<StoreIndex> parse_index(std::string_view text);
[[nodiscard]] Status check_layout(std::string_view text);
/// Letters, digits and "._-/+:@", at most 128 of them.
[[nodiscard]] bool is_tag(std::string_view tag) noexcept;

} // namespace mcomp::inline v0::catalog::detail
