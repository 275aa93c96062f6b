#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mcomp::inline v0::catalog::detail {

/// RFC 4648, section 4, with padding.
[[nodiscard]] std::string to_base64(std::span<const std::uint8_t> bytes);
[[nodiscard]] inline std::string to_base64(std::string_view bytes) {
  return to_base64(std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
}
/// The bytes, or nothing: no white space, padding as it must be, unused bits zero, so that one text stands for them.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

} // namespace mcomp::inline v0::catalog::detail
