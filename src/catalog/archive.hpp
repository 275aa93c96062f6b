#pragma once

// Tar archives as POSIX.1-1988 ustar, as little of them as a layout needs: regular files of short names, in one order,
// with nothing of the machine that wrote them, so that equal content gives equal bytes.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/try.hpp"

namespace mcomp::inline v0::catalog::detail {

inline constexpr std::size_t archive_block = 512;

/// The header of a file: mode 0644, owner 0, time 0. Sizes beyond 8 GiB are written as GNU tar, libarchive and Go do.
[[nodiscard]] std::string archive_header(std::string_view name, std::uint64_t size);
/// The zeros that fill the last block of a file.
[[nodiscard]] std::string archive_padding(std::uint64_t size);
/// What ends an archive.
[[nodiscard]] std::string archive_end();

struct ArchiveFile {
  std::string name; ///< without a leading "./"
  std::span<const std::byte> bytes;
};

/// The files of an archive; folders are passed over. Everything is checked: header sums, zeros in the gaps and behind
/// the end. Errors: corrupt, naming the place, for what is no ustar, ends early, or holds a file twice; unsupported for
/// links, devices and extended headers; names are those of an OCI layout, or corrupt.
[[nodiscard]] Result<std::vector<ArchiveFile>> read_archive(std::span<const std::byte> bytes);

} // namespace mcomp::inline v0::catalog::detail
