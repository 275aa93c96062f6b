#include "mcomp/rollout/flagd.hpp"

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"

using namespace mcomp;
using namespace mcomp::rollout;
using Json = nlohmann::json;

namespace {

struct Scenario {
  std::string name;
  std::vector<std::string> steps;
  std::vector<std::map<std::string, std::string>> examples; ///< of version 2; one empty for a plain scenario
};

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> result;
  std::istringstream parts(line.substr(line.find('|') + 1));
  for (std::string cell; std::getline(parts, cell, '|');) {
    const auto begin = cell.find_first_not_of(' ');
    result.push_back(begin == std::string::npos ? "" : cell.substr(begin, cell.find_last_not_of(' ') - begin + 1));
  }
  return result;
}

/// The scenarios of a Gherkin file, without those examples that are tagged with version 1.
std::vector<Scenario> scenarios(std::istream& file) {
  std::vector<Scenario> all;
  std::set<std::string> tags;
  std::vector<std::string> header;
  bool in_examples = false, skip = false;
  for (std::string line; std::getline(file, line);) {
    const auto begin = line.find_first_not_of(" \r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    line = line.substr(begin);
    if (line[0] == '@') {
      std::istringstream words(line);
      for (std::string word; words >> word;) tags.insert(word);
    } else if (line.starts_with("Scenario")) {
      all.push_back({.name = line, .steps = {}, .examples = {}});
      if (!line.starts_with("Scenario Outline")) all.back().examples.emplace_back();
      in_examples = false;
      tags.clear();
    } else if (line.starts_with("Examples")) {
      in_examples = true;
      skip = tags.contains("@fractional-v1");
      header.clear();
      tags.clear();
    } else if (line[0] == '|' && in_examples) {
      if (header.empty()) {
        header = cells(line);
      } else if (!skip) {
        const auto row = cells(line);
        auto& example = all.back().examples.emplace_back();
        for (std::size_t i = 0; i < header.size(); ++i) example[header[i]] = row[i];
      }
    } else if (!all.empty()) {
      all.back().steps.push_back(line);
    }
  }
  return all;
}

std::string filled(std::string step, const std::map<std::string, std::string>& example) {
  for (const auto& [name, value] : example) {
    const std::string hole = "<" + name + ">";
    for (auto at = step.find(hole); at != std::string::npos; at = step.find(hole)) step.replace(at, hole.size(), value);
  }
  return step;
}

/// Runs the steps of one example; every step must be one that is known.
void run(const Flagd& flags, const Scenario& scenario, const std::map<std::string, std::string>& example) {
  std::string key, fallback;
  Json context = Json::object();
  FlagdDecision decision;
  for (const std::string& step : scenario.steps) {
    const std::string text = filled(step, example);
    INFO(text);
    std::smatch m;
    if (text.find("an evaluator") != std::string::npos) continue;
    if (std::regex_search(text, m, std::regex("a String-flag with key \"(.*)\" and a fallback value \"(.*)\""))) {
      key = m[1];
      fallback = m[2];
    } else if (std::regex_search(text, m,
                                 std::regex("outer key \"(.*)\" and inner key \"(.*)\", with value \"(.*)\""))) {
      context[m[1].str()][m[2].str()] = m[3].str();
    } else if (std::regex_search(text, m, std::regex("targeting key with value \"(.*)\""))) {
      context["targetingKey"] = m[1].str();
    } else if (std::regex_search(text, m, std::regex("a key \"(.*)\", with type \"String\" and with value \"(.*)\""))) {
      context[m[1].str()] = m[2].str();
    } else if (text.find("evaluated with details") != std::string::npos) {
      decision = flags.evaluate(key, context.dump()).value();
    } else if (std::regex_search(text, m, std::regex("details value should be \"(.*)\""))) {
      CHECK((decision.value.empty() ? fallback : Json::parse(decision.value).get<std::string>()) == m[1].str());
    } else if (std::regex_search(text, m, std::regex("reason should be \"(.*)\""))) {
      CHECK(decision.reason == m[1].str());
    } else {
      FAIL("a step that is not known: " << text);
    }
  }
}

/// What targeting makes of a context: the value of the variant that it names.
std::string logic(const std::string& targeting, const std::string& context = "{}") {
  const auto flags = Flagd::parse(R"({"flags": {"f": {"state": "ENABLED", "defaultVariant": "default", "variants":
      {"true": "yes", "false": "no", "a": "a", "abc": "abc", "3": "three", "default": "default"}, "targeting": )" +
                                  targeting + "}}}")
                         .value();
  const auto decision = flags.evaluate("f", context).value();
  return decision.value.empty() ? decision.error_code : Json::parse(decision.value).get<std::string>();
}

} // namespace

TEST_CASE("flagd's scenarios of the fractional operator, version 2", "[rollout]") {
  const auto feature = mcomp_test::data("flags/flagd_fractional.feature");
  const auto definitions = mcomp_test::data("flags/flagd_custom_ops.json");
  if (!feature || !definitions) return;
  std::ifstream definitions_file(*definitions), feature_file(*feature);
  Json flags = Json::parse(definitions_file);
  // Three flags of the scenarios are not among those definitions; these are as the scenarios describe them.
  const auto add = [&](const std::string& key, const char* variants, const char* buckets) {
    if (flags["flags"].contains(key)) return;
    flags["flags"][key] = {{"state", "ENABLED"},
                           {"variants", Json::parse(variants)},
                           {"defaultVariant", "fallback"},
                           {"targeting", {{"fractional", Json::parse(buckets)}}}};
  };
  const char* numbers = R"({"one": "one", "two": "two", "fallback": "fallback"})";
  add("fractional-null-bucket-key-flag", numbers, R"([{"var": "absent"}, ["one", 50], ["two", 50]])");
  add("fractional-zero-weights-flag", numbers, R"([{"var": "targetingKey"}, ["one", 0], ["two", 0]])");
  add("fractional-negative-weight-flag", numbers, R"([{"var": "targetingKey"}, ["one", -50], ["two", 100]])");
  const Flagd flagd = Flagd::parse(flags.dump()).value();
  int examples = 0;
  for (const Scenario& scenario : scenarios(feature_file)) {
    INFO(scenario.name);
    for (const auto& example : scenario.examples) {
      run(flagd, scenario, example);
      ++examples;
    }
  }
  CHECK(examples == 39);
}

TEST_CASE("flagd's other operators: versions and affixes", "[rollout]") {
  const auto definitions = mcomp_test::data("flags/flagd_custom_ops.json");
  if (!definitions) return;
  std::ifstream file(*definitions);
  std::stringstream text;
  text << file.rdbuf();
  const Flagd flags = Flagd::parse(text.str()).value();
  const auto value = [&](const std::string& flag, const std::string& context) {
    return Json::parse(flags.evaluate(flag, context).value().value).get<std::string>();
  };
  CHECK(value("starts-ends-flag", R"({"id": "abcdef"})") == "prefix");
  CHECK(value("starts-ends-flag", R"({"id": "uvwxyz"})") == "postfix");
  CHECK(value("starts-ends-flag", R"({"id": "abxyz"})") == "postfix");
  CHECK(value("starts-ends-flag", R"({"id": "lmnopq"})") == "none");
  CHECK(value("starts-ends-flag", R"({"id": 3})") == "none");
  CHECK(value("equal-greater-lesser-version-flag", R"({"version": "2.0.0"})") == "equal");
  CHECK(value("equal-greater-lesser-version-flag", R"({"version": "2.1.0"})") == "greater");
  CHECK(value("equal-greater-lesser-version-flag", R"({"version": "1.9.0"})") == "lesser");
  CHECK(value("equal-greater-lesser-version-flag", R"({"version": "2.0.0-alpha"})") == "lesser");
  CHECK(value("equal-greater-lesser-version-flag", R"({"version": "2.0.0.0"})") == "none");
  CHECK(value("major-minor-version-flag", R"({"version": "3.0.1"})") == "minor");
  CHECK(value("major-minor-version-flag", R"({"version": "3.1.0"})") == "major");
  CHECK(value("major-minor-version-flag", R"({"version": "4.0.0"})") == "none");
  CHECK(value("semver-v-prefix-flag", R"({"version": "v1.0.0"})") == "match");
  CHECK(value("semver-partial-version-flag", R"({"version": "1.5.0"})") == "match");
  CHECK(value("semver-numeric-context-flag", R"({"version": 1.2})") == "match");
  CHECK(value("semver-build-metadata-flag", R"({"version": "1.0.0+other"})") == "match");
  CHECK(flags.evaluate("no-such-flag").value().error_code == "FLAG_NOT_FOUND");
}

TEST_CASE("JsonLogic: the documented examples of each operator", "[rollout]") {
  // jsonlogic.com/operations.html
  CHECK(logic(R"({"==": [1, "1"]})") == "yes");
  CHECK(logic(R"({"===": [1, "1"]})") == "no");
  CHECK(logic(R"({"==": [0, false]})") == "yes");
  CHECK(logic(R"({"==": [null, false]})") == "no");
  CHECK(logic(R"({"!=": [1, 2]})") == "yes");
  CHECK(logic(R"({"!==": [1, "1"]})") == "yes");
  CHECK(logic(R"({"!": [[]]})") == "yes");
  CHECK(logic(R"({"!!": ["0"]})") == "yes");
  CHECK(logic(R"({"or": [false, 0, "a"]})") == "a");
  CHECK(logic(R"({"and": [true, "a", 3]})") == "three");
  CHECK(logic(R"({"and": [true, "", 3]})") == "GENERAL");
  CHECK(logic(R"({"<": [1, 2, 3]})") == "yes");
  CHECK(logic(R"({"<=": [1, 1, 0]})") == "no");
  CHECK(logic(R"({">": ["b", "a"]})") == "yes");
  CHECK(logic(R"({">=": [{"var": "temp"}, 100]})", R"({"temp": "101"})") == "yes");
  CHECK(logic(R"({"max": [1, 2, 3]})") == "three");
  CHECK(logic(R"({"min": [3, 4]})") == "three");
  CHECK(logic(R"({"+": [1, "2"]})") == "three");
  CHECK(logic(R"({"-": [5, 2]})") == "three");
  CHECK(logic(R"({"*": [1.5, 2]})") == "three");
  CHECK(logic(R"({"/": [9, 3]})") == "three");
  CHECK(logic(R"({"/": [9, 0]})") == "default");
  CHECK(logic(R"({"%": [103, 4]})") == "three");
  CHECK(logic(R"({"in": ["b", ["a", "b"]]})") == "yes");
  CHECK(logic(R"({"in": ["pring", "Springfield"]})") == "yes");
  CHECK(logic(R"({"cat": ["a", "b", null, "c"]})") == "abc");
  CHECK(logic(R"({"substr": ["xabcx", 1, -1]})") == "abc");
  CHECK(logic(R"({"substr": ["xabc", -3]})") == "abc");
  CHECK(logic(R"({"if": [false, "x", false, "y", "a"]})") == "a");
  CHECK(logic(R"({"if": [false, "x"]})") == "default");
  CHECK(logic(R"({"var": ["absent", "a"]})") == "a");
  CHECK(logic(R"({"var": "list.1"})", R"({"list": ["x", "a"]})") == "a");
  CHECK(logic(R"({"==": [{"missing": ["x", "y"]}, []]})", R"({"x": 1, "y": 1})") == "no");
  CHECK(logic(R"({"!": {"missing": ["x", "y"]}})", R"({"x": 1, "y": 1})") == "yes");
  CHECK(logic(R"({"!": {"missing_some": [1, ["x", "y"]]}})", R"({"x": 1})") == "yes");
  CHECK(logic(R"({"reduce": [{"var": "n"}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]})",
              R"({"n": [1, 2]})") == "three");
  CHECK(logic(R"({"var": ["x", {"cat": "a"}]})") == "a");
  CHECK(logic(R"({"all": [[1, 2], {">": [{"var": ""}, 0]}]})") == "yes");
  CHECK(logic(R"({"none": [[1, 2], {">": [{"var": ""}, 1]}]})") == "no");
  CHECK(logic(R"({"some": [{"map": [[1, 2], {"*": [{"var": ""}, 2]}]}, {"==": [{"var": ""}, 4]}]})") == "yes");
  CHECK(logic(R"({"in": [2, {"filter": [[1, 2], {"%": [{"var": ""}, 2]}]}]})") == "no");
  CHECK(logic(R"({"in": [3, {"merge": [1, [2, 3]]}]})") == "yes");
  CHECK(logic(R"({"==": [{"var": "$flagd.flagKey"}, "f"]})") == "yes");
}

TEST_CASE("Targeting that would never end, or is not known, is an error", "[rollout]") {
  const auto fails = [](const std::string& targeting, const std::string& evaluators = "{}") {
    const auto flags =
        Flagd::parse(R"({"$evaluators": )" + evaluators +
                     R"(, "flags": {"f": {"state": "ENABLED", "variants": {"a": 1}, "targeting": )" + targeting + "}}}")
            .value();
    const auto result = flags.evaluate("f");
    INFO(targeting);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::unsupported);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  fails(R"({"shell": ["a"]})");
  fails(R"({"$ref": "nobody"})");
  fails(R"({"$ref": "me"})", R"({"me": {"$ref": "me"}})");
  fails(R"({"$ref": "me"})", R"({"me": {"or": [{"!": [true]}, {"cat": [{"$ref": "me"}, {"$ref": "me"}]}]}})");
  // A text, and a tree, that double with each of 64 elements.
  std::string list = "[0";
  for (int i = 1; i < 64; ++i) list += ", " + std::to_string(i);
  list += "]";
  fails(R"({"reduce": [)" + list + R"(, {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]}, "x"]})");
  fails(R"({"reduce": [)" + list + R"(, [{"var": "accumulator"}, {"var": "accumulator"}], 1]})");
  std::string loops = R"({"var": ""})";
  for (int i = 0; i < 8; ++i) loops = R"({"map": [)" + list + ", " + loops + "]}";
  fails(loops);
}

TEST_CASE("flagd definitions that are none are refused with their place", "[rollout]") {
  const auto refused = [](const std::string& text, const std::string& what) {
    const auto result = Flagd::parse(text);
    INFO(text);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(result.error()));
    CHECK(std::string(result.error().what()).find(what) != std::string::npos);
  };
  refused("{", "JSON");
  refused("{}", "flags");
  refused(R"({"flags": {"f": {}}})", "flag f: state");
  refused(R"({"flags": {"f": {"state": "ON"}}})", "state");
  refused(R"({"flags": {"f": {"state": "ENABLED", "variants": {}, "defaultVariant": "a"}}})", "defaultVariant");
  refused(R"({"flags": {"f": {"state": "ENABLED", "targeting": []}}})", "targeting");
  const auto off = Flagd::parse(R"({"flags": {"f": {"state": "DISABLED"}, "g": {"state": "ENABLED"}}})").value();
  CHECK(off.evaluate("f").value().reason == "DISABLED");
  CHECK(off.evaluate("g").value().value.empty());
  CHECK_FALSE(off.evaluate("f", "[]"));
}
