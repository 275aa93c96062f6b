#include "mcomp/io/safetensors.hpp"

#include <cstring>
#include <tuple>
#include <vector>

#include "io/safetensors_format.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::io {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

constexpr const char* write_anew = "the file is damaged or was written by a faulty program; obtain it anew";

Error corrupt(const std::string& subject, std::string rule) {
  return Error(ErrorCode::corrupt, subject, std::move(rule), write_anew);
}

/// One line of the header: a tensor's type, shape, and place [begin, end) in the buffer behind the header.
struct Entry {
  std::string name;
  std::string subject;
  DType dtype = DType::f32;
  Shape shape;
  std::int64_t begin = 0, end = 0;
};

/// The JSON text. The reference reader tolerates any JSON white space before and behind the object (some writers pad to
/// a page), although the format description wants '{' first; so does this one.
Result<std::string_view> header_text(std::span<const std::byte> bytes, const std::string& subject) {
  if (bytes.size() < detail::length_bytes)
    return corrupt(subject, fmt::format("{} bytes are fewer than the 8 of the header length", bytes.size()));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), detail::length_bytes);
  if (length > detail::largest_header)
    return corrupt(subject,
                   fmt::format("the header length is {}, at most {} is allowed", length, detail::largest_header));
  if (length > bytes.size() - detail::length_bytes)
    return corrupt(subject, fmt::format("the header length is {}, but the file ends {} bytes behind it", length,
                                        bytes.size() - detail::length_bytes));
  const auto header = bytes.subspan(detail::length_bytes, static_cast<std::size_t>(length));
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{')
    return corrupt(subject + ": header", "it does not begin with '{'");
  // The JSON parser takes a NUL for the end of its input and would not look at what follows.
  if (text.find('\0') != std::string_view::npos) return corrupt(subject + ": header", "it contains a NUL byte");
  return text;
}

Result<DType> read_dtype(const std::string& name, const std::string& subject) {
  for (const auto& [text, dtype] : detail::dtype_names)
    if (text == name) return dtype;
  for (const std::string_view text :
       {"F4", "F6_E2M3", "F6_E3M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "U16", "U32", "U64", "C64"})
    if (text == name)
      return Error(ErrorCode::unsupported, subject, fmt::format("dtype {} is not available here", name),
                   "convert the tensor to F32, F16, BF16 or a signed integer type before");
  return corrupt(subject, fmt::format("there is no dtype {}", detail::quoted(name)));
}

Result<Entry> read_entry(const std::string& name, const Json& json, const std::string& file) {
  Entry entry{.name = name, .subject = file + ": tensor " + detail::quoted(name), .shape = {}};
  if (name.find('\0') != std::string::npos) return corrupt(entry.subject, "its name contains NUL");
  ObjectReader reader(json, entry.subject);
  const std::string dtype_name = reader.text("dtype");
  entry.shape = Shape(reader.integers("shape"));
  const std::vector<std::int64_t> offsets = reader.integers("data_offsets");
  MCOMP_CHECK(reader.finish());
  MCOMP_TRY(dtype, read_dtype(dtype_name, entry.subject));
  entry.dtype = dtype;
  if (offsets.size() != 2)
    return corrupt(entry.subject, fmt::format("data_offsets has {} numbers, 2 are needed", offsets.size()));
  entry.begin = offsets[0];
  entry.end = offsets[1];
  if (entry.begin < 0 || entry.end < entry.begin)
    return corrupt(entry.subject,
                   fmt::format("data_offsets [{}, {}] are negative or reversed", entry.begin, entry.end));
  const auto bytes = byte_size(entry.dtype, entry.shape, entry.subject);
  if (!bytes) return corrupt(entry.subject, bytes.error().rule());
  if (entry.end - entry.begin != *bytes)
    return corrupt(entry.subject, fmt::format("{} {} takes {} bytes, data_offsets [{}, {}] give it {}", entry.dtype,
                                              entry.shape, *bytes, entry.begin, entry.end, entry.end - entry.begin));
  return entry;
}

Status read_metadata(const Json& json, const std::string& file, std::map<std::string, std::string>& metadata) {
  const std::string subject = file + ": " + detail::metadata_key;
  if (!json.is_object()) return corrupt(subject, fmt::format("an object is needed, there is {}", json.type_name()));
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string())
      return corrupt(subject, fmt::format("{} must be a string, there is {}", detail::quoted(key), value.type_name()));
    metadata.emplace(key, value.get_ref<const std::string&>());
  }
  return {};
}

/// The tensors must cover the buffer exactly: no hole, no overlap, nothing behind the last one. Sorts them by place.
Status check_layout(std::vector<Entry>& entries, std::int64_t buffer_bytes, const std::string& subject) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::int64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.end > buffer_bytes)
      return corrupt(entry.subject,
                     fmt::format("data_offsets [{}, {}] reach beyond the file, which has {} bytes of data", entry.begin,
                                 entry.end, buffer_bytes));
    if (entry.begin != covered)
      return corrupt(entry.subject,
                     fmt::format("data_offsets [{}, {}] {} the tensor before, which ends at {}", entry.begin, entry.end,
                                 entry.begin < covered ? "overlap" : "leave a hole behind", covered));
    covered = entry.end;
  }
  if (covered != buffer_bytes)
    return corrupt(subject, fmt::format("{} bytes stand behind the last tensor", buffer_bytes - covered));
  return {};
}

bool aligned(const std::byte* data, DType dtype) {
  return reinterpret_cast<std::uintptr_t>(data) % (static_cast<std::size_t>(bit_width(dtype)) / 8) == 0;
}

Status put(const Entry& entry, std::span<const std::byte> buffer, const std::shared_ptr<const void>& owner,
           TensorStore& tensors) {
  const auto bytes =
      buffer.subspan(static_cast<std::size_t>(entry.begin), static_cast<std::size_t>(entry.end - entry.begin));
  if (entry.dtype == DType::boolean && !detail::only_zeros_and_ones(bytes))
    return corrupt(entry.subject, "a boolean element is neither 0 nor 1");
  if (owner && aligned(bytes.data(), entry.dtype)) {
    tensors.put(entry.name, TensorView(bytes.data(), entry.dtype, entry.shape), owner);
    return {};
  }
  MCOMP_TRY(tensor, Tensor::uninitialized(entry.dtype, entry.shape));
  if (!bytes.empty()) std::memcpy(tensor.data(), bytes.data(), bytes.size());
  tensors.put(entry.name, std::move(tensor));
  return {};
}

} // namespace

Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                          std::string subject) {
  MCOMP_TRY(text, header_text(bytes, subject));
  MCOMP_TRY(header, mcomp::detail::parse_json(text, subject + ": header"));
  SafetensorsFile file;
  std::vector<Entry> entries;
  entries.reserve(header.size());
  for (const auto& [name, json] : header.items()) {
    if (name == detail::metadata_key) {
      MCOMP_CHECK(read_metadata(json, subject, file.metadata));
      continue;
    }
    MCOMP_TRY(entry, read_entry(name, json, subject));
    entries.push_back(std::move(entry));
  }
  const auto buffer = bytes.subspan(detail::length_bytes + text.size());
  MCOMP_CHECK(check_layout(entries, static_cast<std::int64_t>(buffer.size()), subject));
  for (const Entry& entry : entries) MCOMP_CHECK(put(entry, buffer, owner, file.tensors));
  return file;
}

Result<SafetensorsFile> read_safetensors(const std::filesystem::path& path) {
  MCOMP_TRY(mapping, MappedFile::open(path));
  const auto bytes = mapping->bytes();
  return parse_safetensors(bytes, std::move(mapping), path.string());
}

std::string to_string(const SafetensorsFile& file) {
  std::string text = fmt::format("{} tensors, {} bytes", file.tensors.size(), file.tensors.bytes());
  const char* separator = ", metadata: ";
  for (const auto& [key, value] : file.metadata) {
    text += separator + key;
    separator = ", ";
  }
  return text;
}

} // namespace mcomp::inline v0::io
