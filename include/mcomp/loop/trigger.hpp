#pragma once

// When to compress again. What was true when the model in service was decided on is compared with what is true now, and
// every reason to start the next cycle is named once, with its numbers. Nothing here reads a clock or a file: a state
// and an observation give the next state and the triggers, so that a recorded history replays to the same answers.
//
//     loop::WatchState state{.situation = what_was_decided_on};
//     auto step = loop::watch(state, {.time = now, .traffic_per_second = 120.0}, rules).value();
//     state = step.state; for (const loop::Trigger& trigger : step.triggers) ...
//
// What changes often and harmlessly must not start anything: a signal counts when it is large enough to matter (a
// distance, a share, an amount of money), not only when it is significant, and, where it comes in windows, when it
// stays for several of them.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::loop {

enum class TriggerKind {
  new_model,   ///< another model was delivered
  drift,       ///< inputs are distributed otherwise than those that it was calibrated on
  calibration, ///< its confidence is no longer what it promises
  cost,        ///< a request costs more than was forecast
  price,       ///< what a machine costs has changed
  traffic,     ///< there is more or less of it, for good
  hardware,    ///< there is a machine that would serve it for less
  target,      ///< a target was changed, and is no longer met or leaves room
  cadence,     ///< it is time
  manual,      ///< somebody asks for it
};
/// "new_model", "drift", ...
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(TriggerKind kind);

struct Trigger {
  TriggerKind kind = TriggerKind::manual;
  std::string subject{}; ///< what has moved: a slice, an instance, a target, ...
  std::string reason{};  ///< one sentence with its numbers
  double value = 0, limit = 0;
  std::int64_t time = 0; ///< seconds since 1970, UTC

  /// Reads schema "mcomp-trigger-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Trigger> parse(std::string_view json,
                                                                const std::string& subject = "trigger");
  friend bool operator==(const Trigger&, const Trigger&) = default;
};

/// A target as it was, or is, in force; see catalog::Target.
struct TargetStatus {
  std::string id{};
  std::int64_t version = 0;
  bool at_least = true; ///< the bound is a lower one
  double bound = 0;
  double measured = 0; ///< of the model in service; not asked of those in a situation
  friend bool operator==(const TargetStatus&, const TargetStatus&) = default;
};

/// What was true when the model in service was decided on. What is not set is not watched.
struct Situation {
  std::int64_t decided = 0; ///< seconds since 1970
  std::string model{};      ///< fingerprint of what was compressed
  std::optional<double> calibration_error{};
  std::optional<double> cost_per_million{}; ///< of requests, as it was forecast
  std::optional<double> cost_upper{};       ///< upper end of that forecast's interval
  std::map<std::string, double> prices{};   ///< an hour of each instance that was in the forecast
  std::map<std::string, double> hours{};    ///< instance hours a month of each, as forecast
  std::optional<double> traffic_per_second{};
  std::set<std::string> hardware{}; ///< fingerprints of device profiles that were compared
  std::vector<TargetStatus> targets{};
  friend bool operator==(const Situation&, const Situation&) = default;
};

/// One window of inputs or outputs of a slice against the reference.
struct DriftSignal {
  std::string subject{}; ///< "region=eu", "pixels", ...
  double distance = 0;   ///< in [0, inf), such as the population stability index
  double p_value = 1;
  std::int64_t samples = 0;
  friend bool operator==(const DriftSignal&, const DriftSignal&) = default;
};

struct CalibrationSignal {
  double error = 0; ///< expected calibration error now
  double lower = 0; ///< lower end of its interval
  std::int64_t samples = 0;
  friend bool operator==(const CalibrationSignal&, const CalibrationSignal&) = default;
};

struct CostSignal {
  double per_million = 0; ///< requests, as it was paid
  std::int64_t requests = 0;
  friend bool operator==(const CostSignal&, const CostSignal&) = default;
};

struct HardwareOffer {
  std::string fingerprint{}, name{}; ///< of a device profile
  double per_million = 0;            ///< predicted, of requests on it
  double other_per_million = 0;      ///< predicted likewise, on what serves now
  friend bool operator==(const HardwareOffer&, const HardwareOffer&) = default;
};

struct ManualRequest {
  std::string id{}, author{}, reason{};
  friend bool operator==(const ManualRequest&, const ManualRequest&) = default;
};

/// What is known at one time; what is absent says nothing.
struct Observation {
  std::int64_t time = 0;
  std::optional<std::string> model{};
  std::vector<DriftSignal> drift{}; ///< of one window that has ended
  std::optional<CalibrationSignal> calibration{};
  std::optional<CostSignal> cost{};
  std::map<std::string, double> prices{};
  std::optional<double> traffic_per_second{}; ///< mean of a whole period (a day or a week) that has ended
  std::vector<HardwareOffer> hardware{};
  std::vector<TargetStatus> targets{};
  std::vector<ManualRequest> requests{};

  /// Reads schema "mcomp-observation-1"; absent members say nothing. Errors: corrupt, also for numbers that `watch`
  /// does not take; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Observation> parse(std::string_view json,
                                                                    const std::string& subject = "observation");
  friend bool operator==(const Observation&, const Observation&) = default;
};

struct TriggerRules {
  double drift_distance = 0.1; ///< below it a shift is too small to matter, however sure it is
  double drift_p_value = 0.001;
  std::int64_t drift_samples = 500; ///< of a window; with fewer it neither counts nor ends a row
  int drift_windows = 3;            ///< in a row
  double calibration_increase = 0.02;
  std::int64_t calibration_samples = 1000;
  double cost_increase = 0.1; ///< beyond the upper end of the forecast, relative
  std::int64_t cost_requests = 100'000;
  double price_change = 0.02;  ///< relative, either way
  double least_money = 50;     ///< a month, that a change of prices or machines must be about
  double traffic_change = 0.2; ///< of the mean, relative, either way
  int traffic_periods = 3;     ///< in a row
  double hardware_saving = 0.1;
  double target_room = 0.2; ///< share of the way from measured to the old bound that a looser bound must add
  std::int64_t cadence_seconds = 30 * 86400; ///< 0: none
  friend bool operator==(const TriggerRules&, const TriggerRules&) = default;

  /// Errors: invalid_argument for a limit that is negative or not finite, a row below 1, a p-value outside (0, 1).
  [[nodiscard]] MCOMP_WORKFLOW_API Status check() const;
  /// Reads schema "mcomp-trigger-rules-1"; absent members are the defaults. Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<TriggerRules> parse(std::string_view json,
                                                                     const std::string& subject = "trigger rules");
};

struct WatchState {
  Situation situation{};
  std::map<std::string, int> drift_row{}; ///< windows in a row, by subject
  int traffic_row = 0;                    ///< periods in a row; negative where there was less traffic
  std::set<std::string> fired{};          ///< causes that were named since the situation was
  std::int64_t latest = 0;                ///< time of the last observation

  /// Reads schema "mcomp-watch-state-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<WatchState> parse(std::string_view json,
                                                                   const std::string& subject = "watch state");
  friend bool operator==(const WatchState&, const WatchState&) = default;
};

struct WatchStep {
  WatchState state;
  std::vector<Trigger> triggers;
};

/// Each cause fires once until `settle`. A time before the last one counts as that. Errors: those of `check`;
/// invalid_value for numbers that are not finite or cannot be (negative distances, prices, costs, traffic).
[[nodiscard]] MCOMP_WORKFLOW_API Result<WatchStep> watch(const WatchState& state, const Observation& observation,
                                                         const TriggerRules& rules = {});

/// A cycle has ended: what is decided on now is the situation, and requests that were answered stay answered.
[[nodiscard]] MCOMP_WORKFLOW_API WatchState settle(const WatchState& state, Situation situation);

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Trigger& trigger);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Observation& observation);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const TriggerRules& rules);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const WatchState& state);
/// "drift of region=eu: ..."
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const Trigger& trigger);

} // namespace mcomp::inline v0::loop

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<loop::TriggerKind> = true;
template <> inline constexpr bool enable_format<loop::Trigger> = true;
} // namespace mcomp::inline v0
