#include <algorithm>
#include <array>
#include <utility>

#include "core/closest_name.hpp"
#include "mcomp/rollout/stage_machine.hpp"
#include "rollout/schema.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr const char* policy_schema = "mcomp-rollout-policy-1";
constexpr const char* state_schema = "mcomp-rollout-state-1";
constexpr const char* event_schema = "mcomp-rollout-event-1";
constexpr const char* action_schema = "mcomp-rollout-action-1";
constexpr const char* transition_schema = "mcomp-rollout-transition-1";

using detail::Json;
using detail::ObjectReader;

template <class Value, std::size_t n> using Names = std::array<std::pair<Value, const char*>, n>;

constexpr Names<Stage, 8> stages = {{{Stage::draft, "draft"},
                                     {Stage::shadow, "shadow"},
                                     {Stage::canary, "canary"},
                                     {Stage::full, "full"},
                                     {Stage::retired, "retired"},
                                     {Stage::paused, "paused"},
                                     {Stage::rolled_back, "rolled_back"},
                                     {Stage::failed, "failed"}}};
constexpr Names<Gate, 4> verdicts = {
    {{Gate::pass, "pass"}, {Gate::fail, "fail"}, {Gate::inconclusive, "inconclusive"}, {Gate::no_data, "no_data"}}};
constexpr Names<EventKind, 12> kinds = {{{EventKind::start, "start"},
                                         {EventKind::go_on, "go_on"},
                                         {EventKind::pause, "pause"},
                                         {EventKind::resume, "resume"},
                                         {EventKind::rollback, "rollback"},
                                         {EventKind::retire, "retire"},
                                         {EventKind::approve, "approve"},
                                         {EventKind::gate, "gate"},
                                         {EventKind::heartbeat, "heartbeat"},
                                         {EventKind::clock, "clock"},
                                         {EventKind::restart, "restart"},
                                         {EventKind::breakdown, "breakdown"}}};

constexpr Names<RolloutAction::Kind, 2> action_kinds = {
    {{RolloutAction::Kind::set_traffic, "set_traffic"}, {RolloutAction::Kind::notify, "notify"}}};

template <class Value, std::size_t n> std::string name_of(const Names<Value, n>& names, Value value) {
  for (const auto& [known, name] : names)
    if (known == value) return name;
  return "unknown";
}

/// The value of a name under a key, `fallback` where the key is absent.
template <class Value, std::size_t n>
Value named(ObjectReader& object, const char* key, const Names<Value, n>& names, Value fallback) {
  if (!object.has(key)) return fallback;
  const std::string text = object.text(key);
  for (const auto& [value, name] : names)
    if (text == name) return value;
  std::vector<std::string> all;
  for (const auto& row : names) all.emplace_back(row.second);
  object.fail(key, "\"" + text + "\" is none", mcomp::detail::did_you_mean(text, all));
  return fallback;
}

int small(ObjectReader& object, const char* key, int fallback) {
  const std::int64_t value = object.integer(key, fallback);
  constexpr std::int64_t largest = 1000000;
  if (value < 0 || value > largest) object.fail(key, "it is negative or too large", "give a count");
  return static_cast<int>(std::clamp(value, std::int64_t{0}, largest));
}

std::uint32_t share(ObjectReader& object, const char* key, std::uint32_t fallback) {
  const std::int64_t value = object.integer(key, fallback);
  if (value < 0 || value > 100000) object.fail(key, "it is not within 0 and 100,000", "give parts of 100,000");
  return static_cast<std::uint32_t>(std::clamp(value, std::int64_t{0}, std::int64_t{100000}));
}

template <class Value, class Read>
Result<std::vector<Value>> list(ObjectReader& object, const char* key, const Read& read) {
  std::vector<Value> values;
  for (const Json& json : object.array(key)) {
    ObjectReader inner(json, fmt::format("{}: {}", object.where(key), values.size()));
    values.push_back(read(inner));
    MCOMP_CHECK(inner.finish());
  }
  return values;
}

} // namespace

std::string to_string(Stage stage) {
  return name_of(stages, stage);
}
std::string to_string(Gate verdict) {
  return name_of(verdicts, verdict);
}
std::string to_string(EventKind kind) {
  return name_of(kinds, kind);
}

Result<RolloutPolicy> RolloutPolicy::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(detail::check_schema(object, subject, policy_schema));
  RolloutPolicy policy;
  policy.with_shadow = object.boolean("with_shadow", policy.with_shadow);
  policy.shadow_share = share(object, "shadow_share", policy.shadow_share);
  policy.shadow_duration = object.integer("shadow_duration", policy.shadow_duration);
  if (object.has("steps")) {
    MCOMP_TRY(steps, list<CanaryStep>(object, "steps", [](ObjectReader& step) {
                return CanaryStep{.share = share(step, "share", 0), .duration = step.integer("duration")};
              }));
    policy.steps = std::move(steps);
  }
  policy.passes = small(object, "passes", policy.passes);
  policy.failures = small(object, "failures", policy.failures);
  policy.undecided = small(object, "undecided", policy.undecided);
  policy.heartbeat = object.integer("heartbeat", policy.heartbeat);
  policy.automatic = object.boolean("automatic", policy.automatic);
  if (object.has("approvals")) {
    MCOMP_TRY(approvals, list<ApprovalNeed>(object, "approvals", [](ObjectReader& need) {
                return ApprovalNeed{.change = named(need, "change", stages, Stage::draft),
                                    .count = small(need, "count", 1),
                                    .role = need.text("role", "")};
              }));
    policy.approvals = std::move(approvals);
  }
  MCOMP_CHECK(object.finish());
  if (const Status status = policy.check(); !status)
    return Error(ErrorCode::corrupt, subject + ": " + status.error().subject(), status.error().rule(),
                 status.error().remedy());
  return policy;
}

std::string to_json(const RolloutPolicy& policy) {
  Json steps = Json::array(), approvals = Json::array();
  for (const CanaryStep& step : policy.steps) steps.push_back({{"share", step.share}, {"duration", step.duration}});
  for (const ApprovalNeed& need : policy.approvals) {
    Json one = {{"change", to_string(need.change)}, {"count", need.count}};
    if (!need.role.empty()) one["role"] = need.role;
    approvals.push_back(std::move(one));
  }
  return detail::dumped({{"schema", policy_schema},
                         {"with_shadow", policy.with_shadow},
                         {"shadow_share", policy.shadow_share},
                         {"shadow_duration", policy.shadow_duration},
                         {"steps", steps},
                         {"passes", policy.passes},
                         {"failures", policy.failures},
                         {"undecided", policy.undecided},
                         {"heartbeat", policy.heartbeat},
                         {"automatic", policy.automatic},
                         {"approvals", approvals}});
}

Result<RolloutState> RolloutState::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(detail::check_schema(object, subject, state_schema));
  RolloutState state;
  state.artifact = object.text("artifact");
  state.baseline = object.text("baseline");
  if (!object.has("stage")) object.fail("stage", "the key is missing", "add it");
  state.stage = named(object, "stage", stages, Stage::draft);
  state.held = named(object, "held", stages, Stage::draft);
  if (state.stage == Stage::paused && state.held != Stage::shadow && state.held != Stage::canary &&
      state.held != Stage::full)
    object.fail("held", "a pause holds shadow, canary or full", "name one");
  state.step = small(object, "step", 0);
  state.now = object.integer("now");
  state.since = object.integer("since");
  state.alive = object.integer("alive");
  state.passes = small(object, "passes", 0);
  state.failures = small(object, "failures", 0);
  state.undecided = small(object, "undecided", 0);
  MCOMP_TRY(approvals, list<GivenApproval>(object, "approvals", [](ObjectReader& given) {
              return GivenApproval{.change = named(given, "change", stages, Stage::draft),
                                   .approver = given.text("approver"),
                                   .role = given.text("role", "")};
            }));
  state.approvals = std::move(approvals);
  state.reason = object.text("reason", "");
  state.events = object.integer("events");
  MCOMP_CHECK(object.finish());
  return state;
}

std::string to_json(const RolloutState& state) {
  Json approvals = Json::array();
  for (const GivenApproval& given : state.approvals) {
    Json one = {{"change", to_string(given.change)}, {"approver", given.approver}};
    if (!given.role.empty()) one["role"] = given.role;
    approvals.push_back(std::move(one));
  }
  Json json = {{"schema", state_schema},
               {"artifact", state.artifact},
               {"baseline", state.baseline},
               {"stage", to_string(state.stage)}};
  if (state.held != Stage::draft) json["held"] = to_string(state.held);
  json.update({{"step", state.step},
               {"now", state.now},
               {"since", state.since},
               {"alive", state.alive},
               {"passes", state.passes},
               {"failures", state.failures},
               {"undecided", state.undecided},
               {"approvals", approvals},
               {"reason", state.reason},
               {"events", state.events}});
  return detail::dumped(json);
}

Result<RolloutEvent> RolloutEvent::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(detail::check_schema(object, subject, event_schema));
  RolloutEvent event;
  if (!object.has("kind")) object.fail("kind", "the key is missing", "add it");
  event.kind = named(object, "kind", kinds, EventKind::clock);
  event.time = object.integer("time");
  event.text = object.text("text", "");
  event.artifact = object.text("artifact", "");
  event.stage = named(object, "stage", stages, Stage::draft);
  event.step = small(object, "step", 0);
  event.verdict = named(object, "verdict", verdicts, Gate::no_data);
  event.approver = object.text("approver", "");
  event.role = object.text("role", "");
  MCOMP_CHECK(object.finish());
  return event;
}

std::string to_json(const RolloutEvent& event) {
  Json json = {{"schema", event_schema}, {"kind", to_string(event.kind)}, {"time", event.time}};
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) json[key] = value;
  };
  add("text", event.text);
  add("artifact", event.artifact);
  if (event.stage != Stage::draft) json["stage"] = to_string(event.stage);
  if (event.step != 0) json["step"] = event.step;
  if (event.verdict != Gate::no_data || event.kind == EventKind::gate) json["verdict"] = to_string(event.verdict);
  add("approver", event.approver);
  add("role", event.role);
  return detail::dumped(json);
}

Result<RolloutAction> RolloutAction::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(detail::check_schema(object, subject, action_schema));
  RolloutAction action;
  if (!object.has("kind")) object.fail("kind", "the key is missing", "add it");
  action.kind = named(object, "kind", action_kinds, Kind::notify);
  action.share = rollout::share(object, "share", 0);
  action.shadow = rollout::share(object, "shadow", 0);
  action.text = object.text("text", "");
  MCOMP_CHECK(object.finish());
  return action;
}

std::string to_json(const RolloutAction& action) {
  Json json = {{"schema", action_schema}, {"kind", name_of(action_kinds, action.kind)}};
  if (action.kind == RolloutAction::Kind::set_traffic || action.share != 0) json["share"] = action.share;
  if (action.kind == RolloutAction::Kind::set_traffic || action.shadow != 0) json["shadow"] = action.shadow;
  if (!action.text.empty()) json["text"] = action.text;
  return detail::dumped(json);
}

Result<Transition> Transition::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(detail::check_schema(object, subject, transition_schema));
  Transition transition;
  if (const Json* child = object.child("state")) {
    MCOMP_TRY(read, RolloutState::parse(detail::dumped(*child), object.where("state")));
    transition.state = std::move(read);
  } else {
    object.fail("state", "the key is missing", "add it");
  }
  for (const Json& child : object.array("actions")) {
    MCOMP_TRY(read, RolloutAction::parse(detail::dumped(child),
                                         fmt::format("{}: {}", object.where("actions"), transition.actions.size())));
    transition.actions.push_back(std::move(read));
  }
  transition.refusal = object.text("refusal", "");
  MCOMP_CHECK(object.finish());
  return transition;
}

std::string to_json(const Transition& transition) {
  Json actions = Json::array();
  for (const RolloutAction& action : transition.actions) actions.push_back(Json::parse(to_json(action)));
  Json json = {{"schema", transition_schema}, {"state", Json::parse(to_json(transition.state))}, {"actions", actions}};
  if (!transition.refusal.empty()) json["refusal"] = transition.refusal;
  return detail::dumped(json);
}

} // namespace mcomp::inline v0::rollout
