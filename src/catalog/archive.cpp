#include "catalog/archive.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>

#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace {

// Places in a header (POSIX.1-1988, 10.1.1).
struct Field {
  std::size_t begin, length;
};
constexpr Field name_field{0, 100}, mode_field{100, 8}, uid_field{108, 8}, gid_field{116, 8}, size_field{124, 12},
    time_field{136, 12}, sum_field{148, 8}, type_field{156, 1}, link_field{157, 100}, magic_field{257, 8},
    prefix_field{345, 155};
constexpr std::uint64_t octal_limit = std::uint64_t{1} << 33;

void put_octal(std::string& header, Field field, std::uint64_t value) {
  const std::string digits = fmt::format("{:0{}o}", value, field.length - 1);
  std::ranges::copy(digits, header.begin() + static_cast<std::ptrdiff_t>(field.begin));
}

/// The sum of all bytes, those of the sum itself taken as spaces.
unsigned sum_of(std::string_view header) {
  unsigned sum = 0;
  for (std::size_t i = 0; i < header.size(); ++i)
    sum += i >= sum_field.begin && i < sum_field.begin + sum_field.length ? ' ' : static_cast<unsigned char>(header[i]);
  return sum;
}

std::string_view field_of(std::string_view header, Field field) {
  return header.substr(field.begin, field.length);
}

std::optional<std::uint64_t> octal(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

std::optional<std::uint64_t> read_size(std::string_view field) {
  if (static_cast<unsigned char>(field[0]) == 0x80) { // big-endian bytes follow
    std::uint64_t value = 0;
    for (std::size_t i = 1; i < field.size(); ++i) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(field[i]);
    }
    return value;
  }
  if (field.back() != '\0' && field.back() != ' ') return std::nullopt;
  return octal(field.substr(0, field.size() - 1));
}

bool is_sum(std::string_view header) {
  const std::string_view field = field_of(header, sum_field);
  return field[6] == '\0' && field[7] == ' ' && octal(field.substr(0, 6)) == std::uint64_t{sum_of(header)};
}

bool all_zero(std::string_view bytes) {
  return std::ranges::all_of(bytes, [](char c) { return c == '\0'; });
}

bool is_layout_name(std::string_view name) {
  constexpr std::string_view blobs = "blobs/sha256/";
  if (name == "oci-layout" || name == "index.json") return true;
  return name.starts_with(blobs) && is_digest("sha256:" + std::string(name.substr(blobs.size())));
}

bool is_layout_folder(std::string_view name) {
  return name.empty() || name == "blobs/" || name == "blobs/sha256/";
}

Error broken(std::uint64_t at, std::string rule, ErrorCode code = ErrorCode::corrupt) {
  return Error(code, fmt::format("archive, byte {}", at), std::move(rule), "export the artifacts anew");
}

struct Header {
  std::string name;
  std::uint64_t size = 0;
  bool file = false;
};

Result<Header> read_header(std::string_view header, std::uint64_t at) {
  if (!is_sum(header)) return broken(at, "the sum of a header does not hold");
  const std::string_view magic = field_of(header, magic_field);
  if (magic != std::string_view("ustar\00000", 8) && magic != std::string_view("ustar  \0", 8))
    return broken(at, "a header is not that of a ustar archive");
  std::string_view name = field_of(header, name_field);
  name = name.substr(0, name.find('\0'));
  if (name.starts_with("./")) name.remove_prefix(2);
  const char type = field_of(header, type_field)[0];
  Header read{.name = std::string(name), .size = 0, .file = type == '0' || type == '\0'};
  if (!read.file && type != '5')
    return broken(at, fmt::format("\"{}\" is a link, a device or an extended header", name), ErrorCode::unsupported);
  if (!all_zero(field_of(header, prefix_field)) || !all_zero(field_of(header, link_field)))
    return broken(at, "a name is longer than those of a layout, or a link");
  if (read.file ? !is_layout_name(name) : !is_layout_folder(name))
    return broken(at, fmt::format("\"{}\" is no file of an OCI layout", name));
  const auto size = read_size(field_of(header, size_field));
  if (!size || (!read.file && *size != 0)) return broken(at, "a size is none");
  read.size = *size;
  return read;
}

} // namespace

std::string archive_header(std::string_view name, std::uint64_t size) {
  std::string header(archive_block, '\0');
  std::ranges::copy(name.substr(0, name_field.length), header.begin());
  put_octal(header, mode_field, 0644);
  put_octal(header, uid_field, 0);
  put_octal(header, gid_field, 0);
  if (size < octal_limit) {
    put_octal(header, size_field, size);
  } else {
    header[size_field.begin] = '\x80';
    for (std::size_t i = 0; i < 8; ++i)
      header[size_field.begin + size_field.length - 1 - i] = static_cast<char>(size >> (8 * i) & 0xff);
  }
  put_octal(header, time_field, 0);
  header[type_field.begin] = '0';
  std::ranges::copy(std::string_view("ustar\00000", 8), header.begin() + magic_field.begin);
  const std::string sum = fmt::format("{:06o}", sum_of(header));
  std::ranges::copy(sum, header.begin() + sum_field.begin);
  header[sum_field.begin + 7] = ' ';
  return header;
}

std::string archive_padding(std::uint64_t size) {
  return std::string((archive_block - size % archive_block) % archive_block, '\0');
}

std::string archive_end() {
  return std::string(2 * archive_block, '\0');
}

Result<std::vector<ArchiveFile>> read_archive(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<ArchiveFile> files;
  std::set<std::string> names;
  std::size_t at = 0;
  for (;;) {
    if (text.size() - at < archive_block) return broken(at, "it ends without an end");
    const std::string_view block = text.substr(at, archive_block);
    if (all_zero(block)) break;
    MCOMP_TRY(header, read_header(block, at));
    at += archive_block;
    if (!header.file) continue;
    if (header.size > text.size() - at) return broken(at, fmt::format("\"{}\" ends early", header.name));
    const auto size = static_cast<std::size_t>(header.size);
    const std::size_t padding = archive_padding(header.size).size();
    if (padding > text.size() - at - size) return broken(at, fmt::format("\"{}\" ends early", header.name));
    if (!all_zero(text.substr(at + size, padding)))
      return broken(at + size, fmt::format("the gap behind \"{}\" is not zero", header.name));
    if (!names.insert(header.name).second) return broken(at, fmt::format("\"{}\" stands twice", header.name));
    files.push_back({std::move(header.name), bytes.subspan(at, size)});
    at += size + padding;
  }
  if (text.size() - at < 2 * archive_block || !all_zero(text.substr(at)))
    return broken(at, "what follows the end is not zero, or too short");
  return files;
}

} // namespace mcomp::inline v0::catalog::detail
