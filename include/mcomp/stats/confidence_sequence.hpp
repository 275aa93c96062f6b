#pragma once

// Confidence sequences: intervals for a mean that hold at all times at once, so that one may look after every
// observation and stop when one likes. Each class here is a plain value that takes one observation at a time without
// allocating; different objects may be used from different threads. Tests of accuracies stand in
// stats/sequential_test.hpp, quantiles in stats/sequential_quantile.hpp.
//
//     auto mean = mcomp::stats::EmpiricalBernsteinSequence::create({.level = 0.95}).value();
//     for (double quality : stream) { mean.update(quality); if (mean.interval().lower > 0.9) break; }
//     fmt::print("{}\n", mean.interval());

#include <cstdint>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/alternative.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::stats {

/// The p-value of an e-process: 1 / (the largest e-value so far), at most 1, which never rises again. It may be looked
/// at whenever one likes: under the null hypothesis it ever falls to alpha with probability at most alpha (Ville).
class EProcess {
 public:
  /// Takes the e-value after another observation; NaN changes nothing.
  void update(double e_value) noexcept {
    if (!(e_value >= 0)) return;
    e_value_ = e_value;
    if (e_value > largest_) largest_ = e_value;
  }
  /// The evidence against the null hypothesis now; its mean is at most 1 under it at any stopping time.
  [[nodiscard]] double e_value() const noexcept { return e_value_; }
  [[nodiscard]] double p_value() const noexcept { return largest_ > 1 ? 1 / largest_ : 1; }

 private:
  double e_value_ = 1, largest_ = 1;
};

/// For a proportion, from counts alone: the p that a beta-binomial mixture centred at p does not reject (confseq's
/// bernoulli_confidence_interval). Holds for all `trials` at once at level 1 - alpha.
struct BernoulliSequenceOptions {
  double level = 0.95;
  double planned_trials = 1000; ///< where the interval is narrowest; it holds everywhere
};
/// Cost: two roots, a few microseconds. Errors: insufficient_data for no trials, invalid_argument for counts that
/// cannot be or exceed 2^53, a level outside (0, 1), planned trials that are not positive.
[[nodiscard]] MCOMP_API Result<Interval> bernoulli_confidence_interval(std::int64_t successes, std::int64_t trials,
                                                                       const BernoulliSequenceOptions& options = {});

/// The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Annals of Statistics 52,
/// 2024): the normal mixture with the observed variance plugged in. For means of anything with a variance; its level
/// is reached as observations grow in number, so nothing is claimed before `first_look`.
struct AsymptoticOptions {
  double level = 0.95;
  double planned_observations = 1000; ///< where the interval is narrowest
  std::int64_t first_look = 100;      ///< before it intervals are infinite and e-values 1
  Alternative alternative = Alternative::two_sided;
  double null_value = 0; ///< of the mean, or of the difference of means
};
/// rho^2 with the narrowest interval at `planned` observations (eq. 161); of the one-sided one with alpha doubled.
[[nodiscard]] MCOMP_API double asymptotic_rho_squared(double alpha, double planned, bool one_sided = false) noexcept;
/// Half the width for standard deviation 1: sqrt(2 (n rho^2 + 1) / (n rho)^2 log(sqrt(n rho^2 + 1) / alpha)); one-sided
/// with log(1 + sqrt(n rho^2 + 1) / (2 alpha)) (eq. 134). NaN outside n > 0, rho^2 > 0, alpha within (0, 1).
[[nodiscard]] MCOMP_API double asymptotic_radius(double n, double rho_squared, double alpha,
                                                 bool one_sided = false) noexcept;
/// log e-value of a standardized mean `t` = (mean - null) / deviation of one observation, after n of them.
[[nodiscard]] MCOMP_API double asymptotic_log_e_value(double t, double n, double rho_squared,
                                                      Alternative alternative = Alternative::two_sided) noexcept;

/// Mean and variance of a stream (Welford).
class MCOMP_API RunningMoments {
 public:
  void update(double value) noexcept {
    ++count_;
    const double deviation = value - mean_;
    mean_ += deviation / static_cast<double>(count_);
    squares_ += deviation * (value - mean_);
  }
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] double mean() const noexcept { return mean_; }
  /// With n - 1; 0 for fewer than two values.
  [[nodiscard]] double variance() const noexcept { return count_ < 2 ? 0 : squares_ / static_cast<double>(count_ - 1); }

 private:
  std::int64_t count_ = 0;
  double mean_ = 0, squares_ = 0;
};

/// Asymptotic sequence for the mean of one stream: of paired differences, say, or of a user's averages.
class MCOMP_API AsymptoticMeanSequence {
 public:
  /// Errors: invalid_argument for a level outside (0, 1), planned observations that are not positive, a first look
  /// below 2, a null value that is not finite.
  [[nodiscard]] static Result<AsymptoticMeanSequence> create(const AsymptoticOptions& options = {});

  /// Nanoseconds. A value that is not finite is counted in `rejected` and changes nothing else.
  void update(double value) noexcept;

  [[nodiscard]] const RunningMoments& moments() const noexcept { return moments_; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }
  /// The end that the alternative does not look at is infinite.
  [[nodiscard]] Interval interval() const noexcept;
  [[nodiscard]] double e_value() const noexcept { return evidence_.e_value(); }
  [[nodiscard]] double p_value() const noexcept { return evidence_.p_value(); }
  [[nodiscard]] bool rejects() const noexcept { return p_value() <= 1 - options_.level; }

 private:
  explicit AsymptoticMeanSequence(const AsymptoticOptions& options) noexcept;
  AsymptoticOptions options_;
  double rho_squared_;
  RunningMoments moments_;
  EProcess evidence_;
  std::int64_t rejected_ = 0;
};

/// Asymptotic sequence for the difference candidate - baseline of the means of two independent streams, in any order of
/// arrival.
class MCOMP_API AsymptoticDifferenceSequence {
 public:
  /// Errors as of `AsymptoticMeanSequence`. `planned_observations` counts both streams.
  [[nodiscard]] static Result<AsymptoticDifferenceSequence> create(const AsymptoticOptions& options = {});

  void update_baseline(double value) noexcept { update(0, value); }
  void update_candidate(double value) noexcept { update(1, value); }

  [[nodiscard]] const RunningMoments& baseline() const noexcept { return arms_[0]; }
  [[nodiscard]] const RunningMoments& candidate() const noexcept { return arms_[1]; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }
  [[nodiscard]] Interval interval() const noexcept;
  [[nodiscard]] double e_value() const noexcept { return evidence_.e_value(); }
  [[nodiscard]] double p_value() const noexcept { return evidence_.p_value(); }
  [[nodiscard]] bool rejects() const noexcept { return p_value() <= 1 - options_.level; }

 private:
  explicit AsymptoticDifferenceSequence(const AsymptoticOptions& options) noexcept;
  void update(int arm, double value) noexcept;
  /// Of sqrt(n) (difference - true difference), n observations of both; 0 where it cannot be told yet.
  [[nodiscard]] double variance() const noexcept;
  AsymptoticOptions options_;
  double rho_squared_;
  RunningMoments arms_[2];
  EProcess evidence_;
  std::int64_t rejected_ = 0;
};

/// For the mean of observations within [0, 1], exact at every time: the predictable plug-in empirical Bernstein
/// sequence of Waudby-Smith and Ramdas (Estimating means of bounded random variables by betting, JRSS B 86, 2024,
/// Theorem 2). Scale other ranges to [0, 1].
struct BoundedMeanOptions {
  double level = 0.95;
};
class MCOMP_API EmpiricalBernsteinSequence {
 public:
  /// Error: invalid_argument for a level outside (0, 1).
  [[nodiscard]] static Result<EmpiricalBernsteinSequence> create(const BoundedMeanOptions& options = {});

  /// A value outside [0, 1] or NaN is counted in `rejected` and changes nothing else.
  void update(double value) noexcept;

  /// Of all intervals so far the part that they have in common: it never widens. [0, 1] at the start. Should they have
  /// nothing in common (the assumptions are then broken, or it is the failure that alpha allows), lower > upper.
  [[nodiscard]] Interval interval() const noexcept { return {lower_, upper_, level_}; }
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }
  [[nodiscard]] double mean() const noexcept { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

 private:
  explicit EmpiricalBernsteinSequence(double level) noexcept;
  double level_, log_threshold_, lower_ = 0, upper_ = 1;
  std::int64_t count_ = 0, rejected_ = 0;
  double sum_ = 0, squares_ = 0;                 ///< of values; of their deviations from the mean estimates
  double weights_ = 0, weighted_ = 0, cost_ = 0; ///< sums of lambda, lambda x, and v psi(lambda)
};

/// The same, narrower and dearer: the hedged capital of the same paper (Theorem 3), which bets against every candidate
/// mean of a grid and keeps those that it has not become rich against.
struct BettingOptions {
  double level = 0.95;
  std::int64_t grid = 1000; ///< candidate means; the interval ends on its points. Memory: two doubles each
};
class MCOMP_API BettingSequence {
 public:
  /// Errors: invalid_argument for a level outside (0, 1) or a grid outside 2 .. 2^24.
  [[nodiscard]] static Result<BettingSequence> create(const BettingOptions& options = {});

  /// Cost: the candidates that are left, about a nanosecond each. Allocates nothing. A value outside [0, 1] or NaN is
  /// counted in `rejected`.
  void update(double value) noexcept;

  /// Never widens; lower > upper where every candidate is rejected.
  [[nodiscard]] Interval interval() const noexcept;
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }
  [[nodiscard]] double mean() const noexcept { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

 private:
  explicit BettingSequence(const BettingOptions& options);
  double level_, log_threshold_;
  std::int64_t count_ = 0, rejected_ = 0;
  double sum_ = 0, squares_ = 0;
  std::vector<double> up_, down_; ///< capital of the bets that the mean is above and below (i + 1) / (grid + 1)
  std::size_t first_ = 0, last_;  ///< candidates left: first .. last - 1
};

} // namespace mcomp::inline v0::stats
