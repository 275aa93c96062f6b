#include "catalog/store_files.hpp"

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

Error system_error(const fs::path& path, const char* what, int number) {
  if (number == ENOENT || number == ENOTDIR)
    return Error(ErrorCode::not_found, path.string(), "there is no such file or folder", "check the path");
  return Error(ErrorCode::io_failure, path.string(),
               fmt::format("cannot {}: {}", what, std::generic_category().message(number)),
               "check permissions and free space; nothing was changed");
}

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}
Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

Result<IncomingFile> IncomingFile::create(const fs::path& folder) {
  std::string name = (folder / (std::string(incoming_prefix) + "XXXXXX")).string();
  Descriptor file(::mkostemp(name.data(), O_CLOEXEC));
  if (!file) return system_error(folder, "create a file", errno);
  IncomingFile incoming(folder, name, std::move(file));
  if (::fchmod(incoming.file_.get(), 0644) != 0) return system_error(name, "set permissions", errno);
  return incoming;
}

IncomingFile::~IncomingFile() {
  if (!path_.empty() && file_) ::unlink(path_.c_str());
}

Status IncomingFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return system_error(folder_, "write", written < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Status IncomingFile::sync() {
  if (::fsync(file_.get()) != 0) return system_error(folder_, "sync a file", errno);
  return {};
}

Status IncomingFile::rename(const fs::path& path) {
  if (::rename(path_.c_str(), path.c_str()) != 0) return system_error(path, "rename", errno);
  path_.clear();
  return sync_folder(folder_);
}

Status write_durably(const fs::path& path, std::string_view text) {
  MCOMP_TRY(file, IncomingFile::create(path.parent_path()));
  MCOMP_CHECK(file.write(text));
  MCOMP_CHECK(file.sync());
  return file.rename(path);
}

Status sync_folder(const fs::path& folder) {
  const Descriptor file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file) return system_error(folder, "open the folder", errno);
  // Some file systems cannot sync a folder (EINVAL); there is nothing more to be done there.
  if (::fsync(file.get()) != 0 && errno != EINVAL) return system_error(folder, "sync the folder", errno);
  return {};
}

Status make_folder(const fs::path& folder) {
  if (::mkdir(folder.c_str(), 0755) != 0) {
    struct stat info {};
    if (errno != EEXIST || ::stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
      return system_error(folder, "create the folder", errno);
    return {};
  }
  const fs::path named = folder.has_filename() ? folder : folder.parent_path(); // "name/" has an empty last part
  return sync_folder(named.has_parent_path() ? named.parent_path() : fs::path("."));
}

Result<Descriptor> open_regular(const fs::path& path, std::int64_t& size) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!file) return system_error(path, "open", errno);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return system_error(path, "look at", errno);
  if (!S_ISREG(info.st_mode))
    return Error(ErrorCode::corrupt, path.string(), "it is not a regular file", "restore the store from a copy");
  size = static_cast<std::int64_t>(info.st_size);
  return file;
}

Status read_pieces(const fs::path& path, const ByteSink& sink) {
  std::int64_t size = 0;
  MCOMP_TRY(file, open_regular(path, size));
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min<std::int64_t>(size + 1, std::int64_t{1} << 20)));
  for (;;) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path, "read", errno);
    if (got == 0) return {};
    MCOMP_CHECK(sink(std::span(piece).first(static_cast<std::size_t>(got))));
  }
}

Result<std::string> read_small(const fs::path& path, std::size_t limit) {
  std::string text;
  MCOMP_CHECK(read_pieces(path, [&](std::span<const std::byte> piece) -> Status {
    if (piece.size() > limit - text.size())
      return Error(ErrorCode::corrupt, path.string(), fmt::format("it is larger than {} bytes", limit),
                   "restore it from a copy");
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  }));
  return text;
}

Result<StoreLock> StoreLock::take(const fs::path& file, Kind kind) {
  Descriptor descriptor(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!descriptor) return system_error(file, "open the lock", errno);
  while (::flock(descriptor.get(), kind == Kind::shared ? LOCK_SH : LOCK_EX) != 0)
    if (errno != EINTR) return system_error(file, "lock", errno);
  return StoreLock(std::move(descriptor));
}

} // namespace mcomp::inline v0::catalog::detail
