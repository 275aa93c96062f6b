#include "catalog/canonical.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "mcomp/catalog/canonical_json.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

using detail::Json;

/// The bytes that a UTF-8 character has by its first byte, 0 for none.
std::size_t sequence_length(unsigned char first) noexcept {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

/// UTF-8 that was checked, as UTF-16: the order of keys is that of its code units.
std::u16string utf16(std::string_view text) {
  std::u16string units;
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t length = sequence_length(first);
    std::uint32_t point = length == 1 ? first : first & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k) point = point << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3fU);
    i += length;
    if (point >= 0x10000) {
      point -= 0x10000;
      units += static_cast<char16_t>(0xd800 + (point >> 10));
      units += static_cast<char16_t>(0xdc00 + (point & 0x3ff));
    } else {
      units += static_cast<char16_t>(point);
    }
  }
  return units;
}

/// RFC 8785, 3.2.2.2.
void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
    case '\b':
      out += "\\b";
      break;
    case '\t':
      out += "\\t";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\f':
      out += "\\f";
      break;
    case '\r':
      out += "\\r";
      break;
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    default:
      if (static_cast<unsigned char>(c) < 0x20)
        out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
      else
        out += c;
    }
  }
  out += '"';
}

Status append(std::string& out, const Json& value);

Status append_object(std::string& out, const Json& value) {
  std::vector<std::pair<std::u16string, const Json*>> members;
  std::vector<std::size_t> order;
  std::vector<std::string_view> names;
  for (const auto& [key, child] : value.items()) {
    if (!detail::is_utf8(key))
      return Error(ErrorCode::invalid_value, "JSON", "a key is not UTF-8", "give text in UTF-8");
    order.push_back(members.size());
    members.emplace_back(utf16(key), &child);
    names.push_back(key);
  }
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return members[a].first < members[b].first; });
  out += '{';
  for (const std::size_t at : order) {
    if (out.back() != '{') out += ',';
    append_string(out, names[at]);
    out += ':';
    MCOMP_CHECK(append(out, *members[at].second));
  }
  out += '}';
  return {};
}

Status append(std::string& out, const Json& value) {
  switch (value.type()) {
  case Json::value_t::null:
    out += "null";
    return {};
  case Json::value_t::boolean:
    out += value.get<bool>() ? "true" : "false";
    return {};
  case Json::value_t::string: {
    const auto& text = value.get_ref<const std::string&>();
    if (!detail::is_utf8(text))
      return Error(ErrorCode::invalid_value, "JSON", "a string is not UTF-8", "give text in UTF-8");
    append_string(out, text);
    return {};
  }
  case Json::value_t::array: {
    out += '[';
    bool first = true;
    for (const Json& child : value) {
      if (!std::exchange(first, false)) out += ',';
      MCOMP_CHECK(append(out, child));
    }
    out += ']';
    return {};
  }
  case Json::value_t::object:
    return append_object(out, value);
  default: {
    MCOMP_TRY(number, canonical_number(value.get<double>()));
    out += number;
    return {};
  }
  }
}

} // namespace

namespace detail {

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[i + k]); };
    const std::size_t length = sequence_length(byte(0));
    if (length == 0 || length > text.size() - i) return false;
    for (std::size_t k = 1; k < length; ++k)
      if ((byte(k) & 0xc0) != 0x80) return false;
    // Overlong forms, surrogates, and what lies beyond U+10FFFF (RFC 3629, 4).
    if (length == 3 && ((byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xed && byte(1) > 0x9f))) return false;
    if (length == 4 && ((byte(0) == 0xf0 && byte(1) < 0x90) || (byte(0) == 0xf4 && byte(1) > 0x8f))) return false;
    i += length;
  }
  return true;
}

Result<std::string> canonical_text(const Json& value) {
  std::string text;
  MCOMP_CHECK(append(text, value));
  return text;
}

} // namespace detail

} // namespace mcomp::inline v0::catalog
