#pragma once

// Any confidence calibrator as one value: it turns logits into probabilities, prints, and is stored beside the weights
// that it belongs to. Compression changes confidence, so it is fitted again after every compression; weights and
// calibrator are one artifact.
//
//     auto fitted = calibrate::fit_calibrator(Method::vector, logits, labels, {.folds = 5}).value();
//     auto confident = fitted.calibrator.probabilities(test_logits).value();
//     write_file("calibrator.json", fitted.calibrator.to_json()).value();

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/calibrate/calibration_head.hpp"
#include "mcomp/calibrate/linear_scaling.hpp"
#include "mcomp/calibrate/probability_map.hpp"
#include "mcomp/calibrate/slice_temperature.hpp"
#include "mcomp/calibrate/temperature.hpp"

namespace mcomp::inline v0::calibrate {

enum class Method {
  identity,
  temperature,
  slice_temperature,
  vector,
  matrix,
  dirichlet,
  platt,
  beta,
  isotonic,
  histogram,
  bbq,
  scaling_binning,
  spline,
  head,
};
[[nodiscard]] MCOMP_API std::string to_string(Method method);
/// Error: invalid_argument with the closest known name.
[[nodiscard]] MCOMP_API Result<Method> method_from_string(std::string_view name);
[[nodiscard]] MCOMP_API std::span<const Method> all_methods() noexcept;

/// How functions of one probability calibrate several classes.
enum class Reduction {
  binary,      ///< two classes: the probability of class 1
  one_vs_rest, ///< a function for every class, results divided by their sum; where that is 0 the row stays as it was
  top_label,   ///< one function for the largest probability c of a row; the others are scaled by (1 - c') / (1 - c), or
               ///< share 1 - c' equally where c is 1. Where c' is small another class may become the largest.
};
[[nodiscard]] MCOMP_API std::string to_string(Reduction reduction);

/// The functions: one, or one for every class.
struct ReducedMaps {
  Reduction reduction = Reduction::binary;
  std::vector<ProbabilityMap> maps{};
};

struct ApplyOptions {
  std::span<const std::int32_t> slices{}; ///< of slice_temperature: the number of every row's slice
  TensorView features{};                  ///< of a head that was fitted on features
  Executor* executor = nullptr;           ///< null: the calling thread; the result does not depend on it
};

class MCOMP_API Calibrator {
 public:
  /// The identity, for any number of classes.
  Calibrator();
  // Errors: invalid_value for parameters that are not finite, of which T must be positive, or that do not fit together.
  [[nodiscard]] static Result<Calibrator> of(const TemperatureScaling& scaling);
  [[nodiscard]] static Result<Calibrator> of(SliceTemperatures scaling);
  [[nodiscard]] static Result<Calibrator> of(VectorScaling scaling);
  [[nodiscard]] static Result<Calibrator> of(MatrixScaling scaling);
  [[nodiscard]] static Result<Calibrator> of(CalibrationHead head);
  /// @param classes of the rows; 0 for any, with top_label
  [[nodiscard]] static Result<Calibrator> of(Method method, ReducedMaps maps, std::int64_t classes);

  [[nodiscard]] Method method() const noexcept;
  /// 0: any number.
  [[nodiscard]] std::int64_t classes() const noexcept;

  /// Probabilities f64 [samples, classes] of logits [samples, classes], f32 or f64. Minus infinity is a class of
  /// probability zero; vector, matrix, Dirichlet and head refuse it. Errors: invalid_shape, invalid_dtype,
  /// invalid_value, and invalid_argument where slices or features are needed and absent. No rows give no rows.
  [[nodiscard]] Result<Tensor> probabilities(const TensorView& logits, const ApplyOptions& options = {}) const;

  /// Method, classes and parameters; reports of fits are not part of it. Numbers are kept exactly.
  [[nodiscard]] std::string to_json() const;
  /// Errors: corrupt for what is no such text, with the place; version_mismatch for a later version.
  [[nodiscard]] static Result<Calibrator> from_json(std::string_view text, const std::string& subject = "calibrator");

  struct State;

 private:
  explicit Calibrator(std::shared_ptr<const State> state);
  friend MCOMP_API std::string to_string(const Calibrator& calibrator);

  std::shared_ptr<const State> state_;
};

/// "temperature 2.395", "isotonic (top_label) of 10 classes: linear between 41 points"
[[nodiscard]] MCOMP_API std::string to_string(const Calibrator& calibrator);

/// Log of probabilities [samples, classes] as f64, which serve as logits; those below the least normal f32, 1.18e-38,
/// are raised to it first, as softmax in f32 gives zeros that are none. Errors: those of measure_probabilities.
[[nodiscard]] MCOMP_API Result<Tensor> log_probabilities(const TensorView& probabilities);

/// Rows that a fit does not see, to judge it by.
struct HeldOutRows {
  TensorView logits{}, labels{};
  std::span<const std::int32_t> slices{};
};

struct CalibratorOptions {
  std::optional<Reduction> reduction{}; ///< default: binary for two classes; else one_vs_rest for platt and beta, and
                                        ///< top_label for those that need more rows
  LinearOptions linear{};               ///< vector, matrix, dirichlet; its executor is not used
  HeadOptions head{};                   ///< its executor is not used
  HistogramOptions histogram{};
  BetaParameters beta = BetaParameters::abm;
  int bins = 15; ///< scaling_binning
  int knots = 6; ///< spline
  std::span<const std::int32_t> slices{};
  // The guard: with one of these, a calibrator that makes NLL worse on rows it was not fitted on is rejected.
  std::optional<HeldOutRows> held_out{};
  int folds = 0;          ///< 2 and above: by cross-validation, with folds that share classes evenly
  std::uint64_t seed = 1; ///< of the folds
  Executor* executor = nullptr;
};

/// What the guard saw.
struct GuardReport {
  bool checked = false;
  bool rejected = false;  ///< the calibrator made held-out NLL worse; the result is the identity
  std::int64_t count = 0; ///< held-out rows
  int folds = 0;          ///< 0: rows given by the caller
  double nll_before = 0;
  double nll_after = 0;
};

struct FittedCalibrator {
  Calibrator calibrator{};          ///< the identity where the guard rejected
  Method method = Method::identity; ///< what was asked for
  FitReport report{};               ///< of it
  GuardReport guard{};
};

/// "temperature 2.395; held-out NLL 0.3743 -> 0.2704 on 5000 rows (5-fold cross-validation): accepted"
[[nodiscard]] MCOMP_API std::string to_string(const FittedCalibrator& fitted);

/// Fits `method` on logits [samples, classes] (f32 or f64, finite; `log_probabilities` makes them from probabilities)
/// and labels. Temperature without an optimum inside is an error (insufficient_data). Isotonic regression is clipped
/// (IsotonicOptions). Errors: those of the method's own fit, of which one_vs_rest names the class.
[[nodiscard]] MCOMP_API Result<FittedCalibrator> fit_calibrator(Method method, const TensorView& logits,
                                                                const TensorView& labels,
                                                                const CalibratorOptions& options = {});

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::Method> = true;
template <> inline constexpr bool enable_format<calibrate::Reduction> = true;
template <> inline constexpr bool enable_format<calibrate::Calibrator> = true;
template <> inline constexpr bool enable_format<calibrate::FittedCalibrator> = true;
} // namespace mcomp::inline v0
