// Each kind of trigger: one case in which it fires, and one that is tempting and harmless.

#include "mcomp/loop/trigger.hpp"

#include <limits>

#include "catch.hpp"

using namespace mcomp;
using namespace mcomp::loop;

namespace {

constexpr std::int64_t day = 86400, decided = 20'000 * day;

Situation situation() {
  Situation s{.decided = decided, .model = "model-1"};
  s.calibration_error = 0.01;
  s.cost_per_million = 10, s.cost_upper = 11;
  s.prices = {{"c5.large", 0.085}};
  s.hours = {{"c5.large", 20'000}};
  s.traffic_per_second = 100;
  s.hardware = {"profile-a"};
  s.targets = {{.id = "floor", .version = 1, .bound = 0.90},
               {.id = "p99", .version = 1, .at_least = false, .bound = 0.1}};
  return s;
}

/// Feeds observations one after the other.
class Watched {
 public:
  std::vector<Trigger> see(Observation o) {
    if (o.time == 0) o.time = decided + day;
    WatchStep step = watch(state, o, rules).value();
    state = std::move(step.state);
    return step.triggers;
  }
  WatchState state{.situation = situation()};
  TriggerRules rules{};
};

TriggerKind only(const std::vector<Trigger>& triggers) {
  REQUIRE(triggers.size() == 1);
  CHECK_FALSE(triggers[0].reason.empty());
  return triggers[0].kind;
}

Observation drift(double distance, double p_value, std::int64_t samples = 10'000, const char* subject = "region=eu") {
  Observation o;
  o.drift = {{subject, distance, p_value, samples}};
  return o;
}

} // namespace

TEST_CASE("nothing fires where nothing has changed, and nothing is known", "[loop]") {
  Watched w;
  CHECK(w.see({}).empty());
  Watched blank;
  blank.state = {};
  blank.state.situation.decided = decided;
  Observation all = drift(0, 1);
  all.calibration = CalibrationSignal{0.5, 0.5, 100'000};
  all.cost = CostSignal{1e6, 1'000'000};
  all.prices = {{"c5.large", 7}};
  all.traffic_per_second = 5;
  CHECK(blank.see(all).empty()); // there is nothing to compare with
}

TEST_CASE("a new model fires, the same one delivered again does not", "[loop]") {
  Watched w;
  Observation o;
  o.model = "model-1";
  CHECK(w.see(o).empty());
  o.model = "model-2";
  CHECK(only(w.see(o)) == TriggerKind::new_model);
  CHECK(w.see(o).empty()); // once
}

TEST_CASE("drift fires where it is large, sure and stays", "[loop]") {
  Watched w;
  CHECK(w.see(drift(0.3, 1e-9)).empty());
  CHECK(w.see(drift(0.3, 1e-9)).empty());
  CHECK(only(w.see(drift(0.3, 1e-9))) == TriggerKind::drift);
  CHECK(w.see(drift(0.3, 1e-9)).empty());
  // Another slice counts for itself.
  CHECK(w.see(drift(0.3, 1e-9, 10'000, "region=us")).empty());
}

TEST_CASE("drift that is significant but tiny, large but unsure, or gone again does not fire", "[loop]") {
  Watched tiny, unsure, gone, few;
  for (int i = 0; i < 10; ++i) {
    CHECK(tiny.see(drift(0.02, 1e-12, 10'000'000)).empty()); // ten million samples make everything significant
    CHECK(unsure.see(drift(0.4, 0.05, 600)).empty());
    CHECK(gone.see(drift(0.4, 1e-9)).empty());
    CHECK(gone.see(drift(0.4, 1e-9)).empty());
    CHECK(gone.see(drift(0.01, 0.9)).empty()); // two bad windows, then a good one
    CHECK(few.see(drift(3.0, 1e-9, 20)).empty());
  }
  // A window with few samples neither counts nor ends a row.
  CHECK(few.see(drift(0.4, 1e-9)).empty());
  CHECK(few.see(drift(0.4, 1e-9)).empty());
  CHECK(few.see(drift(0.0, 1, 20)).empty());
  CHECK(only(few.see(drift(0.4, 1e-9))) == TriggerKind::drift);
}

TEST_CASE("calibration fires where its interval says so, not where its estimate alone does", "[loop]") {
  Watched w;
  Observation o;
  o.calibration = CalibrationSignal{.error = 0.05, .lower = 0.028, .samples = 5000};
  CHECK(w.see(o).empty());
  o.calibration = CalibrationSignal{.error = 0.30, .lower = 0.2, .samples = 50};
  CHECK(w.see(o).empty());
  o.calibration = CalibrationSignal{.error = 0.05, .lower = 0.031, .samples = 5000};
  CHECK(only(w.see(o)) == TriggerKind::calibration);
}

TEST_CASE("cost fires beyond the forecast's interval, not within it or on a few requests", "[loop]") {
  Watched w;
  Observation o;
  o.cost = CostSignal{.per_million = 12, .requests = 10'000'000};
  CHECK(w.see(o).empty()); // 20 % above the forecast, within 10 % of its upper end
  o.cost = CostSignal{.per_million = 50, .requests = 1000};
  CHECK(w.see(o).empty());
  o.cost = CostSignal{.per_million = 12.2, .requests = 10'000'000};
  CHECK(only(w.see(o)) == TriggerKind::cost);
}

TEST_CASE("a price fires where it is about money", "[loop]") {
  Watched w;
  Observation o;
  o.prices = {{"c5.large", 0.0855}, {"p5.large", 98}}; // half a per cent; an instance that nobody uses
  CHECK(w.see(o).empty());
  Watched small;
  small.state.situation.hours["c5.large"] = 100;
  o.prices = {{"c5.large", 0.17}}; // doubled, for nine dollars a month
  CHECK(small.see(o).empty());
  o.prices = {{"c5.large", 0.076}}; // cheaper machines make compression worth less
  CHECK(only(w.see(o)) == TriggerKind::price);
  CHECK(w.see(o).empty());
  o.prices = {{"c5.large", 0.120}};
  CHECK(only(w.see(o)) == TriggerKind::price); // changed once more
}

TEST_CASE("traffic fires where it has moved for good, not on one hot day", "[loop]") {
  Watched w;
  Observation hot, usual, low;
  hot.traffic_per_second = 250, usual.traffic_per_second = 105, low.traffic_per_second = 60;
  for (int i = 0; i < 5; ++i) {
    CHECK(w.see(hot).empty());
    CHECK(w.see(hot).empty());
    CHECK(w.see(usual).empty());
    CHECK(w.see(hot).empty());
    CHECK(w.see(low).empty()); // up and down is no direction
    CHECK(w.see(usual).empty());
  }
  CHECK(w.see(low).empty());
  CHECK(w.see(low).empty());
  const auto fallen = w.see(low);
  CHECK(only(fallen) == TriggerKind::traffic);
  CHECK(fallen[0].value == 60);
}

TEST_CASE("hardware fires where it is cheaper by enough, not where a known machine was measured again", "[loop]") {
  Watched w;
  const auto offer = [](const char* fingerprint, double cost) {
    Observation o;
    o.hardware = {{fingerprint, "c7i.large", cost, 10}};
    return o;
  };
  CHECK(w.see(offer("profile-a", 5)).empty());
  CHECK(w.see(offer("profile-b", 9.2)).empty()); // 8 %
  CHECK(only(w.see(offer("profile-c", 7))) == TriggerKind::hardware);
  Watched idle;
  idle.state.situation.traffic_per_second = 0.1;
  CHECK(idle.see(offer("profile-c", 7)).empty()); // 30 % of less than a dollar
}

TEST_CASE("a target fires where it is not met any more or leaves room, not where its words have changed", "[loop]") {
  Watched w;
  const auto target = [](std::int64_t version, double bound, double measured) {
    Observation o;
    o.targets = {{.id = "floor", .version = version, .bound = bound, .measured = measured}};
    return o;
  };
  CHECK(w.see(target(1, 0.95, 0.91)).empty());  // the version that was decided on
  CHECK(w.see(target(2, 0.90, 0.91)).empty());  // another owner
  CHECK(w.see(target(3, 0.905, 0.91)).empty()); // tighter, and met
  CHECK(w.see(target(4, 0.899, 0.91)).empty()); // looser by a tenth of the room that was there
  CHECK(only(w.see(target(5, 0.93, 0.91))) == TriggerKind::target);
  CHECK(w.see(target(5, 0.93, 0.91)).empty());
  const auto looser = w.see(target(6, 0.85, 0.91));
  CHECK(only(looser) == TriggerKind::target);
  CHECK(looser[0].reason.find("room") != std::string::npos);
  Observation latency;
  latency.targets = {{.id = "p99", .version = 2, .at_least = false, .bound = 0.05, .measured = 0.08}};
  CHECK(only(w.see(latency)) == TriggerKind::target);
}

TEST_CASE("the cadence fires when it is time, not when a clock goes back", "[loop]") {
  Watched w;
  CHECK(w.see({.time = decided + 29 * day}).empty());
  CHECK(w.see({.time = decided - 400 * day}).empty());
  CHECK(w.state.latest == decided + 29 * day);
  CHECK(only(w.see({.time = decided + 30 * day})) == TriggerKind::cadence);
  Watched never;
  never.rules.cadence_seconds = 0;
  CHECK(never.see({.time = decided + 3000 * day}).empty());
}

TEST_CASE("a request fires once, however often it is seen, and a settled one stays so", "[loop]") {
  Watched w;
  Observation o;
  o.requests = {{"r1", "ana", "the board asks"}};
  const auto asked = w.see(o);
  CHECK(only(asked) == TriggerKind::manual);
  CHECK(asked[0].reason == "ana asks for it: the board asks");
  CHECK(w.see(o).empty());
  w.state = settle(w.state, situation());
  CHECK(w.see(o).empty());
  o.requests = {{"", "ana", "no id"}};
  CHECK(w.see(o).empty());
}

TEST_CASE("what was settled may fire again", "[loop]") {
  Watched w;
  for (int i = 0; i < 3; ++i) w.see(drift(0.3, 1e-9));
  Situation next = situation();
  next.model = "model-2";
  w.state = settle(w.state, next);
  CHECK(w.state.situation == next);
  CHECK(w.state.drift_row.empty());
  w.see(drift(0.3, 1e-9)), w.see(drift(0.3, 1e-9));
  CHECK(only(w.see(drift(0.3, 1e-9))) == TriggerKind::drift);
}

TEST_CASE("several causes are named at once, in a fixed order", "[loop]") {
  Watched w;
  Observation o = drift(0.3, 1e-9);
  w.see(o), w.see(o);
  o.model = "model-2";
  o.requests = {{"r1", "ana", ""}};
  const auto triggers = w.see(o);
  REQUIRE(triggers.size() == 3);
  CHECK(triggers[0].kind == TriggerKind::new_model);
  CHECK(triggers[1].kind == TriggerKind::drift);
  CHECK(triggers[2].kind == TriggerKind::manual);
  CHECK(to_string(triggers[2]) == "manual of r1: ana asks for it");
}

TEST_CASE("numbers that cannot be are errors, and change nothing", "[loop]") {
  const WatchState state{.situation = situation()};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto code = [&](const Observation& o) { return watch(state, o).error().code(); };
  CHECK(code(drift(nan, 0.5)) == ErrorCode::invalid_value);
  CHECK(code(drift(0.5, 2)) == ErrorCode::invalid_value);
  Observation o;
  o.traffic_per_second = -1;
  CHECK(code(o) == ErrorCode::invalid_value);
  o = {};
  o.prices = {{"x", nan}};
  CHECK(code(o) == ErrorCode::invalid_value);
  o = {};
  o.targets = {{.id = "t", .measured = nan}};
  CHECK(code(o) == ErrorCode::invalid_value);
  TriggerRules rules;
  rules.drift_p_value = 0;
  CHECK(watch(state, {}, rules).error().code() == ErrorCode::invalid_argument);
  rules = {};
  rules.traffic_periods = 0;
  CHECK(watch(state, {}, rules).error().code() == ErrorCode::invalid_argument);
}
