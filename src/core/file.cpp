#include "mcomp/core/file.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0 {

namespace {

std::string reason(int number) {
  return std::generic_category().message(number);
}

Error open_error(const std::filesystem::path& path, int number) {
  if (number == ENOENT || number == ENOTDIR)
    return Error(ErrorCode::not_found, path.string(), "there is no such file or folder", "check the path");
  return Error(ErrorCode::io_failure, path.string(), reason(number), "check the file and its permissions");
}

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

/// Tells the size of a regular file. Files are opened without waiting, so that a pipe is refused here and does not
/// hang.
Result<std::int64_t> file_size(int descriptor, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) return open_error(path, errno);
  if (!S_ISREG(info.st_mode))
    return Error(ErrorCode::io_failure, path.string(), "it is not a regular file", "name a file");
  return static_cast<std::int64_t>(info.st_size);
}

} // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::int64_t limit) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0) return open_error(path, errno);
  MCOMP_TRY(size, file_size(file.number, path));
  if (size > limit)
    return Error(ErrorCode::invalid_argument, path.string(), fmt::format("{} bytes, at most {} are read", size, limit),
                 "name a smaller file");
  std::string text(static_cast<std::size_t>(size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(file.number, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return open_error(path, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  return text;
}

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0) return open_error(path, errno);
  MCOMP_TRY(size, file_size(file.number, path));
  if (size == 0) return std::shared_ptr<const MappedFile>(new MappedFile({}));
  const auto length = static_cast<std::size_t>(size);
  void* data = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (data == MAP_FAILED) return open_error(path, errno);
  return std::shared_ptr<const MappedFile>(new MappedFile({static_cast<const std::byte*>(data), length}));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

AtomicFile::AtomicFile(std::filesystem::path target, std::filesystem::path temporary, int descriptor)
    : target_(std::move(target)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)), failed_(other.failed_) {}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  std::string name = path.string() + ".XXXXXX";
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) return open_error(path, errno);
  if (::fchmod(descriptor, 0644) != 0) {
    const Error error = open_error(path, errno);
    ::close(descriptor);
    ::unlink(name.c_str());
    return error;
  }
  return AtomicFile(path, name, descriptor);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  if (descriptor_ < 0)
    return Error(ErrorCode::invalid_argument, target_.string(), "the file is already committed", "create it anew");
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      failed_ = true;
      return Error(ErrorCode::io_failure, target_.string(), "cannot write: " + reason(written < 0 ? errno : ENOSPC),
                   "make room or choose another folder; nothing was changed");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Status AtomicFile::commit() {
  const auto failure = [&](const char* what) {
    return Error(ErrorCode::io_failure, target_.string(), std::string(what) + ": " + reason(errno),
                 "make room or choose another folder; nothing was changed");
  };
  if (descriptor_ < 0 || failed_)
    return Error(ErrorCode::invalid_argument, target_.string(), "a write failed or the file is already committed",
                 "create it anew");
  if (::fsync(descriptor_) != 0) return failure("cannot sync");
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) return failure("cannot rename");
  ::close(std::exchange(descriptor_, -1));
  // The rename itself is durable only once the folder is synced; a file system that cannot do that is no error.
  const std::filesystem::path folder = target_.has_parent_path() ? target_.parent_path() : std::filesystem::path(".");
  const Descriptor parent{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (parent.number >= 0) ::fsync(parent.number);
  return {};
}

Status write_file(const std::filesystem::path& path, std::string_view text) {
  MCOMP_TRY(file, AtomicFile::create(path));
  MCOMP_CHECK(file.write(text));
  return file.commit();
}

} // namespace mcomp::inline v0
