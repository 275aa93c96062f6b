#include "catalog/store_layout.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "catalog/archive.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace {

Error damaged(const std::string& name, std::string rule) {
  return Error(ErrorCode::corrupt, name, std::move(rule), "restore it from an export, or publish the artifact anew");
}

class FolderSource final : public LayoutSource {
 public:
  explicit FolderSource(fs::path folder) : folder_(std::move(folder)) {}
  Status read(const std::string& name, const ByteSink& sink) override { return read_pieces(folder_ / name, sink); }
  Result<std::vector<std::string>> blobs() override {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(folder_ / "blobs" / "sha256", error), end; !error && it != end;
         it.increment(error)) {
      std::string name = it->path().filename().string();
      if (!name.starts_with(incoming_prefix)) names.push_back("blobs/sha256/" + std::move(name));
    }
    if (error) return system_error(folder_ / "blobs/sha256", "list", error.value());
    std::ranges::sort(names);
    return names;
  }

 private:
  fs::path folder_;
};

class ArchiveSource final : public LayoutSource {
 public:
  ArchiveSource(std::shared_ptr<const MappedFile> file, std::vector<ArchiveFile> files) : file_(std::move(file)) {
    for (ArchiveFile& entry : files) files_.emplace(std::move(entry.name), entry.bytes);
  }
  Status read(const std::string& name, const ByteSink& sink) override {
    const auto found = files_.find(name);
    if (found == files_.end())
      return Error(ErrorCode::not_found, name, "it is not in the archive", "export the artifacts anew");
    constexpr std::size_t piece = 1U << 20;
    for (auto rest = found->second; !rest.empty(); rest = rest.subspan(std::min(piece, rest.size())))
      MCOMP_CHECK(sink(rest.first(std::min(piece, rest.size()))));
    return {};
  }
  Result<std::vector<std::string>> blobs() override {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : files_)
      if (name.starts_with("blobs/")) names.push_back(name);
    return names;
  }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, std::span<const std::byte>> files_;
};

std::string to_digest(Sha256& hash) {
  return "sha256:" + to_hex(hash.finish());
}

/// Verification in two passes: the bytes of every blob, then what the artifacts need of them.
class Verification {
 public:
  Verification(LayoutSource& source, bool own) : source_(source), own_(own) {}

  Result<StoreReport> run(const Context& context) {
    check_small("oci-layout", [&](const std::string& text) -> Status {
      if (own_ && text != layout_text) return damaged("oci-layout", "it is not the text that was written");
      return check_layout(text);
    });
    StoreIndex index;
    const auto read = source_.index();
    if (!read)
      problem("index.json", read.error().rule());
    else if (own_ && !read->sealed)
      problem("index.json", "it has no checksum");
    else
      index = *read;
    MCOMP_CHECK(check_blobs(context));
    for (const auto& [id, size] : index.artifacts) {
      ++report_.artifacts;
      check_artifact(id, size);
    }
    for (auto& [where, found] : problems_)
      report_.problems.push_back({where, found.rule, {found.artifacts.begin(), found.artifacts.end()}});
    return std::move(report_);
  }

 private:
  struct Found {
    std::string rule;
    std::set<std::string> artifacts;
  };

  /// The first rule that a file breaks is kept.
  void problem(const std::string& where, const std::string& rule, const std::string& artifact = {}) {
    Found& found = problems_[where];
    if (found.rule.empty()) found.rule = rule;
    if (!artifact.empty()) found.artifacts.insert(artifact);
  }

  template <class Check> void check_small(const std::string& name, const Check& check) {
    const auto text = source_.small(name, largest_index);
    if (!text) return problem(name, text.error().rule());
    if (const auto status = check(*text); !status) problem(name, status.error().rule());
  }

  Status check_blobs(const Context& context) {
    MCOMP_TRY(names, source_.blobs());
    for (const std::string& name : names) {
      MCOMP_CHECK(context.check("verify"));
      context.report("verify", report_.blobs, std::ssize(names));
      ++report_.blobs;
      Sha256 hash;
      std::int64_t size = 0;
      const auto status = source_.read(name, [&](std::span<const std::byte> piece) -> Status {
        hash.update(piece);
        size += std::ssize(piece);
        return context.check("verify");
      });
      if (!status && status.error().code() == ErrorCode::cancelled) return status;
      report_.bytes += size;
      if (!status)
        problem(name, status.error().rule());
      else if (blob_name(to_digest(hash)) != name)
        problem(name, "its bytes are not those of its name");
      else
        sizes_[name] = size;
    }
    return {};
  }

  /// Whether a blob that an artifact needs is there and whole.
  bool check_need(const Blob& blob, const std::string& artifact) {
    const std::string name = blob_name(blob.digest);
    const auto found = sizes_.find(name);
    if (found == sizes_.end())
      problem(name, "it is missing", artifact);
    else if (found->second != blob.size)
      problem(name, fmt::format("{} bytes, {} are said", found->second, blob.size), artifact);
    else
      return true;
    return false;
  }

  void check_artifact(const std::string& id, std::int64_t size) {
    if (!check_need({id, size}, id)) return;
    const std::string name = blob_name(id);
    const auto text = source_.small(name, largest_manifest);
    if (!text) return problem(name, text.error().rule(), id);
    const auto config = config_of(*text);
    if (!config) return problem(name, config.error().rule(), id);
    const bool whole = check_need(*config, id);
    const auto config_text = whole ? source_.small(blob_name(config->digest), largest_manifest) : text;
    if (!whole) return;
    if (!config_text) return problem(blob_name(config->digest), config_text.error().rule(), id);
    const auto manifest = decode(*text, *config_text);
    if (!manifest) return problem(name, manifest.error().rule(), id);
    for (const ArtifactPart& part : manifest->parts) static_cast<void>(check_need(part.blob, id));
  }

  LayoutSource& source_;
  bool own_;
  StoreReport report_;
  std::map<std::string, std::int64_t> sizes_;
  std::map<std::string, Found> problems_;
};

} // namespace

std::string blob_name(std::string_view digest) {
  return "blobs/sha256/" + std::string(digest.substr(digest.find(':') + 1));
}

Result<std::string> LayoutSource::small(const std::string& name, std::size_t limit) {
  std::string text;
  const auto status = read(name, [&](std::span<const std::byte> piece) -> Status {
    if (piece.size() > limit - text.size()) return damaged(name, fmt::format("it is larger than {} bytes", limit));
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  });
  if (!status) return status.error();
  return text;
}

Status LayoutSource::read_blob(const Blob& blob, const ByteSink& sink) {
  const std::string name = blob_name(blob.digest);
  Sha256 hash;
  std::int64_t size = 0;
  MCOMP_CHECK(read(name, [&](std::span<const std::byte> piece) -> Status {
    hash.update(piece);
    if (std::ssize(piece) > blob.size - size) return damaged(name, fmt::format("more than {} bytes", blob.size));
    size += std::ssize(piece);
    return sink(piece);
  }));
  if (size != blob.size) return damaged(name, fmt::format("{} bytes, {} are said", size, blob.size));
  if (to_digest(hash) != blob.digest) return damaged(name, "its bytes are not those of its name");
  return {};
}

Result<std::string> LayoutSource::small_blob(const Blob& blob) {
  if (blob.size > static_cast<std::int64_t>(largest_manifest))
    return damaged(blob_name(blob.digest), "it is above 4 MiB");
  std::string text;
  const auto status = read_blob(blob, [&](std::span<const std::byte> piece) -> Status {
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  });
  if (!status) return status.error();
  return text;
}

Result<std::string> LayoutSource::small_blob(const std::string& digest, std::size_t limit) {
  MCOMP_TRY(text, small(blob_name(digest), limit));
  if (digest_of(text) != digest) return damaged(blob_name(digest), "its bytes are not those of its name");
  return text;
}

Result<StoreIndex> LayoutSource::index() {
  MCOMP_TRY(text, small("index.json", largest_index));
  return parse_index(text);
}

Result<LayoutSource::Document> LayoutSource::document(const Blob& manifest) {
  MCOMP_TRY(text, small_blob(manifest));
  MCOMP_TRY(config, config_of(text));
  MCOMP_TRY(config_text, small_blob(config));
  MCOMP_TRY(decoded, decode(text, config_text));
  return Document{text, config_text, decoded};
}

Result<LayoutSource::Document> LayoutSource::document(const std::string& id) {
  if (!is_digest(id))
    return Error(ErrorCode::invalid_argument, id, "it is no id of an artifact", "give \"sha256:\" and 64 digits");
  MCOMP_TRY(text, small_blob(id, largest_manifest));
  return document(Blob{id, static_cast<std::int64_t>(text.size())});
}

Result<std::unique_ptr<LayoutSource>> folder_source(const fs::path& folder) {
  return std::unique_ptr<LayoutSource>(std::make_unique<FolderSource>(folder));
}

Result<std::unique_ptr<LayoutSource>> archive_source(const fs::path& path) {
  MCOMP_TRY(file, MappedFile::open(path));
  auto files = read_archive(file->bytes());
  if (!files) return files.error().within(path.string());
  return std::unique_ptr<LayoutSource>(std::make_unique<ArchiveSource>(file, *std::move(files)));
}

Result<StoreReport> verify_layout(LayoutSource& source, bool own, const Context& context) {
  return Verification(source, own).run(context);
}

} // namespace mcomp::inline v0::catalog::detail
