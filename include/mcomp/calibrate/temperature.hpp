#pragma once

// Temperature scaling (Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017,
// section 4.2): one number T, by which all logits are divided, fitted on held-out rows by maximum likelihood. It
// changes confidences and never the predicted class. Compression changes the scale of logits, so it is fitted again
// after every compression; the weights and their temperature are one artifact.

#include <cstdint>
#include <string>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate {

/// Where the least negative log-likelihood (NLL) lies. In s = 1/T it is convex on s >= 0, so there is one answer:
enum class TemperatureOptimum {
  interior,  ///< at a temperature between 0 and infinity
  separable, ///< every label has the largest logit of its row: NLL falls all the way to T = 0, which is reported. The
             ///< rows say nothing about confidence; fit on more of them, or on rows the model was not trained on.
  uninformative, ///< labels have no more than the average logit of their rows: NLL falls all the way to T = infinity
  flat,          ///< every row is constant: any temperature does, T = 1 is reported
};

[[nodiscard]] MCOMP_API std::string to_string(TemperatureOptimum optimum);

struct TemperatureOptions {
  double initial_temperature = 1; ///< where the search starts; the result does not depend on it
  Executor* executor = nullptr;   ///< null: the calling thread; the result does not depend on it
};

struct TemperatureScaling {
  double temperature = 1;
  double nll_before = 0; ///< mean over the rows, in nats, at T = 1
  double nll_after = 0;  ///< at `temperature`; for a limit, the infimum
  TemperatureOptimum optimum = TemperatureOptimum::interior;
  int iterations = 0; ///< evaluations of NLL and its derivatives over all rows
  std::int64_t count = 0;

  [[nodiscard]] bool interior() const noexcept { return optimum == TemperatureOptimum::interior; }
};

/// "T 2.395 (interior): NLL 0.3583 -> 0.2093 on 5000 rows, 3 iterations"
[[nodiscard]] MCOMP_API std::string to_string(const TemperatureScaling& scaling);

/// Fits T by a bracketed Halley iteration in 1/T that ends where a step changes 1/T by less than 1e-12 of itself.
/// @param logits [samples, classes], f32 or f64, contiguous; log-probabilities serve as well. Minus infinity is allowed
///               for classes that are not the label.
/// @param labels [samples], int32 or int64
/// Errors: insufficient_data without rows; invalid_shape, invalid_dtype; invalid_value for NaN, plus infinity, a label
/// outside 0 .. classes - 1, or a label with probability zero; invalid_argument for an initial temperature that is not
/// positive and finite.
///
///     auto scaling = calibrate::fit_temperature(validation_logits, validation_labels).value();
///     auto confident = calibrate::softmax(test_logits, scaling.temperature).value();
[[nodiscard]] MCOMP_API Result<TemperatureScaling> fit_temperature(const TensorView& logits, const TensorView& labels,
                                                                   const TemperatureOptions& options = {});

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::TemperatureOptimum> = true;
template <> inline constexpr bool enable_format<calibrate::TemperatureScaling> = true;
} // namespace mcomp::inline v0
