#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::io {

/// What a token of a SentencePiece vocabulary is; the values are those of GGUF.
enum class TokenKind : std::int32_t { normal = 1, unknown = 2, control = 3, byte = 6 };

struct Token {
  std::string piece; ///< as SentencePiece and GGUF write it: U+2581 for a space, "<0x0A>" for a byte
  float score = 0;
  TokenKind kind = TokenKind::normal;
  friend bool operator==(const Token&, const Token&) = default;
};

/// A vocabulary in the order of its numbers.
struct TokenList {
  std::vector<Token> tokens;
  std::int32_t unknown = 0, begin = 1, end = 2; ///< numbers of the special tokens
  friend bool operator==(const TokenList&, const TokenList&) = default;
};

/// Reads a vocabulary with one token a line, in order of its number: a Python bytes literal, a tab, the score:
///
///     b'<unk>'        0.0
///     b'\n<s>\n'      0.0
///     b' the'         -6.0
///
/// "<unk>" is the unknown token, "<s>" and "</s>" (with line feeds around them or without) begin and end a text and are
/// control tokens, "<0x00>" to "<0xFF>" are bytes.
/// Errors: not_found and io_failure for the file; corrupt, with the number of the line.
[[nodiscard]] MCOMP_API Result<TokenList> read_token_list(const std::filesystem::path& path);
[[nodiscard]] MCOMP_API Result<TokenList> parse_token_list(std::string_view text, const std::string& subject);

} // namespace mcomp::inline v0::io
