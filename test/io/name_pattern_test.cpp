#include "io/name_pattern.hpp"

#include "catch.hpp"
#include "data.hpp"

using namespace mcomp;
using io::detail::NamePattern;

namespace {
bool matches(const std::string& expression, const std::string& name) {
  return NamePattern::parse(expression, "config").value().matches(name).value();
}
ErrorCode refused(const std::string& expression) {
  const auto pattern = NamePattern::parse(expression, "config");
  REQUIRE_FALSE(pattern);
  CHECK(mcomp_test::well_formed(pattern.error()));
  return pattern.error().code();
}
} // namespace

// Expected values: Python 3.11, re.match.
TEST_CASE("expressions match what Python's re.match matches") {
  struct Case {
    const char *expression, *name;
    bool expected;
  };
  const Case cases[] = {
      {"", "anything", true},
      {"abc", "abcd", true},
      {"abc", "xabc", false},
      {".*mlp\\.(gate|up)_proj$", "model.layers.3.mlp.up_proj", true},
      {".*mlp\\.(gate|up)_proj$", "model.layers.3.mlp.down_proj", false},
      {"model\\.layers\\.\\d+\\.self_attn\\.[qkv]_proj", "model.layers.12.self_attn.k_proj", true},
      {"model\\.layers\\.\\d+\\.self_attn\\.[qkv]_proj", "model.layers.x.self_attn.k_proj", false},
      {"^(?!.*lm_head).*$", "model.lm_head", false},
      {"^(?!.*lm_head).*$", "model.norm", true},
      {"(?=.*7)model", "model.7", true},
      {"(?=.*7)model", "model.8", false},
      {"layers\\.([0-9]|1[0-5])\\.", "layers.15.x", true},
      {"layers\\.([0-9]|1[0-5])\\.", "layers.16.x", false},
      {"a{2,3}b", "aab", true},
      {"a{2,3}b", "ab", false},
      {"a{2,3}b", "aaaab", false},
      {"a{2}$", "aaa", false},
      {"a{2,}$", "aaaa", true},
      {"a{,2}b", "aab", true},
      {"a{x}", "a{x}", true},
      {"(?:ab)+?$", "abab", true},
      {"(?P<layer>\\w+)\\.b", "x_1.b", true},
      {"[^.]+\\.b", "a.b", true},
      {"[^.]+\\.b", "a.a.b", false},
      {"[]a-c\\-]+$", "]b-", true},
      {"[a-]+$", "a-", true},
      {"a|b|cd$", "cd", true},
      {"a|b|cd$", "ce", false},
      {"\\bab\\b", "ab.c", true},
      {"\\bab\\b", "abc", false},
      {"a\\Bb", "ab", true},
      {"a$", "a\n", true},
      {".", "\n", false},
      {"(a*)*b", "aaab", true},
      {"(|a)+$", "aa", true},
      {"(a|ab)(c|bcd)$", "abcd", true},
  };
  for (const Case& c : cases) {
    INFO(c.expression << " on " << c.name);
    CHECK(matches(c.expression, c.name) == c.expected);
  }
}

TEST_CASE("what is no expression is corrupt, what is not served is unsupported") {
  for (const char* expression :
       {"(", ")", "[a", "*", "a**", "\\", "a{3,2}", "(?P<x", "[b-a]", "[a-\\d]", "a|(b", "[a\\"}) {
    INFO(expression);
    CHECK(refused(expression) == ErrorCode::corrupt);
  }
  for (const char* expression : {"(a)\\1", "(?<=a)b", "(?i)a", "\\p", "a{5000}", "((a{100}){100}){100}"}) {
    INFO(expression);
    CHECK(refused(expression) == ErrorCode::unsupported);
  }
  CHECK(refused(std::string(1000, '(') + std::string(1000, ')')) == ErrorCode::unsupported);
}

TEST_CASE("expressions that take other matchers for ever, or their stack, end soon") {
  const std::string name(512, 'a');
  CHECK_FALSE(matches("(a*)*b", name));
  CHECK_FALSE(matches("(a|a)*(a|a)*(a|aa)*b", name));
  CHECK_FALSE(matches("(a?){500}a{500}b", name));
  CHECK(matches("(a|b)*", std::string(1000000, 'a')));
  const auto slow = NamePattern::parse("(.*(?=(.*(?=.*b))))*c", "config").value().matches(std::string(2000, 'a'));
  REQUIRE_FALSE(slow);
  CHECK(slow.error().code() == ErrorCode::unsupported);
}
