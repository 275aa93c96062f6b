#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "mcomp/core/result.hpp"

namespace example {

/// What a program found: every number is printed on standard output and kept under a stable key, so that nothing is
/// said that `report.json` does not hold. Keys are in snake case and end in their unit (`_seconds`, `_bytes`,
/// `_fraction` for numbers in 0..1); each program's README lists its own.
class Report {
 public:
  using Json = nlohmann::ordered_json;

  /// Keeps `value` under `key`, and prints `line` as the sentence that carries it.
  void say(const std::string& key, Json value, std::string_view line);
  /// Appends a row (an object) to the array under `key`, and prints `line` as that row of a table.
  void row(const std::string& key, Json value, std::string_view line);
  /// Keeps without printing: settings, inputs, what only a machine reads.
  void keep(const std::string& key, Json value) { content_[key] = std::move(value); }

  [[nodiscard]] const Json& content() const noexcept { return content_; }
  /// Writes the content as indented JSON, whole or not at all. Errors: those of mcomp::write_file; invalid_value where
  /// a number is NaN or infinite, which JSON cannot say.
  [[nodiscard]] mcomp::Status write(const std::filesystem::path& path) const;

 private:
  Json content_ = Json::object();
};

} // namespace example
