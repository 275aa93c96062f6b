#pragma once

// When a release goes back by itself. Two rules are watched with tests that keep their level however often one looks:
// the candidate loses more accuracy than the margin, on labelled requests that both versions have answered (shadow
// traffic); and more of its requests than the tail are slower than a limit. Each is breached when its confidence
// sequence leaves the harmful side of the margin no doubt: loss above the margin, or a share above the tail.
// Observations arrive as plain counts. Accuracy is tested by betting (Waudby-Smith and Ramdas 2024), the tail by the
// beta-binomial mixture (Howard and others 2021); both are exact at every sample size.
//
//     auto guard = rollout::Guardrail::create({.accuracy_margin = 0.005}).value();
//     guard.observe({.pairs = labelled_since_the_last_look, .requests = 2000, .slow = 17}).value();
//     state = rollout::advance(state, guard.gate_event(state, now), policy).state;

#include <cstdint>
#include <string>

#include "mcomp/core/result.hpp"
#include "mcomp/rollout/stage_machine.hpp"
#include "mcomp/stats/confidence_sequence.hpp"
#include "mcomp/stats/paired.hpp"
#include "mcomp/stats/sequential_test.hpp"
#include "mcomp/stats/uniform_boundary.hpp"

namespace mcomp::inline v0::rollout {

struct GuardrailOptions {
  double accuracy_margin = 0.01; ///< loss of accuracy, baseline - candidate, that is borne; half of what is to be found
  double tail = 0.01;   ///< share of the candidate's requests above the latency limit that is borne. The limit is the
                        ///< caller's: for a p99 that may grow by a quarter 1.25 times the baseline's p99
  double alpha = 0.004; ///< of each rule: how probable it is that it ever breaches where it is kept exactly
  double planned_pairs = 4000;        ///< where the test of accuracy is sharpest
  double planned_requests = 4000;     ///< where that of the tail is
  double expected_disagreement = 0.1; ///< of the two versions on labelled requests: a guess, for sharpness
  std::int64_t least_pairs = 200;     ///< with fewer the gate does not decide
  std::int64_t least_requests = 200;  ///< likewise
};

/// What was seen since the last look.
struct GuardrailCounts {
  stats::PairedCounts pairs{}; ///< labelled requests that both versions answered
  std::int64_t requests = 0;   ///< that the candidate answered
  std::int64_t slow = 0;       ///< of them above the limit
};

class MCOMP_WORKFLOW_API Guardrail {
 public:
  /// Errors: invalid_argument for a margin outside [0, 1), a tail or alpha outside (0, 1/2), planned counts or a
  /// disagreement that are not positive, negative least counts.
  [[nodiscard]] static Result<Guardrail> create(const GuardrailOptions& options = {});

  /// Cost: some 35 ns a pair, a microsecond for the tail. Error: invalid_value for negative counts or more slow
  /// requests than there are; nothing is counted then.
  Status observe(const GuardrailCounts& counts);

  /// fail: a rule is breached, and stays so. no_data: nothing was seen at all. inconclusive: less than the least
  /// counts.
  [[nodiscard]] Gate verdict() const noexcept;
  /// Which rule is breached, with its numbers; empty where none is.
  [[nodiscard]] const std::string& breach() const noexcept { return breach_; }
  /// The verdict on the stage of a state, for `advance`.
  [[nodiscard]] RolloutEvent gate_event(const RolloutState& state, std::int64_t time) const;

  [[nodiscard]] const stats::PairedCounts& pairs() const noexcept { return accuracy_.counts(); }
  [[nodiscard]] std::int64_t requests() const noexcept { return requests_; }
  [[nodiscard]] std::int64_t slow() const noexcept { return slow_; }

 private:
  Guardrail(const GuardrailOptions& options, const stats::SequentialPairedDifference& accuracy,
            const stats::BetaBinomialMixture& tail);
  GuardrailOptions options_;
  stats::SequentialPairedDifference accuracy_;
  stats::BetaBinomialMixture tail_;
  stats::EProcess tail_evidence_;
  std::int64_t requests_ = 0, slow_ = 0;
  std::string breach_;
};

} // namespace mcomp::inline v0::rollout
