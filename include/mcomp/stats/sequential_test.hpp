#pragma once

// Is the candidate as accurate as the baseline, asked after every answer? Tests of right-or-wrong outcomes that keep
// their level whenever one looks and stops, for any accuracy and from the first observation on: nothing here is
// asymptotic. Each is a plain value of fixed size that takes an observation in nanoseconds without allocating.
//
//     auto test = mcomp::stats::SequentialPairedDifference::create({.null_loss = 0.01}).value();  // loss >= margin?
//     for (auto [baseline_right, candidate_right] : answers) test.update(baseline_right, candidate_right);
//     if (test.rejects()) promote();   // and test.loss_interval(): how large the loss is
//
// Where both models answer the same inputs use the paired test: it needs a fraction of the observations. The method is
// betting (Waudby-Smith and Ramdas, JRSS B 86, 2024) with a mixture over bets on a geometric grid: a fifth of the stake
// is spread evenly, so that no effect is out of reach, the rest lies where the planned number of observations finds the
// effects that it can find.

#include <array>
#include <cstdint>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/alternative.hpp"
#include "mcomp/stats/confidence_sequence.hpp"
#include "mcomp/stats/interval.hpp"
#include "mcomp/stats/paired.hpp"
#include "mcomp/stats/uniform_boundary.hpp"

namespace mcomp::inline v0::stats {

/// Is a success probability `null_value`?
struct SequentialProportionOptions {
  double null_value = 0.5;
  Alternative alternative = Alternative::two_sided;
  double alpha = 0.05;
  double planned_trials = 1000; ///< where the test is sharpest
};

/// Beta-binomial mixture for one stream of successes and failures.
class MCOMP_API SequentialProportion {
 public:
  /// Errors: invalid_argument for a null value or alpha outside (0, 1) (one-sided: alpha outside (0, 1/2)), or planned
  /// trials that are not positive.
  [[nodiscard]] static Result<SequentialProportion> create(const SequentialProportionOptions& options = {});

  /// Two-sided some 10 ns; one-sided about a microsecond.
  void update(bool success) noexcept;

  [[nodiscard]] std::int64_t trials() const noexcept { return successes_ + failures_; }
  [[nodiscard]] std::int64_t successes() const noexcept { return successes_; }
  /// Of the null hypothesis; the p-value never rises.
  [[nodiscard]] double e_value() const noexcept { return evidence_.e_value(); }
  [[nodiscard]] double p_value() const noexcept { return evidence_.p_value(); }
  [[nodiscard]] bool rejects() const noexcept { return p_value() <= options_.alpha; }
  /// `bernoulli_confidence_interval` of the counts, at level 1 - alpha; [0, 1] before the first.
  [[nodiscard]] Interval interval() const noexcept;

 private:
  SequentialProportion(const SequentialProportionOptions& options, const BetaBinomialMixture& mixture) noexcept;
  SequentialProportionOptions options_;
  BetaBinomialMixture mixture_; ///< of the one-sided test
  double concentration_, log_e_ = 0;
  std::int64_t successes_ = 0, failures_ = 0;
  EProcess evidence_;
};

/// Is the loss P(only baseline right) - P(only candidate right) equal to `null_loss`? With alternative `less` the null
/// hypothesis is a loss of the margin `null_loss` or more: to reject it is to show non-inferiority. With `greater` it
/// is a loss of at most `null_loss`: to reject it is to show harm.
struct SequentialPairedOptions {
  double null_loss = 0;
  Alternative alternative = Alternative::two_sided;
  double alpha = 0.05;
  double planned_pairs = 2000;         ///< where the test is sharpest; it holds everywhere
  double expected_disagreement = 0.05; ///< fraction of inputs that one model alone gets right: a guess, for sharpness
};

/// Two models on the same inputs: observations -1, 0, 1, baseline right minus candidate right.
class MCOMP_API SequentialPairedDifference {
 public:
  /// Errors: invalid_argument for a loss outside (-1, 1), an alpha or expected disagreement outside (0, 1), or planned
  /// pairs that are not positive.
  [[nodiscard]] static Result<SequentialPairedDifference> create(const SequentialPairedOptions& options = {});

  /// Some 10 ns; 35 ns with a null loss other than 0, where equal answers count too.
  void update(bool baseline_right, bool candidate_right) noexcept;
  /// Many at once, in any order: the evidence is looked at after them all. About two microseconds. Error: invalid_value
  /// for negative counts or counts above 2^53; nothing is counted then.
  Status update(const PairedCounts& counts);

  [[nodiscard]] const PairedCounts& counts() const noexcept { return counts_; }
  [[nodiscard]] double e_value() const noexcept { return evidence_.e_value(); }
  [[nodiscard]] double p_value() const noexcept { return evidence_.p_value(); }
  [[nodiscard]] bool rejects() const noexcept { return p_value() <= options_.alpha; }
  /// The losses that the two-sided test has not rejected by these counts, at level 1 - alpha, all times at once; [-1,
  /// 1] before the first pair. Cost: two roots, some 20 microseconds.
  [[nodiscard]] Interval loss_interval() const noexcept;

  static constexpr std::size_t bets = 24; ///< on each side

 private:
  explicit SequentialPairedDifference(const SequentialPairedOptions& options) noexcept;
  SequentialPairedOptions options_;
  PairedCounts counts_;
  EProcess evidence_;
  std::array<double, bets> weights_{};
  std::size_t sides_;                                     ///< 1 or 2
  std::array<double, 2 * bets> capital_;                  ///< of the bets that the loss is greater, then less
  std::array<std::array<double, 2 * bets>, 3> factors_{}; ///< by observation + 1
};

/// Have two independent streams, baseline and candidate, the same success probability?
struct SequentialABOptions {
  Alternative alternative = Alternative::two_sided; ///< `less`: the candidate succeeds less often
  double alpha = 0.05;
  double planned_observations = 4000; ///< in all; where test and interval are sharpest
  double expected_success = 0.9;      ///< probability: a guess, for sharpness too
};

/// Observations may come in any order and at any ratio of traffic. They are taken in blocks that end once each arm has
/// 8 of them; given the successes of a block in all, those of the candidate are hypergeometric under the null
/// hypothesis, whatever the common probability is and however it drifts between blocks. Bets are on odds ratios
/// (Fisher's noncentral hypergeometric distribution).
class MCOMP_API SequentialABTest {
 public:
  /// Error: invalid_argument for an alpha or expected success outside (0, 1), or planned observations that are not
  /// positive.
  [[nodiscard]] static Result<SequentialABTest> create(const SequentialABOptions& options = {});

  /// Some 10 ns on average.
  void update_baseline(bool success) noexcept { update(0, success); }
  void update_candidate(bool success) noexcept { update(1, success); }

  [[nodiscard]] std::int64_t baseline_trials() const noexcept { return trials_[0]; }
  [[nodiscard]] std::int64_t candidate_trials() const noexcept { return trials_[1]; }
  [[nodiscard]] std::int64_t baseline_successes() const noexcept { return successes_[0]; }
  [[nodiscard]] std::int64_t candidate_successes() const noexcept { return successes_[1]; }
  [[nodiscard]] double e_value() const noexcept { return evidence_.e_value(); }
  [[nodiscard]] double p_value() const noexcept { return evidence_.p_value(); }
  [[nodiscard]] bool rejects() const noexcept { return p_value() <= options_.alpha; }
  /// Of the difference candidate - baseline, at level 1 - alpha, all times at once: the differences for which no pair
  /// of probabilities escapes the product of two beta-binomial mixtures. It is wider than the test is sharp: the test
  /// may reject while 0 is still inside. [-1, 1] before both streams have begun. Cost: some 300 microseconds.
  [[nodiscard]] Interval difference_interval() const noexcept;

  static constexpr std::size_t bets = 20; ///< on each side
  static constexpr std::int64_t block = 8;

 private:
  explicit SequentialABTest(const SequentialABOptions& options) noexcept;
  void update(int arm, bool success) noexcept;
  void close_block() noexcept;
  SequentialABOptions options_;
  std::int64_t trials_[2] = {}, successes_[2] = {};
  std::int64_t block_trials_[2] = {}, block_successes_[2] = {};
  EProcess evidence_;
  std::array<double, 2 * bets> capital_; ///< of the bets that the candidate's odds are higher, then lower
  std::array<double, 2 * bets> odds_{};
};

} // namespace mcomp::inline v0::stats
