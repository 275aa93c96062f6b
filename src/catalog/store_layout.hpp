#pragma once

// A layout to read from: a folder or an archive. What is read is checked here and nowhere else.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catalog/store_files.hpp"
#include "catalog/store_index.hpp"
#include "mcomp/catalog/artifact_store.hpp"

namespace mcomp::inline v0::catalog::detail {

inline constexpr std::size_t largest_index = 64U << 20, largest_manifest = 4U << 20;

/// "blobs/sha256/..." of a digest.
[[nodiscard]] std::string blob_name(std::string_view digest);

class LayoutSource {
 public:
  virtual ~LayoutSource() = default;
  /// Bytes of a file by its name in the layout, in pieces. Error: not_found.
  [[nodiscard]] virtual Status read(const std::string& name, const ByteSink& sink) = 0;
  /// Names of all files in blobs/sha256.
  [[nodiscard]] virtual Result<std::vector<std::string>> blobs() = 0;

  [[nodiscard]] Result<std::string> small(const std::string& name, std::size_t limit);
  /// The bytes of a blob, which must be `blob.size` of that digest. Error: corrupt, naming the file.
  [[nodiscard]] Status read_blob(const Blob& blob, const ByteSink& sink);
  [[nodiscard]] Result<std::string> small_blob(const Blob& blob);
  /// The same without knowing the size.
  [[nodiscard]] Result<std::string> small_blob(const std::string& digest, std::size_t limit);
  [[nodiscard]] Result<StoreIndex> index();

  struct Document {
    std::string manifest, config;
    ArtifactManifest decoded;
  };
  [[nodiscard]] Result<Document> document(const Blob& manifest);
  [[nodiscard]] Result<Document> document(const std::string& id);
};

[[nodiscard]] Result<std::unique_ptr<LayoutSource>> folder_source(const fs::path& folder);
[[nodiscard]] Result<std::unique_ptr<LayoutSource>> archive_source(const fs::path& path);

/// Enters artifacts whose blobs, config among them, are in the store: all of them or none.
[[nodiscard]] Status add_artifacts(const fs::path& folder, std::span<const ArtifactManifest> manifests);

/// `own`: written by this library, so that index and layout file must be sealed.
[[nodiscard]] Result<StoreReport> verify_layout(LayoutSource& source, bool own, const Context& context);

} // namespace mcomp::inline v0::catalog::detail
