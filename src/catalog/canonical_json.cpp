#include "mcomp/catalog/canonical_json.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "catalog/canonical.hpp"
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

Result<std::string> canonical_number(double value) {
  if (!std::isfinite(value))
    return Error(ErrorCode::invalid_value, "JSON", "a number is NaN or infinite", "write null or leave it out");
  if (value == 0) return std::string("0");
  // The shortest digits that give the double back, the nearest of them: those are s, k and n of ECMA-262, 6.1.6.1.20.
  std::array<char, 32> buffer;
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value), std::chars_format::scientific).ptr;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t e = text.find('e');
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);
  const int k = static_cast<int>(digits.size());
  int n = 0;
  const char* exponent = text.data() + e + (text[e + 1] == '+' ? 2 : 1); // from_chars takes no plus sign
  std::from_chars(exponent, text.data() + text.size(), n);
  ++n;
  std::string out = value < 0 ? "-" : "";
  const auto zeros = [](int count) { return std::string(static_cast<std::size_t>(count), '0'); };
  if (k <= n && n <= 21) {
    out += digits + zeros(n - k);
  } else if (0 < n && n <= 21) {
    out += digits.substr(0, static_cast<std::size_t>(n)) + "." + digits.substr(static_cast<std::size_t>(n));
  } else if (-6 < n && n <= 0) {
    out += "0." + zeros(-n) + digits;
  } else {
    out += digits.substr(0, 1);
    if (k > 1) out += "." + digits.substr(1);
    out += fmt::format("e{:+}", n - 1);
  }
  return out;
}

Result<std::string> canonical_json(std::string_view text, const std::string& subject) {
  MCOMP_TRY(value, mcomp::detail::parse_json(text, subject));
  const auto canonical = detail::canonical_text(value);
  if (!canonical) return canonical.error().within(subject);
  return *canonical;
}

} // namespace mcomp::inline v0::catalog
