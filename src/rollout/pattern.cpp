#include "rollout/pattern.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "rollout/code_points.hpp"

namespace mcomp::inline v0::rollout::detail {

namespace {

constexpr std::size_t most_states = 10000;
constexpr int deepest = 100;
constexpr int most_repeats = 1000;
constexpr int unlimited = -1;

constexpr bool ascii_letter(char32_t c) noexcept {
  return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
}
constexpr bool ascii_digit(char32_t c) noexcept {
  return c >= U'0' && c <= U'9';
}
constexpr bool word(char32_t c) noexcept {
  return ascii_letter(c) || ascii_digit(c) || c == U'_';
}

using Ranges = std::vector<std::pair<char32_t, char32_t>>;
constexpr char32_t last_character = 0x10ffff;

/// What is left out of ranges that are in order and apart.
Ranges complement(const Ranges& ranges) {
  Ranges rest;
  char32_t at = 0;
  for (const auto& [first, last] : ranges) {
    if (first > at) rest.emplace_back(at, first - 1);
    at = last + 1;
  }
  rest.emplace_back(at, last_character);
  return rest;
}

/// \d, \w, \s and their complements.
std::optional<Ranges> perl_class(char32_t letter) {
  const Ranges digits = {{U'0', U'9'}}, words = {{U'0', U'9'}, {U'A', U'Z'}, {U'_', U'_'}, {U'a', U'z'}},
               spaces = {{U'\t', U'\n'}, {U'\f', U'\r'}, {U' ', U' '}};
  switch (letter) {
  case U'd':
    return digits;
  case U'D':
    return complement(digits);
  case U'w':
    return words;
  case U'W':
    return complement(words);
  case U's':
    return spaces;
  case U'S':
    return complement(spaces);
  default:
    return std::nullopt;
  }
}

std::optional<Ranges> posix_class(std::u32string_view name) {
  static const std::pair<std::u32string_view, Ranges> classes[] = {
      {U"alnum", {{U'0', U'9'}, {U'A', U'Z'}, {U'a', U'z'}}},
      {U"alpha", {{U'A', U'Z'}, {U'a', U'z'}}},
      {U"ascii", {{0, 0x7f}}},
      {U"blank", {{U'\t', U'\t'}, {U' ', U' '}}},
      {U"cntrl", {{0, 0x1f}, {0x7f, 0x7f}}},
      {U"digit", {{U'0', U'9'}}},
      {U"graph", {{U'!', U'~'}}},
      {U"lower", {{U'a', U'z'}}},
      {U"print", {{U' ', U'~'}}},
      {U"punct", {{U'!', U'/'}, {U':', U'@'}, {U'[', U'`'}, {U'{', U'~'}}},
      {U"space", {{U'\t', U'\r'}, {U' ', U' '}}},
      {U"upper", {{U'A', U'Z'}}},
      {U"word", {{U'0', U'9'}, {U'A', U'Z'}, {U'_', U'_'}, {U'a', U'z'}}},
      {U"xdigit", {{U'0', U'9'}, {U'A', U'F'}, {U'a', U'f'}}},
  };
  for (const auto& [known, ranges] : classes)
    if (known == name) return ranges;
  return std::nullopt;
}

struct Node {
  enum class Kind { characters, assertion, sequence, choice, repeat } kind = Kind::sequence;
  CharacterClass characters{};
  Pattern::Operation assertion = Pattern::Operation::match;
  int least = 0, most = 0; ///< of a repeat; `unlimited`
  std::vector<std::unique_ptr<Node>> parts{};
};
using NodePointer = std::unique_ptr<Node>;

struct Flags {
  bool ignore_case = false, lines = false, dot_all = false;
};

/// Recursive descent; every function returns null for text that is no pattern.
class Parser {
 public:
  Parser(std::u32string text, Flags flags) : text_(std::move(text)), flags_(flags) {}
  NodePointer parse() {
    NodePointer node = choice(0);
    return at_ == text_.size() ? std::move(node) : nullptr;
  }

 private:
  [[nodiscard]] bool more() const noexcept { return at_ < text_.size(); }
  [[nodiscard]] bool next_is(char32_t c) const noexcept { return more() && text_[at_] == c; }
  bool take(char32_t c) noexcept { return next_is(c) && (++at_, true); }

  static NodePointer node_of(Node::Kind kind) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    return node;
  }
  NodePointer characters(Ranges ranges, bool negated = false) const {
    NodePointer node = node_of(Node::Kind::characters);
    node->characters = {.ranges = std::move(ranges), .negated = negated, .fold = flags_.ignore_case};
    return node;
  }
  static NodePointer assertion(Pattern::Operation operation) {
    NodePointer node = node_of(Node::Kind::assertion);
    node->assertion = operation;
    return node;
  }

  NodePointer choice(int depth) {
    if (depth > deepest) return nullptr;
    NodePointer node = node_of(Node::Kind::choice);
    do {
      NodePointer part = sequence(depth);
      if (!part) return nullptr;
      node->parts.push_back(std::move(part));
    } while (take(U'|'));
    return node;
  }

  NodePointer sequence(int depth) {
    NodePointer node = node_of(Node::Kind::sequence);
    while (more() && !next_is(U'|') && !next_is(U')')) {
      NodePointer part = repeated(depth);
      if (!part) return nullptr;
      node->parts.push_back(std::move(part));
    }
    return node;
  }

  NodePointer repeated(int depth) {
    NodePointer node = one(depth);
    for (bool first = true; node && more(); first = false) {
      int least = 0, most = unlimited;
      if (take(U'+'))
        least = 1;
      else if (take(U'?'))
        most = 1;
      else if (!take(U'*') && !counts(least, most))
        break;
      if (!first) return nullptr; // "a**", as in RE2
      take(U'?');                 // lazy or not, the same texts match
      if (least > most_repeats || most > most_repeats || (most != unlimited && most < least)) return nullptr;
      NodePointer repeat = node_of(Node::Kind::repeat);
      repeat->least = least;
      repeat->most = most;
      repeat->parts.push_back(std::move(node));
      node = std::move(repeat);
    }
    return node;
  }

  /// {n}, {n,} or {n,m}; anything else behind a brace is text.
  bool counts(int& least, int& most) {
    const std::size_t begin = at_;
    const auto number = [&](int& value) {
      const std::size_t first = at_;
      value = 0;
      while (more() && ascii_digit(text_[at_])) {
        value = std::min(value * 10 + static_cast<int>(text_[at_] - U'0'), most_repeats + 1);
        ++at_;
      }
      return at_ > first;
    };
    if (take(U'{') && number(least)) {
      most = least;
      if (!take(U',')) {
        if (take(U'}')) return true;
      } else if (take(U'}')) {
        most = unlimited;
        return true;
      } else if (number(most) && take(U'}')) {
        return true;
      }
    }
    at_ = begin;
    least = 0;
    most = unlimited;
    return false;
  }

  NodePointer one(int depth) {
    const char32_t c = text_[at_++];
    switch (c) {
    case U'(':
      return group(depth);
    case U'[':
      return bracket();
    case U'\\':
      return escape();
    case U'*':
    case U'+':
    case U'?':
      return nullptr; // nothing to repeat
    case U'.':
      return flags_.dot_all ? characters({{0, last_character}}) : characters({{U'\n', U'\n'}}, true);
    case U'^':
      return assertion(flags_.lines ? Pattern::Operation::line_begin : Pattern::Operation::text_begin);
    case U'$':
      return assertion(flags_.lines ? Pattern::Operation::line_end : Pattern::Operation::text_end);
    default:
      return characters({{c, c}});
    }
  }

  NodePointer group(int depth) {
    const Flags outside = flags_;
    if (take(U'?')) {
      if (take(U'P')) {
        if (!next_is(U'<')) return nullptr;
      }
      if (take(U'<')) {
        const std::size_t begin = at_;
        while (more() && word(text_[at_])) ++at_;
        if (at_ == begin || !take(U'>')) return nullptr; // look-behind comes here too
      } else if (!take(U':')) {
        if (!group_flags()) return nullptr;
        if (take(U')')) return node_of(Node::Kind::sequence); // they hold to the end of the group around it
        if (!take(U':')) return nullptr;
      }
    }
    NodePointer inside = choice(depth + 1);
    flags_ = outside;
    if (!take(U')')) return nullptr;
    return inside;
  }

  bool group_flags() {
    bool on = true, any = false;
    for (; more() && !next_is(U')') && !next_is(U':'); ++at_) {
      switch (text_[at_]) {
      case U'i':
        flags_.ignore_case = on;
        break;
      case U'm':
        flags_.lines = on;
        break;
      case U's':
        flags_.dot_all = on;
        break;
      case U'U':
        break; // which of several matches is preferred plays no part here
      case U'-':
        if (!on) return false;
        on = false;
        continue;
      default:
        return false;
      }
      any = true;
    }
    return any;
  }

  /// The character behind a backslash, where it stands for one.
  std::optional<char32_t> escaped_character() {
    const char32_t c = text_[at_++];
    switch (c) {
    case U'n':
      return U'\n';
    case U't':
      return U'\t';
    case U'r':
      return U'\r';
    case U'f':
      return U'\f';
    case U'v':
      return U'\v';
    case U'a':
      return U'\a';
    case U'x':
      return hexadecimal();
    default:
      if (ascii_letter(c) || ascii_digit(c)) return std::nullopt; // an unknown one, or a backreference
      return c;
    }
  }

  std::optional<char32_t> hexadecimal() {
    const bool braces = take(U'{');
    char32_t value = 0;
    int digits = 0;
    for (; more() && digits < (braces ? 8 : 2); ++digits, ++at_) {
      const char32_t c = text_[at_];
      if (ascii_digit(c))
        value = value * 16 + (c - U'0');
      else if ((c >= U'a' && c <= U'f') || (c >= U'A' && c <= U'F'))
        value = value * 16 + ((c | 0x20U) - U'a' + 10);
      else
        break;
    }
    if (digits == 0 || value > last_character) return std::nullopt;
    if (braces ? !take(U'}') : digits != 2) return std::nullopt;
    return value;
  }

  NodePointer escape() {
    if (!more()) return nullptr;
    if (auto ranges = perl_class(text_[at_])) return ++at_, characters(std::move(*ranges));
    if (take(U'b')) return assertion(Pattern::Operation::word_border);
    if (take(U'B')) return assertion(Pattern::Operation::no_word_border);
    if (take(U'A')) return assertion(Pattern::Operation::text_begin);
    if (take(U'z')) return assertion(Pattern::Operation::text_end);
    const auto c = escaped_character();
    return c ? characters({{*c, *c}}) : nullptr;
  }

  NodePointer bracket() {
    const bool negated = take(U'^');
    Ranges ranges;
    const auto append = [&](const Ranges& more_ranges) {
      ranges.insert(ranges.end(), more_ranges.begin(), more_ranges.end());
    };
    for (bool first = true; first || !next_is(U']'); first = false) {
      if (!more()) return nullptr;
      if (text_.compare(at_, 2, U"[:") == 0) {
        const std::size_t end = text_.find(U":]", at_ + 2);
        if (end == std::u32string::npos) return nullptr;
        std::u32string_view name(text_.data() + at_ + 2, end - at_ - 2);
        const bool inverse = name.starts_with(U'^');
        if (inverse) name.remove_prefix(1);
        const auto named = posix_class(name);
        if (!named) return nullptr;
        append(inverse ? complement(*named) : *named);
        at_ = end + 2;
        continue;
      }
      if (next_is(U'\\') && at_ + 1 < text_.size()) {
        if (const auto named = perl_class(text_[at_ + 1])) {
          append(*named);
          at_ += 2;
          continue;
        }
      }
      const auto low = bracket_character();
      if (!low) return nullptr;
      auto high = low;
      if (next_is(U'-') && at_ + 1 < text_.size() && text_[at_ + 1] != U']') {
        ++at_;
        high = bracket_character();
        if (!high || *high < *low) return nullptr;
      }
      ranges.emplace_back(*low, *high);
    }
    ++at_;
    return characters(std::move(ranges), negated);
  }

  std::optional<char32_t> bracket_character() {
    if (!more()) return std::nullopt;
    if (!take(U'\\')) return text_[at_++];
    if (!more()) return std::nullopt;
    if (take(U'b')) return U'\b';
    return escaped_character();
  }

  std::u32string text_;
  Flags flags_;
  std::size_t at_ = 0;
};

} // namespace

bool CharacterClass::has(char32_t c) const noexcept {
  const auto inside = [&](char32_t x) {
    return std::ranges::any_of(ranges, [&](const auto& range) { return x >= range.first && x <= range.second; });
  };
  return (inside(c) || (fold && ascii_letter(c) && inside(c ^ 0x20U))) != negated;
}

/// Writes the automaton of a tree.
class PatternCompiler {
 public:
  using Operation = Pattern::Operation;
  std::optional<Pattern> compile(const Node& root) {
    if (!emit(root)) return std::nullopt;
    add({Operation::match, 0, 0});
    return std::move(pattern_);
  }

 private:
  std::uint32_t add(Pattern::Instruction instruction) {
    pattern_.program_.push_back(instruction);
    return here() - 1;
  }
  [[nodiscard]] std::uint32_t here() const noexcept { return static_cast<std::uint32_t>(pattern_.program_.size()); }

  bool emit(const Node& node) {
    // Counted by nodes too: what is empty takes no state, and may still be repeated a thousand times a thousand.
    if (pattern_.program_.size() > most_states || ++visited_ > 10 * most_states) return false;
    switch (node.kind) {
    case Node::Kind::characters:
      pattern_.classes_.push_back(node.characters);
      add({Operation::consume, static_cast<std::uint32_t>(pattern_.classes_.size() - 1), 0});
      return true;
    case Node::Kind::assertion:
      add({node.assertion, 0, 0});
      return true;
    case Node::Kind::sequence:
      return std::ranges::all_of(node.parts, [&](const auto& part) { return emit(*part); });
    case Node::Kind::choice:
      return emit_choice(node);
    case Node::Kind::repeat:
      return emit_repeat(node);
    }
    return false;
  }

  bool emit_choice(const Node& node) {
    std::vector<std::uint32_t> jumps;
    for (std::size_t i = 0; i < node.parts.size(); ++i) {
      const bool last = i + 1 == node.parts.size();
      const std::uint32_t split = last ? 0 : add({Operation::split, here() + 1, 0});
      if (!emit(*node.parts[i])) return false;
      if (last) break;
      jumps.push_back(add({Operation::jump, 0, 0}));
      pattern_.program_[split].y = here();
    }
    for (const std::uint32_t jump : jumps) pattern_.program_[jump].x = here();
    return true;
  }

  bool emit_repeat(const Node& node) {
    const Node& part = *node.parts[0];
    for (int i = 0; i < node.least; ++i)
      if (!emit(part)) return false;
    if (node.most == unlimited) {
      const std::uint32_t split = add({Operation::split, here() + 1, 0});
      if (!emit(part)) return false;
      add({Operation::jump, split, 0});
      pattern_.program_[split].y = here();
      return true;
    }
    std::vector<std::uint32_t> splits;
    for (int i = node.least; i < node.most; ++i) {
      splits.push_back(add({Operation::split, here() + 1, 0}));
      if (!emit(part)) return false;
    }
    for (const std::uint32_t split : splits) pattern_.program_[split].y = here();
    return true;
  }

  Pattern pattern_;
  std::size_t visited_ = 0;
};

namespace {

std::u32string characters_of(std::string_view text) {
  std::u32string characters;
  for (std::size_t at = 0; at < text.size();) characters += next_code_point(text, at);
  return characters;
}

/// States in the order in which they came in, each once.
class StateSet {
 public:
  explicit StateSet(std::size_t count) : mark_(count, 0) {}
  void clear() {
    states.clear();
    ++round_;
  }
  bool insert(std::uint32_t state) {
    if (mark_[state] == round_) return false;
    mark_[state] = round_;
    states.push_back(state);
    return true;
  }
  std::vector<std::uint32_t> states{};

 private:
  std::vector<std::size_t> mark_;
  std::size_t round_ = 1;
};

bool passes(Pattern::Operation operation, const std::u32string& text, std::size_t at) {
  const bool begin = at == 0, end = at == text.size();
  const bool border = (!begin && word(text[at - 1])) != (!end && word(text[at]));
  switch (operation) {
  case Pattern::Operation::text_begin:
    return begin;
  case Pattern::Operation::text_end:
    return end;
  case Pattern::Operation::line_begin:
    return begin || text[at - 1] == U'\n';
  case Pattern::Operation::line_end:
    return end || text[at] == U'\n';
  case Pattern::Operation::word_border:
    return border;
  default:
    return !border;
  }
}

} // namespace

std::optional<Pattern> Pattern::compile(std::string_view text, bool ignore_case) {
  constexpr std::size_t longest = 10000;
  if (text.size() > longest) return std::nullopt;
  const NodePointer root = Parser(characters_of(text), {.ignore_case = ignore_case}).parse();
  return root ? PatternCompiler().compile(*root) : std::nullopt;
}

bool Pattern::found_in(std::string_view bytes) const {
  const std::u32string text = characters_of(bytes);
  StateSet now(program_.size()), next(program_.size());
  std::vector<std::uint32_t> open;
  // Adds a state with all that it reaches without a character; true where that is the match.
  const auto add = [&](StateSet& set, std::uint32_t start, std::size_t at) {
    open.assign(1, start);
    while (!open.empty()) {
      const std::uint32_t state = open.back();
      open.pop_back();
      if (!set.insert(state)) continue;
      const Instruction& instruction = program_[state];
      switch (instruction.operation) {
      case Operation::match:
        return true;
      case Operation::consume:
        break;
      case Operation::split:
        open.push_back(instruction.y);
        open.push_back(instruction.x);
        break;
      case Operation::jump:
        open.push_back(instruction.x);
        break;
      default:
        if (passes(instruction.operation, text, at)) open.push_back(state + 1);
      }
    }
    return false;
  };
  for (std::size_t at = 0;; ++at) {
    if (add(now, 0, at)) return true; // a match may begin anywhere
    if (at == text.size()) return false;
    next.clear();
    for (const std::uint32_t state : now.states)
      if (program_[state].operation == Operation::consume && classes_[program_[state].x].has(text[at]) &&
          add(next, state + 1, at + 1))
        return true;
    std::swap(now, next);
  }
}

} // namespace mcomp::inline v0::rollout::detail
