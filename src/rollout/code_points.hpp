#pragma once

// UTF-8 read character by character; never part of the interface.

#include <cstddef>
#include <string_view>

namespace mcomp::inline v0::rollout::detail {

/// The character at `at`, which moves behind it. A byte that begins no complete sequence counts as itself, so that any
/// text is readable and different texts stay different. `at` must lie inside the text.
[[nodiscard]] inline char32_t next_code_point(std::string_view text, std::size_t& at) noexcept {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char first = byte(at);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length > 1 && text.size() - at >= length) {
    char32_t point = first & (0x7fU >> length);
    bool whole = true;
    for (std::size_t k = 1; k < length; ++k) {
      whole = whole && (byte(at + k) & 0xc0) == 0x80;
      point = point << 6 | (byte(at + k) & 0x3fU);
    }
    if (whole) {
      at += length;
      return point;
    }
  }
  ++at;
  return first;
}

} // namespace mcomp::inline v0::rollout::detail
