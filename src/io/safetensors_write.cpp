#include <vector>

#include "io/safetensors_format.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/io/safetensors.hpp"

namespace mcomp::inline v0::io {

namespace {

using mcomp::detail::Json;

struct Item {
  std::string name;
  std::string subject;
  std::string_view dtype;
  TensorView view;
  std::int64_t bytes = 0;
};

Result<std::string> json_string(const std::string& text, const std::string& subject) {
  if (text.find('\0') != std::string::npos)
    return Error(ErrorCode::invalid_argument, subject, "it contains NUL", "use text without NUL");
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    return Error(ErrorCode::invalid_argument, subject, "it is not valid UTF-8", "use UTF-8 text");
  }
}

Result<Item> describe(const std::string& name, const TensorView& view, const std::string& file) {
  Item item{.name = name, .subject = file + ": tensor " + detail::quoted(name), .dtype = {}, .view = view};
  if (name == detail::metadata_key)
    return Error(ErrorCode::invalid_argument, item.subject, "the format reserves this name", "give it another name");
  for (const auto& [text, dtype] : detail::dtype_names)
    if (dtype == view.dtype()) item.dtype = text;
  if (item.dtype.empty())
    return Error(ErrorCode::unsupported, item.subject, fmt::format("safetensors has no {}", view.dtype()),
                 "store the packed bytes as a uint8 tensor and the shape beside them");
  MCOMP_TRY(bytes, byte_size(view.dtype(), view.shape(), item.subject));
  if (view.data() == nullptr && bytes != 0)
    return Error(ErrorCode::invalid_argument, item.subject, "the view has no memory", "pass a view of live memory");
  item.bytes = bytes;
  return item;
}

Result<std::string> header_text(const std::vector<Item>& items, const std::map<std::string, std::string>& metadata,
                                const std::string& file) {
  std::string text = "{";
  if (!metadata.empty()) {
    const std::string subject = file + ": metadata ";
    text += fmt::format("\"{}\":{{", detail::metadata_key);
    for (const auto& [key, value] : metadata) {
      MCOMP_TRY(json_key, json_string(key, subject + detail::quoted(key)));
      MCOMP_TRY(json_value, json_string(value, subject + detail::quoted(key)));
      text += fmt::format("{}{}:{}", text.back() == '{' ? "" : ",", json_key, json_value);
    }
    text += '}';
  }
  std::int64_t begin = 0;
  for (const Item& item : items) {
    MCOMP_TRY(json_name, json_string(item.name, item.subject));
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[", text.back() == '{' ? "" : ",", json_name, item.dtype);
    for (std::size_t axis = 0; axis < item.view.rank(); ++axis)
      text += fmt::format("{}{}", axis == 0 ? "" : ",", item.view.size(axis));
    std::int64_t end = 0;
    if (__builtin_add_overflow(begin, item.bytes, &end))
      return Error(ErrorCode::invalid_argument, item.subject, "the file would exceed 2^63 bytes",
                   "write several files");
    text += fmt::format("],\"data_offsets\":[{},{}]}}", begin, end);
    begin = end;
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > detail::largest_header)
    return Error(ErrorCode::invalid_argument, file,
                 fmt::format("the header takes {} bytes, at most {} are allowed", text.size(), detail::largest_header),
                 "write several files, or less metadata");
  return text;
}

Status write_elements(AtomicFile& file, const Item& item) {
  Tensor copy;
  const void* data = item.view.data();
  if (!item.view.contiguous()) {
    MCOMP_TRY(contiguous, Tensor::copy_of(item.view));
    copy = std::move(contiguous);
    data = copy.data();
  }
  if (item.bytes == 0) return {};
  const std::span bytes(static_cast<const std::byte*>(data), static_cast<std::size_t>(item.bytes));
  if (item.view.dtype() == DType::boolean && !detail::only_zeros_and_ones(bytes))
    return Error(ErrorCode::invalid_value, item.subject, "a boolean element is neither 0 nor 1", "store 0 or 1");
  return file.write(bytes);
}

} // namespace

Status write_safetensors(const std::filesystem::path& path, const TensorStore& tensors,
                         const std::map<std::string, std::string>& metadata) {
  const std::string subject = path.string();
  std::vector<Item> items;
  for (const std::string& name : tensors.names()) {
    MCOMP_TRY(view, tensors.find(name));
    MCOMP_TRY(item, describe(name, view, subject));
    items.push_back(std::move(item));
  }
  // Widest elements first: with a header of whole 8-byte words every tensor is then aligned for its dtype.
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& a, const Item& b) { return bit_width(a.view.dtype()) > bit_width(b.view.dtype()); });
  MCOMP_TRY(header, header_text(items, metadata, subject));
  MCOMP_TRY(file, AtomicFile::create(path));
  const std::uint64_t length = header.size();
  MCOMP_CHECK(file.write(std::as_bytes(std::span(&length, 1))));
  MCOMP_CHECK(file.write(header));
  for (const Item& item : items) MCOMP_CHECK(write_elements(file, item));
  return file.commit();
}

} // namespace mcomp::inline v0::io
