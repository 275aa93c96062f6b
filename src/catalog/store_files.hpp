#pragma once

// Files of a store: written beside, synced, renamed, and the folder synced; every step that the system refuses is an
// error, because what a caller was told to be stored must be there after the next power cut.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "core/try.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace fs = std::filesystem;

/// Names of files that are being written begin with this; whatever is left of them after a crash is removed by
/// `collect_garbage`.
inline constexpr std::string_view incoming_prefix = ".incoming-";

[[nodiscard]] Error system_error(const fs::path& path, const char* what, int number);

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) noexcept : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  [[nodiscard]] int get() const noexcept { return number_; }
  [[nodiscard]] explicit operator bool() const noexcept { return number_ >= 0; }

 private:
  int number_;
};

/// A file without a name yet, in the folder where it will stand.
class IncomingFile {
 public:
  [[nodiscard]] static Result<IncomingFile> create(const fs::path& folder);
  ~IncomingFile();
  IncomingFile(IncomingFile&&) noexcept = default;
  IncomingFile& operator=(IncomingFile&&) = delete;
  [[nodiscard]] Status write(std::span<const std::byte> bytes);
  [[nodiscard]] Status write(std::string_view text) {
    return write(std::as_bytes(std::span(text.data(), text.size())));
  }
  /// Syncs the bytes; what comes then can only fail in the folder.
  [[nodiscard]] Status sync();
  /// Gives it its name, replacing what had it, and syncs the folder.
  [[nodiscard]] Status rename(const fs::path& path);

 private:
  IncomingFile(fs::path folder, fs::path path, Descriptor file)
      : folder_(std::move(folder)), path_(std::move(path)), file_(std::move(file)) {}
  fs::path folder_, path_;
  Descriptor file_;
};

/// `text` under that name, whole or not at all.
[[nodiscard]] Status write_durably(const fs::path& path, std::string_view text);
[[nodiscard]] Status sync_folder(const fs::path& folder);
/// The folder, which may be there already, durably.
[[nodiscard]] Status make_folder(const fs::path& folder);

/// A regular file, opened for reading without following a link in its last part.
[[nodiscard]] Result<Descriptor> open_regular(const fs::path& path, std::int64_t& size);

/// Hands the file's bytes to `sink` in pieces of at most 1 MiB.
using ByteSink = std::function<Status(std::span<const std::byte>)>;
[[nodiscard]] Status read_pieces(const fs::path& path, const ByteSink& sink);
/// A file of at most `limit` bytes; corrupt where it is larger.
[[nodiscard]] Result<std::string> read_small(const fs::path& path, std::size_t limit);

/// A lock over processes and threads (flock), held as long as the object lives.
class StoreLock {
 public:
  enum class Kind { shared, exclusive };
  [[nodiscard]] static Result<StoreLock> take(const fs::path& file, Kind kind);

 private:
  explicit StoreLock(Descriptor file) : file_(std::move(file)) {}
  Descriptor file_;
};

} // namespace mcomp::inline v0::catalog::detail
