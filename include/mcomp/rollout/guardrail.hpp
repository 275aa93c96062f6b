#pragma once

// When a release goes back by itself: rules that are watched all the time, each of which may be switched on. A rule
// that is breached takes the release back and stays breached; a rule that has seen too little holds it where it is.
// Observations arrive as plain counts, look by look.
//
//     auto guard = rollout::Guardrail::create({.pairs = rollout::PairedAccuracyRule{.margin = 0.005}}).value();
//     guard.observe({.pairs = labelled_since_the_last_look, .requests = 2000, .slow = 17}).value();
//     state = rollout::advance(state, guard.gate_event(state, now), policy).state;
//
// The statistical rules keep their level however often one looks: `alpha` is shared evenly by all tests that are on
// (`tests`), so that a release that keeps to every limit is ever taken back by any of them with a probability of at
// most alpha. How: paired accuracy by betting (Waudby-Smith and Ramdas 2024), shares of requests by the beta-binomial
// mixture (Howard and others 2021), two groups by `stats::SequentialDifferenceTest`, means of confidences by
// `stats::BettingSequence`, anomalies by `monitor::ChangeDetector`. Burn rate and heartbeat are no tests: whoever keeps
// within the budget and reports in time is never taken back by them.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mcomp/core/result.hpp"
#include "mcomp/monitor/burn_rate.hpp"
#include "mcomp/monitor/heartbeat.hpp"
#include "mcomp/rollout/stage_machine.hpp"
#include "mcomp/stats/paired.hpp"
#include "mcomp/stats/sequential_difference.hpp"

namespace mcomp::inline v0::rollout {

/// The candidate may lose no more accuracy than the margin, on labelled requests that both versions have answered
/// (shadow traffic). One test.
struct PairedAccuracyRule {
  double margin = 0.01;               ///< loss, baseline - candidate, that is borne; half of what is to be found
  double planned_pairs = 4000;        ///< where the test is sharpest
  double expected_disagreement = 0.1; ///< of the two versions on labelled requests: a guess, for sharpness
  std::int64_t least = 200;           ///< pairs; with fewer the gate does not decide
  friend bool operator==(const PairedAccuracyRule&, const PairedAccuracyRule&) = default;
};

/// No more than a share of the candidate's requests may be slower than a limit, which is the caller's: for a p99 that
/// may grow by a quarter 1.25 times the baseline's p99 with a tail of .01. One test.
struct LatencyRule {
  double tail = 0.01;             ///< share above the limit that is borne
  double planned_requests = 4000; ///< where the test is sharpest
  std::int64_t least = 200;       ///< requests
  friend bool operator==(const LatencyRule&, const LatencyRule&) = default;
};

/// The candidate's group may have a lower share of successes than the baseline's, by no more than the margin: two
/// groups of users or requests, each answered by one version. Needs a baseline that still answers somebody. One test.
struct GroupRule {
  double margin = 0.01;
  double planned = 4000;    ///< of the smaller group; where the test is sharpest
  double expected = 0.9;    ///< share of successes of the baseline: a guess, for the first look
  std::int64_t least = 200; ///< of each group
  friend bool operator==(const GroupRule&, const GroupRule&) = default;
};

/// The candidate's share of successes may not be below a floor. One test.
struct FloorRule {
  double floor = 0.8;
  double planned = 4000;
  std::int64_t least = 200;
  friend bool operator==(const FloorRule&, const FloorRule&) = default;
};

/// Accuracy without labels may not be below a floor: the mean of calibrated confidences bounds it. This holds while the
/// calibration does: the accuracy of a look's answers is at most their mean confidence plus `calibration_error`, also
/// where the inputs have changed. Where what is right for an input has changed (concept drift) only labels tell. Each
/// look counts as one value, whatever its number of answers. One test.
struct ConfidenceRule {
  double floor = 0.8;
  double calibration_error = 0.02; ///< by which confidence may understate accuracy
  std::int64_t least = 10;         ///< looks
  friend bool operator==(const ConfidenceRule&, const ConfidenceRule&) = default;
};

/// The share of the candidate's answers that somebody calls anomalous (a detector, a fallback that had to step in) may
/// not rise above what is usual; a change point says since when it has. One test, over as many looks as are planned.
struct AnomalyRule {
  double share = 0.01;    ///< mean share of a look that is usual, given the looks before
  double looks = 10000;   ///< for which alpha holds; after n more it holds for 1 + n / looks times alpha
  std::int64_t least = 1; ///< looks with requests
  friend bool operator==(const AnomalyRule&, const AnomalyRule&) = default;
};

struct GuardrailOptions {
  double alpha = 0.008; ///< of all tests together, within (0, 1/2)
  std::optional<PairedAccuracyRule> pairs = PairedAccuracyRule();
  std::optional<LatencyRule> latency = LatencyRule();
  std::optional<GroupRule> accuracy{};           ///< labelled requests of both groups
  std::optional<FloorRule> accuracy_floor{};     ///< labelled requests of the candidate
  std::optional<ConfidenceRule> confidence{};    ///< calibrated confidences of the candidate
  std::optional<GroupRule> satisfaction{};       ///< users who were asked, of both groups
  std::optional<FloorRule> satisfaction_floor{}; ///< users who were asked, of the candidate
  std::optional<AnomalyRule> anomaly{};          ///< anomalous answers of the candidate
  /// Failed requests of the candidate. Where it has few, one failure burns at a high rate: let `least_events` ask for
  /// as many as make a few failures too much.
  std::optional<monitor::BurnRateOptions> burn{};
  std::optional<monitor::HeartbeatOptions> heartbeat{}; ///< of whoever serves the candidate, from the first look on

  /// Reads schema "mcomp-guardrail-1"; a rule is switched off by leaving it out. Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<GuardrailOptions> parse(std::string_view json,
                                                                         const std::string& subject = "guardrail");
  friend bool operator==(const GuardrailOptions&, const GuardrailOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const GuardrailOptions& options);

/// What was seen since the last look; of the candidate, where nothing else is said. Each answer's label is taken to be
/// as likely to arrive, and as soon, whether the answer is right or not.
struct GuardrailCounts {
  double time = 0;             ///< seconds of any clock, for burn rate and heartbeat
  stats::PairedCounts pairs{}; ///< labelled requests that both versions answered
  std::int64_t requests = 0;
  std::int64_t slow = 0;                        ///< of them above the limit
  std::int64_t failed = 0;                      ///< of them without an answer, or whatever else burns the budget
  std::int64_t anomalous = 0;                   ///< of them
  stats::SuccessCounts baseline{}, candidate{}; ///< right answers of labelled requests, by who answered
  stats::SuccessCounts baseline_users{}, candidate_users{}; ///< satisfied of those who were asked
  std::int64_t estimates = 0;                               ///< answers with a calibrated confidence
  double confidence = 0;                                    ///< their mean
  bool beat = false;                                        ///< whoever serves the candidate has reported

  /// Error: invalid_value for negative counts or counts above 2^40, more of a kind than there are, a time outside
  /// [0, 10^15], a confidence outside [0, 1].
  [[nodiscard]] MCOMP_WORKFLOW_API Status check() const;
  /// Reads schema "mcomp-guardrail-counts-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<GuardrailCounts> parse(std::string_view json,
                                                                        const std::string& subject = "counts");
  friend bool operator==(const GuardrailCounts&, const GuardrailCounts&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const GuardrailCounts& counts);

/// A plain value; a process that died makes it again from the counts that it has kept.
class MCOMP_WORKFLOW_API Guardrail {
 public:
  /// Errors: invalid_argument for options without a rule, margins outside [0, 1), shares, floors or expected shares
  /// outside (0, 1), a tail or alpha outside (0, 1/2), planned counts that are not positive, negative least counts; as
  /// `monitor::BurnRate` and `monitor::Heartbeat`.
  [[nodiscard]] static Result<Guardrail> create(const GuardrailOptions& options = {});
  ~Guardrail();
  Guardrail(const Guardrail&);
  Guardrail(Guardrail&&) noexcept;
  Guardrail& operator=(const Guardrail&);
  Guardrail& operator=(Guardrail&&) noexcept;

  /// Cost: about 10 microseconds for each rule. Errors: as `GuardrailCounts::check`; nothing is counted then.
  Status observe(const GuardrailCounts& counts);

  /// fail: a rule is breached, and stays so. no_data: no rule has seen anything at all. inconclusive: one that is on
  /// has seen less than it needs.
  [[nodiscard]] Gate verdict() const noexcept;
  /// Which rule was breached first, with its numbers; empty where none is.
  [[nodiscard]] const std::string& breach() const noexcept;
  /// The rules that have seen too little, by name; empty where there are none.
  [[nodiscard]] std::string undecided() const;
  /// The verdict on the stage of a state, for `advance`.
  [[nodiscard]] RolloutEvent gate_event(const RolloutState& state, std::int64_t time) const;
  /// Among how many tests alpha is shared.
  [[nodiscard]] int tests() const noexcept;

 private:
  struct State;
  explicit Guardrail(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// What a heart says to the stage machine: a heartbeat while it is alive, a rollback where it is lost, and the time
/// alone while it is unknown, which the machine bears for as long as its policy says.
[[nodiscard]] MCOMP_WORKFLOW_API RolloutEvent heartbeat_event(const monitor::Heartbeat& heart, std::int64_t now);

} // namespace mcomp::inline v0::rollout
