#pragma once

// JSON objects of other systems, whose servers add keys as they like: unknown keys are passed over, null counts as
// absent, and a key of the wrong type is an error that names it. Never part of the interface.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rollout/schema.hpp"

namespace mcomp::inline v0::rollout::detail {

class Fields {
 public:
  Fields(const Json& json, std::string where) : json_(&json), where_(std::move(where)) {
    if (!json.is_object()) fail_with("an object is needed", "write { ... }");
  }

  [[nodiscard]] const Json* get(const char* key) const {
    if (!json_->is_object()) return nullptr;
    const auto found = json_->find(key);
    return found == json_->end() || found->is_null() ? nullptr : &*found;
  }
  [[nodiscard]] std::optional<std::string> maybe_text(const char* key) {
    const Json* value = get(key);
    if (!value) return std::nullopt;
    if (value->is_string()) return value->get<std::string>();
    fail(key, "a string is needed", "write it in quotes");
    return std::nullopt;
  }
  [[nodiscard]] std::string text(const char* key, const char* fallback = "") {
    return maybe_text(key).value_or(fallback);
  }
  [[nodiscard]] std::string needed_text(const char* key) {
    if (!get(key)) fail(key, "the key is missing", "add it");
    return text(key);
  }
  [[nodiscard]] bool boolean(const char* key, bool fallback) {
    const Json* value = get(key);
    if (!value) return fallback;
    if (!value->is_boolean()) return fail(key, "true or false is needed", "write true or false"), fallback;
    return value->get<bool>();
  }
  [[nodiscard]] std::optional<double> maybe_number(const char* key) {
    const Json* value = get(key);
    if (!value) return std::nullopt;
    if (value->is_number()) return value->get<double>();
    fail(key, "a number is needed", "write a number");
    return std::nullopt;
  }
  [[nodiscard]] std::int64_t integer(const char* key, std::int64_t fallback) {
    const auto value = maybe_number(key);
    if (!value) return fallback;
    constexpr double exact = 9007199254740992.0; // 2^53
    if (!(*value >= -exact && *value <= exact)) return fail(key, "it is beyond 2^53", "write a smaller one"), fallback;
    return static_cast<std::int64_t>(*value);
  }
  /// The array under a key, empty where it is absent.
  [[nodiscard]] const Json& array(const char* key) {
    static const Json empty = Json::array();
    const Json* value = get(key);
    if (!value) return empty;
    if (value->is_array()) return *value;
    fail(key, "an array is needed", "write [ ... ]");
    return empty;
  }
  [[nodiscard]] const Json& object(const char* key) {
    static const Json empty = Json::object();
    const Json* value = get(key);
    if (!value) return empty;
    if (value->is_object()) return *value;
    fail(key, "an object is needed", "write { ... }");
    return empty;
  }
  [[nodiscard]] std::vector<std::string> texts(const char* key) {
    std::vector<std::string> result;
    for (const Json& value : array(key)) {
      if (!value.is_string()) return fail(key, "strings are needed", "write them in quotes"), result;
      result.push_back(value.get<std::string>());
    }
    return result;
  }

  [[nodiscard]] std::string where(const char* key) const { return where_ + ": " + key; }
  void fail(const char* key, const char* rule, const char* remedy) {
    if (!error_) error_ = Error(ErrorCode::corrupt, where(key), rule, remedy);
  }
  /// The first failure.
  [[nodiscard]] Status status() const {
    if (error_) return *error_;
    return {};
  }

 private:
  void fail_with(const char* rule, const char* remedy) { error_ = Error(ErrorCode::corrupt, where_, rule, remedy); }
  const Json* json_;
  std::string where_;
  std::optional<Error> error_;
};

} // namespace mcomp::inline v0::rollout::detail
