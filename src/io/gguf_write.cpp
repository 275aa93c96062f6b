#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include "core/try.hpp"
#include "io/gguf_format.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::io {

namespace {

Error refuse(const std::string& subject, std::string rule, const char* remedy) {
  return Error(ErrorCode::invalid_argument, subject, std::move(rule), remedy);
}

/// Numbers and strings, one behind the other.
class ByteWriter {
 public:
  template <class T> void number(T value) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    const std::size_t at = text_.size();
    text_.resize(at + sizeof(T));
    std::memcpy(text_.data() + at, &value, sizeof(T));
  }
  void string(std::string_view value) {
    number(static_cast<std::uint64_t>(value.size()));
    text_ += value;
  }
  void bytes(std::string_view value) { text_ += value; }
  template <class T> void element(const T& value) {
    if constexpr (std::is_same_v<T, std::string>)
      string(value);
    else if constexpr (std::is_same_v<T, bool>)
      number(static_cast<std::uint8_t>(value ? 1 : 0));
    else
      number(value);
  }
  void value(const GgufValue& value) {
    if (const auto* array = std::get_if<GgufArray>(&value)) {
      number(detail::gguf_array_number);
      number(detail::gguf_value_number(array->index()));
      std::visit(
          [&]<class T>(const std::vector<T>& values) {
            number(static_cast<std::uint64_t>(values.size()));
            for (std::size_t i = 0; i < values.size(); ++i) element<T>(values[i]);
          },
          *array);
      return;
    }
    number(detail::gguf_value_number(value.index()));
    std::visit(
        [&]<class T>(const T& scalar) {
          if constexpr (!std::is_same_v<T, GgufArray>) element(scalar);
        },
        value);
  }
  [[nodiscard]] std::string& text() noexcept { return text_; }

 private:
  std::string text_;
};

Result<std::uint64_t> alignment_of(const GgufMetadata& metadata) {
  for (const auto& [key, value] : metadata) {
    if (key != detail::gguf_alignment_key) continue;
    constexpr std::uint32_t most = 1 << 20;
    const auto* alignment = std::get_if<std::uint32_t>(&value);
    if (!alignment || !std::has_single_bit(*alignment) || *alignment < detail::gguf_least_alignment ||
        *alignment > most)
      return refuse(key, "it is not a uint32 power of two from 8 to 2^20", "leave it out: 32 is the default");
    return std::uint64_t{*alignment};
  }
  return std::uint64_t{detail::gguf_default_alignment};
}

Status check_names(const GgufMetadata& metadata, std::span<const GgufSource> tensors) {
  const auto check = [](std::string_view what, const std::string& name, std::size_t longest,
                        std::set<std::string_view>& seen) -> Status {
    const std::string subject = fmt::format("{} {}", what, detail::quoted(name));
    if (name.empty() || name.size() > longest || name.find('\0') != std::string::npos)
      return refuse(subject, fmt::format("it has {} bytes; 1 to {} and no NUL are allowed", name.size(), longest),
                    "give it another name");
    if (!seen.insert(name).second) return refuse(subject, "it stands twice", "give every one its own name");
    return {};
  };
  std::set<std::string_view> keys, names;
  for (const auto& [key, value] : metadata) MCOMP_CHECK(check("key", key, detail::gguf_longest_key, keys));
  for (const GgufSource& tensor : tensors) MCOMP_CHECK(check("tensor", tensor.name, detail::gguf_longest_name, names));
  return {};
}

std::string subject_of(const GgufSource& tensor) {
  return "tensor " + detail::quoted(tensor.name);
}

/// All that stands before the data, padded, and the size of the data.
struct Layout {
  std::string head;
  std::vector<std::uint64_t> bytes; ///< of each tensor, without padding
  std::uint64_t alignment = 0, data = 0;
};

Result<Layout> lay_out(const GgufMetadata& metadata, std::span<const GgufSource> tensors) {
  MCOMP_CHECK(check_names(metadata, tensors));
  MCOMP_TRY(alignment, alignment_of(metadata));
  Layout layout;
  layout.alignment = alignment;
  ByteWriter head;
  head.bytes(detail::gguf_magic);
  head.number(detail::gguf_version);
  head.number(static_cast<std::uint64_t>(tensors.size()));
  head.number(static_cast<std::uint64_t>(metadata.size()));
  for (const auto& [key, value] : metadata) {
    head.string(key);
    head.value(value);
  }
  for (const GgufSource& tensor : tensors) {
    MCOMP_TRY(bytes, gguf_bytes(tensor.type, tensor.shape, subject_of(tensor)));
    head.string(tensor.name);
    head.number(static_cast<std::uint32_t>(tensor.shape.rank()));
    for (std::size_t axis = tensor.shape.rank(); axis-- > 0;)
      head.number(static_cast<std::uint64_t>(tensor.shape[axis]));
    head.number(static_cast<std::uint32_t>(tensor.type));
    head.number(layout.data);
    layout.bytes.push_back(static_cast<std::uint64_t>(bytes));
    std::uint64_t end = 0;
    const bool overflow = __builtin_add_overflow(layout.data, static_cast<std::uint64_t>(bytes), &end);
    const auto next = overflow ? std::nullopt : detail::padded(end, alignment);
    if (!next || *next > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 2)
      return refuse(subject_of(tensor), "the file would exceed 2^62 bytes", "write several files");
    layout.data = *next;
  }
  layout.head = std::move(head.text());
  if (!tensors.empty())
    layout.head.resize(static_cast<std::size_t>(*detail::padded(layout.head.size(), alignment)), '\0');
  return layout;
}

Status write_tensor(AtomicFile& file, const GgufSource& tensor, std::uint64_t size, std::uint64_t alignment) {
  std::vector<std::byte> made;
  std::span<const std::byte> bytes = tensor.bytes;
  if (tensor.make) {
    auto result = tensor.make();
    if (!result) return result.error().within(subject_of(tensor));
    made = *std::move(result);
    bytes = made;
  }
  if (bytes.size() != size)
    return Error(ErrorCode::invalid_shape, subject_of(tensor),
                 fmt::format("it has {} bytes, {} of {} takes {}", bytes.size(), tensor.shape, tensor.type, size),
                 "give the bytes of that shape and type");
  MCOMP_CHECK(file.write(bytes));
  return file.write(std::string(static_cast<std::size_t>(*detail::padded(size, alignment) - size), '\0'));
}

} // namespace

Result<std::int64_t> gguf_file_bytes(const GgufMetadata& metadata, std::span<const GgufSource> tensors) {
  MCOMP_TRY(layout, lay_out(metadata, tensors));
  return static_cast<std::int64_t>(layout.head.size() + layout.data);
}

Status write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                  std::span<const GgufSource> tensors) {
  const auto layout = lay_out(metadata, tensors);
  if (!layout) return layout.error().within(path.string());
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (!tensors[i].make && tensors[i].bytes.size() != layout->bytes[i])
      return Error(ErrorCode::invalid_shape, path.string() + ": " + subject_of(tensors[i]),
                   fmt::format("it has {} bytes, {} of {} takes {}", tensors[i].bytes.size(), tensors[i].shape,
                               tensors[i].type, layout->bytes[i]),
                   "give the bytes of that shape and type");
  MCOMP_TRY(file, AtomicFile::create(path));
  MCOMP_CHECK(file.write(layout->head));
  for (std::size_t i = 0; i < tensors.size(); ++i)
    MCOMP_CHECK(write_tensor(file, tensors[i], layout->bytes[i], layout->alignment));
  return file.commit();
}

} // namespace mcomp::inline v0::io
