#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "mcomp/core/tensor_store.hpp"

// Safetensors: eight bytes with the length N of a header (little-endian), N bytes of JSON that name every tensor with
// its dtype, shape and place, then the elements in C order and nothing else (format description in the README of
// huggingface/safetensors; limits as in its reference reader). A file is treated as hostile: every size is checked with
// overflow-checked arithmetic before memory is taken or touched, and a file that breaks a rule is an Error, never a
// partial result. Beyond the reference reader, these are refused: keys that stand twice, keys that an entry does not
// have, bytes other than 0 and 1 in a boolean tensor, and NUL in a name.

namespace mcomp::inline v0::io {

/// The content of a safetensors file. Metadata is a list of strings by name, nothing more.
struct SafetensorsFile {
  TensorStore tensors;
  std::map<std::string, std::string> metadata{};
};

/// Opens a file of any size: it is mapped, not read, and the tensors are views that keep the mapping alive (the file
/// may be renamed or removed meanwhile, but must not be truncated). Only tensors that the file places at an address
/// that is not aligned for their dtype are copied; files of this library and of the reference writer have none.
///
///     auto file = mcomp::io::read_safetensors("model.safetensors").value();
///     auto weights = file.tensors.find("layer1.0.conv1.weight").value();
///
/// Errors: not_found and io_failure for the file itself, corrupt for content that breaks the format, unsupported for a
/// tensor of a dtype that mcomp does not have (U16, F8_E4M3FNUZ ...).
[[nodiscard]] MCOMP_API Result<SafetensorsFile> read_safetensors(const std::filesystem::path& path);

/// The same from memory.
/// @param owner   keeps `bytes` alive for as long as a tensor is in use; where null, all tensors are copied
/// @param subject what the bytes are, for messages
[[nodiscard]] MCOMP_API Result<SafetensorsFile>
parse_safetensors(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, std::string subject);

/// Writes a file whole or not at all. Equal content gives equal bytes: tensors stand by descending alignment of their
/// dtype, then by name; the header begins with '{' and is padded with spaces to a multiple of 8. Strided tensors are
/// written contiguously.
///
/// Errors: not_found and io_failure (a full disk among them; an older file is then untouched), unsupported for int4 and
/// uint4, which the format lacks, invalid_argument for names or metadata that are not UTF-8, contain NUL, or for a
/// tensor named "__metadata__", invalid_value for a boolean tensor with bytes other than 0 and 1.
[[nodiscard]] MCOMP_API Status write_safetensors(const std::filesystem::path& path, const TensorStore& tensors,
                                                 const std::map<std::string, std::string>& metadata = {});

/// "3 tensors, 1024 bytes, metadata: author, licence"
[[nodiscard]] MCOMP_API std::string to_string(const SafetensorsFile& file);

} // namespace mcomp::inline v0::io

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<io::SafetensorsFile> = true;
} // namespace mcomp::inline v0
