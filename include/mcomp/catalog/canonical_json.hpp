#pragma once

// One text for one JSON value, so that it can be hashed and signed: the JSON Canonicalization Scheme, RFC 8785. No
// white space, keys in the order of their UTF-16 code units, strings with the fewest escapes, numbers as ECMAScript
// prints the IEEE double that they stand for.
//
//     catalog::canonical_json(R"({"b": 1.0, "a": "\u20ac"})").value(); // {"a":"€","b":1}

#include <string>
#include <string_view>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::catalog {

/// The canonical form of a JSON text. Integers too are doubles to RFC 8785: those beyond 2^53 are rounded to the
/// nearest. O(n log n). Error: corrupt, naming `subject`, for what is no JSON in UTF-8: duplicate keys, lone
/// surrogates, numbers out of range, and nesting deeper than 64 among them.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> canonical_json(std::string_view text,
                                                                    const std::string& subject = "JSON");

/// A finite double as ECMAScript's Number::toString prints it: "1e+21", "0.000001", "-5e-324", "0" for both zeros.
/// Error: invalid_value for NaN and infinity, which JSON has not.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> canonical_number(double value);

} // namespace mcomp::inline v0::catalog
