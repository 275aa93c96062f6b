#include "mcomp/catalog/artifact_store.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "catalog/store_layout.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace fs = std::filesystem;

namespace {

using detail::StoreIndex;
using detail::StoreLock;

fs::path lock_path(const fs::path& folder) {
  return folder / "mcomp.lock";
}

Error missing(const std::string& id) {
  return Error(ErrorCode::not_found, id, "there is no such artifact in the store", "list the store");
}

Result<StoreIndex> read_index(const fs::path& folder) {
  MCOMP_TRY(source, detail::folder_source(folder));
  return source->index();
}

/// Changes the index under the lock; `change` says whether there is anything to write.
template <class Change> Status update_index(const fs::path& folder, const Change& change) {
  MCOMP_TRY(lock, StoreLock::take(lock_path(folder), StoreLock::Kind::exclusive));
  static_cast<void>(lock);
  MCOMP_TRY(index, read_index(folder));
  const StoreIndex before = index;
  MCOMP_CHECK(change(index));
  if (index == before) return {};
  return detail::write_durably(folder / "index.json", detail::to_json(index));
}

/// The blob must be there with that size; its bytes were checked when they were put.
Status check_there(const fs::path& folder, const Blob& blob) {
  std::int64_t size = 0;
  const auto file = detail::open_regular(folder / detail::blob_name(blob.digest), size);
  if (!file) return Error(file.error().code(), blob.digest, "the blob is not in the store", "put it before publishing");
  if (size != blob.size)
    return Error(ErrorCode::corrupt, blob.digest, fmt::format("the blob has {} bytes, {} are said", size, blob.size),
                 "put it again");
  return {};
}

} // namespace

Status detail::add_artifacts(const fs::path& folder, std::span<const ArtifactManifest> manifests) {
  return update_index(folder, [&](StoreIndex& index) -> Status {
    for (const ArtifactManifest& manifest : manifests) {
      for (const ArtifactPart& part : manifest.parts)
        if (const auto status = check_there(folder, part.blob); !status)
          return status.error().within("part " + part.title);
      MCOMP_TRY(encoded, encode(manifest));
      MCOMP_CHECK(check_there(folder, {digest_of(encoded.config), std::ssize(encoded.config)}));
      MCOMP_CHECK(write_durably(folder / blob_name(encoded.id), encoded.manifest));
      index.artifacts.emplace(encoded.id, std::ssize(encoded.manifest));
    }
    return {};
  });
}

struct ArtifactStore::Writer::State {
  fs::path folder;
  detail::IncomingFile file;
  Sha256 hash;
  std::int64_t size = 0;
  bool failed = false;
};

ArtifactStore::Writer::Writer(std::unique_ptr<State> state) : state_(std::move(state)) {}
ArtifactStore::Writer::~Writer() = default;
ArtifactStore::Writer::Writer(Writer&&) noexcept = default;
ArtifactStore::Writer& ArtifactStore::Writer::operator=(Writer&&) noexcept = default;

Status ArtifactStore::Writer::write(std::span<const std::byte> bytes) {
  if (!state_ || state_->failed)
    return Error(ErrorCode::invalid_argument, "blob", "it is finished, or a write has failed", "begin a new one");
  state_->failed = true; // until the piece is whole
  MCOMP_CHECK(state_->file.write(bytes));
  state_->failed = false;
  state_->hash.update(bytes);
  state_->size += std::ssize(bytes);
  return {};
}

Result<Blob> ArtifactStore::Writer::finish() {
  if (!state_ || state_->failed)
    return Error(ErrorCode::invalid_argument, "blob", "it is finished, or a write has failed", "begin a new one");
  const std::unique_ptr<State> state = std::move(state_);
  Blob blob{"sha256:" + to_hex(state->hash.finish()), state->size};
  MCOMP_CHECK(state->file.sync());
  // Garbage is collected under the exclusive lock: it sees either no file yet, or one that is new.
  MCOMP_TRY(lock, StoreLock::take(lock_path(state->folder), StoreLock::Kind::shared));
  static_cast<void>(lock);
  // Renamed over a blob of the same name too: that repairs a damaged one, and makes it new.
  MCOMP_CHECK(state->file.rename(state->folder / detail::blob_name(blob.digest)));
  return blob;
}

Result<ArtifactStore> ArtifactStore::open(const std::filesystem::path& folder) {
  MCOMP_CHECK(detail::make_folder(folder));
  const bool fresh = !std::filesystem::exists(folder / "oci-layout");
  if (fresh) {
    // Another process may do the same: the last file is the one that makes it a store.
    MCOMP_TRY(lock, StoreLock::take(lock_path(folder), StoreLock::Kind::exclusive));
    static_cast<void>(lock);
    MCOMP_CHECK(detail::make_folder(folder / "blobs"));
    MCOMP_CHECK(detail::make_folder(folder / "blobs" / "sha256"));
    if (!std::filesystem::exists(folder / "index.json"))
      MCOMP_CHECK(detail::write_durably(folder / "index.json", detail::to_json(StoreIndex{})));
    MCOMP_CHECK(detail::write_durably(folder / "oci-layout", detail::layout_text));
  }
  MCOMP_TRY(layout, detail::read_small(folder / "oci-layout", 4096));
  if (const auto status = detail::check_layout(layout); !status) return status.error().within(folder.string());
  return ArtifactStore(folder);
}

Result<ArtifactStore::Writer> ArtifactStore::writer() const {
  MCOMP_TRY(file, detail::IncomingFile::create(folder_ / "blobs" / "sha256"));
  return Writer(std::make_unique<Writer::State>(Writer::State{folder_, std::move(file), {}}));
}

Result<Blob> ArtifactStore::put(std::string_view bytes) const {
  MCOMP_TRY(blob, writer());
  MCOMP_CHECK(blob.write(std::as_bytes(std::span(bytes.data(), bytes.size()))));
  return blob.finish();
}

Result<Blob> ArtifactStore::put_file(const std::filesystem::path& path) const {
  MCOMP_TRY(blob, writer());
  MCOMP_CHECK(detail::read_pieces(path, [&](std::span<const std::byte> piece) { return blob.write(piece); }));
  return blob.finish();
}

Status ArtifactStore::read(const std::string& digest, const PieceSink& sink) const {
  if (!is_digest(digest))
    return Error(ErrorCode::invalid_argument, digest, "it is no digest", "give \"sha256:\" and 64 digits");
  std::int64_t size = 0;
  const auto file = detail::open_regular(folder_ / detail::blob_name(digest), size);
  if (!file) return file.error();
  MCOMP_TRY(source, detail::folder_source(folder_));
  return source->read_blob({digest, size}, sink);
}

Result<std::string> ArtifactStore::get(const std::string& digest, std::int64_t limit) const {
  std::string bytes;
  MCOMP_CHECK(read(digest, [&](std::span<const std::byte> piece) -> Status {
    if (std::ssize(piece) > limit - std::ssize(bytes))
      return Error(ErrorCode::corrupt, digest, fmt::format("it is larger than {} bytes", limit), "raise the limit");
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  }));
  return bytes;
}

Result<std::string> ArtifactStore::publish(const ArtifactManifest& given) const {
  MCOMP_TRY(encoded, encode(given));
  MCOMP_TRY(config, put(encoded.config));
  static_cast<void>(config);
  MCOMP_CHECK(detail::add_artifacts(folder_, {&given, 1}));
  return encoded.id;
}

Result<ArtifactManifest> ArtifactStore::manifest(const std::string& id) const {
  MCOMP_TRY(source, detail::folder_source(folder_));
  MCOMP_TRY(index, source->index());
  const auto found = index.artifacts.find(id);
  if (found == index.artifacts.end()) return missing(id);
  MCOMP_TRY(document, source->document(Blob{id, found->second}));
  return document.decoded;
}

Result<std::vector<StoredArtifact>> ArtifactStore::list() const {
  MCOMP_TRY(source, detail::folder_source(folder_));
  MCOMP_TRY(index, source->index());
  std::vector<StoredArtifact> artifacts;
  for (const auto& [id, size] : index.artifacts) {
    MCOMP_TRY(document, source->document(Blob{id, size}));
    StoredArtifact artifact{id, {}, document.decoded};
    for (const auto& [tag, digest] : index.tags)
      if (digest == id) artifact.tags.push_back(tag);
    artifacts.push_back(std::move(artifact));
  }
  return artifacts;
}

Result<std::string> ArtifactStore::resolve(std::string_view name, const Machine& machine) const {
  MCOMP_TRY(artifacts, list());
  std::vector<HardwareCandidate> candidates;
  for (const StoredArtifact& artifact : artifacts)
    if (artifact.manifest.name == name) candidates.push_back({artifact.id, artifact.manifest.hardware});
  const auto chosen = choose(candidates, machine);
  if (!chosen) return chosen.error().within(std::string(name));
  return chosen;
}

Status ArtifactStore::remove(const std::string& id) const {
  return update_index(folder_, [&](StoreIndex& index) -> Status {
    for (const auto& [tag, digest] : index.tags)
      if (digest == id)
        return Error(ErrorCode::invalid_argument, id, "the tag \"" + tag + "\" names it", "untag it first");
    if (index.artifacts.erase(id) == 0) return missing(id);
    return {};
  });
}

Status ArtifactStore::extract(const std::string& id, const std::filesystem::path& target) const {
  MCOMP_TRY(found, manifest(id));
  MCOMP_CHECK(detail::make_folder(target));
  MCOMP_TRY(source, detail::folder_source(folder_));
  for (const ArtifactPart& part : found.parts) {
    MCOMP_TRY(file, detail::IncomingFile::create(target));
    MCOMP_CHECK(source->read_blob(part.blob, [&](std::span<const std::byte> piece) { return file.write(piece); }));
    MCOMP_CHECK(file.sync());
    MCOMP_CHECK(file.rename(target / part.title));
  }
  return {};
}

Status ArtifactStore::tag(const std::string& name, const std::string& id) const {
  if (!detail::is_tag(name))
    return Error(ErrorCode::invalid_argument, "tag " + name, "a tag has letters, digits and ._-/+:@, at most 128",
                 "choose another");
  return update_index(folder_, [&](StoreIndex& index) -> Status {
    if (!index.artifacts.contains(id)) return missing(id);
    index.tags[name] = id;
    return {};
  });
}

Status ArtifactStore::untag(const std::string& name) const {
  return update_index(folder_, [&](StoreIndex& index) -> Status {
    if (index.tags.erase(name) == 0)
      return Error(ErrorCode::not_found, "tag " + name, "there is no such tag", "list the store");
    return {};
  });
}

Result<std::string> ArtifactStore::tagged(const std::string& name) const {
  MCOMP_TRY(index, read_index(folder_));
  const auto found = index.tags.find(name);
  if (found == index.tags.end())
    return Error(ErrorCode::not_found, "tag " + name, "there is no such tag", "list the store");
  return found->second;
}

Result<StoreReport> ArtifactStore::verify(const Context& context) const {
  MCOMP_TRY(source, detail::folder_source(folder_));
  return detail::verify_layout(*source, true, context);
}

Result<GarbageReport> ArtifactStore::collect_garbage(const GarbageOptions& options) const {
  if (options.grace < 0)
    return Error(ErrorCode::invalid_argument, "grace", "it is negative", "give seconds, at least 0");
  MCOMP_TRY(lock, StoreLock::take(lock_path(folder_), StoreLock::Kind::exclusive));
  static_cast<void>(lock);
  MCOMP_TRY(source, detail::folder_source(folder_));
  MCOMP_TRY(index, source->index());
  std::set<std::string> reached; // file names
  for (const auto& [id, size] : index.artifacts) {
    MCOMP_TRY(document, source->document(Blob{id, size}));
    reached.insert(detail::blob_name(id));
    reached.insert(detail::blob_name(digest_of(document.config)));
    for (const ArtifactPart& part : document.decoded.parts) reached.insert(detail::blob_name(part.blob.digest));
  }
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  GarbageReport report;
  for (const fs::path& folder : {folder_, folder_ / "blobs" / "sha256"}) {
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      const bool left_over = name.starts_with(detail::incoming_prefix);
      if (!left_over && !(folder != folder_ && is_digest("sha256:" + name))) continue;
      struct stat info {};
      if (::lstat(it->path().c_str(), &info) != 0) continue; // whoever was writing it has renamed it
      const bool old = now - static_cast<std::int64_t>(info.st_mtime) >= options.grace;
      if (reached.contains("blobs/sha256/" + name) || !old) {
        ++report.kept;
      } else if (::unlink(it->path().c_str()) == 0) {
        ++report.removed;
        report.bytes += static_cast<std::int64_t>(info.st_size);
      } else if (errno != ENOENT) {
        return detail::system_error(it->path(), "remove", errno);
      }
    }
    if (error) return detail::system_error(folder, "list", error.value());
  }
  return report;
}

std::string to_string(const StoreReport& report) {
  std::string text =
      fmt::format("{} artifacts, {} blobs, {} bytes: {}", report.artifacts, report.blobs, report.bytes,
                  report.sound() ? std::string("sound") : fmt::format("{} problems", report.problems.size()));
  for (const StoreProblem& problem : report.problems)
    text += fmt::format("\n{}: {} ({})", problem.where, problem.rule,
                        problem.artifacts.empty() ? std::string("no artifact needs it")
                                                  : fmt::format("{}", fmt::join(problem.artifacts, ", ")));
  return text;
}

} // namespace mcomp::inline v0::catalog
