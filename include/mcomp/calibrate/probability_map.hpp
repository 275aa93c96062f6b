#pragma once

// Calibration of one probability at a time: a function from a score in [0, 1] to a probability, fitted on scores and
// on whether the event happened. Of classifiers with several classes it calibrates the confidence, or every class by
// itself (`Reduction` in calibrate/calibrator.hpp).
//
//     auto isotonic = calibrate::fit_isotonic(confidences, correct).value();
//     double honest = isotonic.map(0.97);

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/calibrate/fit_report.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::calibrate {

/// The function, as plain numbers.
struct ProbabilityMap {
  enum class Kind {
    logistic, ///< 1 / (1 + exp(-(c + a log x - b log(1 - x)))), with x held within [1e-38, 1 - 2^-53]
    linear,   ///< linear between the points (x_i, y_i), constant beyond the first and the last
    constant, ///< y_i on (x_i, x_{i+1}], the first interval closed on both sides; one x more than y
  };
  Kind kind = Kind::logistic;
  double a = 1, b = 1, c = 0;   ///< of `logistic`; these make the identity
  std::vector<double> x{}, y{}; ///< of the other two; x rises
  double least = 0, most = 1;   ///< results are held within

  /// Of a score in [0, 1]; NaN for NaN.
  [[nodiscard]] MCOMP_API double operator()(double score) const noexcept;
  friend bool operator==(const ProbabilityMap&, const ProbabilityMap&) = default;
};

[[nodiscard]] MCOMP_API std::string to_string(const ProbabilityMap& map);

struct MapFit {
  ProbabilityMap map{};
  FitReport report{};    ///< NLL of the event; infinite where an event of probability 0 happened
  double mse_before = 0; ///< mean of (score - outcome)^2
  double mse_after = 0;
  std::int64_t blocks = 0; ///< different values of a step function, before any interpolation; otherwise 0
};

[[nodiscard]] MCOMP_API std::string to_string(const MapFit& fit);

// Scores within [0, 1], and outcomes: zero where the event did not happen, anything else where it did.
// Errors of all: insufficient_data without rows (and as stated); invalid_shape where lengths differ; invalid_value for
// a score that is NaN or outside [0, 1]; invalid_argument for options out of range.

struct PlattOptions {
  /// Targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) in place of 1 and 0 (Platt, section 2.2), which keeps the optimum
  /// finite; without, separable scores are an error (insufficient_data).
  bool smooth_targets = true;
};
/// Platt scaling (Advances in Large Margin Classifiers, 1999) on the log-odds of the score: a = b and c. Convex.
[[nodiscard]] MCOMP_API Result<MapFit> fit_platt(std::span<const double> scores, std::span<const std::uint8_t> outcomes,
                                                 const PlattOptions& options = {});

/// Which of a, b >= 0 and c of the beta family are free (Kull, Silva Filho and Flach, AISTATS 2017).
enum class BetaParameters {
  abm, ///< all three
  ab,  ///< a and b; the map keeps 1/2
  am,  ///< a = b and c
};
/// Beta calibration: logit = c + a log x - b log(1 - x). Convex; the constraints hold exactly, as the best of the
/// optima on the faces a = 0, b = 0 and a = b = 0 where the free one breaks them. Error: insufficient_data where scores
/// separate the outcomes.
[[nodiscard]] MCOMP_API Result<MapFit> fit_beta(std::span<const double> scores, std::span<const std::uint8_t> outcomes,
                                                BetaParameters parameters = BetaParameters::abm);

struct IsotonicOptions {
  /// Hold results within [1 / (n + 2), 1 - 1 / (n + 2)]: n rows cannot tell a probability from 0 or 1.
  bool clip = false;
};
/// Isotonic regression (Zadrozny and Elkan, KDD 2002) by pooling adjacent violators, rows of equal score merged first.
/// Between the ends of neighbouring blocks the map is linear, beyond the outermost constant. O(n log n).
[[nodiscard]] MCOMP_API Result<MapFit> fit_isotonic(std::span<const double> scores,
                                                    std::span<const std::uint8_t> outcomes,
                                                    const IsotonicOptions& options = {});

enum class Binning {
  equal_width,
  equal_mass, ///< about equally many rows a bin; rows of equal score share one
};
[[nodiscard]] MCOMP_API std::string to_string(Binning binning);

struct HistogramOptions {
  int bins = 15;
  Binning binning = Binning::equal_mass;
  /// Rows that are added to each bin in thought, at its mean score (of an empty bin its middle), so that no event gets
  /// probability 0. Zero is the plain estimator; empty bins then keep their middle.
  double pseudo_count = 1;
};
/// Histogram binning (Zadrozny and Elkan, ICML 2001): the fraction of outcomes of each bin.
[[nodiscard]] MCOMP_API Result<MapFit> fit_histogram(std::span<const double> scores,
                                                     std::span<const std::uint8_t> outcomes,
                                                     const HistogramOptions& options = {});

/// Bayesian binning into quantiles (Naeini, Cooper and Hauskrecht, AAAI 2015): all equal-mass binnings with n^(1/3) /
/// 10
/// .. 10 n^(1/3) bins, averaged by their marginal likelihood under a beta prior of strength 2 that is shared by the
/// bins and centred on their middles.
[[nodiscard]] MCOMP_API Result<MapFit> fit_bbq(std::span<const double> scores, std::span<const std::uint8_t> outcomes);

/// The scaling-binning calibrator (Kumar, Liang and Ma, NeurIPS 2019): Platt scaling on the even rows, then its mean
/// over each equal-mass bin of the odd rows, whose error can be estimated as a smooth map's cannot. Error:
/// insufficient_data below 4 rows.
[[nodiscard]] MCOMP_API Result<MapFit> fit_scaling_binning(std::span<const double> scores,
                                                           std::span<const std::uint8_t> outcomes, int bins = 15);

/// Spline calibration (Gupta et al., ICLR 2021): the cumulative fraction of events as a function of the fraction of
/// rows with at most that score, fitted by a natural cubic spline with equidistant knots; its slope is the probability,
/// held within [1 / (n + 2), 1 - 1 / (n + 2)]. At most 1,024 points of it are kept, linear between. Errors:
/// insufficient_data with fewer rows than knots, invalid_argument for knots outside 3 .. 100.
[[nodiscard]] MCOMP_API Result<MapFit> fit_spline(std::span<const double> scores,
                                                  std::span<const std::uint8_t> outcomes, int knots = 6);

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::ProbabilityMap> = true;
template <> inline constexpr bool enable_format<calibrate::MapFit> = true;
template <> inline constexpr bool enable_format<calibrate::Binning> = true;
} // namespace mcomp::inline v0
