#include <cmath>
#include <string>

#include "catch.hpp"
#include "loop/workshop.hpp"
#include "mcomp/stats/proportion.hpp"
#include "report/sample.hpp"

using namespace mcomp;
using namespace mcomp::report;

TEST_CASE("report: what instruments counted becomes slices with intervals") {
  const monitor::ServiceSnapshot snapshot = report_sample::service();
  const SliceSection section = service_section(snapshot, "region", "w4a8").value();
  CHECK(section.baseline.empty());
  CHECK(section.candidate == "w4a8");
  REQUIRE(section.slices.size() == 5);
  CHECK(section.slices[0].name == "all requests");
  CHECK(section.slices[0].rows == 9550);
  REQUIRE(section.measures.size() == 6);
  const auto rows = snapshot.by("region").value();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& slice = section.slices[i + 1];
    CHECK(slice.name == "region=" + rows[i].labels[1]);
    CHECK(slice.rows == rows[i].events);
    const auto& errors = slice.values[0];
    CHECK(errors.value == Approx(static_cast<double>(rows[i].errors) / static_cast<double>(rows[i].events)));
    const auto interval = stats::wilson_interval(rows[i].errors, rows[i].events).value();
    REQUIRE(errors.interval);
    CHECK(errors.interval->lower == interval.lower);
    CHECK(errors.interval->upper == interval.upper);
    CHECK(slice.values[1].value == Approx(*rows[i].accuracy()));
    CHECK(slice.values[2].value == *rows[i].calibration_error());
    CHECK(slice.values[3].value == rows[i].latency.quantile(0.99).value());
    CHECK(slice.values[5].value == Approx(0.22));
  }
  CHECK(service_section(snapshot, "planet").error().code() == ErrorCode::not_found);
  // What nothing is known of is left out, and requests without the label are named.
  auto instruments = monitor::Instruments::create().value();
  auto recorder = instruments.recorder().value();
  recorder.record(monitor::SeriesKey{}, {.seconds = 0.01});
  REQUIRE(instruments.collect(1));
  const auto bare = service_section(instruments.since_start(), "region").value();
  REQUIRE(bare.measures.size() == 2);
  CHECK(bare.measures[1].name == "p99_latency");
  REQUIRE(bare.slices.size() == 2);
  CHECK(bare.slices[1].name == "without region");
  CHECK(bare.slices[1].values.size() == 2);
}

TEST_CASE("report: bins of instruments keep their counts, and their quantiles") {
  const auto snapshot = report_sample::service();
  const auto bins = snapshot.total().latency;
  const auto model = latency_model("w4a8", bins, 20);
  CHECK(model.count == 9550);
  CHECK(model.bins.size() <= 20);
  std::int64_t sum = 0;
  double last = 0;
  for (const auto& bin : model.bins) {
    CHECK(bin.lower >= last);
    CHECK(bin.upper > bin.lower);
    last = bin.upper, sum += bin.count;
  }
  CHECK(sum == 9550);
  CHECK(model.p99.value == bins.quantile(0.99).value());
  CHECK(model.mean.value == Approx(bins.mean_seconds()));
  CHECK(latency_model("none", monitor::LatencyBins{}).bins.empty());
  // What is beyond all borders has a bin that ends.
  monitor::LatencyBins extreme;
  extreme.counts = {{0, 1}, {monitor::LatencyBins::bins - 1, 2}};
  const auto ends = latency_model("ends", extreme);
  REQUIRE(ends.bins.size() == 2);
  CHECK(ends.bins[0].lower == 0);
  CHECK(std::isfinite(ends.bins[1].upper));
}

TEST_CASE("report: windows of drift become series, and alerts marks, histories and playbooks") {
  DriftSection section;
  monitor::DriftAnswer answer;
  answer.features = {{.feature = "a", .slice = "region=eu", .population_stability = 0.3},
                     {.feature = "b", .slice = "region=eu", .population_stability = 0.1},
                     {.feature = "a", .slice = "", .population_stability = 0.05}};
  add_window(section, 100, answer);
  answer.features.pop_back();
  answer.features[0].population_stability = 0.02;
  add_window(section, 200, answer, {.population_stability = 0.25});
  REQUIRE(section.series.size() == 2);
  CHECK(section.series[0].name == "drift of all inputs");
  CHECK(section.series[0].readings.size() == 1);
  CHECK(section.series[1].name == "drift of region=eu");
  CHECK(section.series[1].limit == 0.2);
  REQUIRE(section.series[1].readings.size() == 2);
  CHECK(section.series[1].readings[0].value == 0.3);
  CHECK(section.series[1].readings[1].value == 0.1);
  CHECK(section.series[1].readings[1].time == 200);

  std::vector<monitor::AlertNotice> notices;
  auto alerts = monitor::Alerts::create({{.name = "Drift",
                                          .raise = 0.2,
                                          .clear = 0.1,
                                          .repeat_seconds = 10,
                                          .playbook = "https://runbooks.example/drift"},
                                         {.name = "Cost", .raise = 5, .clear = 4}},
                                        {[&](const monitor::AlertNotice& notice) -> Status {
                                          notices.push_back(notice);
                                          return {};
                                        }})
                    .value();
  const auto see = [&](const char* rule, const char* region, double value, double now,
                       std::optional<monitor::MovedPart> moved = {}) {
    REQUIRE(alerts.observe(rule, {{"region", region}}, value, now, std::move(moved)));
  };
  see("Drift", "eu", 0.5, 100, monitor::MovedPart{.name = "region=eu", .before = 0.05, .after = 0.5});
  see("Drift", "us", 0.4, 105);
  see("Drift", "eu", 0.5, 120); // repeated
  see("Drift", "eu", 0.05, 130);
  see("Cost", "", 6, 140,
      monitor::MovedPart{.kind = monitor::PartKind::cost_item, .name = "egress", .before = 1, .after = 3});
  REQUIRE(notices.size() >= 5);
  add_alerts(section, notices);
  std::vector<std::string> labels;
  for (const auto& mark : section.marks) labels.push_back(std::to_string(mark.time) + " " + mark.label);
  CHECK(labels ==
        std::vector<std::string>{"100 Drift fires", "105 Drift fires", "130 Drift is resolved", "140 Cost fires"});
  CHECK(section.marks[0].detail == "region=eu; slice region=eu: 0.05 -> 0.5");

  const auto histories = alert_histories(notices);
  REQUIRE(histories.size() == 2);
  CHECK(histories[0].name == "Cost");
  CHECK(histories[1].fired == std::vector<std::int64_t>{100, 105});
  CHECK(histories[1].open); // in us

  const AlertFacts first = alert_facts(notices.front(), AlertKind::drift);
  CHECK(first.slice == "region=eu");
  CHECK(first.value == 0.5);
  CHECK(first.limit == 0.2);
  CHECK(first.time == 100);
  REQUIRE(first.numbers.size() == 1); // what it is now is the value
  CHECK(first.numbers[0].value == 0.05);
  REQUIRE(first.links.size() == 1);
  const AlertFacts last = alert_facts(notices.back(), AlertKind::cost);
  CHECK(last.cost_item == "egress");
  REQUIRE(last.numbers.size() == 2);
  CHECK(last.numbers[1].value == 3);
  CHECK(to_string(playbook(last)).find("egress") != std::string::npos);
}

TEST_CASE("report: a cycle's release is told from the versions of its record") {
  using namespace mcomp_test;
  auto catalog = catalog::Catalog::open(temporary_folder() / "team.mcomp").value();
  FakeWorkshop workshop;
  REQUIRE(catalog.govern(workshop.governance(), "ana", start_time));
  workshop.fates["w8"].gate = [](const rollout::RolloutState& state) {
    return state.stage == rollout::Stage::canary && state.step == 1 ? rollout::Gate::fail : rollout::Gate::pass;
  };
  std::int64_t now = start_time;
  const auto run = [&](const loop::CycleOptions& options) {
    auto cycle = loop::Cycle::begin(catalog, a_trigger(), options, workshop, now).value();
    for (int i = 0; i < 100 && !cycle.closed(); ++i, now += hour / 2) REQUIRE(cycle.step(now));
    return cycle.state();
  };
  const auto state = run(cycle_options());
  CHECK(state.outcome == "rolled back");
  const RolloutSection section = rollout_section(catalog, "cycle-1").value();
  std::vector<std::string> names;
  for (const auto& stage : section.stages) names.push_back(stage.name);
  CHECK(names == std::vector<std::string>{"draft", "shadow", "canary 1", "canary 2", "rolled back"});
  CHECK(section.artifact == state.candidates[0].artifact);
  REQUIRE_FALSE(section.marks.empty());
  CHECK(section.marks.back().detail.find("the loss is above the margin") != std::string::npos);
  for (const auto& mark : section.marks) CHECK(mark.time >= start_time);
  CHECK(rollout_section(catalog, "cycle-9").error().code() == ErrorCode::not_found);
  auto nothing = cycle_options("cycle-2");
  nothing.budget.evaluations = 0;
  nothing.model = "model-2";
  CHECK(run(nothing).outcome == "kept");
  CHECK(rollout_section(catalog, "cycle-2").error().code() == ErrorCode::insufficient_data);
}
