#pragma once

// The JSON of version 1 of a public type: what was written once stays readable, and is written so again.

#include <fstream>
#include <sstream>
#include <string>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp_test {

/// A file of a room's folder `golden`, without the line feed at its end.
inline std::string golden(const std::string& room, const std::string& name) {
  std::ifstream file(room + "/golden/" + name + ".json");
  std::stringstream text;
  text << file.rdbuf();
  std::string content = text.str();
  INFO(name);
  REQUIRE(content.size() > 2);
  if (content.back() == '\n') content.pop_back();
  return content;
}

/// Where the schema of the whole text stands, not that of something in it.
inline std::size_t outer_schema(const std::string& text) {
  int depth = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    depth += int{text[at] == '{' || text[at] == '['} - int{text[at] == '}' || text[at] == ']'};
    if (depth == 1 && text.compare(at, 10, "\"schema\":\"") == 0) return at;
  }
  return std::string::npos;
}

/// `read` refuses what a strict reader must, around a text that it takes: an unknown key, another version, a number
/// that is none, a text that ends early, something else.
template <class Read> void check_strict(const std::string& text, const Read& read) {
  INFO(text);
  const auto refused = [&](const std::string& bad, mcomp::ErrorCode code) {
    INFO(bad);
    const auto result = read(bad);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == code);
    CHECK(well_formed(result.error()));
  };
  refused(text.substr(0, text.size() - 1) + R"(,"surprise":1})", mcomp::ErrorCode::corrupt);
  refused(text.substr(0, text.size() - 1), mcomp::ErrorCode::corrupt);
  refused("[]", mcomp::ErrorCode::corrupt);
  refused("{}", mcomp::ErrorCode::corrupt);
  const auto schema = outer_schema(text);
  REQUIRE(schema != std::string::npos);
  std::string other = text;
  other.insert(schema + 10, "not-");
  refused(other, mcomp::ErrorCode::version_mismatch);
  // The first number becomes one that JSON has not.
  const auto digit = text.find_first_of("-0123456789", text.find(',', schema));
  if (digit != std::string::npos && text[digit - 1] == ':') {
    const auto end = text.find_first_of(",}]", digit);
    for (const char* bad : {"NaN", "1e999", "\"1\""})
      refused(text.substr(0, digit) + bad + text.substr(end), mcomp::ErrorCode::corrupt);
  }
}

/// A value against its golden file: it reads as the value, is written as the file, and the reader is strict.
template <class Value, class Read, class Write>
void check_golden(const std::string& room, const std::string& name, const Value& value, const Read& read,
                  const Write& write) {
  INFO(name);
  const std::string text = golden(room, name);
  const auto again = read(text);
  REQUIRE(again);
  CHECK(*again == value);
  CHECK(write(value) == text);
  check_strict(text, read);
}

} // namespace mcomp_test
