#include "io/name_pattern.hpp"

#include <charconv>
#include <optional>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::io::detail {

namespace {

using Set = std::bitset<256>;
using Instruction = NamePattern::Instruction;
using Operation = NamePattern::Operation;

constexpr std::size_t largest_program = 4096;
constexpr int deepest = 32; // groups within groups
constexpr int unbounded = -1;
constexpr std::int64_t most_steps = std::int64_t{1} << 22;

Set range(char first, char last) {
  Set set;
  for (unsigned c = static_cast<unsigned char>(first); c <= static_cast<unsigned char>(last); ++c) set.set(c);
  return set;
}

/// What a backslash before a sign stands for.
std::optional<Set> escaped(char c) {
  const Set digits = range('0', '9'), letters = range('a', 'z') | range('A', 'Z'),
            word = digits | letters | range('_', '_'), space = range('\t', '\r') | range(' ', ' ');
  switch (c) {
  case 'd':
    return digits;
  case 'D':
    return ~digits;
  case 'w':
    return word;
  case 'W':
    return ~word;
  case 's':
    return space;
  case 'S':
    return ~space;
  case 'n':
    return range('\n', '\n');
  case 'r':
    return range('\r', '\r');
  case 't':
    return range('\t', '\t');
  default:
    if ((digits | letters).test(static_cast<unsigned char>(c))) return std::nullopt;
    return range(c, c);
  }
}

bool is_word(char c) {
  return escaped('w')->test(static_cast<unsigned char>(c));
}

/// A part of an expression.
struct Node {
  enum class Kind { set, place, sequence, either, repeat, look } kind = Kind::sequence;
  Set set{};
  Operation operation = Operation::begin; ///< of a place (`^`) and a look
  std::vector<Node> parts{};
  int least = 1, most = 1;
};

class Parser {
 public:
  Parser(std::string_view text, const std::string& subject) : text_(text), subject_(subject) {}

  Result<Node> run() {
    MCOMP_TRY(node, either(0));
    if (at_ < text_.size()) return broken("a ')' without a '('");
    return std::move(node);
  }

 private:
  Error broken(const std::string& rule) const {
    return {ErrorCode::corrupt, subject_, fmt::format("'{}' is no regular expression: {} at {}", text_, rule, at_),
            "check the expression"};
  }
  Error unsupported(const std::string& rule) const {
    return {ErrorCode::unsupported, subject_, fmt::format("'{}' has {} at {}", text_, rule, at_),
            "name the layers, or use a plainer expression"};
  }
  bool take(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }

  Result<Node> either(int depth) {
    if (depth > deepest) return unsupported(fmt::format("groups more than {} deep", deepest));
    Node node{.kind = Node::Kind::either};
    do {
      Node sequence;
      while (at_ < text_.size() && text_[at_] != '|' && text_[at_] != ')') {
        MCOMP_TRY(one, atom(depth));
        MCOMP_CHECK(quantify(one));
        sequence.parts.push_back(std::move(one));
      }
      node.parts.push_back(std::move(sequence));
    } while (take("|"));
    return node.parts.size() == 1 ? std::move(node.parts[0]) : std::move(node);
  }

  Result<Node> atom(int depth) {
    const char c = text_[at_++];
    if (c == '(') return group(depth);
    if (c == '[') return set();
    if (c == '.') return Node{.kind = Node::Kind::set, .set = ~range('\n', '\n')};
    if (c == '^') return Node{.kind = Node::Kind::place, .operation = Operation::begin};
    if (c == '$') return Node{.kind = Node::Kind::place, .operation = Operation::end};
    if (c == '*' || c == '+' || c == '?') return broken("nothing to repeat");
    if (c != '\\') return Node{.kind = Node::Kind::set, .set = range(c, c)};
    if (take("b")) return Node{.kind = Node::Kind::place, .operation = Operation::boundary};
    if (take("B")) return Node{.kind = Node::Kind::place, .operation = Operation::no_boundary};
    MCOMP_TRY(members, escape());
    return Node{.kind = Node::Kind::set, .set = members};
  }

  Result<Set> escape() {
    if (at_ >= text_.size()) return broken("a backslash at the end");
    const auto members = escaped(text_[at_++]);
    if (!members) return unsupported(fmt::format("the escape \\{}", text_[at_ - 1]));
    return *members;
  }

  Result<Node> group(int depth) {
    Node look{.kind = Node::Kind::look};
    bool looks = false;
    if (take("?=")) {
      looks = true, look.operation = Operation::look;
    } else if (take("?!")) {
      looks = true, look.operation = Operation::look_not;
    } else if (take("?P<")) {
      const std::size_t close = text_.find('>', at_);
      if (close == std::string_view::npos) return broken("a group whose name has no end");
      at_ = close + 1;
    } else if (!take("?:") && take("?")) {
      return unsupported("a group of a kind that is not known");
    }
    MCOMP_TRY(inner, either(depth + 1));
    if (!take(")")) return broken("a '(' without a ')'");
    if (!looks) return std::move(inner);
    look.parts.push_back(std::move(inner));
    return look;
  }

  Result<Node> set() {
    Node node{.kind = Node::Kind::set};
    const bool negated = take("^");
    for (bool first = true; first || !take("]"); first = false) { // a bracket at the beginning is a member
      if (at_ >= text_.size()) return broken("a '[' without a ']'");
      const char from = text_[at_++];
      if (from == '\\') {
        MCOMP_TRY(members, escape());
        node.set |= members;
      } else if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        char to = text_[at_ + 1];
        at_ += 2;
        if (to == '\\') {
          if (at_ >= text_.size()) return broken("a backslash at the end");
          to = text_[at_++];
          if (is_word(to)) return broken("a range to a set");
        }
        if (static_cast<unsigned char>(to) < static_cast<unsigned char>(from)) return broken("a range backwards");
        node.set |= range(from, to);
      } else {
        node.set |= range(from, from);
      }
    }
    if (negated) node.set.flip();
    return node;
  }

  Status quantify(Node& node) {
    int least = 0, most = unbounded;
    if (take("+"))
      least = 1;
    else if (take("?"))
      most = 1;
    else if (!take("*")) {
      const bool counted = counts(least, most);
      if (!counted) return {};
    }
    if (most != unbounded && most < least) return broken("more at least than at most");
    take("?"); // whether the shortest match is sought does not change that there is one
    if (at_ < text_.size() && (text_[at_] == '*' || text_[at_] == '+' || text_[at_] == '?'))
      return broken("two repetitions");
    Node repeated{.kind = Node::Kind::repeat, .least = least, .most = most};
    repeated.parts.push_back(std::move(node));
    node = std::move(repeated);
    return {};
  }

  /// "{2}", "{2,}", "{,5}", "{2,5}"; any other brace is a literal.
  bool counts(int& least, int& most) {
    const std::size_t close = at_ < text_.size() && text_[at_] == '{' ? text_.find('}', at_) : std::string_view::npos;
    if (close == std::string_view::npos) return false;
    const std::string_view inner = text_.substr(at_ + 1, close - at_ - 1);
    const auto number = [](std::string_view digits, int& value) {
      const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      return code == std::errc() && end == digits.data() + digits.size() && value >= 0;
    };
    const std::size_t comma = inner.find(',');
    const std::string_view low = inner.substr(0, comma);
    if (inner.size() < 1 || inner == "," || (!low.empty() && !number(low, least))) return false;
    if (comma == std::string_view::npos)
      most = least;
    else if (comma + 1 < inner.size() && !number(inner.substr(comma + 1), most))
      return false;
    at_ = close + 1;
    return true;
  }

  std::string_view text_;
  const std::string& subject_;
  std::size_t at_ = 0;
};

class Compiler {
 public:
  std::vector<Instruction> program;
  std::vector<Set> sets;

  /// False where the program becomes too large.
  bool emit(const Node& node) {
    switch (node.kind) {
    case Node::Kind::set:
      sets.push_back(node.set);
      return add({Operation::set, static_cast<std::uint32_t>(sets.size() - 1)});
    case Node::Kind::place:
      return add({node.operation});
    case Node::Kind::sequence:
      for (const Node& part : node.parts)
        if (!emit(part)) return false;
      return true;
    case Node::Kind::either:
      return either(node);
    case Node::Kind::repeat:
      return repeat(node);
    case Node::Kind::look: {
      const std::uint32_t look = here();
      if (!add({node.operation}) || !emit(node.parts[0]) || !add({Operation::match})) return false;
      program[look].to = here();
      return true;
    }
    }
    return false;
  }
  bool add(Instruction instruction) {
    if (program.size() >= largest_program) return false;
    program.push_back(instruction);
    return true;
  }

 private:
  [[nodiscard]] std::uint32_t here() const { return static_cast<std::uint32_t>(program.size()); }
  bool either(const Node& node) {
    std::vector<std::uint32_t> leaves;
    for (std::size_t i = 0; i < node.parts.size(); ++i) {
      const bool last = i + 1 == node.parts.size();
      const std::uint32_t split = here();
      if (!last && !add({Operation::split, split + 1})) return false;
      if (!emit(node.parts[i])) return false;
      if (last) break;
      leaves.push_back(here());
      if (!add({Operation::jump})) return false;
      program[split].other = here();
    }
    for (const std::uint32_t leave : leaves) program[leave].to = here();
    return true;
  }
  bool repeat(const Node& node) {
    const Node& body = node.parts[0];
    // A body of no instructions may be repeated for ever.
    for (int i = 0; i < node.least; ++i) {
      const std::uint32_t before = here();
      if (!emit(body)) return false;
      if (here() == before) return true;
    }
    if (node.most == unbounded) {
      const std::uint32_t split = here();
      if (!add({Operation::split, split + 1}) || !emit(body) || !add({Operation::jump, split})) return false;
      program[split].other = here();
      return true;
    }
    std::vector<std::uint32_t> splits;
    for (int i = node.least; i < node.most; ++i) {
      splits.push_back(here());
      if (!add({Operation::split, here() + 1}) || !emit(body)) return false;
    }
    for (const std::uint32_t split : splits) program[split].other = here();
    return true;
  }
};

/// One simulation of a part of a program over a name.
class Run {
 public:
  Run(const std::vector<Instruction>& program, const std::vector<Set>& sets, std::string_view name, std::int64_t& steps)
      : program_(program), sets_(sets), name_(name), steps_(steps) {}

  /// Whether the instructions from `first` on reach a `match` from a position on; nothing where it takes too long.
  std::optional<bool> reaches(std::uint32_t first, std::size_t position) {
    std::vector<std::uint32_t> now{first}, next;
    for (std::size_t at = position;; ++at) {
      std::vector<bool> seen(program_.size());
      next.clear();
      while (!now.empty()) {
        const std::uint32_t pc = now.back();
        now.pop_back();
        if (seen[pc]) continue;
        seen[pc] = true;
        if (++steps_ > most_steps) return std::nullopt;
        const Instruction& i = program_[pc];
        if (i.operation == Operation::match) return true;
        if (i.operation == Operation::set) {
          if (at < name_.size() && sets_[i.to].test(static_cast<unsigned char>(name_[at]))) next.push_back(pc + 1);
        } else if (i.operation == Operation::split) {
          now.push_back(i.to);
          now.push_back(i.other);
        } else if (i.operation == Operation::jump) {
          now.push_back(i.to);
        } else if (i.operation == Operation::look || i.operation == Operation::look_not) {
          const auto inner = Run(program_, sets_, name_, steps_).reaches(pc + 1, at);
          if (!inner) return std::nullopt;
          if (*inner == (i.operation == Operation::look)) now.push_back(i.to);
        } else if (holds(i.operation, at)) {
          now.push_back(pc + 1);
        }
      }
      if (next.empty()) return false;
      steps_ += static_cast<std::int64_t>(program_.size() / 64);
      now.swap(next);
    }
  }

 private:
  [[nodiscard]] bool holds(Operation operation, std::size_t at) const {
    if (operation == Operation::begin) return at == 0;
    // Python's `$`: the end, or before a line feed that ends the text.
    if (operation == Operation::end) return at == name_.size() || (at + 1 == name_.size() && name_[at] == '\n');
    const bool before = at > 0 && is_word(name_[at - 1]), after = at < name_.size() && is_word(name_[at]);
    return (before != after) == (operation == Operation::boundary);
  }

  const std::vector<Instruction>& program_;
  const std::vector<Set>& sets_;
  std::string_view name_;
  std::int64_t& steps_;
};

} // namespace

Result<NamePattern> NamePattern::parse(std::string_view expression, const std::string& subject) {
  MCOMP_TRY(tree, Parser(expression, subject).run());
  Compiler compiler;
  if (!compiler.emit(tree) || !compiler.add({Operation::match}))
    return Error(ErrorCode::unsupported, subject,
                 fmt::format("'{}' takes more than {} instructions", expression, largest_program),
                 "name the layers, or use a plainer expression");
  NamePattern pattern;
  pattern.program_ = std::move(compiler.program);
  pattern.sets_ = std::move(compiler.sets);
  pattern.subject_ = subject;
  return pattern;
}

Result<bool> NamePattern::matches(std::string_view name) const {
  std::int64_t steps = 0;
  const auto found = Run(program_, sets_, name, steps).reaches(0, 0);
  if (!found)
    return Error(ErrorCode::unsupported, subject_, fmt::format("matching '{}' takes too long", name),
                 "name the layers, or use a plainer expression");
  return *found;
}

} // namespace mcomp::inline v0::io::detail
