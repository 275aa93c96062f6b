#pragma once

// Artifacts by what they are: a folder in the form of an OCI image layout (opencontainers/image-spec 1.1: oci-layout,
// index.json, blobs/sha256/...), where every file has the name of its SHA-256. Nothing is ever half there: files are
// written beside, synced and renamed, and the folder is synced; what a call has returned is there after a power cut.
// Several processes and threads may use one store at once, on a local file system.
//
//     auto store = catalog::ArtifactStore::open("artifacts").value();
//     manifest.parts.push_back({catalog::PartRole::weights, "model.safetensors", store.put_file(path).value()});
//     std::string id = store.publish(manifest).value();
//     store.extract(id, "serving").value();

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/catalog/hardware.hpp"
#include "mcomp/core/context.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::catalog {

/// Something that is not as it must be, and whom it concerns.
struct StoreProblem {
  std::string where;                  ///< file of the layout: "blobs/sha256/...", "index.json", or place in an archive
  std::string rule;                   ///< what does not hold
  std::vector<std::string> artifacts; ///< ids of those that need the file, sorted
  friend bool operator==(const StoreProblem&, const StoreProblem&) = default;
};

struct StoreReport {
  std::int64_t artifacts = 0, blobs = 0, bytes = 0; ///< that were looked at
  std::vector<StoreProblem> problems{};
  [[nodiscard]] bool sound() const noexcept { return problems.empty(); }
  friend bool operator==(const StoreReport&, const StoreReport&) = default;
};

/// "3 artifacts, 9 blobs, 1234 bytes: sound", or the problems, one a line.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const StoreReport& report);

struct StoredArtifact {
  std::string id;
  std::vector<std::string> tags;
  ArtifactManifest manifest;
};

struct GarbageOptions {
  /// Seconds for which a blob that nothing refers to is left alone. Whoever puts blobs publishes their artifact within
  /// that time; later, `publish` may find them gone, and says so.
  std::int64_t grace = 3600;
};

struct GarbageReport {
  std::int64_t removed = 0, bytes = 0, kept = 0;
  friend bool operator==(const GarbageReport&, const GarbageReport&) = default;
};

/// Bytes handed over in pieces.
using PieceSink = std::function<Status(std::span<const std::byte>)>;

class MCOMP_WORKFLOW_API ArtifactStore {
 public:
  /// Opens a store, and makes it where there is none yet. Errors: corrupt for a folder that is another kind of layout,
  /// io_failure.
  [[nodiscard]] static Result<ArtifactStore> open(const std::filesystem::path& folder);

  /// A blob that is being written, in constant memory. Left unfinished it leaves nothing.
  class MCOMP_WORKFLOW_API Writer {
   public:
    ~Writer();
    Writer(Writer&&) noexcept;
    Writer& operator=(Writer&&) noexcept;
    [[nodiscard]] Status write(std::span<const std::byte> bytes);
    /// Durable, under its digest. A damaged blob of the same digest is replaced.
    [[nodiscard]] Result<Blob> finish();

   private:
    friend class ArtifactStore;
    struct State;
    explicit Writer(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };

  [[nodiscard]] Result<Writer> writer() const;
  [[nodiscard]] Result<Blob> put(std::string_view bytes) const;
  [[nodiscard]] Result<Blob> put_file(const std::filesystem::path& path) const;

  /// The verified bytes. Errors: not_found; corrupt where they are not those of the digest or more than `limit`.
  [[nodiscard]] Result<std::string> get(const std::string& digest, std::int64_t limit = std::int64_t{1} << 30) const;
  /// In pieces: those that `sink` has seen are verified only once this returns.
  [[nodiscard]] Status read(const std::string& digest, const PieceSink& sink) const;

  /// Makes an artifact of blobs that were put, and returns its id; the same again changes nothing. Errors: those of
  /// `encode`; not_found for a part that is not in the store, corrupt for one of another size.
  [[nodiscard]] Result<std::string> publish(const ArtifactManifest& manifest) const;
  [[nodiscard]] Result<ArtifactManifest> manifest(const std::string& id) const;
  /// In order of their ids.
  [[nodiscard]] Result<std::vector<StoredArtifact>> list() const;
  /// The artifact of this name that is right for the machine; see `choose`.
  [[nodiscard]] Result<std::string> resolve(std::string_view name, const Machine& machine) const;
  /// Takes an artifact out; its blobs go with the next `collect_garbage`. Error: invalid_argument while it has tags.
  [[nodiscard]] Status remove(const std::string& id) const;
  /// Writes its parts as files of their titles into a folder, each verified before it has its name.
  [[nodiscard]] Status extract(const std::string& id, const std::filesystem::path& folder) const;

  /// A name for an artifact, in place of the one that had it.
  [[nodiscard]] Status tag(const std::string& name, const std::string& id) const;
  [[nodiscard]] Status untag(const std::string& name) const;
  [[nodiscard]] Result<std::string> tagged(const std::string& name) const;

  /// Reads everything: a flipped bit in any file of the layout is found, and the artifacts that it damages are named.
  /// Errors: cancelled, io_failure; what is wrong with the content is in the report.
  [[nodiscard]] Result<StoreReport> verify(const Context& context = {}) const;
  /// Removes what no artifact reaches, and what crashes have left. Nothing is removed where a manifest cannot be read:
  /// error corrupt.
  [[nodiscard]] Result<GarbageReport> collect_garbage(const GarbageOptions& options = {}) const;

  /// The artifacts, all of them where `ids` is empty, as a layout of their own: a new folder, or a tar archive (ustar)
  /// whose bytes depend on nothing but the artifacts. Tags are not exported.
  [[nodiscard]] Status export_directory(const std::filesystem::path& folder,
                                        std::span<const std::string> ids = {}) const;
  [[nodiscard]] Status export_archive(const std::filesystem::path& path, std::span<const std::string> ids = {}) const;
  /// Takes all artifacts of a layout in, or none, and returns their ids. Tags of this store stay as they are, whatever
  /// the layout says. Errors: corrupt, naming the file; unsupported for artifacts of something else.
  [[nodiscard]] Result<std::vector<std::string>> import_directory(const std::filesystem::path& folder) const;
  [[nodiscard]] Result<std::vector<std::string>> import_archive(const std::filesystem::path& path) const;

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

 private:
  explicit ArtifactStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

/// `ArtifactStore::verify` for an export, without a store.
[[nodiscard]] MCOMP_WORKFLOW_API Result<StoreReport> verify_directory(const std::filesystem::path& folder,
                                                                      const Context& context = {});
[[nodiscard]] MCOMP_WORKFLOW_API Result<StoreReport> verify_archive(const std::filesystem::path& path,
                                                                    const Context& context = {});

} // namespace mcomp::inline v0::catalog

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<catalog::StoreReport> = true;
} // namespace mcomp::inline v0
