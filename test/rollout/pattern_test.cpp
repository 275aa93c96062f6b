#include "rollout/pattern.hpp"

#include <regex>
#include <string>

#include "catch.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using rollout::detail::Pattern;

namespace {

bool found(const std::string& pattern, const std::string& text, bool ignore_case = false) {
  const auto compiled = Pattern::compile(pattern, ignore_case);
  INFO(pattern);
  REQUIRE(compiled);
  return compiled->found_in(text);
}

} // namespace

TEST_CASE("Patterns find what RE2's syntax says", "[rollout]") {
  CHECK(found("cat", "concatenate"));
  CHECK_FALSE(found("^cat$", "concatenate"));
  CHECK(found("\\bcat\\b", "a cat b"));
  CHECK_FALSE(found("\\bcat\\b", "concatenate"));
  CHECK(found("\\Bcat\\B", "concatenate"));
  CHECK(found("^(foo|fo)$", "fo"));
  CHECK(found("^a{2,4}$", "aaaa"));
  CHECK_FALSE(found("^a{2,4}$", "aaaaa"));
  CHECK(found("^a{2,}$", "aaaaa"));
  CHECK(found("^a{,2}$", "a{,2}"));
  CHECK(found("^a.*?b$", "a___b___b"));
  CHECK(found("^(?i)abc$", "AbC"));
  CHECK(found("^(?i:a)b$", "Ab"));
  CHECK_FALSE(found("^(?i:a)b$", "AB"));
  CHECK(found("(?m)^foo$", "x\nfoo\ny"));
  CHECK_FALSE(found("^foo$", "x\nfoo\ny"));
  CHECK(found("^(?s)a.b$", "a\nb"));
  CHECK_FALSE(found("^a.b$", "a\nb"));
  CHECK(found("^[[:alpha:]]+$", "AlphaBeta"));
  CHECK_FALSE(found("^[[:alpha:]]+$", "Alpha1"));
  CHECK(found("^[^@]+@[^@]+$", "test@example.com"));
  CHECK(found("^[]a-]+$", "a]-"));
  CHECK(found("^[\\w.]+$", "a_9."));
  CHECK(found("^\\x41\\x{42}$", "AB"));
  CHECK(found("^abc$", "ABC", true));
  CHECK(found("^[a-c]$", "B", true));
  CHECK_FALSE(found("^[^a-c]$", "B", true));
  CHECK(found("", ""));
  CHECK(found("a||b", ""));
  CHECK(found("^.$", "\xc3\xa9")); // one character of two bytes
  CHECK(found("(?P<year>\\d{4})-(?<month>\\d\\d)", "on 2026-11-26"));
}

TEST_CASE("What is no pattern, or none that an automaton can follow, is refused", "[rollout]") {
  for (const char* text : {"(",
                           ")",
                           "(regex",
                           "/???***[)",
                           "[",
                           "[z-a]",
                           "[[:alph:]]",
                           "a**",
                           "*",
                           "+a",
                           "(?=a)b",
                           "(?!a)b",
                           "(?<=a)b",
                           "(?<!a)b",
                           "(a)\\1",
                           "\\q",
                           "\\",
                           "a{3,2}",
                           "a{1001}",
                           "((a{100}){100}){100}",
                           "((((){1000}){1000}){1000}){1000}",
                           "(?x)a",
                           "(?",
                           "(?P",
                           "(?P>a)",
                           "\\x{110000}",
                           "\\xg"})
    CHECK_FALSE(Pattern::compile(text));
  CHECK_FALSE(Pattern::compile(std::string(200, '(') + std::string(200, ')')));
  CHECK_FALSE(Pattern::compile(std::string(20000, 'a')));
}

TEST_CASE("Time grows with pattern and text, where backtracking would never end", "[rollout]") {
  CHECK_FALSE(found("^(a*)*$", std::string(5000, 'a') + "b"));
  CHECK_FALSE(found("^(a|aa)+$", std::string(5000, 'a') + "b"));
}

TEST_CASE("Random patterns agree with the standard library's", "[rollout]") {
  Random random(3);
  const std::string atoms[] = {"a", "b", "[ab]", "[^a]", ".", "(a|b)", "(?:ab)", "\\w", "^", "$", "\\b", "c"};
  const std::string repeats[] = {"", "", "", "*", "+", "?", "{2}", "{1,2}"};
  int matches = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string pattern;
    for (std::uint64_t i = 0; i <= random.below(5); ++i) {
      const std::uint64_t atom = random.below(12);
      pattern += atoms[atom];
      if (atom < 8 || atom == 11) pattern += repeats[random.below(8)];
      if (random.below(6) == 0) pattern += "|";
    }
    const std::regex reference(pattern);
    const auto compiled = Pattern::compile(pattern);
    INFO(pattern);
    REQUIRE(compiled);
    for (int k = 0; k < 5; ++k) {
      std::string text;
      for (std::uint64_t i = random.below(7); i > 0; --i) text += "abc "[random.below(4)];
      INFO(text);
      const bool expected = std::regex_search(text, reference);
      matches += expected;
      REQUIRE(compiled->found_in(text) == expected);
    }
  }
  CHECK(matches > 3000);
  CHECK(matches < 14000);
}
