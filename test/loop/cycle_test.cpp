#include "mcomp/loop/cycle.hpp"

#include <algorithm>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "loop/workshop.hpp"

using namespace mcomp;
using namespace mcomp::loop;
using namespace mcomp_test;
using catalog::Catalog;

namespace {

struct Room {
  Catalog catalog = Catalog::open(temporary_folder() / "team").value();
  FakeWorkshop workshop;
  std::int64_t now = start_time;

  Room() { REQUIRE(catalog.govern(workshop.governance(), "ana", start_time)); }

  void put_recipe(const std::string& id, const std::string& json, const std::string& status = "standard") {
    catalog::RecipeEntry entry{.name = id, .owner = "ana", .status = status, .recipe = json};
    if (status == "retired") entry.reason = "too slow";
    entry.families = {"image-classifier"};
    REQUIRE(catalog.put(catalog::draft(entry, {.id = id, .author = "ana", .time = start_time}).value()));
  }
  Cycle begin(const CycleOptions& options, const Trigger& trigger = a_trigger(), const SearchStep* search = nullptr,
              const Context& context = {}) {
    return Cycle::begin(catalog, trigger, options, workshop, now, search, context).value();
  }
  /// Until it is closed, half an hour a step.
  std::vector<std::string> run(Cycle& cycle, int most = 200) {
    std::vector<std::string> log;
    while (!cycle.closed() && most-- > 0) {
      const CycleStep step = cycle.step(now).value();
      log.push_back(to_string(step));
      now += hour / 2;
    }
    return log;
  }
  [[nodiscard]] std::vector<std::uint32_t> shares() const {
    std::vector<std::uint32_t> list;
    for (const auto& [share, artifact] : workshop.traffic)
      if (list.empty() || list.back() != share) list.push_back(share);
    return list;
  }
  catalog::Experiment trial(const std::string& id) {
    return catalog::parse_experiment(catalog.get("experiment", id).value().body).value();
  }
};

rollout::Gate fails_in(rollout::Stage stage, const rollout::RolloutState& state) {
  return state.stage == stage ? rollout::Gate::fail : rollout::Gate::pass;
}

} // namespace

TEST_CASE("what has changed is compressed anew with the same recipe, judged, released and watched", "[loop]") {
  Room room;
  room.put_recipe("w8", recipe_json("w8"));
  Cycle cycle = room.begin(cycle_options());
  const auto log = room.run(cycle);
  INFO(fmt::format("{}", fmt::join(log, "\n")));
  const CycleState& state = cycle.state();
  CHECK(state.outcome == "released");
  CHECK_FALSE(state.searched); // the first candidate was good enough
  REQUIRE(state.candidates.size() == 1);
  const Candidate& chosen = state.candidates[0];
  CHECK(chosen.proposal.recipe_id == "w8");
  CHECK(chosen.proxies.at("size_ratio") == 0.25);
  CHECK(state.spent == Spending{1, 6, 660});
  CHECK(room.shares() == std::vector<std::uint32_t>{0, 1000, 25000, 100000});
  CHECK(room.catalog.alias("production").value().artifact == chosen.artifact);

  // What is written of it.
  const catalog::Experiment trial = room.trial("cycle-1.c1");
  CHECK(trial.status == "won");
  CHECK(trial.artifact == chosen.artifact);
  CHECK(trial.inputs.at("recipe") == mark_of(recipe_json("w8")));
  CHECK(trial.slices.at("region=eu").contains("accuracy"));
  CHECK(trial.attribution == "it passes, and saves 100 a month; released, and watched in service");
  const auto evaluation =
      evaluate::evaluation_from_json(room.catalog.get("evaluation", "cycle-1.c1").value().body, "evaluation").value();
  CHECK(evaluation.candidate == chosen.artifact);
  const auto decision = catalog::parse_decision(room.catalog.get("decision", "cycle-1").value().body).value();
  CHECK(decision.status == "accepted");
  CHECK(decision.context == "drift of region=eu: it has moved");
  const auto recipe = catalog::parse_recipe_entry(room.catalog.get("recipe", "w8").value().body).value();
  REQUIRE(recipe.uses.size() == 1);
  CHECK(recipe.uses[0].result == "released: it passes, and saves 100 a month");
  CHECK(room.catalog.verify().value().sound());

  // Every step is in the log, with its reason; and a history replays to the state that was reached.
  rollout::RolloutState replayed;
  std::int64_t steps = 0;
  for (const auto& version : room.catalog.history("cycle", "cycle-1").value()) {
    const CycleState then = CycleState::parse(version.body).value();
    CHECK(then.steps == ++steps);
    CHECK_FALSE(then.last.empty());
    if (then.rollout.empty()) continue;
    const auto reached = rollout::RolloutState::parse(then.rollout).value();
    if (replayed.artifact.empty()) replayed = reached;
    std::vector<rollout::RolloutEvent> events;
    for (const auto& json : then.rollout_events) events.push_back(rollout::RolloutEvent::parse(json).value());
    replayed = rollout::replay(replayed, events, then.options.policy);
    replayed.events = reached.events, replayed.now = reached.now;
    CHECK(replayed == reached);
  }
  CHECK(steps == state.steps);
}

TEST_CASE("a search comes only where the first candidate fails, and goes by past success", "[loop]") {
  Room room;
  room.put_recipe("w8", recipe_json("w8"));
  room.put_recipe("lucky", recipe_json("lucky", "int6"));
  room.put_recipe("unlucky", recipe_json("unlucky", "int5"));
  room.put_recipe("fresh", recipe_json("fresh", "int7"), "proposed");
  room.put_recipe("old", recipe_json("old", "int3"), "retired");
  const auto past = [&](const std::string& id, const std::string& recipe, const std::string& status,
                        const std::string& model) {
    const catalog::Experiment trial{.name = id,
                                    .status = status,
                                    .inputs = {{"recipe", mark_of(recipe)}, {"model", model}},
                                    .artifact = catalog::digest_of(id)};
    REQUIRE(room.catalog.put(catalog::draft(trial, {.id = id, .author = "ana", .time = start_time}).value()));
  };
  past("e1", recipe_json("lucky", "int6"), "won", "model-0");
  past("e2", recipe_json("unlucky", "int5"), "lost", "model-0");
  room.workshop.fates["w8"].lost = 400;
  room.workshop.fates["lucky"].saving = 50;
  room.workshop.fates["fresh"].saving = 70;
  Cycle cycle = room.begin(cycle_options());
  room.run(cycle);
  const CycleState& state = cycle.state();
  CHECK(state.searched);
  std::vector<std::string> order;
  for (const Candidate& candidate : state.candidates) order.push_back(candidate.proposal.recipe_id);
  CHECK(order == std::vector<std::string>{"w8", "lucky", "fresh", "unlucky"});
  CHECK(state.candidates[0].state == CandidateState::dropped);
  CHECK(state.candidates[0].reason.find("it does not pass: ") == 0);
  CHECK(state.chosen == "c4"); // "unlucky" saves the most
  CHECK(room.trial("cycle-1.c1").status == "lost");

  // The next cycle knows: what lost on this model is not proposed again, what never lost comes first.
  RecipeSearch search;
  const auto next = search.propose(room.catalog, {.family = "image-classifier", .model = "model-1"}).value();
  REQUIRE(next.size() == 3);
  CHECK(next[0].recipe_id == "lucky");
  CHECK(next[1].recipe_id == "fresh");   // passed once
  CHECK(next[2].recipe_id == "unlucky"); // and was lost once elsewhere
  for (const Proposal& proposal : next) CHECK(proposal.recipe_id != "w8");
}

TEST_CASE("a search comes too where money is promised, and only there", "[loop]") {
  for (const double promised : {10.0, 60.0}) {
    Room room;
    room.put_recipe("w6", recipe_json("w6", "int6"));
    room.workshop.promised = promised;
    room.workshop.fates["w6"].saving = 300;
    CycleOptions options = cycle_options();
    options.search_for_money = 50;
    Cycle cycle = room.begin(options);
    room.run(cycle);
    CHECK(cycle.state().searched == (promised > 50));
    CHECK(cycle.state().chosen == (promised > 50 ? "c2" : "c1"));
  }
}

TEST_CASE("without a recipe in service the search comes first", "[loop]") {
  Room room;
  room.put_recipe("w6", recipe_json("w6", "int6"));
  CycleOptions options = cycle_options();
  options.recipe.clear();
  Cycle cycle = room.begin(options, a_trigger(TriggerKind::new_model));
  CHECK(cycle.state().phase == Phase::searching);
  room.run(cycle);
  CHECK(cycle.state().outcome == "released");
}

TEST_CASE("a cycle about money releases nothing that saves none", "[loop]") {
  Room room;
  room.workshop.fates["w8"].saving = -20;
  Cycle cycle = room.begin(cycle_options(), a_trigger(TriggerKind::price));
  room.run(cycle);
  CHECK(cycle.state().outcome == "kept");
  CHECK(cycle.state().candidates[0].reason == "it saves -18 a month at least, 0 are needed");
  CHECK(catalog::parse_decision(room.catalog.get("decision", "cycle-1").value().body).value().status == "rejected");
  CHECK(room.workshop.traffic.empty());
  // Where quality is the reason, it may cost something.
  Room other;
  other.workshop.fates["w8"].saving = -20;
  Cycle drifted = other.begin(cycle_options());
  other.run(drifted);
  CHECK(drifted.state().outcome == "released");
}

TEST_CASE("the budget is kept, and what it does not bear is said", "[loop]") {
  Room room;
  for (const char* id : {"w7", "w6", "w5"}) room.put_recipe(id, recipe_json(id, "int" + std::string(id + 1)));
  for (const char* id : {"w8", "w7", "w6", "w5"}) room.workshop.fates[id].lost = 400;
  CycleOptions options = cycle_options();
  SECTION("of evaluations") {
    options.budget.evaluations = 2;
  }
  SECTION("of money") {
    options.budget.money = 15;
  } // 1 to compress, 5 to evaluate, which is known only after
  SECTION("of time") {
    options.budget.seconds = 1500;
  }
  Cycle cycle = room.begin(options);
  room.run(cycle);
  CHECK(cycle.state().outcome == "kept");
  CHECK(room.workshop.evaluated < 4);
  CHECK(room.workshop.evaluated >= 2);
  CHECK(cycle.state().candidates.back().reason == "the budget does not bear its evaluation");
}

TEST_CASE("candidates that cannot be made, measured or evaluated are dropped with the reason", "[loop]") {
  Room room;
  for (const char* id : {"w7", "w6", "w5", "w4"}) room.put_recipe(id, recipe_json(id, "int" + std::string(id + 1)));
  room.workshop.fates["w8"].compresses = false;
  room.workshop.fates["w7"].worth_it = false;
  room.workshop.fates["w6"].evaluates = false;
  room.workshop.fates["w5"].suite = "another";
  CycleOptions options = cycle_options();
  options.candidates = 10;
  Cycle cycle = room.begin(options);
  room.run(cycle);
  const auto reason = [&](const std::string& recipe) {
    for (const Candidate& candidate : cycle.state().candidates)
      if (FakeWorkshop::name_of(candidate) == recipe) return candidate.reason;
    return std::string("absent");
  };
  CHECK(reason("w8").find("it cannot be compressed so: ") == 0);
  CHECK(reason("w8").find("conv1") != std::string::npos);
  CHECK(reason("w7") == "cheap measures say that it is not worth an evaluation");
  CHECK(reason("w6").find("it cannot be evaluated: ") == 0);
  CHECK(reason("w5") == "it was evaluated on another suite than the frozen one");
  CHECK(cycle.state().outcome == "released");
  CHECK(FakeWorkshop::name_of(*std::ranges::find(cycle.state().candidates, cycle.state().chosen, &Candidate::id)) ==
        "w4");
  CHECK(cycle.state().spent.evaluations == 3);
}

TEST_CASE("numbers that are none drop a candidate, and the record stays one that can be read", "[loop]") {
  Room room;
  for (const char* id : {"w7", "w6"}) room.put_recipe(id, recipe_json(id, "int" + std::string(id + 1)));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  room.workshop.fates["w8"].artifact = "not an id";
  room.workshop.fates["w7"].proxy = nan;
  room.workshop.fates["w6"].saving = nan;
  Cycle cycle = room.begin(cycle_options());
  room.run(cycle);
  CHECK(cycle.state().outcome == "kept");
  for (const Candidate& candidate : cycle.state().candidates) CHECK(candidate.state == CandidateState::dropped);
  CHECK(cycle.state().candidates[0].reason.find("is no id") != std::string::npos);
  CHECK(Cycle::resume(room.catalog, "cycle-1", room.workshop, room.now).value().state().candidates.size() == 3);
  Trigger trigger = a_trigger();
  trigger.value = nan;
  CHECK(Cycle::begin(room.catalog, trigger, cycle_options("cycle-2"), room.workshop, room.now).error().code() ==
        ErrorCode::invalid_argument);
}

TEST_CASE("a rollback whose traffic cannot be set is tried again, and stands in the history once", "[loop]") {
  Room room;
  Cycle cycle = room.begin(cycle_options());
  while (room.shares().empty() || room.shares().back() != 1000) {
    REQUIRE(cycle.step(room.now));
    room.now += hour / 2;
  }
  room.workshop.nothing_can_be_set = true;
  CHECK(cycle.roll_back(room.now, "a customer calls").error().code() == ErrorCode::io_failure);
  CHECK_FALSE(cycle.closed());
  room.workshop.nothing_can_be_set = false;
  REQUIRE(cycle.roll_back(room.now, "a customer calls"));
  CHECK(cycle.state().outcome == "rolled back");
  const auto rollbacks = std::ranges::count_if(cycle.state().rollout_events, [](const std::string& json) {
    return rollout::RolloutEvent::parse(json).value().kind == rollout::EventKind::rollback;
  });
  CHECK(rollbacks == 1);
}

TEST_CASE("what a gate has said is not forgotten where it could not be served, though nobody says it again", "[loop]") {
  Room room;
  Cycle cycle = room.begin(cycle_options());
  while (room.shares().empty() || room.shares().back() != 1000) {
    REQUIRE(cycle.step(room.now));
    room.now += hour / 2;
  }
  rollout::RolloutEvent says;
  says.kind = rollout::EventKind::rollback, says.time = room.now, says.text = "the p99 has doubled";
  room.workshop.operator_says = says;
  room.workshop.nothing_can_be_set = true;
  CHECK(cycle.step(room.now).error().code() == ErrorCode::io_failure);
  room.workshop.silent = true;
  CHECK(cycle.step(room.now).error().code() == ErrorCode::io_failure);
  CHECK_FALSE(cycle.closed());
  room.workshop.nothing_can_be_set = false;
  room.workshop.sees = false; // which is not asked for what is decided
  REQUIRE(cycle.step(room.now));
  CHECK(cycle.state().outcome == "rolled back");
  CHECK(cycle.state().last == "rolled back: the p99 has doubled");
  CHECK(room.shares().back() == 0);
}

TEST_CASE("a gate that fails takes a release back though approvals cannot be asked for", "[loop]") {
  Room room;
  Cycle cycle = room.begin(cycle_options());
  while (room.shares().empty() || room.shares().back() != 1000) {
    REQUIRE(cycle.step(room.now));
    room.now += hour / 2;
  }
  room.workshop.approvals_can_be_asked = false;
  CHECK(cycle.step(room.now).error().subject() == "approvals");
  CHECK_FALSE(cycle.closed());
  room.workshop.fates["w8"].gate = [](const rollout::RolloutState&) { return rollout::Gate::fail; };
  REQUIRE(cycle.step(room.now));
  CHECK(cycle.state().outcome == "rolled back");
  CHECK(room.shares().back() == 0);
}

TEST_CASE("a cycle that is resumed blind exposes nothing, and can be taken back", "[loop]") {
  Room room;
  {
    Cycle cycle = room.begin(cycle_options());
    while (room.shares().empty() || room.shares().back() != 1000) {
      REQUIRE(cycle.step(room.now));
      room.now += hour / 2;
    }
  }
  const auto served = room.workshop.traffic.size();
  const auto resume = [&] { return Cycle::resume(room.catalog, "cycle-1", room.workshop, room.now).value(); };
  room.workshop.sees = false;
  Cycle cycle = resume();
  CHECK(room.workshop.traffic.size() == served);
  CHECK(cycle.step(room.now).error().subject() == "monitor");
  CHECK(room.workshop.traffic.size() == served);
  SECTION("it goes on once it sees") {
    room.workshop.sees = true;
    REQUIRE(cycle.step(room.now));
    CHECK(room.workshop.traffic.size() > served);
    room.run(cycle);
    CHECK(cycle.state().outcome == "released");
  }
  SECTION("it is taken back") {
    REQUIRE(cycle.roll_back(room.now, "nobody can see it"));
    CHECK(cycle.state().outcome == "rolled back");
    CHECK(room.shares().back() == 0);
  }
}

TEST_CASE("a release that another one replaces while it is watched is over, and leaves the traffic alone", "[loop]") {
  Room room;
  Cycle cycle = room.begin(cycle_options());
  while (cycle.state().phase != Phase::watching) {
    REQUIRE(cycle.step(room.now));
    room.now += hour / 2;
  }
  const auto served = room.workshop.traffic.size();
  rollout::RolloutEvent says;
  says.kind = rollout::EventKind::retire, says.time = room.now, says.text = "sha256:next";
  room.workshop.operator_says = says;
  REQUIRE(cycle.step(room.now));
  CHECK(cycle.closed());
  CHECK(cycle.state().outcome == "released");
  CHECK(cycle.state().last.find("replaced by sha256:next") != std::string::npos);
  CHECK(room.trial("cycle-1.c1").status == "won");
  CHECK(room.workshop.traffic.size() == served);
}

TEST_CASE("a candidate that is too dear to be evaluated does not take the cheaper ones with it", "[loop]") {
  Room room;
  room.put_recipe("w7", recipe_json("w7", "int7"));
  CycleOptions options = cycle_options();
  options.recipe.clear();
  options.budget.money = 50;
  room.put_recipe("w8", recipe_json("w8"));
  room.workshop.evaluation_money = {{"w8", 100}, {"w7", 5}};
  Cycle cycle = room.begin(options);
  room.run(cycle);
  CHECK(cycle.state().outcome == "released");
  CHECK(room.workshop.evaluated == 1);
  for (const Candidate& candidate : cycle.state().candidates) {
    if (FakeWorkshop::name_of(candidate) == "w8") CHECK(candidate.reason == "the budget does not bear its evaluation");
    if (FakeWorkshop::name_of(candidate) == "w7") CHECK(candidate.id == cycle.state().chosen);
  }
}

TEST_CASE("what is in service already, or has lost before, is not evaluated", "[loop]") {
  Room room;
  CycleOptions options = cycle_options();
  options.baseline = catalog::digest_of("model-1" + mark_of(options.recipe));
  Cycle same = room.begin(options);
  room.run(same);
  CHECK(same.state().candidates[0].reason == "it is what is in service already");
  CHECK(room.workshop.evaluated == 0);

  Room other;
  other.workshop.fates["w8"].lost = 400;
  Cycle first = other.begin(cycle_options());
  other.run(first);
  CHECK(other.workshop.evaluated == 1);
  Cycle second = other.begin(cycle_options("cycle-2"));
  other.run(second);
  CHECK(other.workshop.evaluated == 1);
  CHECK(second.state().candidates[0].reason == "the same artifact was evaluated as cycle-1.c1, and lost");
}

TEST_CASE("a candidate that does harm in service is taken back by itself, and remembered", "[loop]") {
  Room room;
  room.workshop.fates["w8"].gate = [](const auto& state) {
    return state.step == 1 ? fails_in(rollout::Stage::canary, state) : rollout::Gate::pass;
  };
  Cycle cycle = room.begin(cycle_options());
  room.run(cycle);
  CHECK(cycle.state().outcome == "rolled back");
  CHECK(room.shares() == std::vector<std::uint32_t>{0, 1000, 25000, 0});
  CHECK_FALSE(room.catalog.alias("production"));
  CHECK(room.trial("cycle-1.c1").status == "lost");
  CHECK(room.trial("cycle-1.c1").attribution.find("above the margin") != std::string::npos);
}

TEST_CASE("a full release is watched, and the alias goes back with it", "[loop]") {
  Room room;
  Cycle first = room.begin(cycle_options());
  room.run(first);
  const std::string good = room.catalog.alias("production").value().artifact;
  CycleOptions options = cycle_options("cycle-2");
  options.model = "model-2";
  options.baseline = good;
  room.workshop.fates["w8"].gate = [](const auto& state) { return fails_in(rollout::Stage::full, state); };
  Cycle second = room.begin(options);
  room.run(second);
  CHECK(second.state().outcome == "rolled back");
  CHECK(room.catalog.alias("production").value().artifact == good);
  CHECK(room.catalog.alias("production").value().rollback);
  CHECK(room.workshop.traffic.back().first == 0);
  CHECK(room.catalog.verify().value().sound());
}

TEST_CASE("nothing is exposed without the approvals that the policy names", "[loop]") {
  Room room;
  room.workshop.approves = false;
  Cycle cycle = room.begin(cycle_options());
  bool waits = false;
  for (int i = 0; i < 100; ++i) {
    waits = cycle.step(room.now).value().waiting;
    room.now += hour / 2;
  }
  CHECK(waits);
  CHECK(cycle.state().phase == Phase::releasing);
  for (const auto& [share, artifact] : room.workshop.traffic) CHECK(share == 0);
  // Waiting is not history: the record does not grow.
  CHECK(cycle.state().steps < 20);
  room.workshop.approves = true;
  room.run(cycle);
  CHECK(cycle.state().outcome == "released");
}

TEST_CASE("an operator takes a release back, or ends a cycle before it", "[loop]") {
  Room room;
  Cycle early = room.begin(cycle_options());
  REQUIRE(early.step(room.now));
  REQUIRE(early.roll_back(room.now, "not today"));
  CHECK(early.state().outcome == "kept");
  CHECK(early.state().last == "ended: not today");

  Cycle cycle = room.begin(cycle_options("cycle-2"));
  while (room.shares().empty() || room.shares().back() != 1000) {
    REQUIRE(cycle.step(room.now));
    room.now += hour / 2;
  }
  REQUIRE(cycle.roll_back(room.now, "a customer calls"));
  CHECK(cycle.closed());
  CHECK(cycle.state().outcome == "rolled back");
  CHECK(room.shares().back() == 0);
  CHECK(cycle.step(room.now).value().waiting); // and stays closed
}

TEST_CASE("traffic that cannot be set ends the release", "[loop]") {
  Room room;
  room.workshop.traffic_fails = true;
  Cycle cycle = room.begin(cycle_options());
  room.run(cycle);
  CHECK(cycle.state().outcome == "rolled back");
  CHECK(cycle.state().last.find("router") != std::string::npos);
}

TEST_CASE("candidates side by side come to the same as one after the other", "[loop]") {
  std::vector<std::string> states;
  for (const int side_by_side : {1, 3}) {
    Room room;
    for (const char* id : {"w7", "w6", "w5", "w4"}) room.put_recipe(id, recipe_json(id, "int" + std::string(id + 1)));
    room.workshop.fates["w8"].lost = 400;
    room.workshop.fates["w5"].saving = 500;
    ThreadPool pool(3);
    CycleOptions options = cycle_options();
    options.side_by_side = side_by_side;
    Cycle cycle = room.begin(options, a_trigger(), nullptr, {.executor = &pool});
    room.run(cycle);
    CHECK(room.workshop.evaluated == 5);
    CHECK(FakeWorkshop::name_of(*std::ranges::find(cycle.state().candidates, cycle.state().chosen, &Candidate::id)) ==
          "w5");
    std::string text;
    for (const Candidate& candidate : cycle.state().candidates)
      text += candidate.id + candidate.artifact + candidate.reason + "\n";
    states.push_back(text);
  }
  CHECK(states[0] == states[1]);
}

TEST_CASE("margins that no release has used are named", "[loop]") {
  Room room;
  for (int i = 0; i < 5; ++i) {
    CycleOptions options = cycle_options(fmt::format("cycle-{}", i));
    options.model = fmt::format("model-{}", i);
    room.workshop.fates["w8"].lost = i == 2 ? 30 : 5; // of a margin of 100
    Cycle cycle = room.begin(options);
    room.run(cycle);
    REQUIRE(cycle.state().outcome == "released");
  }
  const auto unused = unused_margins(room.catalog, 5, 0.5).value();
  REQUIRE(unused.size() == 1);
  CHECK(unused[0] == UnusedMargin{"max_accuracy_loss", 0.01, 0.003, 5});
  CHECK(unused_margins(room.catalog, 5, 0.2).value().empty());
  CHECK(unused_margins(room.catalog, 6, 0.5).value().empty()); // too few to say so
  CHECK(unused_margins(room.catalog, 0).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("options that are none are refused before anything is written", "[loop]") {
  Room room;
  const auto code = [&](const CycleOptions& options) {
    return Cycle::begin(room.catalog, a_trigger(), options, room.workshop, room.now).error().code();
  };
  CycleOptions options = cycle_options();
  options.id.clear();
  CHECK(code(options) == ErrorCode::invalid_argument);
  options = cycle_options(), options.side_by_side = 0;
  CHECK(code(options) == ErrorCode::invalid_argument);
  options = cycle_options(), options.recipe = "{}";
  CHECK(code(options) == ErrorCode::corrupt);
  options = cycle_options(), options.budget.money = -1;
  CHECK(code(options) == ErrorCode::invalid_argument);
  options = cycle_options(), options.policy.steps = {{5, 1}, {4, 1}};
  CHECK(code(options) == ErrorCode::invalid_argument);
  CHECK(room.catalog.count({.kind = "cycle"}).value() == 0);
  const Cycle first = room.begin(cycle_options());
  CHECK(code(cycle_options()) == ErrorCode::version_mismatch); // the id is taken
  CHECK(Cycle::resume(room.catalog, "absent", room.workshop, room.now).error().code() == ErrorCode::not_found);
}

TEST_CASE("small steps: a recipe that changes several things at once waits for its entry to say so", "[loop]") {
  Room room;
  const std::string both = R"({"schema": "mcomp-recipe-1", "name": "both", "steps": [{"strategy": "equalize"},)"
                           R"({"strategy": "quantize", "weights": {"dtype": "int4"}}]})";
  CHECK(differing_steps(recipe_json("w8"), recipe_json("w6", "int6")).value() == 1);
  CHECK(differing_steps(recipe_json("w8"), both).value() == 2);
  CHECK(differing_steps("{}", both).error().code() == ErrorCode::corrupt);
  room.put_recipe("both", both);
  const SearchRequest request{.family = "image-classifier", .model = "m", .recipe = recipe_json("w8", "int8", 5)};
  const auto found = [&] {
    std::vector<std::string> list;
    for (const Proposal& proposal : RecipeSearch().propose(room.catalog, request).value())
      list.push_back(proposal.recipe_id.empty() ? proposal.reason : proposal.recipe_id);
    return list;
  };
  // The front of budgets around the recipe in service is there whatever the catalogue holds.
  CHECK(found() == std::vector<std::string>{"the recipe in service with 5.5 in place of 5 bits a weight",
                                            "the recipe in service with 4.5 in place of 5 bits a weight",
                                            "the recipe in service with 6 in place of 5 bits a weight",
                                            "the recipe in service with 4 in place of 5 bits a weight"});
  catalog::RecipeEntry entry{.name = "both", .status = "standard", .recipe = both};
  entry.families = {"image-classifier"};
  entry.together = true;
  REQUIRE(room.catalog.put(
      catalog::draft(entry, {.id = "both", .author = "ana", .time = start_time, .expected_version = 1}).value()));
  CHECK(found().size() == 5);
  CHECK(found().front() == "both");
  CHECK(RecipeSearch().propose(room.catalog, {.family = ""}).error().code() == ErrorCode::invalid_argument);
}
