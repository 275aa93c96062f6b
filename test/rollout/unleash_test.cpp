#include "mcomp/rollout/unleash.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"

using namespace mcomp;
using namespace mcomp::rollout;
using Json = nlohmann::json;

namespace {

UnleashContext context_of(const Json& json) {
  UnleashContext context;
  const auto set = [&](const char* key, std::optional<std::string>& field) {
    if (json.contains(key) && json[key].is_string()) field = json[key].get<std::string>();
  };
  set("userId", context.user_id);
  set("sessionId", context.session_id);
  set("remoteAddress", context.remote_address);
  set("environment", context.environment);
  set("appName", context.app_name);
  set("currentTime", context.current_time);
  if (json.contains("properties"))
    for (const auto& [key, value] : json["properties"].items()) {
      if (value.is_string()) context.properties[key] = value.get<std::string>();
      if (value.is_number()) context.properties[key] = value.dump();
    }
  return context;
}

void expect_variant(const UnleashVariant& variant, const Json& expected) {
  CHECK(variant.name == expected["name"].get<std::string>());
  CHECK(variant.enabled == expected["enabled"].get<bool>());
  if (expected.contains("feature_enabled")) CHECK(variant.feature_enabled == expected["feature_enabled"].get<bool>());
  REQUIRE(variant.has_payload == expected.contains("payload"));
  if (!variant.has_payload) return;
  CHECK(variant.payload_type == expected["payload"]["type"].get<std::string>());
  CHECK(variant.payload_value == expected["payload"]["value"].get<std::string>());
}

/// A feature with one strategy "default" under one constraint.
bool holds(const std::string& constraint, const UnleashContext& context) {
  return Unleash::parse(R"({"features": [{"name": "f", "enabled": true, "strategies": [{"name": "default",
                        "constraints": [)" +
                        constraint + "]}]}]}")
      .value()
      .enabled("f", context);
}

} // namespace

TEST_CASE("Every case of the Unleash client specification that is at hand", "[rollout]") {
  const auto path = mcomp_test::data("flags/unleash");
  if (!path) return;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(*path))
    if (entry.path().extension() == ".json" && entry.path().filename() != "index.json") files.push_back(entry.path());
  std::ranges::sort(files);
  int cases = 0;
  for (const auto& file_path : files) {
    std::ifstream file(file_path);
    const Json specification = Json::parse(file);
    INFO(file_path.filename());
    const Unleash flags = Unleash::parse(specification["state"].dump()).value();
    for (const Json& test : specification.value("tests", Json::array())) {
      INFO(test.dump());
      CHECK(flags.enabled(test["toggleName"].get<std::string>(), context_of(test["context"])) ==
            test["expectedResult"].get<bool>());
      ++cases;
    }
    for (const Json& test : specification.value("variantTests", Json::array())) {
      INFO(test.dump());
      expect_variant(flags.variant(test["toggleName"].get<std::string>(), context_of(test["context"])),
                     test["expectedResult"]);
      ++cases;
    }
  }
  CHECK(cases >= 105);
}

TEST_CASE("Constraints of Unleash: every operator, absent values, inversion", "[rollout]") {
  const UnleashContext context{.user_id = "7",
                               .remote_address = "10.1.2.3",
                               .current_time = "2026-01-02T03:04:05Z",
                               .properties = {{"x", "Eu-West"}, {"n", "12.5"}, {"v", "1.2.3-rc.1"}}};
  const auto c = [&](const std::string& field, const std::string& operation, const std::string& rest) {
    return holds(R"({"contextName": ")" + field + R"(", "operator": ")" + operation + R"(", )" + rest + "}", context);
  };
  CHECK(c("userId", "IN", R"("values": ["6", "7"])"));
  CHECK_FALSE(c("userId", "NOT_IN", R"("values": ["6", "7"])"));
  CHECK(c("gone", "NOT_IN", R"("values": ["6"])"));
  CHECK_FALSE(c("gone", "IN", R"("values": ["6"])"));
  CHECK(c("gone", "IN", R"("values": ["6"], "inverted": true)"));
  CHECK(c("x", "STR_STARTS_WITH", R"("values": ["eu"], "caseInsensitive": true)"));
  CHECK_FALSE(c("x", "STR_STARTS_WITH", R"("values": ["eu"])"));
  CHECK(c("x", "STR_ENDS_WITH", R"("values": ["a", "West"])"));
  CHECK(c("x", "STR_CONTAINS", R"("values": ["u-W"])"));
  CHECK(c("n", "NUM_EQ", R"("value": "12.50")"));
  CHECK(c("n", "NUM_GT", R"("value": "12")"));
  CHECK(c("n", "NUM_GTE", R"("value": "12.5")"));
  CHECK(c("n", "NUM_LT", R"("value": 13)"));
  CHECK_FALSE(c("n", "NUM_LTE", R"("value": "12.4")"));
  CHECK_FALSE(c("x", "NUM_LTE", R"("value": "12.4")"));
  CHECK_FALSE(c("n", "NUM_LTE", R"("value": "lots")"));
  CHECK(c("v", "SEMVER_EQ", R"("value": "1.2.3-rc.1")"));
  CHECK(c("v", "SEMVER_LT", R"("value": "1.2.3")"));
  CHECK(c("v", "SEMVER_GT", R"("value": "1.2.3-beta.9")"));
  CHECK_FALSE(c("v", "SEMVER_GT", R"("value": "1.2")"));
  CHECK(c("currentTime", "DATE_AFTER", R"("value": "2026-01-02T04:04:04+01:00")"));
  CHECK(c("currentTime", "DATE_BEFORE", R"("value": "2026-01-02T03:04:05.001Z")"));
  CHECK_FALSE(c("currentTime", "DATE_BEFORE", R"("value": "soon")"));
  CHECK(c("remoteAddress", "IN_CIDR", R"("values": ["nonsense", "10.1.0.0/16"])"));
  CHECK(c("x", "REGEX", R"("value": "^[A-Z]u")"));
  CHECK_FALSE(c("x", "REGEX", R"x("value": "(?=a)", "inverted": true)x"));
  CHECK_FALSE(c("x", "NEAR", R"("value": "y", "inverted": true)"));
  // The system's clock, where nobody says what time it is.
  CHECK(holds(R"({"contextName": "currentTime", "operator": "DATE_AFTER", "value": "2020-01-01T00:00:00Z"})", {}));
}

TEST_CASE("Strategies of Unleash that depend on the machine and on chance", "[rollout]") {
  const auto strategy = [](const std::string& text, const UnleashContext& context) {
    return Unleash::parse(R"({"features": [{"name": "f", "enabled": true, "strategies": [)" + text + "]}]}")
        .value()
        .enabled("f", context);
  };
  const std::string hosts = R"({"name": "applicationHostname", "parameters": {"hostNames": "a, B.example.com"}})";
  CHECK(strategy(hosts, {.hostname = "b.example.com"}));
  CHECK_FALSE(strategy(hosts, {.hostname = "c"}));
  CHECK_FALSE(strategy(hosts, {}));
  const std::string networks =
      R"({"name": "remoteAddress", "parameters": {"IPs": "127.0.0.1, 160.33.0.0/16, 2001:db8::/32"}})";
  CHECK(strategy(networks, {.remote_address = "160.33.255.1"}));
  CHECK(strategy(networks, {.remote_address = "2001:db8:ffff::1"}));
  CHECK(strategy(networks, {.remote_address = "127.0.0.1"}));
  CHECK_FALSE(strategy(networks, {.remote_address = "160.34.0.0"}));
  CHECK_FALSE(strategy(networks, {.remote_address = "::1"}));
  const std::string some = R"({"name": "gradualRolloutRandom", "parameters": {"percentage": "30"}})";
  const std::string random = R"({"name": "flexibleRollout", "parameters": {"rollout": 30, "stickiness": "random"}})";
  int enabled = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const UnleashContext context{.user_id = "same", .random = i * 4294968U};
    CHECK(strategy(some, context) == strategy(random, context));
    enabled += strategy(some, context);
  }
  CHECK(enabled == 300); // evenly spaced draws
  CHECK_FALSE(strategy(R"({"name": "something.else"})", {}));
}

TEST_CASE("Flag files of Unleash that are none are refused with their place", "[rollout]") {
  const auto refused = [](const std::string& text, const std::string& what) {
    const auto result = Unleash::parse(text);
    INFO(text);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(result.error()));
    CHECK(std::string(result.error().what()).find(what) != std::string::npos);
  };
  refused("{", "JSON");
  refused("[]", "object");
  refused("{}", "features");
  refused(R"({"features": {}})", "array");
  refused(R"({"features": [{"enabled": true}]})", "name");
  refused(R"({"features": [{"name": "f", "enabled": "yes"}]})", "enabled");
  refused(R"({"features": [{"name": "f", "strategies": [{"name": 3}]}]})", "f: strategy 0: name");
  refused(R"({"features": [{"name": "f", "strategies": [{"name": "default", "constraints": [{"operator": "IN"}]}]}]})",
          "contextName");
  refused(R"({"features": [{"name": "f", "variants": [{"name": "v", "weight": -1}]}]})", "weight");
  refused(R"({"features": [{"name": "f", "strategies": [{"name": "default", "segments": ["a"]}]}]})", "segments");
}
