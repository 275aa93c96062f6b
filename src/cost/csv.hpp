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

/// Comma-separated text, line by line. Blanks around a field do not count, and a field may be quoted (RFC 4180), within
/// its line; a doubled quote stays doubled, which no number and no time has.
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
      text = trimmed(text);
      if (text.empty()) continue;
      fields_.clear();
      for (;;) {
        const std::size_t comma = std::min(text.find(',', quoted(text)), text.size());
        fields_.push_back(unquoted(trimmed(text.substr(0, comma))));
        if (comma == text.size()) break;
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
    if (code == std::errc() && end == text->data() + text->size()) return value;
    // "12.0": what tables of floating point write for a whole number.
    constexpr double exact = 9007199254740992; // 2^53
    const auto real = number(column);
    if (!real || *real != std::floor(*real) || std::abs(*real) > exact)
      return bad(fmt::format("'{}' is no whole number", shown(*text)));
    return static_cast<std::int64_t>(*real);
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
  static std::string_view trimmed(std::string_view text) {
    const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
    while (!text.empty() && blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && blank(text.back())) text.remove_suffix(1);
    return text;
  }
  /// Where the quotes end that the first field begins with; 0 without, or where they are not closed.
  static std::size_t quoted(std::string_view text) {
    std::size_t at = text.find_first_not_of(" \t");
    if (at == std::string_view::npos || text[at] != '"') return 0;
    for (++at; (at = text.find('"', at)) != std::string_view::npos; at += 2)
      if (at + 1 == text.size() || text[at + 1] != '"') return at + 1;
    return 0;
  }
  static std::string_view unquoted(std::string_view text) {
    return text.size() >= 2 && text.front() == '"' && text.back() == '"' ? text.substr(1, text.size() - 2) : text;
  }

  std::string_view rest_;
  std::string subject_;
  std::vector<std::string_view> fields_;
  std::int64_t line_ = 0;
};

} // namespace mcomp::inline v0::cost::detail
