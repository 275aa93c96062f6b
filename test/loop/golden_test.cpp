// The JSON of version 1 of every type of the room: what was written once stays readable, and is written so again.

#include "golden.hpp"

#include "loop/workshop.hpp"

using namespace mcomp;
using namespace mcomp::loop;
using namespace mcomp_test;

namespace {

WatchState watched() {
  WatchState state{.drift_row = {{"region=eu", 2}}, .traffic_row = -1, .fired = {"manual:r1"}, .latest = 1'800'000'000};
  state.situation = {.decided = 1'790'000'000,
                     .model = "model-1",
                     .calibration_error = 0.01,
                     .cost_per_million = 10.5,
                     .prices = {{"c5.large", 0.085}},
                     .hours = {{"c5.large", 20'000}},
                     .traffic_per_second = 100,
                     .hardware = {"profile-a"}};
  state.situation.targets = {{.id = "floor", .version = 2, .bound = 0.9, .measured = 0.91}};
  return state;
}

Observation observed() {
  Observation seen{.time = 1'800'000'000, .model = "model-2", .prices = {{"c5.large", 0.09}}, .traffic_per_second = 90};
  seen.drift = {{.subject = "region=eu", .distance = 0.25, .p_value = 0.0001, .samples = 600}};
  seen.calibration = CalibrationSignal{.error = 0.03, .lower = 0.02, .samples = 5000};
  seen.cost = CostSignal{.per_million = 11.5, .requests = 200'000};
  seen.hardware = {{.fingerprint = "profile-b", .name = "c7", .per_million = 8, .other_per_million = 10}};
  seen.targets = {{.id = "floor", .version = 3, .bound = 0.92, .measured = 0.91}};
  seen.requests = {{.id = "r1", .author = "ana", .reason = "a customer asks"}};
  return seen;
}

/// A cycle in the middle of its release.
CycleState releasing() {
  CycleState state{.trigger = a_trigger(), .phase = Phase::releasing, .began = start_time, .changed = start_time + 60};
  state.options = cycle_options();
  state.options.recipe = R"({"name":"w8"})";
  state.options.budget = {.evaluations = 3, .money = 12.5};
  state.options.search_for_money = 50;
  Candidate first{.id = "c1",
                  .proposal = {.recipe_id = "w8", .recipe = R"({"name":"w8"})", .fingerprint = "f", .reason = "same"},
                  .state = CandidateState::dropped,
                  .artifact = "sha256:a",
                  .reason = "it does not pass"};
  Candidate second{.id = "c2",
                   .proposal = {.recipe = R"({"name":"w6"})", .fingerprint = "g", .changes = 1, .promise = 0.75},
                   .state = CandidateState::passed,
                   .artifact = "sha256:b",
                   .proxies = {{"size_ratio", 0.2}},
                   .evaluation = "cycle-1.c2",
                   .margins = {{"max_accuracy_loss", 0.01, 0.002}},
                   .saving_per_month = 100,
                   .saving_lower = 90,
                   .reason = "it passes"};
  state.candidates = {first, second};
  state.attempts = {{"compress c1", 2, true}, {"search", 1, true}};
  state.spent = {2, 12, 1320};
  state.searched = true;
  state.chosen = "c2";
  state.rollout = rollout::to_json(rollout::begin_rollout("sha256:b", "sha256:0", start_time));
  rollout::RolloutEvent event;
  event.time = start_time;
  state.rollout_events = {rollout::to_json(event)};
  state.last = "c2 is to be released";
  state.steps = 11;
  return state;
}

template <class T> void check(const std::string& name, const T& value) {
  mcomp_test::check_golden(
      MCOMP_TEST_LOOP_DIR, name, value, [](std::string_view text) { return T::parse(text); },
      [](const T& one) { return to_json(one); });
}

} // namespace

TEST_CASE("Golden files of version 1 of the loop read as the values that they were written from", "[loop]") {
  check("trigger", a_trigger());
  check("trigger_rules", TriggerRules{.drift_windows = 5, .cadence_seconds = 0});
  check("watch_state", watched());
  check("observation", observed());
  check("cycle", releasing());
}

TEST_CASE("what the loop's readers must not take is refused with the place", "[loop]") {
  const std::string good = to_json(releasing());
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    return CycleState::parse(text.replace(at, from.size(), to)).error();
  };
  CHECK(changed("mcomp-cycle-1", "mcomp-cycle-2").code() == ErrorCode::version_mismatch);
  CHECK(changed(R"("phase":"releasing")", R"("phase":"releasin")").remedy().find("releasing") != std::string::npos);
  CHECK(changed(R"("steps":11)", R"("steps":1.5)").code() == ErrorCode::corrupt);
  CHECK(changed(R"("begun":2)", R"("begun":99999999999)").subject().find("attempts[0]") != std::string::npos);
  CHECK(changed(R"("begun":2)", R"("begun":2,"more":1)").code() == ErrorCode::corrupt);
  CHECK(changed(R"("searched":true,)", "").rule() == "the key is missing");
  CHECK(changed(R"("passes":1)", R"("passes":0)").code() != ErrorCode::version_mismatch); // of the policy within
  CHECK(TriggerRules::parse(R"({"schema":"mcomp-trigger-rules-1"})").value() == TriggerRules{});
  CHECK(TriggerRules::parse(R"({"schema":"mcomp-trigger-rules-1","drift_windows":0})").error().code() ==
        ErrorCode::corrupt);
  CHECK(WatchState::parse("{}").error().code() == ErrorCode::corrupt);
  // What a release that goes on takes for granted.
  CHECK(changed(R"("chosen":"c2")", R"("chosen":"c9")").subject() == "chosen");
  CHECK(changed(R"("stage":"draft")", R"("stage":"drafty")").code() == ErrorCode::corrupt);
  CHECK(changed(R"("side_by_side":1)", R"("side_by_side":-1)").subject() == "options.side_by_side");
  CHECK(Observation::parse(R"({"schema":"mcomp-observation-1","time":5})").value() == Observation{.time = 5});
  CHECK(Observation::parse(R"({"schema":"mcomp-observation-1","time":5,"traffic_per_second":-1})").error().subject() ==
        "traffic_per_second");
}
