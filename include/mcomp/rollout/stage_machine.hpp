#pragma once

// One release from draft to retirement, as a pure function: a state and an event give the next state and what is to be
// done about it. Nothing here reads a clock, a file or a random number, so that a recorded history replays to the same
// state, and a process that died goes on from its log.
//
//     draft -> shadow -> canary step 1 .. k -> full -> retired
//                 any of these -> paused -> where it was; -> rolled_back; -> failed
//
// Going forward takes three things at once: enough passes of the gate in a row in this stage, the stage's time, and the
// approvals that the policy names. A gate without data is never a pass. Rolling back is permitted in every stage;
// a retired release has nothing left to take back.
//
//     rollout::RolloutState state = rollout::begin_rollout("sha256:new", "sha256:old", now);
//     auto step = rollout::advance(state, {.kind = rollout::EventKind::gate, .time = now, .stage = state.stage,
//                                          .step = state.step, .verdict = rollout::Gate::pass}, policy);
//     log(event); state = step.state; for (const auto& action : step.actions) perform(action);

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/rollout/traffic.hpp"

namespace mcomp::inline v0::rollout {

enum class Stage { draft, shadow, canary, full, retired, paused, rolled_back, failed };
enum class Gate { pass, fail, inconclusive, no_data };
enum class EventKind {
  start,     ///< operator: leave the draft
  go_on,     ///< operator: take the next stage, where the policy does not do so by itself
  pause,     ///< operator: hold everything as it is
  resume,    ///< operator
  rollback,  ///< operator or guardrail: back to the baseline, at once
  retire,    ///< operator: another release (`text`) serves now
  approve,   ///< an approval that was verified (catalog::check_approval)
  gate,      ///< a verdict on the stage and step that it names
  heartbeat, ///< whoever watches the guardrails is alive
  clock,     ///< time has passed
  restart,   ///< the process came back, and may have died before the last actions were performed
  breakdown, ///< an action could not be performed (`text`)
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(Stage stage);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(Gate verdict);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(EventKind kind);

/// How many approvals of a change must be there before it happens.
struct ApprovalNeed {
  Stage change = Stage::canary; ///< shadow, canary (the first step) or full
  int count = 1;                ///< of different approvers
  std::string role{};           ///< only of this role; empty: of any
  friend bool operator==(const ApprovalNeed&, const ApprovalNeed&) = default;
};

struct CanaryStep {
  std::uint32_t share = 0;   ///< parts in 100,000 of the units; steps ascend
  std::int64_t duration = 0; ///< seconds that it lasts at least
  friend bool operator==(const CanaryStep&, const CanaryStep&) = default;
};

struct RolloutPolicy {
  bool with_shadow = true;
  std::uint32_t shadow_share = 100000; ///< parts in 100,000
  std::int64_t shadow_duration = 3600; ///< seconds
  std::vector<CanaryStep> steps = {{1000, 14400}, {5000, 14400}, {25000, 14400}};
  int passes = 1;               ///< of the gate, in a row, that a stage takes
  int failures = 0;             ///< of the gate that are borne in a stage; one more takes the release back
  int undecided = 12;           ///< verdicts in a row without decision that are borne; one more pauses
  std::int64_t heartbeat = 300; ///< seconds without a heartbeat that are borne while units are exposed
  bool automatic = true;        ///< go on without an operator
  std::vector<ApprovalNeed> approvals = {{Stage::canary, 1, ""}, {Stage::full, 1, ""}};

  /// Errors: invalid_argument for steps that do not ascend within 1 .. 99,999, neither shadow nor steps, a negative
  /// time, a count above 1,000,000, an approval of another stage.
  [[nodiscard]] MCOMP_WORKFLOW_API Status check() const;
  /// Reads schema "mcomp-rollout-policy-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<RolloutPolicy> parse(std::string_view json,
                                                                      const std::string& subject = "rollout policy");
  friend bool operator==(const RolloutPolicy&, const RolloutPolicy&) = default;
};

struct GivenApproval {
  Stage change = Stage::canary;
  std::string approver{}, role{};
  friend bool operator==(const GivenApproval&, const GivenApproval&) = default;
};

/// All that is known of a release; what is allowed next follows from this and the policy alone.
struct RolloutState {
  std::string artifact{}; ///< that is released
  std::string baseline{}; ///< approved artifact that serves before, and again after a rollback
  Stage stage = Stage::draft;
  Stage held = Stage::draft;                   ///< of a pause: the stage that it holds
  int step = 0;                                ///< canary step, from 0
  std::int64_t now = 0;                        ///< latest time seen, seconds since 1970
  std::int64_t since = 0;                      ///< begin of the stage or step
  std::int64_t alive = 0;                      ///< last heartbeat
  int passes = 0, failures = 0, undecided = 0; ///< verdicts in this stage or step
  std::vector<GivenApproval> approvals{};
  std::string reason{};    ///< of the last change of stage
  std::int64_t events = 0; ///< applied so far, refused ones too

  /// Reads schema "mcomp-rollout-state-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<RolloutState> parse(std::string_view json,
                                                                     const std::string& subject = "rollout state");
  friend bool operator==(const RolloutState&, const RolloutState&) = default;
};

/// What happened. Fields that a kind does not speak of stay as they are here.
struct RolloutEvent {
  EventKind kind = EventKind::clock;
  std::int64_t time = 0;      ///< seconds since 1970; one before the state's latest counts as that
  std::string text{};         ///< reason (of a gate: why it fails), or the release that serves instead
  std::string artifact{};     ///< approve: what was approved
  Stage stage = Stage::draft; ///< gate: what it judged; approve: the change
  int step = 0;               ///< gate
  Gate verdict = Gate::no_data;
  std::string approver{}, role{}; ///< approve

  /// Reads schema "mcomp-rollout-event-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<RolloutEvent> parse(std::string_view json,
                                                                     const std::string& subject = "rollout event");
  friend bool operator==(const RolloutEvent&, const RolloutEvent&) = default;
};

struct RolloutAction {
  enum class Kind {
    set_traffic, ///< candidate `share`, shadow `shadow`, of the units; everything else is the baseline's
    notify,      ///< tell the owners `text`
  } kind = Kind::notify;
  std::uint32_t share = 0, shadow = 0; ///< parts in 100,000
  std::string text{};

  /// Reads schema "mcomp-rollout-action-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<RolloutAction> parse(std::string_view json,
                                                                      const std::string& subject = "rollout action");
  friend bool operator==(const RolloutAction&, const RolloutAction&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const RolloutAction& value);

struct Transition {
  RolloutState state;
  std::vector<RolloutAction> actions{};
  std::string refusal{}; ///< why the event changed nothing; empty where it was taken

  /// Reads schema "mcomp-rollout-transition-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Transition> parse(std::string_view json,
                                                                   const std::string& subject = "transition");
  friend bool operator==(const Transition&, const Transition&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Transition& value);

[[nodiscard]] MCOMP_WORKFLOW_API RolloutState begin_rollout(std::string artifact, std::string baseline,
                                                            std::int64_t time);
/// The function itself. The policy must be sound (`check`). Total: an event that does not apply is refused, not an
/// error, and changes the time alone.
[[nodiscard]] MCOMP_WORKFLOW_API Transition advance(const RolloutState& state, const RolloutEvent& event,
                                                    const RolloutPolicy& policy);
/// The state after a recorded history.
[[nodiscard]] MCOMP_WORKFLOW_API RolloutState replay(RolloutState state, std::span<const RolloutEvent> history,
                                                     const RolloutPolicy& policy);

/// Parts in 100,000 of the units that see the artifact in this state.
[[nodiscard]] MCOMP_WORKFLOW_API std::uint32_t exposed_share(const RolloutState& state, const RolloutPolicy& policy);
/// Parts in 100,000 of the units whose requests it answers unseen.
[[nodiscard]] MCOMP_WORKFLOW_API std::uint32_t shadow_share(const RolloutState& state, const RolloutPolicy& policy);
/// Whether the approvals that the policy names for a change are there.
[[nodiscard]] MCOMP_WORKFLOW_API bool approved(const RolloutState& state, Stage change, const RolloutPolicy& policy);
/// The plan with a state's shares: the split reweighed between baseline and candidate, nobody moved who need not; a
/// segment's split follows unless nobody is exposed any more, when it falls back too. Errors as `Ledger::reweighed`.
[[nodiscard]] MCOMP_WORKFLOW_API Result<TrafficPlan> with_shares(TrafficPlan plan, std::uint32_t share,
                                                                 std::uint32_t shadow);

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const RolloutPolicy& policy);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const RolloutState& state);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const RolloutEvent& event);
/// "canary step 2 of sha256:... since 1800000000: gate passed"
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const RolloutState& state);

} // namespace mcomp::inline v0::rollout

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<rollout::Stage> = true;
template <> inline constexpr bool enable_format<rollout::Gate> = true;
template <> inline constexpr bool enable_format<rollout::EventKind> = true;
template <> inline constexpr bool enable_format<rollout::RolloutState> = true;
} // namespace mcomp::inline v0
