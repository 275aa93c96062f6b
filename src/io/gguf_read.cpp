#include <cstring>
#include <limits>
#include <set>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "io/gguf_format.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::io {

namespace {

constexpr const char* write_anew = "the file is damaged or was written by a faulty program; obtain it anew";

Error corrupt(const std::string& subject, std::string rule) {
  return Error(ErrorCode::corrupt, subject, std::move(rule), write_anew);
}

/// Takes numbers and strings from the front of what is left, never beyond it.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, const std::string& subject) : bytes_(bytes), subject_(subject) {}

  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint64_t rest() const noexcept { return bytes_.size() - position_; }

  template <class T> Result<T> number(const char* what) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    MCOMP_TRY(bytes, take(sizeof(T), what));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  Result<std::string> string(const char* what) {
    MCOMP_TRY(length, number<std::uint64_t>(what));
    if (length > rest())
      return corrupt(subject_, fmt::format("{}: a string of {} bytes at {}, but the file ends {} bytes behind it", what,
                                           length, position_, rest()));
    MCOMP_TRY(bytes, take(length, what));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  Result<std::span<const std::byte>> take(std::uint64_t count, const char* what) {
    if (count > rest())
      return corrupt(subject_, fmt::format("the file ends at {} bytes, within {}", bytes_.size(), what));
    const auto result = bytes_.subspan(static_cast<std::size_t>(position_), static_cast<std::size_t>(count));
    position_ += count;
    return result;
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& subject_;
  std::uint64_t position_ = 0;
};

Result<bool> read_bool(ByteReader& reader, const std::string& subject) {
  MCOMP_TRY(value, reader.number<std::uint8_t>("a bool"));
  if (value > 1) return corrupt(subject, fmt::format("a bool is {}, neither 0 nor 1", value));
  return value == 1;
}

template <class T> Result<T> read_element(ByteReader& reader, const std::string& subject) {
  if constexpr (std::is_same_v<T, std::string>)
    return reader.string("a string value");
  else if constexpr (std::is_same_v<T, bool>)
    return read_bool(reader, subject);
  else
    return reader.number<T>("a value");
}

/// The fewest bytes that an element takes in the file: a string at least those of its length.
template <class T> constexpr std::uint64_t least_bytes = std::is_same_v<T, std::string> ? 8 : sizeof(T);

template <class T>
Result<GgufArray> read_elements(ByteReader& reader, std::uint64_t count, const std::string& subject) {
  if (count > reader.rest() / least_bytes<T>)
    return corrupt(subject, fmt::format("an array of {} elements does not fit into the {} bytes that are left", count,
                                        reader.rest()));
  std::vector<T> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    MCOMP_TRY(value, read_element<T>(reader, subject));
    values.push_back(std::move(value));
  }
  return GgufArray(std::move(values));
}

/// Calls `read` with the element type of a value number. Nothing where there is none.
template <class Read, std::size_t Place = 0>
auto with_value_type(std::uint32_t number, const Read& read)
    -> std::optional<decltype(read.template operator()<std::uint8_t>())> {
  if constexpr (Place < std::variant_size_v<GgufArray>) {
    using T = typename std::variant_alternative_t<Place, GgufArray>::value_type;
    if (number == detail::gguf_value_number(Place)) return read.template operator()<T>();
    return with_value_type<Read, Place + 1>(number, read);
  } else {
    return std::nullopt;
  }
}

Result<GgufArray> read_array(ByteReader& reader, const std::string& subject) {
  MCOMP_TRY(type, reader.number<std::uint32_t>("the type of an array"));
  MCOMP_TRY(count, reader.number<std::uint64_t>("the length of an array"));
  if (type == detail::gguf_array_number)
    return Error(ErrorCode::unsupported, subject, "it is an array of arrays, which no engine reads",
                 "write its arrays under keys of their own");
  auto array = with_value_type(type, [&]<class T>() { return read_elements<T>(reader, count, subject); });
  if (!array) return corrupt(subject, fmt::format("an array of value type {}, which does not exist", type));
  return *std::move(array);
}

Result<GgufValue> read_value(ByteReader& reader, const std::string& subject) {
  MCOMP_TRY(type, reader.number<std::uint32_t>("a value type"));
  if (type == detail::gguf_array_number) {
    MCOMP_TRY(array, read_array(reader, subject));
    return GgufValue(std::move(array));
  }
  auto value = with_value_type(type, [&]<class T>() -> Result<GgufValue> {
    MCOMP_TRY(element, read_element<T>(reader, subject));
    return GgufValue(std::in_place_type<T>, std::move(element));
  });
  if (!value) return corrupt(subject, fmt::format("value type {} does not exist", type));
  return *std::move(value);
}

struct Header {
  std::uint64_t tensors = 0, keys = 0;
};

Result<Header> read_header(ByteReader& reader, const std::string& subject) {
  MCOMP_TRY(magic, reader.take(4, "the magic bytes"));
  if (std::memcmp(magic.data(), detail::gguf_magic.data(), 4) != 0)
    return corrupt(subject, "it does not begin with GGUF");
  MCOMP_TRY(version, reader.number<std::uint32_t>("the version"));
  if ((version & 0xFFFF) == 0 && version != 0)
    return Error(ErrorCode::unsupported, subject, "its numbers are big-endian",
                 "convert it with the tools of llama.cpp first");
  if (version != 2 && version != detail::gguf_version)
    return Error(ErrorCode::version_mismatch, subject,
                 fmt::format("it has version {}, versions 2 and 3 are read", version),
                 "convert it with the tools of llama.cpp first");
  Header header;
  MCOMP_TRY(tensors, reader.number<std::uint64_t>("the number of tensors"));
  MCOMP_TRY(keys, reader.number<std::uint64_t>("the number of keys"));
  // A tensor takes at least a name of 1 byte behind its length, axes, type and offset; a key a name and a value.
  constexpr std::uint64_t least_tensor = 8 + 1 + 4 + 4 + 8, least_key = 8 + 1 + 4 + 1;
  for (const auto& [count, least, what] : {std::tuple{tensors, least_tensor, "tensors"}, {keys, least_key, "keys"}})
    if (count > reader.rest() / least)
      return corrupt(subject, fmt::format("it promises {} {}, which {} bytes cannot hold", count, what, reader.rest()));
  header.tensors = tensors;
  header.keys = keys;
  return header;
}

Status read_metadata(ByteReader& reader, std::uint64_t count, const std::string& file, GgufMetadata& metadata) {
  std::set<std::string, std::less<>> seen;
  for (std::uint64_t i = 0; i < count; ++i) {
    MCOMP_TRY(key, reader.string("a key"));
    const std::string subject = file + ": key " + detail::quoted(key);
    if (key.empty() || key.size() > detail::gguf_longest_key || key.find('\0') != std::string::npos)
      return corrupt(subject, fmt::format("keys have 1 to {} bytes and no NUL", detail::gguf_longest_key));
    if (!seen.insert(key).second) return corrupt(subject, "it stands twice");
    MCOMP_TRY(value, read_value(reader, subject));
    metadata.emplace_back(std::move(key), std::move(value));
  }
  return {};
}

/// A tensor as the list names it, before its place is known to be good.
struct Entry {
  GgufTensor tensor;
  std::string subject;
  std::uint64_t offset = 0, bytes = 0;
};

Result<Shape> read_shape(ByteReader& reader, const std::string& subject) {
  MCOMP_TRY(axes, reader.number<std::uint32_t>("the number of axes"));
  if (axes > detail::gguf_most_axes)
    return corrupt(subject, fmt::format("it has {} axes, at most {} are allowed", axes, detail::gguf_most_axes));
  std::vector<std::int64_t> sizes(axes);
  for (std::size_t axis = axes; axis-- > 0;) { // the file names the fastest first
    MCOMP_TRY(size, reader.number<std::uint64_t>("a size"));
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return corrupt(subject, fmt::format("size {} is beyond 2^63", size));
    sizes[axis] = static_cast<std::int64_t>(size);
  }
  return Shape(std::move(sizes));
}

Result<Entry> read_entry(ByteReader& reader, const std::string& file) {
  Entry entry;
  MCOMP_TRY(name, reader.string("a tensor's name"));
  entry.subject = file + ": tensor " + detail::quoted(name);
  if (name.empty() || name.size() > detail::gguf_longest_name || name.find('\0') != std::string::npos)
    return corrupt(entry.subject, fmt::format("the name has {} bytes; names have 1 to {} and no NUL", name.size(),
                                              detail::gguf_longest_name));
  entry.tensor.name = std::move(name);
  MCOMP_TRY(shape, read_shape(reader, entry.subject));
  entry.tensor.shape = std::move(shape);
  MCOMP_TRY(type, reader.number<std::uint32_t>("a tensor's type"));
  entry.tensor.type = static_cast<GgufType>(type);
  if (gguf_type_info(entry.tensor.type).type != entry.tensor.type)
    return Error(ErrorCode::unsupported, entry.subject,
                 fmt::format("its type has the number {}, which is not known", type),
                 "use a file with types that this version knows");
  const auto bytes = gguf_bytes(entry.tensor.type, entry.tensor.shape, entry.subject);
  if (!bytes) return corrupt(entry.subject, bytes.error().rule());
  entry.bytes = static_cast<std::uint64_t>(*bytes);
  MCOMP_TRY(offset, reader.number<std::uint64_t>("a tensor's offset"));
  entry.offset = offset;
  return entry;
}

Result<std::uint64_t> read_alignment(const GgufFile& file, const std::string& subject) {
  const GgufValue* value = file.find(detail::gguf_alignment_key);
  if (!value) return std::uint64_t{detail::gguf_default_alignment};
  const auto* alignment = std::get_if<std::uint32_t>(value);
  if (!alignment) return corrupt(subject, fmt::format("{} is not a uint32", detail::gguf_alignment_key));
  if (!std::has_single_bit(*alignment) || *alignment < detail::gguf_least_alignment)
    return corrupt(subject, fmt::format("{} is {}, no power of two from {}", detail::gguf_alignment_key, *alignment,
                                        detail::gguf_least_alignment));
  return std::uint64_t{*alignment};
}

/// The tensors must follow each other in the order of the list, each padded to the alignment, to the end of the file.
Status place_tensors(std::vector<Entry>& entries, std::span<const std::byte> bytes, std::uint64_t begin,
                     std::uint64_t alignment, const std::string& subject) {
  const auto start = detail::padded(begin, alignment);
  if (!entries.empty() && (!start || *start > bytes.size()))
    return corrupt(subject, fmt::format("it ends at {} bytes, before the data of its tensors", bytes.size()));
  const std::uint64_t data = start ? std::min<std::uint64_t>(*start, bytes.size()) : bytes.size();
  std::uint64_t running = 0, end = 0; // running: padded; end: the last byte that must be there
  for (Entry& entry : entries) {
    if (entry.offset != running)
      return corrupt(entry.subject, fmt::format("its offset is {}, but the tensors before it end, padded to {}, at {}",
                                                entry.offset, alignment, running));
    const std::uint64_t room = bytes.size() - data;
    if (entry.offset > room || entry.bytes > room - entry.offset)
      return corrupt(entry.subject, fmt::format("its {} bytes at {} reach beyond the file, which has {} bytes of data",
                                                entry.bytes, entry.offset, room));
    entry.tensor.bytes =
        bytes.subspan(static_cast<std::size_t>(data + entry.offset), static_cast<std::size_t>(entry.bytes));
    end = entry.offset + entry.bytes;
    const auto next = detail::padded(end, alignment);
    if (!next) return corrupt(entry.subject, "the padded sizes of the tensors exceed 2^64");
    running = *next;
  }
  if (bytes.size() - data > running)
    return corrupt(subject, fmt::format("{} bytes stand behind the last tensor", bytes.size() - data - running));
  return {};
}

Status check_model(const GgufFile& file, const std::string& subject) {
  const GgufValue* architecture = file.find(detail::gguf_architecture_key);
  if (!architecture || !std::holds_alternative<std::string>(*architecture) ||
      std::get<std::string>(*architecture).empty())
    return corrupt(subject, fmt::format("{} is missing, empty or no string", detail::gguf_architecture_key));
  for (const GgufTensor& tensor : file.tensors) {
    if (!is_quantized(tensor.type)) continue;
    const GgufValue* version = file.find(detail::gguf_quantization_key);
    if (!version || !std::holds_alternative<std::uint32_t>(*version))
      return corrupt(subject, fmt::format("tensor {} is quantized, but {} is missing or no uint32",
                                          detail::quoted(tensor.name), detail::gguf_quantization_key));
    break;
  }
  return {};
}

} // namespace

Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                            const std::string& subject, const GgufReadOptions& options) {
  ByteReader reader(bytes, subject);
  GgufFile file;
  MCOMP_TRY(header, read_header(reader, subject));
  MCOMP_CHECK(read_metadata(reader, header.keys, subject, file.metadata));
  MCOMP_TRY(alignment, read_alignment(file, subject));
  file.alignment = static_cast<std::int64_t>(alignment);
  std::vector<Entry> entries;
  std::set<std::string, std::less<>> seen;
  for (std::uint64_t i = 0; i < header.tensors; ++i) {
    MCOMP_TRY(entry, read_entry(reader, subject));
    if (!seen.insert(entry.tensor.name).second) return corrupt(entry.subject, "the name stands twice");
    entries.push_back(std::move(entry));
  }
  const std::uint64_t begin = reader.position();
  MCOMP_CHECK(place_tensors(entries, bytes, begin, alignment, subject));
  if (!owner) {
    const auto copy = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
    for (Entry& entry : entries)
      entry.tensor.bytes = std::span(*copy).subspan(static_cast<std::size_t>(entry.tensor.bytes.data() - bytes.data()),
                                                    entry.tensor.bytes.size());
    owner = copy;
  }
  for (Entry& entry : entries) file.tensors.push_back(std::move(entry.tensor));
  file.owner = std::move(owner);
  if (options.model) MCOMP_CHECK(check_model(file, subject));
  return file;
}

Result<GgufFile> read_gguf(const std::filesystem::path& path, const GgufReadOptions& options) {
  MCOMP_TRY(mapping, MappedFile::open(path));
  const auto bytes = mapping->bytes();
  return parse_gguf(bytes, std::move(mapping), path.string(), options);
}

const GgufValue* GgufFile::find(std::string_view key) const noexcept {
  for (const auto& [name, value] : metadata)
    if (name == key) return &value;
  return nullptr;
}

Result<const GgufValue*> GgufFile::demand(std::string_view key) const {
  if (const GgufValue* value = find(key)) return value;
  std::vector<std::string> known;
  for (const auto& [name, value] : metadata) known.push_back(name);
  return Error(ErrorCode::not_found, fmt::format("key '{}'", key), "the file has no such key",
               mcomp::detail::did_you_mean(key, known));
}

Error GgufFile::wrong_type(std::string_view key) {
  return Error(ErrorCode::invalid_dtype, fmt::format("key '{}'", key), "its value has another type",
               "ask for the type that the file has");
}

Result<std::int64_t> GgufFile::get_integer(std::string_view key) const {
  MCOMP_TRY(value, demand(key));
  return std::visit(
      [&]<class T>(const T& number) -> Result<std::int64_t> {
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          if (std::in_range<std::int64_t>(number)) return static_cast<std::int64_t>(number);
          return Error(ErrorCode::invalid_value, fmt::format("key '{}'", key), fmt::format("{} is beyond 2^63", number),
                       "use a smaller number");
        } else {
          return wrong_type(key);
        }
      },
      *value);
}

Result<GgufTensor> GgufFile::find_tensor(std::string_view name) const {
  for (const GgufTensor& tensor : tensors)
    if (tensor.name == name) return tensor;
  std::vector<std::string> known;
  for (const GgufTensor& tensor : tensors) known.push_back(tensor.name);
  return Error(ErrorCode::not_found, fmt::format("tensor '{}'", name), "the file has no such tensor",
               mcomp::detail::did_you_mean(name, known));
}

std::string to_string(const GgufFile& file) {
  std::string text;
  for (const GgufTypeInfo& type : gguf_types()) {
    const auto count = std::count_if(file.tensors.begin(), file.tensors.end(),
                                     [&](const GgufTensor& tensor) { return tensor.type == type.type; });
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : " ", type.name, count);
  }
  return fmt::format("{} tensors ({}), {} keys", file.tensors.size(), text, file.metadata.size());
}

} // namespace mcomp::inline v0::io
