#pragma once

#include <variant>

#include "calibrate/finite_rows.hpp"
#include "mcomp/calibrate/calibrator.hpp"

namespace mcomp::inline v0::calibrate {

struct Calibrator::State {
  Method method = Method::identity;
  std::int64_t classes = 0;
  /// The double is the temperature.
  std::variant<std::monostate, double, SliceTemperatures, VectorScaling, MatrixScaling, ReducedMaps, CalibrationHead>
      parameters{};
};

namespace detail {

/// A fit without guard. `slices` may be empty.
struct PlainFit {
  Calibrator calibrator{};
  FitReport report{};
};
[[nodiscard]] Result<PlainFit> fit_plain(Method method, const FiniteRows& data, std::span<const std::int32_t> slices,
                                         const CalibratorOptions& options);
/// NLL and Brier of every row under a calibrator.
struct ProperScores {
  std::vector<double> nll{}, brier{};
};
[[nodiscard]] Result<ProperScores> proper_scores(const Calibrator& calibrator, const FiniteRows& data,
                                                 std::span<const std::int32_t> slices, Executor* executor);
/// The fit on all rows outside the given folds, and a part of the slices.
[[nodiscard]] std::vector<std::size_t> rows_where(std::span<const int> part, int fold, int other, bool inside);
[[nodiscard]] std::vector<std::int32_t> slices_of(std::span<const std::int32_t> slices,
                                                  std::span<const std::size_t> rows);

} // namespace detail

} // namespace mcomp::inline v0::calibrate
