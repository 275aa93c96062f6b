#pragma once

// The schema versions of the workflow's JSON; never part of the interface.

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

/// Reads one object of a schema: `read` takes what it knows from the reader and returns the value; `check` is a Status
/// about it, whose failure is one of the file.
template <class Read, class Check>
[[nodiscard]] auto parse_as(std::string_view text, const std::string& subject, const char* schema, const Read& read,
                            const Check& check) -> decltype(read(std::declval<ObjectReader&>())) {
  MCOMP_TRY(json, parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(check_schema(object, subject, schema));
  MCOMP_TRY(value, read(object));
  MCOMP_CHECK(object.finish());
  if (const Status status = check(value); !status)
    return Error(ErrorCode::corrupt, subject + ": " + status.error().subject(), status.error().rule(),
                 status.error().remedy());
  return std::move(value);
}

} // namespace mcomp::inline v0::detail
