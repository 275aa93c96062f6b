#pragma once

// Regular expressions of flag files, which are hostile: the syntax of RE2 without captures, matched by running all
// alternatives at once (Thompson 1968), so that time is O(pattern x text) whatever the pattern. Look-around and
// backreferences, which no automaton can follow, make a pattern invalid. Case folding is ASCII. Never part of the
// interface.

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace mcomp::inline v0::rollout::detail {

/// Characters as ranges, both ends included.
struct CharacterClass {
  std::vector<std::pair<char32_t, char32_t>> ranges;
  bool negated = false;
  bool fold = false; ///< either case of an ASCII letter
  [[nodiscard]] bool has(char32_t c) const noexcept;
};

class Pattern {
 public:
  /// Nothing where the text is no pattern, or one whose automaton has more than 10,000 states.
  [[nodiscard]] static std::optional<Pattern> compile(std::string_view text, bool ignore_case = false);
  /// Whether some part of the text matches.
  [[nodiscard]] bool found_in(std::string_view text) const;

  enum class Operation : std::uint8_t {
    match,
    consume,        ///< a character of class `x`
    split,          ///< goes on at x and at y
    jump,           ///< at x
    text_begin,     ///< passes at the begin of the text, as those below at their places
    text_end,       ///<
    line_begin,     ///<
    line_end,       ///<
    word_border,    ///<
    no_word_border, ///<
  };
  struct Instruction {
    Operation operation = Operation::match;
    std::uint32_t x = 0, y = 0;
  };

 private:
  friend class PatternCompiler;
  std::vector<Instruction> program_;
  std::vector<CharacterClass> classes_;
};

} // namespace mcomp::inline v0::rollout::detail
