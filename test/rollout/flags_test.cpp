#include "mcomp/rollout/flags.hpp"

#include <atomic>
#include <thread>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "rollout/semver.hpp"

using namespace mcomp;
using namespace mcomp::rollout;

namespace {

Flag small_flag() {
  return {.key = "ranker",
          .variants = {{.name = "fp32"}, {.name = "int8", .value = R"({"bits": 8})"}},
          .default_variant = "fp32",
          .off_variant = {},
          .rules = {}};
}

Rule rule(std::string id, std::vector<Condition> conditions, std::string variant) {
  return {.id = std::move(id),
          .conditions = std::move(conditions),
          .variant = std::move(variant),
          .split = {},
          .salt = {},
          .bucket_by = {}};
}

Rule split_rule(std::uint64_t percent, std::string bucket_by = {}) {
  Rule result = rule("split", {}, "");
  result.split = Ledger::create({{"fp32", 100 - percent}, {"int8", percent}}).value();
  result.bucket_by = std::move(bucket_by);
  return result;
}

std::shared_ptr<const FlagSnapshot> compiled(const Flag& flag) {
  return FlagSnapshot::compile({.revision = 1, .flags = {flag}}).value();
}

bool holds(const Condition& condition, const std::vector<Attribute>& attributes) {
  return fulfils({&condition, 1}, {.unit = "u", .attributes = attributes});
}

void refused(const Flag& flag, const std::string& what) {
  const auto result = FlagSnapshot::compile({.revision = 1, .flags = {flag}});
  INFO(what);
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == ErrorCode::invalid_argument);
  CHECK(mcomp_test::well_formed(result.error()));
  CHECK(std::string(result.error().what()).find(what) != std::string::npos);
}

} // namespace

TEST_CASE("The first rule whose conditions hold decides, and the decision says why", "[rollout]") {
  Flag flag = small_flag();
  flag.rules = {rule("eu", {{.attribute = "region", .values = {std::string("eu"), std::string("uk")}}}, "fp32"),
                rule("gold", {{.attribute = "tier", .values = {std::string("gold")}}}, "int8"), split_rule(50)};
  const auto flags = compiled(flag);
  const auto decide = [&](const std::vector<Attribute>& attributes, std::string_view unit = "user") {
    return flags->decide("ranker", {.unit = unit, .attributes = attributes});
  };
  const Decision eu = decide({{"tier", "gold"}, {"region", "uk"}});
  CHECK(eu.variant == "fp32");
  CHECK(eu.reason == Reason::target);
  CHECK(eu.rule == 0);
  const Decision gold = decide({{"tier", "gold"}, {"region", "us"}});
  CHECK(gold.variant == "int8");
  CHECK(gold.value == R"({"bits": 8})");
  CHECK(gold.rule == 1);
  const Decision split = decide({});
  CHECK(split.reason == Reason::split);
  CHECK(split.rule == 2);
  CHECK(split.position == unit_hash("ranker", "user"));
  CHECK(split.variant == flag.rules[2].split->arm(split.position));
  // Without a unit there is nothing to split by.
  CHECK(decide({}, "").reason == Reason::default_variant);
  CHECK(decide({}, "").variant == "fp32");
  CHECK(flags->decide("other", {}).reason == Reason::unknown_flag);
  CHECK(flags->decide("other", {}).variant.empty());
  flag.enabled = false;
  flag.off_variant = "int8";
  CHECK(compiled(flag)->decide("ranker", {.unit = "user", .attributes = {}}).variant == "int8");
  CHECK(fmt::format("{}", compiled(flag)->decide("ranker", {}).reason) == "disabled");
}

TEST_CASE("A split by an attribute keeps all of a cohort together", "[rollout]") {
  Flag flag = small_flag();
  flag.rules = {split_rule(50, "tenant")};
  const auto flags = compiled(flag);
  for (int tenant = 0; tenant < 50; ++tenant) {
    const std::string name = "tenant " + std::to_string(tenant);
    const std::vector<Attribute> attributes = {{"tenant", name}};
    const auto variant = flags->decide("ranker", {.unit = "0", .attributes = attributes}).variant;
    CHECK(variant == flag.rules[0].split->arm(unit_hash("ranker", name)));
    for (int user = 1; user < 5; ++user)
      CHECK(flags->decide("ranker", {.unit = std::to_string(user), .attributes = attributes}).variant == variant);
  }
  CHECK(flags->decide("ranker", {.unit = "u", .attributes = {}}).reason == Reason::default_variant);
}

TEST_CASE("Conditions compare text, numbers, truth values, lists and versions", "[rollout]") {
  using C = Comparison;
  const auto one = [](C c, ConditionValue value, bool negated = false) {
    return Condition{.attribute = "a", .comparison = c, .values = {std::move(value)}, .negated = negated};
  };
  const std::string x = "eu-west";
  CHECK(holds(one(C::equals, x), {{"b", "x"}, {"a", "eu-west"}}));
  CHECK_FALSE(holds(one(C::equals, x), {{"a", "eu"}}));
  CHECK(holds(one(C::starts_with, std::string("eu-")), {{"a", x}}));
  CHECK_FALSE(holds(one(C::starts_with, std::string("west")), {{"a", x}}));
  CHECK(holds(one(C::ends_with, std::string("west")), {{"a", x}}));
  CHECK(holds(one(C::contains, std::string("u-w")), {{"a", x}}));
  CHECK(holds(one(C::equals, true), {{"a", true}}));
  CHECK_FALSE(holds(one(C::equals, true), {{"a", false}}));
  CHECK(holds(one(C::equals, 3.0), {{"a", 3}}));
  CHECK(holds(one(C::less, 3.0), {{"a", 2.5}}));
  CHECK_FALSE(holds(one(C::less, 3.0), {{"a", 3}}));
  CHECK(holds(one(C::less_or_equal, 3.0), {{"a", 3}}));
  CHECK(holds(one(C::greater, 3.0), {{"a", 3.5}}));
  CHECK(holds(one(C::greater_or_equal, 3.0), {{"a", 3}}));
  CHECK(holds(one(C::version_less, std::string("1.2.10")), {{"a", "1.2.9"}}));
  CHECK(holds(one(C::version_greater_or_equal, std::string("1.2.10")), {{"a", "1.2.10"}}));
  CHECK(holds(one(C::version_equals, std::string("1.0.0")), {{"a", "1.0.0+build"}}));
  CHECK(holds(one(C::version_greater, std::string("1.0.0-rc.1")), {{"a", "1.0.0"}}));
  CHECK_FALSE(holds(one(C::version_less_or_equal, std::string("1.0.0-rc.1")), {{"a", "1.0.0"}}));
  const std::string_view elements[] = {"beta", "internal"};
  CHECK(holds(one(C::contains, std::string("beta")), {{"a", std::span<const std::string_view>(elements)}}));
  CHECK_FALSE(holds(one(C::equals, std::string("bet")), {{"a", std::span<const std::string_view>(elements)}}));
  Condition many{.attribute = "a", .values = {}};
  for (int i = 0; i < 100; ++i) many.values.emplace_back(std::to_string(i));
  CHECK(holds(many, {{"a", "57"}}));
  CHECK_FALSE(holds(many, {{"a", "100"}}));
  CHECK(holds({.attribute = "a", .comparison = C::exists, .values = {}}, {{"a", 0}}));
  CHECK(holds({.attribute = "a", .comparison = C::exists, .values = {}, .negated = true}, {{"b", 0}}));
}

TEST_CASE("What is not known or of another type fulfils no condition, negated or not", "[rollout]") {
  for (const bool negated : {false, true}) {
    const Condition text{.attribute = "a", .values = {std::string("x")}, .negated = negated};
    const Condition number{.attribute = "a", .comparison = Comparison::less, .values = {1.0}, .negated = negated};
    const Condition version{
        .attribute = "a", .comparison = Comparison::version_less, .values = {std::string("1.0.0")}, .negated = negated};
    CHECK_FALSE(holds(text, {}));
    CHECK_FALSE(holds(text, {{"a", 1}}));
    CHECK_FALSE(holds(text, {{"a", true}}));
    CHECK_FALSE(holds(number, {{"a", "0"}}));
    CHECK_FALSE(holds(number, {{"a", std::nan("")}}));
    CHECK_FALSE(holds(version, {{"a", "1.0"}}));
    CHECK(holds(text, {{"a", "y"}}) == negated);
    CHECK(holds(number, {{"a", 2}}) == negated);
  }
}

TEST_CASE("Versions follow the order of semver.org", "[rollout]") {
  using rollout::detail::Semver;
  // 11.4 of the specification, and what follows from it.
  const std::vector<std::string> order = {
      "0.9.9",      "1.0.0-0",      "1.0.0-alpha",   "1.0.0-alpha.1", "1.0.0-alpha.beta",
      "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",    "1.0.0",
      "2.0.0",      "2.1.0",        "2.1.1",         "10.0.0",        "99999999999999999999999.0.0"};
  for (std::size_t i = 0; i < order.size(); ++i)
    for (std::size_t k = 0; k < order.size(); ++k)
      CHECK((rollout::detail::compare(*Semver::parse(order[i]), *Semver::parse(order[k])) == (i <=> k)));
  for (const char* text : {"", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "v1.2.3", "1.2.3+",
                           "1.2.x", "-1.2.3", "1.2.3 "})
    CHECK_FALSE(Semver::parse(text));
  CHECK(Semver::parse("v1.2.3", {.leading_v = true}));
  CHECK((rollout::detail::compare(*Semver::parse("1", {.partial = true}), *Semver::parse("1.0.0")) == 0));
  CHECK_FALSE(Semver::parse("1.2.3.4", {.partial = true}));
}

TEST_CASE("Flags that make no sense are refused with their place", "[rollout]") {
  Flag flag = small_flag();
  flag.default_variant = "int4";
  refused(flag, "int4");
  flag = small_flag();
  flag.variants.push_back({.name = "int8"});
  refused(flag, "variant");
  flag = small_flag();
  flag.key = "";
  refused(flag, "key");
  flag = small_flag();
  flag.rules = {rule("a", {}, "fp32"), rule("a", {}, "fp32")};
  refused(flag, "id");
  flag.rules = {rule("a", {{.attribute = "x", .values = {}}}, "fp32")};
  refused(flag, "values");
  flag.rules = {rule("a", {{.attribute = "x", .comparison = Comparison::less, .values = {1.0, 2.0}}}, "fp32")};
  refused(flag, "order");
  flag.rules = {rule("a", {{.attribute = "x", .comparison = Comparison::less, .values = {std::string("1")}}}, "fp32")};
  refused(flag, "numbers");
  flag.rules = {
      rule("a", {{.attribute = "x", .comparison = Comparison::version_less, .values = {std::string("1")}}}, "fp32")};
  refused(flag, "semantic version");
  flag.rules = {rule("a", {{.attribute = "x", .values = {std::nan("")}}}, "fp32")};
  refused(flag, "NaN");
  flag.rules = {rule("a", {}, "int2")};
  refused(flag, "int2");
  flag.rules = {split_rule(10)};
  flag.rules[0].variant = "fp32";
  refused(flag, "split");
  flag.rules[0].variant = "";
  flag.rules[0].split->arms[1] = "int2";
  refused(flag, "int2");
  flag.rules[0].split->intervals.pop_back();
  refused(flag, "rule split");
  const auto twice = FlagSnapshot::compile({.revision = 1, .flags = {small_flag(), small_flag()}});
  REQUIRE_FALSE(twice);
  CHECK(std::string(twice.error().what()).find("twice") != std::string::npos);
}

TEST_CASE("Flags as JSON read back, and strictly", "[rollout]") {
  Flag flag = small_flag();
  flag.off_variant = "fp32";
  flag.rules = {rule("eu",
                     {{.attribute = "region", .values = {std::string("eu")}, .negated = true},
                      {.attribute = "age", .comparison = Comparison::less, .values = {18.5}},
                      {.attribute = "beta", .values = {true}},
                      {.attribute = "id", .comparison = Comparison::exists, .values = {}}},
                     "int8"),
                split_rule(5, "tenant")};
  flag.variants[1].value = R"({"bits":8})";
  const FlagSet set{.revision = 7, .flags = {flag}};
  CHECK(FlagSet::parse(to_json(set).value()).value() == set);
  const auto fails = [](const std::string& text, const std::string& what, ErrorCode code = ErrorCode::corrupt) {
    const auto result = FlagSet::parse(text, "f.json");
    INFO(text);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == code);
    CHECK(std::string(result.error().what()).find(what) != std::string::npos);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  fails(R"({"schema": "mcomp-flags-2", "flags": []})", "mcomp-flags-2", ErrorCode::version_mismatch);
  fails(R"({"flags": []})", "schema");
  fails(R"({"schema": "mcomp-flags-1", "flags": [{"key": "k", "variants": [], "default": "a", "rulez": []}]})",
        "rules");
  fails(R"({"schema": "mcomp-flags-1", "flags": [{"key": "k", "variants": [], "default": "a", "rules": [{"id": "r",
          "conditions": [{"attribute": "x", "comparison": "equal", "values": [1]}]}]}]})",
        "equals");
  fails(R"({"schema": "mcomp-flags-1", "flags": [{"key": "k", "variants": [], "default": "a", "rules": [{"id": "r",
          "conditions": [{"attribute": "x", "comparison": "less", "values": ["1"]}]}]}]})",
        "rules: 0: conditions: 0");
  fails(R"({"schema": "mcomp-flags-1", "flags": [{"key": "k", "variants": [], "default": "a", "rules": [{"id": "r",
          "split": {"schema": "mcomp-ledger-1", "revision": 1, "arms": ["a"], "intervals": []}}]}]})",
        "split");
}

TEST_CASE("A pinned snapshot stays whole, and the next pin sees what was published", "[rollout]") {
  Flag flag = small_flag();
  FlagStore store(compiled(flag));
  std::weak_ptr<const FlagSnapshot> first = store.current();
  auto reader = store.reader();
  {
    const auto pin = reader.pin();
    flag.default_variant = "int8";
    store.publish(compiled(flag));
    CHECK(pin->decide("ranker", {}).variant == "fp32");
    CHECK(reader.pin()->decide("ranker", {}).variant == "fp32"); // inside of the first
    auto other = store.reader();
    CHECK(other.pin()->decide("ranker", {}).variant == "int8");
    CHECK_FALSE(first.expired());
  }
  CHECK(reader.pin()->decide("ranker", {}).variant == "int8");
  const auto second = store.current();
  store.publish(compiled(small_flag()));
  CHECK(first.expired());
  CHECK(reader.pin()->decide("ranker", {}).variant == "fp32");
  store.publish(second); // taken back
  CHECK(reader.pin()->decide("ranker", {}).variant == "int8");
  CHECK(FlagStore(nullptr).reader().pin()->decide("ranker", {}).reason == Reason::unknown_flag);
}

TEST_CASE("Eight threads decide while weights change: every decision is one ledger's", "[rollout][threads]") {
  // Snapshot r splits with revision r of the ledger and says so in the variants' values; a torn or freed snapshot would
  // show a variant and a position that do not belong together.
  Flag flag = small_flag();
  flag.rules = {rule("eu", {{.attribute = "region", .values = {std::string("eu")}}}, "fp32"), split_rule(0)};
  FlagStore store(compiled(flag));
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::atomic<std::int64_t> decisions = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      auto reader = store.reader();
      const Attribute attributes[] = {{"tier", "gold"}, {"region", "us"}};
      std::int64_t made = 0, newest = 0;
      for (int i = 0; made < 500 || !stop.load(); ++i, ++made) {
        const std::string unit = std::to_string(t) + "/" + std::to_string(i);
        const auto pin = reader.pin();
        const Decision decision = pin->decide("ranker", {.unit = unit, .attributes = attributes});
        const Ledger& ledger = *pin->flags().flags[0].rules[1].split;
        if (decision.variant != ledger.arm(decision.position) || decision.reason != Reason::split) ++wrong;
        if (ledger.revision < newest) ++wrong; // never back to an older one
        newest = ledger.revision;
      }
      decisions += made;
    });
  for (std::uint64_t change = 1; change <= 400; ++change) {
    auto& split = flag.rules[1].split;
    split = split->reweighed({{"fp32", 100 - change % 101}, {"int8", change % 101}}).value();
    store.publish(compiled(flag));
    if (change % 16 == 0) std::this_thread::yield();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(decisions >= 8 * 500);
}
