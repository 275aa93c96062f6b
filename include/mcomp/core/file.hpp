#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0 {

/// Reads a whole file. Errors: not_found, io_failure, invalid_argument above `limit` bytes.
[[nodiscard]] MCOMP_API Result<std::string> read_file(const std::filesystem::path& path,
                                                      std::int64_t limit = std::int64_t{1} << 30);

/// A file mapped read-only into memory for as long as the object lives.
class MCOMP_API MappedFile {
 public:
  /// Errors: not_found, io_failure.
  [[nodiscard]] static Result<std::shared_ptr<const MappedFile>> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

/// Writes a file so that a reader sees the old content or the whole new one, never a part: bytes go to a temporary file
/// in the same folder, which `commit` syncs and renames. Without `commit` the temporary file is removed.
class MCOMP_API AtomicFile {
 public:
  /// Errors: not_found where the folder is missing, io_failure.
  [[nodiscard]] static Result<AtomicFile> create(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  /// Error: io_failure (a full disk among them), after which the file cannot be committed.
  [[nodiscard]] Status write(std::span<const std::byte> bytes);
  [[nodiscard]] Status write(std::string_view text) {
    return write(std::as_bytes(std::span(text.data(), text.size())));
  }
  /// Error: io_failure; the old file, if there was one, is then untouched.
  [[nodiscard]] Status commit();

 private:
  AtomicFile(std::filesystem::path target, std::filesystem::path temporary, int descriptor);
  std::filesystem::path target_, temporary_;
  int descriptor_ = -1;
  bool failed_ = false;
};

/// `AtomicFile` in one call.
[[nodiscard]] MCOMP_API Status write_file(const std::filesystem::path& path, std::string_view text);

} // namespace mcomp::inline v0
