#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::io::detail {

/// A regular expression on the names of layers, as files hold them: hostile. It runs as an automaton (Thompson 1968),
/// so that time is bounded by its size times the length of the name and nothing recurses; the standard library's
/// matcher takes exponential time for some expressions and overflows the stack for others.
///
/// Syntax, that of Python's `re`: literals, `.`, `[a-z]`, `\d \w \s \b` and their opposites, `^ $`, `|`, groups,
/// `(?=...)` and `(?!...)`, `* + ? {2} {2,} {2,5}`, greedy or not. Bytes, not code points.
class NamePattern {
 public:
  /// Errors: corrupt for what is no expression; unsupported for references to groups, for other syntax that is not in
  /// the list, and for expressions that are too large. Both name `subject`.
  [[nodiscard]] static Result<NamePattern> parse(std::string_view expression, const std::string& subject);

  /// Whether a name begins with a match (Python's `re.match`). Error: unsupported where that takes too long.
  [[nodiscard]] Result<bool> matches(std::string_view name) const;

  enum class Operation : std::uint8_t { set, split, jump, begin, end, boundary, no_boundary, look, look_not, match };
  struct Instruction {
    Operation operation = Operation::match;
    std::uint32_t to = 0;    ///< of a split and a jump; of a look what comes after its own `match`; of a set its number
    std::uint32_t other = 0; ///< of a split
  };

 private:
  std::vector<Instruction> program_;
  std::vector<std::bitset<256>> sets_;
  std::string subject_;
};

} // namespace mcomp::inline v0::io::detail
