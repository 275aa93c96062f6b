#pragma once

// Do two independent groups differ by more than a margin, asked after every look? The answers of one group to a
// baseline, those of the other to a candidate, right or wrong each: no input has to be answered twice. The test keeps
// its level whenever one looks and stops, at any ratio of the groups, and while the accuracies drift, as long as their
// difference keeps to the null hypothesis. Where both answer the same inputs `SequentialPairedDifference` needs fewer.
//
//     auto test = mcomp::stats::SequentialDifferenceTest::create({.null_loss = 0.01}).value();   // loss <= 1 point?
//     test.update({.successes = 181, .trials = 200}, {.successes = 17, .trials = 20}).value();   // since the last look
//     if (test.rejects()) roll_back();
//
// The evidence is the growth-rate optimal e-variable of Turner, Ly and Grünwald (Generic E-variables for exact
// sequential k-sample tests, 2024) for convex null hypotheses (Turner and Grünwald, Exact anytime-valid confidence
// intervals for contingency tables, 2023): in each block the likelihood of two success probabilities beyond the margin
// by that of the pair within it that is nearest in relative entropy, weighted by the block's trials. Nearest and
// beyond, its mean under any pair within the margin is at most 1. Mixed over bets on a geometric grid of differences;
// the level of each bet's pair is estimated from the blocks before.

#include <array>
#include <cstdint>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/alternative.hpp"
#include "mcomp/stats/confidence_sequence.hpp"

namespace mcomp::inline v0::stats {

struct SuccessCounts {
  std::int64_t successes = 0, trials = 0;
  friend bool operator==(const SuccessCounts&, const SuccessCounts&) = default;
};

/// Is P(baseline succeeds) - P(candidate succeeds) equal to `null_loss`? With `greater` the null hypothesis is a loss
/// of at most that, and to reject it is to show harm; with `less` it is a loss of at least that, and to reject it is to
/// show non-inferiority.
struct SequentialDifferenceOptions {
  double null_loss = 0;
  Alternative alternative = Alternative::greater;
  double alpha = 0.05;
  double planned_trials = 4000;  ///< of the group that has fewer; where the test is sharpest. It holds everywhere
  double expected_success = 0.9; ///< of the baseline: a guess, for sharpness in the first block
};

class MCOMP_API SequentialDifferenceTest {
 public:
  /// Errors: invalid_argument for a loss outside (-1, 1), an alpha or expected success outside (0, 1), or planned
  /// trials that are not positive.
  [[nodiscard]] static Result<SequentialDifferenceTest> create(const SequentialDifferenceOptions& options = {});

  /// What was seen since the last call, in any order. A block ends here once both groups have 8 trials; what it holds
  /// then counts. One bet is made a block: look often rather than once. Some 10 microseconds. Error: invalid_value for
  /// counts that cannot be, or more than 2^40; nothing is counted then.
  Status update(const SuccessCounts& baseline, const SuccessCounts& candidate);

  /// All that was seen, that of a block that has not ended too.
  [[nodiscard]] SuccessCounts baseline() const noexcept;
  [[nodiscard]] SuccessCounts candidate() const noexcept;
  /// Observed, NaN where a group has no trials.
  [[nodiscard]] double loss() const noexcept;
  [[nodiscard]] double e_value() const noexcept { return evidence_.e_value(); }
  [[nodiscard]] double p_value() const noexcept { return evidence_.p_value(); }
  [[nodiscard]] bool rejects() const noexcept { return p_value() <= options_.alpha; }

  static constexpr std::size_t bets = 24; ///< on each side
  static constexpr std::int64_t block = 8;

 private:
  explicit SequentialDifferenceTest(const SequentialDifferenceOptions& options) noexcept;
  void close_block() noexcept;
  SequentialDifferenceOptions options_;
  SuccessCounts closed_[2], block_[2]; ///< of blocks that have ended, and of the one that has not
  std::size_t sides_;                  ///< 1 or 2
  std::array<double, 2 * bets> log_capital_{};
  EProcess evidence_;
};

} // namespace mcomp::inline v0::stats
