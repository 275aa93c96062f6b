#include "mcomp/catalog/canonical_json.hpp"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::catalog;

TEST_CASE("numbers print as RFC 8785, appendix B, has them") {
  const std::pair<std::uint64_t, const char*> table[] = {
      {0x0000000000000000, "0"},
      {0x8000000000000000, "0"},
      {0x0000000000000001, "5e-324"},
      {0x8000000000000001, "-5e-324"},
      {0x7fefffffffffffff, "1.7976931348623157e+308"},
      {0xffefffffffffffff, "-1.7976931348623157e+308"},
      {0x4340000000000000, "9007199254740992"},
      {0xc340000000000000, "-9007199254740992"},
      {0x4430000000000000, "295147905179352830000"},
      {0x44b52d02c7e14af5, "9.999999999999997e+22"},
      {0x44b52d02c7e14af6, "1e+23"},
      {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
      {0x444b1ae4d6e2ef4e, "999999999999999700000"},
      {0x444b1ae4d6e2ef4f, "999999999999999900000"},
      {0x444b1ae4d6e2ef50, "1e+21"},
      {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
      {0x3eb0c6f7a0b5ed8d, "0.000001"},
      {0x41b3de4355555553, "333333333.3333332"},
      {0x41b3de4355555554, "333333333.33333325"},
      {0x41b3de4355555555, "333333333.3333333"},
      {0x41b3de4355555556, "333333333.3333334"},
      {0x41b3de4355555557, "333333333.33333343"},
      {0xbecbf647612f3696, "-0.0000033333333333333333"},
      {0x43143ff3c1cb0959, "1424953923781206.2"},
  };
  for (const auto& [bits, text] : table) CHECK(canonical_number(std::bit_cast<double>(bits)).value() == text);
  for (const std::uint64_t bits : {0x7fffffffffffffffULL, 0x7ff0000000000000ULL, 0xfff0000000000000ULL})
    CHECK(canonical_number(std::bit_cast<double>(bits)).error().code() == ErrorCode::invalid_value);
}

TEST_CASE("the examples of RFC 8785, 3.2, have their canonical form") {
  const char* input = R"({
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  })";
  CHECK(canonical_json(input).value() ==
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
        "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
  // Keys in the order of UTF-16: the emoji, which has surrogates, stands before U+FB33.
  const char* keys = R"({"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis"})";
  CHECK(canonical_json(keys).value() ==
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\",\"\xc3\xb6\":\"Latin Small Letter O With "
        "Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\",\"\xf0\x9f\x98\x80\":\"Emoji: Grinning "
        "Face\",\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

TEST_CASE("the canonical form is its own canonical form, and does not depend on layout or order") {
  const std::string one = canonical_json(" { \"b\" : [ 1.0 , -0.0, -0, 1e2 ] , \"a\" : { } } ").value();
  CHECK(one == R"({"a":{},"b":[1,0,0,100]})");
  CHECK(canonical_json(one).value() == one);
  CHECK(canonical_json(R"({"a":{},"b":[1.00,0,0e5,100.0]})").value() == one);
  CHECK(canonical_json("9007199254740993").value() == "9007199254740992"); // a double, as the RFC says
  CHECK(canonical_json("\"\\u007f\\b\\u0001\"").value() == "\"\x7f\\b\\u0001\"");
}

TEST_CASE("every double comes back from its canonical form") {
  Random random(5);
  for (int i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(random.next());
    if (!std::isfinite(value)) continue;
    const std::string text = canonical_number(value).value();
    REQUIRE(std::strtod(text.c_str(), nullptr) == value);
    REQUIRE(canonical_json(text).value() == text);
  }
}

TEST_CASE("what is no JSON has no canonical form") {
  for (const char* text : {"",
                           "{",
                           "nul",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "1e999",
                           "01",
                           "+1",
                           "[1,]",
                           "{\"a\":1,}",
                           "'a'",
                           "[1] 2",
                           R"({"a":1,"a":2})",
                           R"({"a":1,"\u0061":2})",
                           R"("\ud800")",
                           R"("\udc00\ud800")",
                           R"("\ud83d\u0041")",
                           "\"\x01\"",
                           "\"\xc0\xaf\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf5\x80\x80\x80\"",
                           "\"\xe2\x82\"",
                           "\xef\xbb\xbf{}"}) {
    INFO(text);
    const auto result = canonical_json(text, "event");
    REQUIRE(!result);
    CHECK(result.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(result.error()));
  }
  CHECK(!canonical_json(std::string(100, '[') + std::string(100, ']')));
}
