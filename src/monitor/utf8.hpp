#pragma once

// Whether text is UTF-8; never part of the interface.

#include <cstddef>
#include <optional>
#include <string_view>

namespace mcomp::inline v0::monitor::detail {

/// UTF-8 without overlong forms and surrogates; the number of characters, or nothing.
inline std::optional<std::size_t> characters(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++count) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : 4;
    if (lead >= 0xF5 || (lead >= 0x80 && lead < 0xC2) || i + length > text.size()) return std::nullopt;
    for (std::size_t k = 1; k < length; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0U) != 0x80) return std::nullopt;
    const auto second = length > 1 ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
        (lead == 0xF4 && second > 0x8F))
      return std::nullopt;
    i += length;
  }
  return count;
}

inline bool is_utf8(std::string_view text) {
  return characters(text).has_value();
}

} // namespace mcomp::inline v0::monitor::detail
