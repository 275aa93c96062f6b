#include "mcomp/catalog/records.hpp"

#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::catalog;

namespace {

// The first versions of all forms, as they were written by the first library that had them. They are never changed:
// what was written once is read ever after.
const std::string golden_experiment =
    R"({"artifact":"sha256:a","attribution":"layer3 lost","duration_seconds":12.5,"environment":{"cpu":"x"},)"
    R"("inputs":{"data":"d"},"investigation":"i1","metrics":{"accuracy":0.93,"ece":0.011},"name":"w4a8 trial","owner":"ana",)"
    R"("parameters":{"bits":"4"},"parent":"e41","schema":"mcomp-experiment-1","slices":{"region=eu":{"accuracy":0.9}},)"
    R"("status":"won"})";
const std::string golden_target =
    R"({"bound":"at least","metric":"accuracy","name":"floor","owner":"ana","reason":"contract","schema":"mcomp-target-1",)"
    R"("slice":"region=eu","source":"product","status":"in force","suite":"s1","value":0.9})";
const std::string golden_decision =
    R"({"consequences":"c","context":"b","evidence":["e42"],"options":["w4","w8"],"owner":"ana","rationale":"r",)"
    R"("review_by":1800000000,"schema":"mcomp-decision-1","status":"accepted","title":"Ship w4"})";
const std::string golden_recipe =
    R"({"change":"finer groups","name":"w4a8","owner":"ana","reason":"","recipe":{"schema":"mcomp-recipe-1"},)"
    R"("schema":"mcomp-recipe-entry-1","status":"standard","uses":[{"result":"3.9x","where":"resnet20"}]})";
const std::string golden_investigation =
    R"({"conclusion":"groups of 32","owner":"ana","question":"Why is layer3 so sensitive?","schema":"mcomp-investigation-1",)"
    R"("status":"concluded","trials":["e41","e42"]})";
const std::string golden_suite = R"({"fingerprint":"abc","name":"cifar10-a","owner":"ana","purpose":"release",)"
                                 R"("rows":5000,"schema":"mcomp-suite-1","status":"frozen"})";

} // namespace

TEST_CASE("what the first version wrote is read, and written the same") {
  const Experiment experiment = parse_experiment(golden_experiment).value();
  CHECK(experiment.slices.at("region=eu").at("accuracy") == 0.9);
  CHECK(experiment.parent == "e41");
  CHECK(to_json(experiment).value() == golden_experiment);
  const Target target = parse_target(golden_target).value();
  CHECK(target.value == 0.9);
  CHECK(to_json(target).value() == golden_target);
  const Decision decision = parse_decision(golden_decision).value();
  CHECK(decision.options == std::vector<std::string>{"w4", "w8"});
  CHECK(to_json(decision).value() == golden_decision);
  const RecipeEntry recipe = parse_recipe_entry(golden_recipe).value();
  CHECK(recipe.recipe == R"({"schema":"mcomp-recipe-1"})");
  CHECK(to_json(recipe).value() == golden_recipe);
  const Investigation investigation = parse_investigation(golden_investigation).value();
  CHECK(investigation.trials.size() == 2);
  CHECK(to_json(investigation).value() == golden_investigation);
  const BenchmarkSuite suite = parse_benchmark_suite(golden_suite).value();
  CHECK(suite.rows == 5000);
  CHECK(to_json(suite).value() == golden_suite);
}

TEST_CASE("the same trial is found before it is run again, by whomever it was run") {
  Catalog catalog = Catalog::open(mcomp_test::temporary_folder() / "c").value();
  Experiment first = parse_experiment(golden_experiment).value();
  REQUIRE(catalog.put(draft(first, {.id = "e42", .author = "ana", .time = 1}).value()));
  Experiment again{.name = "mine", .owner = "ben", .parameters = first.parameters, .inputs = first.inputs};
  const std::string mark = fingerprint(again).value();
  const auto found = catalog.find({.kind = "experiment", .fingerprint = mark}).value();
  REQUIRE(found.size() == 1);
  CHECK(found[0].id == "e42");
  CHECK(found[0].status == "won");
  CHECK(parse_experiment(found[0].body).value() == first);
  again.parameters["bits"] = "3";
  CHECK(catalog.find({.kind = "experiment", .fingerprint = fingerprint(again).value()}).value().empty());
  // All kinds become records.
  REQUIRE(catalog.put(draft(parse_target(golden_target).value(), {.id = "t1", .author = "ana", .time = 1}).value()));
  REQUIRE(
      catalog.put(draft(parse_decision(golden_decision).value(), {.id = "d1", .author = "ana", .time = 1}).value()));
  REQUIRE(
      catalog.put(draft(parse_recipe_entry(golden_recipe).value(), {.id = "r1", .author = "ana", .time = 1}).value()));
  REQUIRE(catalog.put(
      draft(parse_investigation(golden_investigation).value(), {.id = "i1", .author = "ana", .time = 1}).value()));
  REQUIRE(catalog.put(
      draft(parse_benchmark_suite(golden_suite).value(), {.id = "s1", .author = "ana", .time = 1}).value()));
  CHECK(parse_decision(catalog.get("decision", "d1").value().body).value().title == "Ship w4");
  CHECK(catalog.count({.kind = "target", .status = "in force"}).value() == 1);
  CHECK(catalog.verify().value().sound());
}

TEST_CASE("two trials are compared, by choice and by metric") {
  const Experiment a{.name = "a",
                     .parameters = {{"bits", "4"}, {"group", "32"}},
                     .metrics = {{"accuracy", 0.5}},
                     .slices = {{"region=eu", {{"accuracy", 0.25}}}}};
  const Experiment b{.name = "b",
                     .parameters = {{"bits", "3"}, {"group", "32"}, {"order", "act"}},
                     .metrics = {{"accuracy", 0.75}, {"ece", 0.5}}};
  const auto comparison = compare(a, b);
  CHECK(fmt::format("{}", comparison) == "parameter bits: 4 -> 3\nparameter order: none -> act\n"
                                         "accuracy: 0.5 -> 0.75 (+0.25)\nece: none -> 0.5\n"
                                         "region=eu accuracy: 0.25 -> none\n");
  CHECK(compare(a, a).parameters.empty());
  CHECK(compare(a, a).metrics.size() == 2);
}

TEST_CASE("a trial's lineage leads to the first, and circles are told") {
  Catalog catalog = Catalog::open(mcomp_test::temporary_folder() / "c").value();
  const auto put = [&](const std::string& id, const std::string& parent, std::int64_t version = 0) {
    REQUIRE(catalog.put(draft(Experiment{.name = id, .parent = parent},
                              {.id = id, .author = "a", .time = 1, .expected_version = version})
                            .value()));
  };
  put("e1", ""), put("e2", "e1"), put("e3", "e2");
  const auto line = lineage(catalog, "e3").value();
  REQUIRE(line.size() == 3);
  CHECK(line[2].id == "e1");
  CHECK(lineage(catalog, "e9").error().code() == ErrorCode::not_found);
  put("e1", "e3", 1);
  CHECK(lineage(catalog, "e3").error().code() == ErrorCode::corrupt);
}

TEST_CASE("values that break their rules are neither written nor read") {
  CHECK(to_json(Experiment{.name = ""}).error().code() == ErrorCode::invalid_argument);
  CHECK(to_json(Experiment{.name = "a", .status = "good"}).error().code() == ErrorCode::invalid_argument);
  CHECK(to_json(Experiment{.name = "a", .metrics = {{"x", std::numeric_limits<double>::quiet_NaN()}}}).error().code() ==
        ErrorCode::invalid_value);
  CHECK(to_json(Target{.name = "a", .metric = "m", .bound = "about"}).error().code() == ErrorCode::invalid_argument);
  CHECK(to_json(RecipeEntry{.name = "a", .status = "retired", .recipe = "{}"}).error().code() ==
        ErrorCode::invalid_argument);
  CHECK(to_json(RecipeEntry{.name = "a", .recipe = "1"}).error().code() == ErrorCode::corrupt);
  CHECK(to_json(BenchmarkSuite{.name = "a", .fingerprint = ""}).error().code() == ErrorCode::invalid_argument);
  for (const std::string& golden :
       {golden_experiment, golden_target, golden_decision, golden_recipe, golden_investigation, golden_suite}) {
    std::string other = golden, unknown = golden;
    other.replace(other.find("-1\""), 3, "-2\"");
    unknown.insert(1, "\"zzz\":1,");
    const auto read = [](const std::string& text) -> Status {
      const auto status = [](const auto& result) { return result ? Status() : Status(result.error()); };
      if (text.find("mcomp-experiment") != std::string::npos) return status(parse_experiment(text));
      if (text.find("mcomp-target") != std::string::npos) return status(parse_target(text));
      if (text.find("mcomp-decision") != std::string::npos) return status(parse_decision(text));
      if (text.find("mcomp-recipe-entry") != std::string::npos) return status(parse_recipe_entry(text));
      if (text.find("mcomp-investigation") != std::string::npos) return status(parse_investigation(text));
      return status(parse_benchmark_suite(text));
    };
    CHECK(read(golden));
    CHECK(read(unknown).error().code() == ErrorCode::corrupt);
    if (golden != golden_recipe) CHECK(read(other).error().code() == ErrorCode::version_mismatch);
    for (std::size_t cut = 0; cut < golden.size(); cut += 7) CHECK(!read(golden.substr(0, cut)));
  }
}
