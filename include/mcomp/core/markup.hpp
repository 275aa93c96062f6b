#pragma once

#include <string>
#include <string_view>

#include "mcomp/core/export.hpp"

namespace mcomp::inline v0 {

/// Text as it may stand in XML, SVG and HTML, in elements and in quoted attributes: & < > " ' are written as entities;
/// bytes that are no UTF-8, and characters that XML 1.0 forbids, become U+FFFD. Idempotent it is not: escape once.
[[nodiscard]] MCOMP_API std::string escape_markup(std::string_view text);

} // namespace mcomp::inline v0
