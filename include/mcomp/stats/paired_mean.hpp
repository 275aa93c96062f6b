#pragma once

// Losses (or scores, latencies, anything with a mean) of two models on the same inputs, and what the baseline's loss on
// an input is worth where the candidate ran on other or fewer ones. Right-or-wrong outcomes: stats/paired.hpp.
//
//     auto loss = mcomp::stats::paired_mean(baseline_losses, candidate_losses).value();   // candidate - baseline
//     auto answer = mcomp::stats::non_inferiority(loss, 0.01);
//     if (answer.verdict == mcomp::stats::NonInferiority::non_inferior) ...

#include <cstdint>
#include <span>
#include <string>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/stats/interval.hpp"
#include "mcomp/stats/paired.hpp"

namespace mcomp::inline v0::stats {

/// The mean of candidate - baseline over pairs, by Student's t.
struct PairedMean {
  std::int64_t pairs = 0;
  double mean = 0;
  double standard_error = 0;
  double correlation = 0; ///< of both over the inputs; 0 where one does not vary
  Interval interval{};
  double p_value = 1;    ///< that the mean is 0
  bool constant = false; ///< all differences are equal: the interval has no width and says nothing of other inputs

  friend bool operator==(const PairedMean&, const PairedMean&) = default;
};
[[nodiscard]] MCOMP_API std::string to_string(const PairedMean& difference);

/// Errors: invalid_shape for different lengths, insufficient_data for fewer than 2 pairs, invalid_value for NaN or
/// infinity, invalid_argument for a level outside (0, 1).
[[nodiscard]] MCOMP_API Result<PairedMean> paired_mean(std::span<const double> baseline,
                                                       std::span<const double> candidate, double level = 0.95);

/// A mean made more precise by a covariate x known on the same inputs: y - theta (x - its mean), theta = cov(x, y) /
/// var(x). CUPED (Deng, Xu, Kohavi and Walker, WSDM 2013), where x comes from before the experiment. Here x is the
/// *baseline's own loss on the same input*, whose correlation with the candidate's loss is commonly above .9: the
/// variance falls to 1 - rho^2 of what it was, at .9 to a fifth.
struct CupedEstimate {
  double estimate = 0;
  double standard_error = 0;
  Interval interval{};
  double theta = 0;
  double unadjusted = 0;         ///< the estimate without the covariate
  double variance_reduction = 0; ///< 1 - variance of the estimate / variance without the covariate
  friend bool operator==(const CupedEstimate&, const CupedEstimate&) = default;
};
[[nodiscard]] MCOMP_API std::string to_string(const CupedEstimate& estimate);

/// The candidate's mean loss from n inputs on which both models ran, where the baseline's mean is known from more:
/// labels or compute for the candidate are dear, the baseline has run for long.
struct CupedMeanOptions {
  double baseline_mean = 0;        ///< over the population that the n inputs are drawn from
  std::int64_t baseline_count = 0; ///< inputs that it is a mean of (may include the n); 0: it is known exactly
  double level = 0.95;
};
/// Errors as of `paired_mean`, with 3 pairs at least; invalid_argument for a mean that is not finite or a count below
/// that of the inputs.
[[nodiscard]] MCOMP_API Result<CupedEstimate>
cuped_mean(std::span<const double> baseline, std::span<const double> candidate, const CupedMeanOptions& options);

/// One arm of an A/B test: outcomes of the model that served, and the baseline's loss on the same inputs (in the
/// baseline's arm that is the outcome itself).
struct CupedArm {
  std::span<const double> outcomes;
  std::span<const double> covariate;
};
/// Candidate minus baseline for arms that served different inputs; theta from both arms together, interval by Welch.
/// Errors as of `cuped_mean`, for each arm.
[[nodiscard]] MCOMP_API Result<CupedEstimate> cuped_difference(const CupedArm& baseline, const CupedArm& candidate,
                                                               double level = 0.95);

/// Inputs that the baseline answers rightly and the candidate does not: what users notice though the averages agree
/// (Yan et al., Positive-congruent training, CVPR 2021).
struct NegativeFlips {
  std::int64_t flips = 0;          ///< only baseline right
  std::int64_t positive_flips = 0; ///< only candidate right
  std::int64_t pairs = 0;
  double rate = 0;     ///< flips / pairs
  Interval interval{}; ///< of the rate; Clopper and Pearson
  friend bool operator==(const NegativeFlips&, const NegativeFlips&) = default;
};
[[nodiscard]] MCOMP_API std::string to_string(const NegativeFlips& flips);
/// Errors: insufficient_data without pairs, invalid_argument for counts or a level that cannot be.
[[nodiscard]] MCOMP_API Result<NegativeFlips> negative_flips(const PairedCounts& counts, double level = 0.95);

enum class NonInferiority {
  non_inferior,      ///< the loss is below the margin, at the confidence asked for
  inferior,          ///< it is above the margin, at the same confidence
  insufficient_data, ///< neither can be said: never a pass
};
[[nodiscard]] MCOMP_API std::string to_string(NonInferiority verdict);

/// Is the candidate worse by less than a margin?
struct NonInferiorityAnswer {
  NonInferiority verdict = NonInferiority::insufficient_data;
  double loss = 0; ///< observed; positive where the candidate is worse
  double margin = 0;
  double upper_limit = 0;       ///< one-sided, of the loss
  double lower_limit = 0;       ///< one-sided
  double resolvable_margin = 0; ///< the least margin that a candidate without any observed loss would have passed
  double confidence = 0;
  friend bool operator==(const NonInferiorityAnswer&, const NonInferiorityAnswer&) = default;
};
/// "non-inferior: loss 0.0037, at most 0.0061 (95%), margin 0.01"
[[nodiscard]] MCOMP_API std::string to_string(const NonInferiorityAnswer& answer);

/// Of accuracy, by Tango's score. Errors: those of `tango_upper_limit`; invalid_argument for a margin outside (0, 1) or
/// a confidence outside [1/2, 1).
[[nodiscard]] MCOMP_API Result<NonInferiorityAnswer> non_inferiority(const PairedCounts& counts, double margin,
                                                                     double confidence = 0.95);
/// Of a mean where more is worse, by Student's t. Constant differences other than 0, and fewer than `least_pairs`, are
/// insufficient data. Errors: invalid_argument for a margin that is not positive and finite, a confidence outside [1/2,
/// 1) or fewer than 2 pairs.
[[nodiscard]] MCOMP_API Result<NonInferiorityAnswer>
non_inferiority(const PairedMean& difference, double margin, double confidence = 0.95, std::int64_t least_pairs = 30);

} // namespace mcomp::inline v0::stats

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<stats::PairedMean> = true;
template <> inline constexpr bool enable_format<stats::CupedEstimate> = true;
template <> inline constexpr bool enable_format<stats::NegativeFlips> = true;
template <> inline constexpr bool enable_format<stats::NonInferiority> = true;
template <> inline constexpr bool enable_format<stats::NonInferiorityAnswer> = true;
} // namespace mcomp::inline v0
