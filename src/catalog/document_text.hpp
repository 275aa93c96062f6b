#pragma once

// Text of documents for people.

#include <cstdint>
#include <string>
#include <string_view>

namespace mcomp::inline v0::catalog::detail {

/// A name as text of a Markdown table or paragraph: nothing in it is markup or leaves its line.
[[nodiscard]] std::string plain(std::string_view text);

/// RFC 3339 in UTC, of a time within the years 1970 to 9999; other times are moved into them.
[[nodiscard]] std::string timestamp(std::int64_t seconds);

} // namespace mcomp::inline v0::catalog::detail
