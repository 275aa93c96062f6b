#pragma once

// Sets of classes that contain the right one with a chosen probability, for any model, as long as the rows of fitting
// and of use are exchangeable: split conformal prediction (Vovk et al.; Angelopoulos and Bates 2021). Scores:
// LAC (Sadinle, Lei and Wasserman 2019) 1 - p_y, the smallest sets; APS (Romano, Sesia and Candes 2020) the
// probability of all classes up to y, sets that follow the difficulty of the row; RAPS (Angelopoulos et al. 2021) with
// a penalty for long tails.
//
//     auto predictor = calibrate::fit_conformal(probabilities, labels, {.miscoverage = 0.05}).value();
//     auto sets = calibrate::prediction_sets(predictor, test_probabilities).value();

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate {

enum class ConformalScore {
  lac,
  aps,
  raps,
};
[[nodiscard]] MCOMP_API std::string to_string(ConformalScore score);

struct ConformalOptions {
  ConformalScore score = ConformalScore::lac;
  double miscoverage = 0.1; ///< alpha: at most this share of rows may miss their class
  /// APS and RAPS: the last class counts with a uniform random share of its probability (seeded), which makes coverage
  /// exact; without, sets are larger than needed.
  bool randomized = true;
  std::uint64_t seed = 1;
  double rank_penalty = 0.01; ///< lambda of RAPS, for every class in rank beyond `free_classes`
  int free_classes = 5;
  bool allow_empty = true; ///< without, a set that would be empty gets the most probable class; coverage only rises
};

/// Where the score ends that a class may have.
struct ConformalPredictor {
  ConformalOptions options{};
  std::int64_t classes = 0;
  std::int64_t count = 0; ///< n, rows of the fit
  /// The ceil((n + 1)(1 - alpha))-th smallest score, infinite (all classes) where that is more than n. With it, a set
  /// holds the right class with probability at least 1 - alpha and, unless scores tie, at most 1 - alpha + 1 / (n + 1).
  double threshold = 0;
};
[[nodiscard]] MCOMP_API std::string to_string(const ConformalPredictor& predictor);

/// Classes of every row, by falling probability.
struct PredictionSets {
  std::int64_t classes = 0;
  std::vector<std::int64_t> offsets{0}; ///< [rows + 1]: row i has members offsets[i] .. offsets[i + 1] - 1
  std::vector<std::int32_t> members{};

  [[nodiscard]] std::int64_t rows() const noexcept { return static_cast<std::int64_t>(offsets.size()) - 1; }
  [[nodiscard]] std::span<const std::int32_t> of(std::int64_t row) const noexcept {
    const auto begin = static_cast<std::size_t>(offsets[static_cast<std::size_t>(row)]);
    return {members.data() + begin, static_cast<std::size_t>(offsets[static_cast<std::size_t>(row) + 1]) - begin};
  }
};

// Probabilities [samples, classes], f32 or f64, rows with sum 1 within 0.001. Errors of all: those of
// measure_probabilities; invalid_argument for a miscoverage outside (0, 1), a negative penalty or number of classes.

[[nodiscard]] MCOMP_API Result<ConformalPredictor>
fit_conformal(const TensorView& probabilities, const TensorView& labels, const ConformalOptions& options = {});

/// Random shares come from the predictor's seed and the number of the row, counted from `first_row`: rows that are
/// served one by one pass how many there were before.
[[nodiscard]] MCOMP_API Result<PredictionSets>
prediction_sets(const ConformalPredictor& predictor, const TensorView& probabilities, std::uint64_t first_row = 0);

struct SetMetrics {
  std::int64_t count = 0;
  double coverage = 0;  ///< share of rows whose set has their class; 0 without rows, as the others
  double mean_size = 0; ///< classes
  double empty = 0;     ///< share of rows
  double single = 0;    ///< share of rows with one class
};
[[nodiscard]] MCOMP_API std::string to_string(const SetMetrics& metrics);

[[nodiscard]] MCOMP_API Result<SetMetrics> measure_sets(const PredictionSets& sets, const TensorView& labels);
/// Of the rows with `slices[i] == g` for g = 0 .. groups - 1. Error: invalid_shape where lengths differ.
[[nodiscard]] MCOMP_API Result<std::vector<SetMetrics>> measure_sets_by_slice(const PredictionSets& sets,
                                                                              const TensorView& labels,
                                                                              std::span<const std::int32_t> slices,
                                                                              std::int32_t groups);

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::ConformalScore> = true;
template <> inline constexpr bool enable_format<calibrate::ConformalPredictor> = true;
template <> inline constexpr bool enable_format<calibrate::SetMetrics> = true;
} // namespace mcomp::inline v0
