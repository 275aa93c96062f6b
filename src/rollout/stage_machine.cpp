#include "mcomp/rollout/stage_machine.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr std::uint32_t everybody = 100000;

/// The stage that counts: of a pause the one that it holds.
Stage effective(const RolloutState& state) noexcept {
  return state.stage == Stage::paused ? state.held : state.stage;
}

bool in_progress(Stage stage) noexcept {
  return stage == Stage::shadow || stage == Stage::canary || stage == Stage::full;
}

RolloutAction traffic(const RolloutState& state, const RolloutPolicy& policy) {
  return {.kind = RolloutAction::Kind::set_traffic,
          .share = exposed_share(state, policy),
          .shadow = shadow_share(state, policy),
          .text = {}};
}

/// The work on one event: a copy of the state that becomes the next one.
class Step {
 public:
  Step(const RolloutState& state, const RolloutPolicy& policy) : policy_(policy) { next_.state = state; }

  Transition take(const RolloutEvent& event) {
    RolloutState& s = next_.state;
    ++s.events;
    s.now = std::max(s.now, event.time);
    if (event.kind == EventKind::heartbeat && in_progress(effective(s))) {
      // One that comes too late does not undo the silence before it.
      if (!silent()) s.alive = s.now;
    }
    // Whoever watches is gone: what is exposed goes back, whatever else this event says.
    if (silent())
      leave(Stage::rolled_back, fmt::format("no heartbeat for {} seconds", s.now - s.alive));
    else
      by_kind(event);
    return std::move(next_);
  }

 private:
  void by_kind(const RolloutEvent& event) {
    switch (event.kind) {
    case EventKind::start:
      return start();
    case EventKind::go_on:
      return go_on(true);
    case EventKind::pause:
      return pause(event.text.empty() ? "paused by an operator" : event.text);
    case EventKind::resume:
      return resume();
    case EventKind::rollback:
      return rollback(event.text.empty() ? "taken back by an operator" : event.text);
    case EventKind::retire:
      return retire(event.text);
    case EventKind::approve:
      return approve(event);
    case EventKind::gate:
      return gate(event);
    case EventKind::heartbeat:
      return in_progress(effective(next_.state)) ? void() : refuse("nothing is watched in this stage");
    case EventKind::clock:
      return go_on(false);
    case EventKind::restart:
      return restart();
    case EventKind::breakdown:
      return breakdown(event.text.empty() ? "an action failed" : event.text);
    }
  }

  [[nodiscard]] bool silent() const {
    const RolloutState& s = next_.state;
    return exposed_share(s, policy_) > 0 && s.now - s.alive > policy_.heartbeat;
  }

  void refuse(std::string why) { next_.refusal = std::move(why); }

  void enter(Stage stage, int step, std::string reason) {
    RolloutState& s = next_.state;
    // Nobody was watched before: the watch begins with the first exposure.
    if (exposed_share(s, policy_) == 0) s.alive = s.now;
    s.stage = stage;
    s.held = Stage::draft;
    s.step = step;
    s.since = s.now;
    s.passes = s.failures = s.undecided = 0;
    s.reason = std::move(reason);
    ask_for_traffic();
    notify();
  }

  /// Of a retired release the traffic is another's.
  void ask_for_traffic() {
    if (next_.state.stage != Stage::retired) next_.actions.push_back(traffic(next_.state, policy_));
  }

  /// Ends the release without its artifact.
  void leave(Stage stage, std::string reason) { enter(stage, 0, std::move(reason)); }

  void notify() {
    next_.actions.push_back(
        {.kind = RolloutAction::Kind::notify, .share = 0, .shadow = 0, .text = to_string(next_.state)});
  }

  void start() {
    if (next_.state.stage != Stage::draft) return refuse("it has begun already");
    const Stage first = policy_.with_shadow ? Stage::shadow : Stage::canary;
    if (!approved_for_entry(first, 0)) return refuse("approvals are missing for " + to_string(first));
    enter(first, 0, "started");
  }

  /// Without canary steps the full release is the first exposure, and takes the approvals of both.
  [[nodiscard]] bool approved_for_entry(Stage stage, int step) const {
    const RolloutState& s = next_.state;
    if (stage == Stage::canary) return step > 0 || approved(s, Stage::canary, policy_);
    if (stage == Stage::full) return approved(s, Stage::canary, policy_) && approved(s, Stage::full, policy_);
    return approved(s, stage, policy_);
  }

  void go_on(bool asked) {
    const RolloutState& s = next_.state;
    if (s.stage != Stage::shadow && s.stage != Stage::canary)
      return asked ? refuse("there is no next stage from " + to_string(s.stage)) : void();
    if (!asked && !policy_.automatic) return;
    const std::int64_t duration =
        s.stage == Stage::shadow ? policy_.shadow_duration : policy_.steps[static_cast<std::size_t>(s.step)].duration;
    if (s.passes < policy_.passes) return asked ? refuse("the gate has not passed often enough") : void();
    if (s.now - s.since < duration) return asked ? refuse("the stage has not lasted long enough") : void();
    const int next = s.stage == Stage::shadow ? 0 : s.step + 1;
    const bool more = next < static_cast<int>(policy_.steps.size());
    const Stage stage = more ? Stage::canary : Stage::full;
    if (!approved_for_entry(stage, next))
      return asked ? refuse("approvals are missing for " + to_string(stage)) : void();
    enter(stage, more ? next : 0, "gate passed");
  }

  void pause(std::string reason) {
    RolloutState& s = next_.state;
    if (!in_progress(s.stage)) return refuse("there is nothing to hold in " + to_string(s.stage));
    s.held = std::exchange(s.stage, Stage::paused);
    s.reason = std::move(reason);
    notify();
  }

  void resume() {
    const RolloutState& s = next_.state;
    if (s.stage != Stage::paused) return refuse("it is not paused");
    // What was measured before the pause does not carry the stage any more.
    enter(s.held, s.step, "resumed");
  }

  /// A retired release has nothing left to take back.
  void rollback(std::string reason) {
    if (next_.state.stage == Stage::retired)
      notify();
    else
      leave(Stage::rolled_back, std::move(reason));
  }

  void retire(const std::string& successor) {
    const RolloutState& s = next_.state;
    if (effective(s) != Stage::full) return refuse("only a full release is retired");
    if (successor.empty() || successor == s.artifact) return refuse("name the release that serves instead");
    leave(Stage::retired, "replaced by " + successor);
  }

  void approve(const RolloutEvent& event) {
    RolloutState& s = next_.state;
    if (event.artifact != s.artifact) return refuse("it approves another artifact");
    if (event.approver.empty()) return refuse("it names no approver");
    if (event.stage != Stage::shadow && event.stage != Stage::canary && event.stage != Stage::full)
      return refuse("a change to " + to_string(event.stage) + " takes no approval");
    if (s.stage != Stage::draft && !in_progress(effective(s))) return refuse("the release has ended");
    const GivenApproval given{.change = event.stage, .approver = event.approver, .role = event.role};
    if (std::ranges::find(s.approvals, given) != s.approvals.end()) return refuse("it is there already");
    s.approvals.push_back(given);
    go_on(false);
  }

  void gate(const RolloutEvent& event) {
    RolloutState& s = next_.state;
    const Stage stage = effective(s);
    if (!in_progress(stage) || event.stage != stage || event.step != s.step)
      return refuse("it judges another stage than the present one");
    switch (event.verdict) {
    case Gate::pass:
      s.undecided = 0;
      s.passes = std::min(s.passes + 1, policy_.passes);
      return go_on(false);
    case Gate::fail:
      s.passes = s.undecided = 0;
      ++s.failures;
      if (s.failures <= policy_.failures) return;
      // In the shadow nobody has seen it, so there is nothing to take back.
      return leave(stage == Stage::shadow ? Stage::failed : Stage::rolled_back,
                   event.text.empty() ? "the gate failed" : event.text);
    case Gate::inconclusive:
    case Gate::no_data:
      s.passes = 0;
      s.undecided = std::min(s.undecided + 1, policy_.undecided + 1);
      if (s.undecided > policy_.undecided && s.stage != Stage::paused) pause("the gate does not decide");
      return;
    }
  }

  void restart() {
    // The last actions may not have been performed: they are asked for again. A row of passes does not reach across.
    next_.state.passes = 0;
    ask_for_traffic();
  }

  void breakdown(std::string reason) {
    if (!in_progress(effective(next_.state)) && next_.state.stage != Stage::draft)
      return refuse("the release has ended");
    leave(Stage::failed, std::move(reason));
  }

  const RolloutPolicy& policy_;
  Transition next_;
};

} // namespace

Status RolloutPolicy::check() const {
  const auto wrong = [](const char* subject, const char* rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, subject, rule, remedy);
  };
  std::uint32_t before = 0;
  for (const CanaryStep& step : steps) {
    if (step.share <= before || step.share >= everybody)
      return wrong("policy: steps", "shares do not ascend within 1 and 99,999", "order them");
    if (step.duration < 0) return wrong("policy: steps", "a duration is negative", "give seconds");
    before = step.share;
  }
  if (!with_shadow && steps.empty())
    return wrong("policy", "it has neither shadow nor canary step: everybody would be the first", "give one");
  if (shadow_share > everybody) return wrong("policy: shadow_share", "it is above 100,000", "give parts of 100,000");
  if (shadow_duration < 0 || heartbeat < 0) return wrong("policy", "a time is negative", "give seconds");
  constexpr int largest = 1000000;
  if (passes < 1 || passes > largest)
    return wrong("policy: passes", "it is not within 1 and 1,000,000: a stage takes a pass of its gate", "give one");
  if (failures < 0 || failures > largest || undecided < 0 || undecided > largest)
    return wrong("policy", "a count is not within 0 and 1,000,000", "give one");
  for (const ApprovalNeed& need : approvals) {
    if (need.change != Stage::shadow && need.change != Stage::canary && need.change != Stage::full)
      return wrong("policy: approvals", "a change that takes none", "name shadow, canary or full");
    if (need.count < 0) return wrong("policy: approvals", "a count is negative", "give 0 or more");
  }
  return {};
}

RolloutState begin_rollout(std::string artifact, std::string baseline, std::int64_t time) {
  RolloutState state;
  state.artifact = std::move(artifact);
  state.baseline = std::move(baseline);
  state.now = state.since = state.alive = time;
  return state;
}

Transition advance(const RolloutState& state, const RolloutEvent& event, const RolloutPolicy& policy) {
  return Step(state, policy).take(event);
}

RolloutState replay(RolloutState state, std::span<const RolloutEvent> history, const RolloutPolicy& policy) {
  for (const RolloutEvent& event : history) state = advance(state, event, policy).state;
  return state;
}

std::uint32_t exposed_share(const RolloutState& state, const RolloutPolicy& policy) {
  switch (effective(state)) {
  case Stage::canary:
    // A state of another policy, with fewer steps, shows nothing.
    return static_cast<std::size_t>(state.step) < policy.steps.size()
               ? policy.steps[static_cast<std::size_t>(state.step)].share
               : 0;
  case Stage::full:
    return everybody;
  default:
    return 0;
  }
}

std::uint32_t shadow_share(const RolloutState& state, const RolloutPolicy& policy) {
  return effective(state) == Stage::shadow ? policy.shadow_share : 0;
}

bool approved(const RolloutState& state, Stage change, const RolloutPolicy& policy) {
  return std::ranges::all_of(policy.approvals, [&](const ApprovalNeed& need) {
    if (need.change != change) return true;
    std::set<std::string_view> approvers;
    for (const GivenApproval& given : state.approvals)
      if (given.change == change && (need.role.empty() || given.role == need.role)) approvers.insert(given.approver);
    return approvers.size() >= static_cast<std::size_t>(std::max(need.count, 0));
  });
}

Result<TrafficPlan> with_shares(TrafficPlan plan, std::uint32_t share, std::uint32_t shadow) {
  if (share > everybody || shadow > everybody)
    return Error(ErrorCode::invalid_argument, "share", "it is above 100,000", "give parts of 100,000");
  const ArmWeight weights[] = {{plan.baseline, everybody - share}, {plan.candidate, share}};
  MCOMP_TRY(split, plan.split.reweighed(weights));
  plan.split = std::move(split);
  if (share == 0)
    for (TrafficSegment& segment : plan.segments) {
      MCOMP_TRY(back, segment.split.reweighed(weights));
      segment.split = std::move(back);
    }
  plan.shadow = shadow;
  return plan;
}

std::string to_string(const RolloutState& state) {
  std::string text = to_string(state.stage);
  if (state.stage == Stage::paused) text += " in " + to_string(state.held);
  if (effective(state) == Stage::canary) text += fmt::format(" step {}", state.step + 1);
  text += fmt::format(" of {} since {}", state.artifact, state.since);
  return state.reason.empty() ? text : text + ": " + state.reason;
}

} // namespace mcomp::inline v0::rollout
