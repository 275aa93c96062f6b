#include "mcomp/rollout/growthbook.hpp"

#include <fstream>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"

using namespace mcomp;
using namespace mcomp::rollout;
using Json = nlohmann::json;

namespace {

std::optional<Json> cases() {
  const auto path = mcomp_test::data("flags/growthbook_cases.json");
  if (!path) return std::nullopt;
  std::ifstream file(*path);
  return Json::parse(file);
}

} // namespace

TEST_CASE("GrowthBook's SDK cases: conditions", "[rollout]") {
  const auto all = cases();
  if (!all) return;
  REQUIRE((*all)["evalCondition"].size() == 248);
  for (const Json& c : (*all)["evalCondition"]) {
    INFO(c.dump());
    const std::string groups = c.size() > 4 ? c[4].dump() : "{}";
    CHECK(growthbook_condition(c[1].dump(), c[2].dump(), groups).value() == c[3].get<bool>());
  }
}

TEST_CASE("GrowthBook's SDK cases: features", "[rollout]") {
  const auto all = cases();
  if (!all) return;
  REQUIRE((*all)["feature"].size() == 55);
  for (const Json& c : (*all)["feature"]) {
    INFO(c.dump());
    const auto feature = GrowthBook::parse(c[1].dump()).value().feature(c[2].get<std::string>()).value();
    CHECK(Json::parse(to_json(feature)) == c[3]);
  }
}

TEST_CASE("GrowthBook's SDK cases: experiments", "[rollout]") {
  const auto all = cases();
  if (!all) return;
  REQUIRE((*all)["run"].size() == 73);
  for (const Json& c : (*all)["run"]) {
    INFO(c.dump());
    const auto result = GrowthBook::parse(c[1].dump()).value().run(c[2].dump()).value();
    CHECK(Json::parse(result.value) == c[3]);
    CHECK(result.in_experiment == c[4].get<bool>());
    CHECK(result.hash_used == c[5].get<bool>());
  }
}

TEST_CASE("Users of one set of GrowthBook features differ by their attributes alone", "[rollout]") {
  const auto flags = GrowthBook::parse(R"({"features": {"f": {"defaultValue": 0, "rules": [
      {"condition": {"country": "CH"}, "force": 1}]}}})")
                         .value();
  CHECK(flags.feature("f").value().value == "0");
  CHECK(flags.with_attributes(R"({"country": "CH"})").value().feature("f").value().value == "1");
  CHECK_FALSE(flags.with_attributes("[]"));
}

TEST_CASE("Prerequisites that would never end are an error", "[rollout]") {
  // Each feature asks for the next one twice: 2^30 evaluations without a bound.
  std::string features = R"("f30": {"defaultValue": true})";
  for (int i = 29; i >= 0; --i) {
    const std::string parent = R"({"id": "f)" + std::to_string(i + 1) + R"(", "condition": {"value": true}})";
    features += R"(, "f)" + std::to_string(i) + R"(": {"defaultValue": true, "rules": [{"parentConditions": [)" +
                parent + ", " + parent + "]}]}";
  }
  const auto result = GrowthBook::parse("{\"features\": {" + features + "}}").value().feature("f0");
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == ErrorCode::unsupported);
  CHECK(mcomp_test::well_formed(result.error()));
}

TEST_CASE("GrowthBook contexts that are none are refused with their place", "[rollout]") {
  const auto refused = [](const std::string& text, const std::string& what) {
    const auto result = GrowthBook::parse(text);
    INFO(text);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(result.error()));
    CHECK(std::string(result.error().what()).find(what) != std::string::npos);
  };
  refused("[", "JSON");
  refused("[]", "object");
  refused(R"({"features": []})", "features");
  refused(R"({"attributes": 1})", "attributes");
  refused(R"({"features": {"f": 1}})", "feature f");
  refused(R"({"features": {"f": {"rules": [{"force": 1, "coverage": "half"}]}}})", "feature f: rule 0: coverage");
  refused(R"({"features": {"f": {"rules": [{"variations": [1, 2], "weights": ["a", 1]}]}}})", "weights");
  refused(R"({"features": {"f": {"rules": [{"variations": [1, 2], "ranges": [[0]]}]}}})", "ranges");
  refused(R"({"features": {"f": {"rules": [{"variations": [1, 2], "namespace": ["a", 0]}]}}})", "namespace");
  refused(R"({"features": {"f": {"rules": [{"parentConditions": [{}]}]}}})", "id");
  CHECK_FALSE(GrowthBook::parse("{}").value().run("[]"));
  CHECK_FALSE(growthbook_condition("[]", "{}"));
}
