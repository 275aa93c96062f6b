// Layouts that leave a store and come into one.

#include <algorithm>
#include <map>

#include "catalog/archive.hpp"
#include "catalog/store_layout.hpp"
#include "mcomp/catalog/artifact_store.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace fs = std::filesystem;

namespace {

using detail::LayoutSource;
using detail::StoreIndex;

struct Selection {
  StoreIndex index;
  std::map<std::string, Blob> blobs; ///< by their digests: in one order
};

Result<Selection> select(LayoutSource& source, std::span<const std::string> ids) {
  MCOMP_TRY(all, source.index());
  Selection selection;
  std::vector<std::string> wanted(ids.begin(), ids.end());
  if (wanted.empty())
    for (const auto& [id, size] : all.artifacts) wanted.push_back(id);
  for (const std::string& id : wanted) {
    const auto found = all.artifacts.find(id);
    if (found == all.artifacts.end())
      return Error(ErrorCode::not_found, id, "there is no such artifact in the layout", "list it");
    selection.index.artifacts.insert(*found);
    MCOMP_TRY(document, source.document(Blob{id, found->second}));
    const auto add = [&](const Blob& blob) { selection.blobs.emplace(blob.digest, blob); };
    add({id, found->second});
    add({digest_of(document.config), std::ssize(document.config)});
    for (const ArtifactPart& part : document.decoded.parts) add(part.blob);
  }
  return selection;
}

/// All blobs first and the manifests last, so that whatever stops it leaves no artifact in part.
Result<std::vector<std::string>> take_in(const ArtifactStore& store, LayoutSource& source) {
  MCOMP_TRY(layout, source.small("oci-layout", 4096));
  MCOMP_CHECK(detail::check_layout(layout));
  MCOMP_TRY(selection, select(source, {}));
  for (const auto& [digest, blob] : selection.blobs) {
    MCOMP_TRY(writer, store.writer());
    MCOMP_CHECK(source.read_blob(blob, [&](std::span<const std::byte> piece) { return writer.write(piece); }));
    MCOMP_TRY(written, writer.finish());
    if (written != blob) return Error(ErrorCode::corrupt, digest, "it has changed while it was read", "import again");
  }
  std::vector<std::string> ids;
  std::vector<ArtifactManifest> manifests;
  for (const auto& [id, size] : selection.index.artifacts) {
    MCOMP_TRY(document, source.document(Blob{id, size}));
    manifests.push_back(document.decoded);
    ids.push_back(id);
  }
  MCOMP_CHECK(detail::add_artifacts(store.folder(), manifests));
  return ids;
}

} // namespace

Status ArtifactStore::export_directory(const std::filesystem::path& target, std::span<const std::string> ids) const {
  MCOMP_TRY(source, detail::folder_source(folder_));
  MCOMP_TRY(selection, select(*source, ids));
  if (std::filesystem::exists(target))
    return Error(ErrorCode::invalid_argument, target.string(), "it exists already", "name a new folder");
  MCOMP_CHECK(detail::make_folder(target));
  MCOMP_CHECK(detail::make_folder(target / "blobs"));
  MCOMP_CHECK(detail::make_folder(target / "blobs" / "sha256"));
  for (const auto& [digest, blob] : selection.blobs) {
    MCOMP_TRY(file, detail::IncomingFile::create(target / "blobs" / "sha256"));
    MCOMP_CHECK(source->read_blob(blob, [&](std::span<const std::byte> piece) { return file.write(piece); }));
    MCOMP_CHECK(file.sync());
    MCOMP_CHECK(file.rename(target / detail::blob_name(digest)));
  }
  MCOMP_CHECK(detail::write_durably(target / "index.json", detail::to_json(selection.index)));
  return detail::write_durably(target / "oci-layout", detail::layout_text);
}

Status ArtifactStore::export_archive(const std::filesystem::path& path, std::span<const std::string> ids) const {
  MCOMP_TRY(source, detail::folder_source(folder_));
  MCOMP_TRY(selection, select(*source, ids));
  MCOMP_TRY(file, detail::IncomingFile::create(path.has_parent_path() ? path.parent_path() : fs::path(".")));
  const auto text = [&](std::string_view name, std::string_view content) -> Status {
    MCOMP_CHECK(file.write(detail::archive_header(name, content.size())));
    MCOMP_CHECK(file.write(content));
    return file.write(detail::archive_padding(content.size()));
  };
  MCOMP_CHECK(text("oci-layout", detail::layout_text));
  MCOMP_CHECK(text("index.json", detail::to_json(selection.index)));
  for (const auto& [digest, blob] : selection.blobs) {
    const auto size = static_cast<std::uint64_t>(blob.size);
    MCOMP_CHECK(file.write(detail::archive_header(detail::blob_name(digest), size)));
    MCOMP_CHECK(source->read_blob(blob, [&](std::span<const std::byte> piece) { return file.write(piece); }));
    MCOMP_CHECK(file.write(detail::archive_padding(size)));
  }
  MCOMP_CHECK(file.write(detail::archive_end()));
  MCOMP_CHECK(file.sync());
  return file.rename(path);
}

Result<std::vector<std::string>> ArtifactStore::import_directory(const std::filesystem::path& target) const {
  MCOMP_TRY(source, detail::folder_source(target));
  auto ids = take_in(*this, *source);
  if (!ids) return ids.error().within(target.string());
  return ids;
}

Result<std::vector<std::string>> ArtifactStore::import_archive(const std::filesystem::path& path) const {
  MCOMP_TRY(source, detail::archive_source(path));
  auto ids = take_in(*this, *source);
  if (!ids) return ids.error().within(path.string());
  return ids;
}

Result<StoreReport> verify_directory(const std::filesystem::path& folder, const Context& context) {
  MCOMP_TRY(source, detail::folder_source(folder));
  return detail::verify_layout(*source, true, context);
}

Result<StoreReport> verify_archive(const std::filesystem::path& path, const Context& context) {
  auto source = detail::archive_source(path);
  if (!source && source.error().code() != ErrorCode::corrupt && source.error().code() != ErrorCode::unsupported)
    return source.error();
  if (!source) {
    StoreReport report;
    report.problems.push_back({source.error().subject(), source.error().rule(), {}});
    return report;
  }
  return detail::verify_layout(**source, true, context);
}

} // namespace mcomp::inline v0::catalog
