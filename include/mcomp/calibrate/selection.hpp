#pragma once

// Which calibrator? By cross-validation on a proper score, NLL or Brier; never on ECE, which depends on bins and can be
// made small by saying nothing. What the choice itself costs is measured by choosing again without each fold (nested
// cross-validation; Stone 1974).
//
//     auto selection = calibrate::select_calibrator(logits, labels).value();

#include <string>
#include <vector>

#include "mcomp/calibrate/calibrator.hpp"

namespace mcomp::inline v0::calibrate {

enum class Criterion {
  nll,
  brier,
};
[[nodiscard]] MCOMP_API std::string to_string(Criterion criterion);

struct SelectionOptions {
  /// Candidates; the identity is always one. Empty: temperature, vector, dirichlet, beta, isotonic, histogram, spline,
  /// and slice_temperature where the options have slices.
  std::vector<Method> methods{};
  Criterion criterion = Criterion::nll;
  int folds = 5;
  bool nested = true;      ///< also the score of the whole procedure, for about folds / 2 times the fits
  CalibratorOptions fit{}; ///< its guard is not used: the identity is a candidate
};

struct CandidateScore {
  Method method = Method::identity;
  double score = 0;          ///< mean over all rows, each scored by a fit that did not see it
  double gain = 0;           ///< score of the identity less this one
  double standard_error = 0; ///< of the gain, over rows
  std::string refused{};     ///< why there is no score: the error of the fit
};

struct Selection {
  FittedCalibrator chosen{}; ///< fitted on all rows
  Criterion criterion = Criterion::nll;
  int folds = 0;
  std::vector<CandidateScore> candidates{}; ///< the identity first
  bool nested = false;
  double nested_score = 0; ///< of choosing and fitting, on rows that had no part in either
};

/// A line for every candidate.
[[nodiscard]] MCOMP_API std::string to_string(const Selection& selection);

/// Errors: those of reading logits and labels; insufficient_data with fewer than 2 rows a fold (3 folds are the least
/// with `nested`); invalid_argument for folds below 2.
[[nodiscard]] MCOMP_API Result<Selection> select_calibrator(const TensorView& logits, const TensorView& labels,
                                                            const SelectionOptions& options = {});

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::Criterion> = true;
template <> inline constexpr bool enable_format<calibrate::Selection> = true;
} // namespace mcomp::inline v0
