#pragma once

// Versions of the JSON of plain values; never part of the interface.

#include <string>

#include "core/json.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::detail {

/// Reads "schema". Error: version_mismatch for another one; that it is missing is left to the reader.
[[nodiscard]] inline Status check_schema(ObjectReader& object, const std::string& subject, const char* schema) {
  if (const std::string name = object.text("schema"); object.has("schema") && name != schema)
    return Error(ErrorCode::version_mismatch, subject, fmt::format("its schema is \"{}\", not \"{}\"", name, schema),
                 "use the version of the library that wrote it");
  return {};
}

/// Text that may hold bytes that are no UTF-8 is written with replacement characters instead of an exception.
[[nodiscard]] inline std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace mcomp::inline v0::detail
