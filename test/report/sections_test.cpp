#include <algorithm>
#include <cmath>
#include <string>

#include "catch.hpp"
#include "report/sample.hpp"

using namespace mcomp;
using namespace mcomp::report;

TEST_CASE("report: a sketch becomes bins that hold all values, with quantiles and their limits") {
  auto sketch = stats::QuantileSketch::create({.negative_values = false}).value();
  for (int i = 1; i <= 5000; ++i) sketch.add(0.001 * i);
  const auto model = latency_model("m", sketch, 20);
  CHECK(model.count == 5000);
  std::int64_t sum = 0;
  double last = 0;
  for (const auto& bin : model.bins) {
    CHECK(bin.lower >= last * (1 - 1e-9));
    CHECK(bin.upper > bin.lower);
    last = bin.upper, sum += bin.count;
  }
  CHECK(sum == 5000);
  CHECK(model.bins.size() <= 21);
  CHECK(model.p99.value == Approx(4.95).epsilon(0.01));
  REQUIRE(model.p99.interval);
  CHECK(model.p99.interval->contains(4.95));
  // Two groups far apart stay so.
  auto apart = stats::QuantileSketch::create({.negative_values = false}).value();
  for (int i = 0; i < 100; ++i) apart.add(0.001), apart.add(1);
  const auto two = latency_model("two", apart);
  CHECK(two.bins.size() == 2);
  CHECK(two.bins[1].lower > 100 * two.bins[0].upper);
  const auto few = latency_model("few", stats::QuantileSketch::create().value());
  CHECK(few.bins.empty());
  CHECK(std::isnan(few.p50.value));
}

TEST_CASE("report: a history becomes stages with their shares, and what was decided") {
  const RolloutSection section = report_sample::rollout();
  REQUIRE(section.stages.size() == 6);
  const char* names[] = {"draft", "shadow", "canary 1", "canary 2", "canary 3", "full"};
  const double shares[] = {0, 0, 0.01, 0.05, 0.25, 1};
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(section.stages[i].name == names[i]);
    CHECK(section.stages[i].share == Approx(shares[i]));
    if (i > 0) CHECK(section.stages[i].from == section.stages[i - 1].until);
  }
  CHECK(section.marks.size() == 7);
  // A failed gate takes it back.
  const rollout::RolloutPolicy policy{.with_shadow = false, .steps = {{1000, 0}}, .approvals = {}};
  const auto begin = rollout::begin_rollout("new", "old", 1000);
  const std::vector<rollout::RolloutEvent> history = {
      {.kind = rollout::EventKind::start, .time = 1000},
      {.kind = rollout::EventKind::gate,
       .time = 1100,
       .text = "p99 above its limit",
       .stage = rollout::Stage::canary,
       .verdict = rollout::Gate::fail},
      {.kind = rollout::EventKind::go_on, .time = 1200}}; // refused: it is over
  const RolloutSection back = rollout_section(begin, history, policy);
  CHECK(back.stages.back().name == "rolled back");
  CHECK(back.stages.back().share == 0);
  REQUIRE(back.marks.size() == 2);
  CHECK(back.marks[1].label == "rolled back: gate failed");
  CHECK(back.marks[1].detail == "p99 above its limit");
}

TEST_CASE("report: slices carry the intervals of the criteria, costs add up") {
  const auto evaluation = report_sample::evaluation();
  const auto section = slice_section(evaluation).value();
  REQUIRE(section.slices.size() == 1 + evaluation.evidence.slices.size());
  const auto& counts = evaluation.evidence.slices[0].accuracy;
  CHECK(section.slices[1].values[0].value == counts.loss());
  // The upper end at twice the confidence less 1 is the limit that was judged.
  CHECK(section.slices[1].values[0].interval->upper ==
        Approx(stats::tango_upper_limit(counts, evaluation.criteria.confidence).value()));
  CHECK(section.measures[0].limit == 0.02);

  const auto forecast = report_sample::forecast();
  const CostSection cost = cost_section(forecast);
  double sum = cost.baseline_per_month;
  for (const auto& step : cost.changes) sum += step.change;
  CHECK(sum == Approx(forecast.candidate.per_month));
  CHECK(cost.saving.value == forecast.saving.per_month);
  CHECK(cost.hours.size() == 24);
}

TEST_CASE("report: margins are what evaluations showed, and recipes what experiments made of them") {
  auto first = report_sample::evaluation(), second = first;
  second.criteria.max_accuracy_loss = 0.05;
  second = evaluate::judge_again(second, second.criteria).value();
  const std::vector<std::pair<std::int64_t, evaluate::Evaluation>> both = {{1, first}, {2, second}};
  const auto margins = margin_uses(both);
  const auto find = [&](const std::string& name) {
    for (const auto& m : margins)
      if (m.name == name) return m;
    FAIL("no margin " << name);
    return MarginUse{};
  };
  const auto loss = find("max_accuracy_loss");
  CHECK(loss.margin == 0.05); // the latest
  REQUIRE(loss.used.size() == 2);
  CHECK(loss.used[0].value == Approx(stats::tango_upper_limit(*first.evidence.accuracy, 0.95).value()));
  CHECK(find("max_slice_accuracy_loss[region=latam]").used[0].time == 1);
  CHECK(find("max_latency_p99_seconds").unit == "seconds");
  CHECK(find("max_size_ratio").used[0].value == Approx(402112. / 2361344));
  for (const auto& m : margins) CHECK(m.name.starts_with("max_"));

  auto catalog = catalog::Catalog::open(mcomp_test::temporary_folder() / "recipes.mcomp").value();
  const auto put = [&](const auto& value, const catalog::DraftInfo& info) {
    return catalog.put(catalog::draft(value, info).value()).value();
  };
  const auto record = put(catalog::RecipeEntry{.name = "w4a8", .status = "proposed", .recipe = R"({"a":1})"},
                          {.id = "r1", .author = "ana", .time = 10});
  put(catalog::RecipeEntry{.name = "w4a8", .status = "standard", .recipe = R"({"a":1})"},
      {.id = "r1", .author = "ana", .time = 20, .expected_version = 1});
  put(catalog::RecipeEntry{.name = "w4a8", .status = "standard", .recipe = R"({"a":1})", .change = "words"},
      {.id = "r1", .author = "ana", .time = 30, .expected_version = 2});
  put(catalog::RecipeEntry{.name = "idle", .status = "standard", .recipe = R"({"a":2})"},
      {.id = "r2", .author = "ana", .time = 40});
  const auto trial = [&](const char* id, const char* status, const std::string& recipe, std::int64_t time) {
    put(catalog::Experiment{.name = id, .status = status, .inputs = {{"recipe", recipe}}},
        {.id = id, .author = "loop", .time = time});
  };
  trial("e1", "won", "r1", 50), trial("e2", "lost", record.fingerprint, 60), trial("e3", "running", "r1", 70),
      trial("e4", "won", "other", 80);
  auto histories = recipe_histories(catalog).value();
  std::sort(histories.begin(), histories.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  REQUIRE(histories.size() == 2);
  CHECK(histories[0].since == 20);
  REQUIRE(histories[0].uses.size() == 2);
  CHECK(histories[0].uses[0].won);
  CHECK(histories[0].uses[1].time == 60);
  CHECK_FALSE(histories[0].uses[1].won);
  CHECK(histories[1].uses.empty());
}

TEST_CASE("report: layers from plans and attributions, logs that were not verified") {
  compress::Plan plan;
  plan.recipe = "w8a8";
  plan.decisions = {
      {.strategy = "quantize",
       .options = "{}",
       .parameters = "{}",
       .entries = {{"stem", "int8", "smaller", 400, 100, 0.2, 0.1}, {"head", "kept", "slower", 40, 40, {}, {}}}}};
  const auto layers = layer_section(plan);
  CHECK(layers.measures.size() == 4);
  CHECK(layers.layers[0].values == std::vector<double>{400, 100, 0.2, 0.1});
  CHECK(std::isnan(layers.layers[1].values[2]));
  CHECK(layers.layers[1].action == "kept");

  evaluate::Attribution attribution;
  attribution.layers = {{.layer = "stem", .put_back = {.accuracy = {90, 0, 2, 8}, .loss_increase = -0.3}}};
  const auto guilty = layer_section(attribution);
  CHECK(guilty.layers[0].values[0] == 0.3);
  CHECK(guilty.layers[0].values[1] == Approx(0.02));
  CHECK(std::isnan(guilty.layers[0].values[2]));

  const std::vector<catalog::LoggedEvent> events = {{.index = 5, .leaf = {}, .event = {}}};
  const auto audit = audit_section(events, nullptr);
  CHECK_FALSE(audit.verified);
  CHECK(audit.redacted == 1);
  CHECK(to_html(Report{.title = "t", .audit = audit}).find("not verified") != std::string::npos);
}
