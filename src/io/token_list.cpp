#include "mcomp/io/token_list.hpp"

#include <charconv>
#include <cmath>
#include <optional>

#include "core/try.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::io {

namespace {

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

std::optional<char> simple_escape(char c) {
  constexpr std::string_view from = "abfnrtv\\'\"", to = "\a\b\f\n\r\t\v\\'\"";
  const auto at = from.find(c);
  return at == std::string_view::npos ? std::nullopt : std::optional(to[at]);
}

/// The bytes of b'...' or b"..." at the front of `line`, which it takes off; nothing where there is none. Python writes
/// \x for bytes beyond ASCII and short escapes for the rest.
std::optional<std::string> take_bytes_literal(std::string_view& line) {
  if (line.size() < 3 || line[0] != 'b' || (line[1] != '\'' && line[1] != '"')) return std::nullopt;
  const char quote = line[1];
  std::string bytes;
  for (std::size_t i = 2; i < line.size(); ++i) {
    if (line[i] == quote) {
      line.remove_prefix(i + 1);
      return bytes;
    }
    if (line[i] != '\\') {
      bytes += line[i];
      continue;
    }
    if (++i == line.size()) return std::nullopt;
    if (line[i] == 'x') {
      if (i + 2 >= line.size()) return std::nullopt;
      const auto high = hex_digit(line[i + 1]), low = hex_digit(line[i + 2]);
      if (!high || !low) return std::nullopt;
      bytes += static_cast<char>(*high * 16 + *low);
      i += 2;
    } else if (const auto escaped = simple_escape(line[i])) {
      bytes += *escaped;
    } else {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

std::string with_visible_spaces(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == ' ')
      result += "\xe2\x96\x81"; // U+2581
    else
      result += c;
  }
  return result;
}

bool is_byte_token(const std::string& text) {
  return text.size() == 6 && text.starts_with("<0x") && text.back() == '>' && hex_digit(text[3]) && hex_digit(text[4]);
}

Token token_of(std::string text, float score) {
  if (text == "<unk>") return {std::move(text), score, TokenKind::unknown};
  for (const char* control : {"<s>", "</s>"})
    if (text == control || text == fmt::format("\n{}\n", control)) return {control, score, TokenKind::control};
  if (is_byte_token(text)) return {std::move(text), score, TokenKind::byte};
  return {with_visible_spaces(text), score, TokenKind::normal};
}

} // namespace

Result<TokenList> parse_token_list(std::string_view text, const std::string& subject) {
  TokenList list;
  std::size_t number = 0;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto corrupt = [&](const char* rule) {
      return Error(ErrorCode::corrupt, fmt::format("{}: line {}", subject, number), rule,
                   "write a Python bytes literal, a tab and a score on each line");
    };
    auto bytes = take_bytes_literal(line);
    if (!bytes) return corrupt("it does not begin with a bytes literal");
    if (!line.starts_with('\t')) return corrupt("there is no tab behind the token");
    line.remove_prefix(1);
    float score = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), score);
    if (error != std::errc() || end != line.data() + line.size() || !std::isfinite(score))
      return corrupt("the score is not a finite number");
    list.tokens.push_back(token_of(*std::move(bytes), score));
    const Token& token = list.tokens.back();
    const auto index = static_cast<std::int32_t>(list.tokens.size() - 1);
    if (token.kind == TokenKind::unknown) list.unknown = index;
    if (token.kind == TokenKind::control) (token.piece == "<s>" ? list.begin : list.end) = index;
  }
  if (list.tokens.empty()) return Error(ErrorCode::corrupt, subject, "it holds no token", "write one token a line");
  return list;
}

Result<TokenList> read_token_list(const std::filesystem::path& path) {
  MCOMP_TRY(text, read_file(path));
  return parse_token_list(text, path.string());
}

} // namespace mcomp::inline v0::io
