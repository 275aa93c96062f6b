#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/closest_name.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::cost::detail {

/// Comma-separated text without quoting, line by line: all that traces of numbers need.
class CsvReader {
 public:
  CsvReader(std::string_view text, std::string subject) : rest_(text), subject_(std::move(subject)) {
    if (rest_.substr(0, 3) == "\xEF\xBB\xBF") rest_.remove_prefix(3); // byte order mark
  }

  /// Splits the next line into `fields`; false at the end. Empty lines are passed over.
  bool next() {
    while (!rest_.empty()) {
      ++line_;
      const std::size_t end = std::min(rest_.find('\n'), rest_.size());
      std::string_view text = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
      if (text.empty()) continue;
      fields_.clear();
      for (;;) {
        const std::size_t comma = text.find(',');
        fields_.push_back(text.substr(0, comma));
        if (comma == std::string_view::npos) break;
        text.remove_prefix(comma + 1);
      }
      return true;
    }
    return false;
  }

  /// The place of a column in the line of names, which must be the current one.
  [[nodiscard]] Result<std::size_t> column(const std::string& name) const {
    const auto found = std::find(fields_.begin(), fields_.end(), name);
    if (found != fields_.end()) return static_cast<std::size_t>(found - fields_.begin());
    const std::vector<std::string> names(fields_.begin(), fields_.end());
    return Error(ErrorCode::corrupt, subject_, fmt::format("there is no column '{}'", name),
                 mcomp::detail::did_you_mean(name, names));
  }

  [[nodiscard]] Result<std::string_view> field(std::size_t column) const {
    if (column < fields_.size()) return fields_[column];
    return bad(fmt::format("it has {} fields, column {} is needed", fields_.size(), column + 1));
  }

  [[nodiscard]] Result<double> number(std::size_t column) const {
    const auto text = field(column);
    if (!text) return text.error();
    double value = 0;
    const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (code != std::errc() || end != text->data() + text->size() || !std::isfinite(value))
      return bad(fmt::format("'{}' is no finite number", shown(*text)));
    return value;
  }

  [[nodiscard]] Result<std::int64_t> integer(std::size_t column) const {
    const auto text = field(column);
    if (!text) return text.error();
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (code != std::errc() || end != text->data() + text->size())
      return bad(fmt::format("'{}' is no whole number", shown(*text)));
    return value;
  }

  [[nodiscard]] Error bad(const std::string& rule, const char* remedy = "correct the line or leave it out") const {
    return Error(ErrorCode::corrupt, fmt::format("{}: line {}", subject_, line_), rule, remedy);
  }
  /// A field as it may stand in a message, however long it is.
  [[nodiscard]] static std::string shown(std::string_view text) {
    return std::string(text.substr(0, 40)) + (text.size() > 40 ? "..." : "");
  }
  [[nodiscard]] std::int64_t line() const noexcept { return line_; }

 private:
  std::string_view rest_;
  std::string subject_;
  std::vector<std::string_view> fields_;
  std::int64_t line_ = 0;
};

} // namespace mcomp::inline v0::cost::detail
