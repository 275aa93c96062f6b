#pragma once

// JSON inside the library; never part of the interface. Files are hostile: duplicate keys, depth beyond 64 and numbers
// out of range are errors, and objects are read through a reader that refuses keys it does not know.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/try.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::detail {

using Json = nlohmann::ordered_json;

/// Parses UTF-8 JSON. Errors: corrupt, naming `subject` and the position.
[[nodiscard]] Result<Json> parse_json(std::string_view text, const std::string& subject);

/// Reads one JSON object key by key. The first failure is kept; the getters then return their fallback, so that a
/// reader is a list of `field = object.number("key")` lines followed by one `object.finish()`.
class ObjectReader {
 public:
  /// @param where what the object is, for messages: "recipe.json: criteria"
  ObjectReader(const Json& json, std::string where);

  [[nodiscard]] bool has(const char* key);
  [[nodiscard]] std::string text(const char* key);
  [[nodiscard]] std::string text(const char* key, std::string fallback);
  [[nodiscard]] double number(const char* key);
  [[nodiscard]] double number(const char* key, double fallback);
  [[nodiscard]] std::int64_t integer(const char* key);
  [[nodiscard]] std::int64_t integer(const char* key, std::int64_t fallback);
  [[nodiscard]] bool boolean(const char* key, bool fallback);
  [[nodiscard]] std::vector<std::int64_t> integers(const char* key);
  [[nodiscard]] std::vector<double> numbers(const char* key);
  [[nodiscard]] std::vector<std::string> texts(const char* key);
  /// The value itself, or null where it is absent.
  [[nodiscard]] const Json* child(const char* key);
  /// The array under `key`; an absent or wrong one is recorded and reads as empty.
  [[nodiscard]] const Json& array(const char* key);
  [[nodiscard]] std::string where(const char* key) const { return where_ + ": " + key; }

  void fail(Error error);
  void fail(const char* key, const std::string& rule, const std::string& remedy);
  /// The first failure, or an error about a key that nobody asked for.
  [[nodiscard]] Status finish();

 private:
  const Json* get(const char* key, bool required);

  const Json* json_;
  std::string where_;
  std::set<std::string> known_;
  std::optional<Error> error_;
};

} // namespace mcomp::inline v0::detail
