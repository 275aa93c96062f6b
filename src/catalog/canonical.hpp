#pragma once

// The canonical form of a JSON value that is built here; never part of the interface.

#include <string>

#include "core/json.hpp"

namespace mcomp::inline v0::catalog::detail {

using Json = mcomp::detail::Json;

/// RFC 8785. Errors: invalid_value for NaN, infinity and text that is not UTF-8.
[[nodiscard]] Result<std::string> canonical_text(const Json& value);

/// True for UTF-8 without overlong forms and surrogates.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

} // namespace mcomp::inline v0::catalog::detail
