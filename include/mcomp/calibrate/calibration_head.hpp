#pragma once

// A small trainable head that corrects logits from features: softmax(a z + V x + b), or with one hidden layer
// softmax(a z + V tanh(W x + c) + b), where z are the logits and x are standardized features, such as the
// activations before the last layer, or the log-probabilities themselves. Unlike scaling by one temperature it can be
// less confident on inputs that look unusual. Without a hidden layer convex, and fitted to the optimum by Newton-CG;
// with one fitted by L-BFGS (Liu and Nocedal 1989) from a seeded start: same seed, same head.
//
//     auto head = calibrate::fit_head(features, logits, labels, {.hidden = 16}).value();

#include <cstdint>
#include <string>
#include <vector>

#include "mcomp/calibrate/fit_report.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate {

struct HeadOptions {
  int hidden = 0;               ///< width of the hidden layer; 0: none
  double weight_penalty = 1e-3; ///< lambda of lambda (|V|^2 + |W|^2 + |b|^2 + |c|^2), beside the mean NLL
  std::uint64_t seed = 1;       ///< of the first hidden weights
  int most_iterations = 500;
  Executor* executor = nullptr; ///< null: the calling thread; the result does not depend on it
};

struct CalibrationHead {
  std::int64_t features = 0, hidden = 0, classes = 0;
  bool on_logits = false;                                ///< features are log softmax(z)
  std::vector<double> mean{};                            ///< [features] subtracted
  std::vector<double> scale{};                           ///< [features] multiplied; 0 for a feature that does not vary
  double base = 1;                                       ///< a
  std::vector<double> hidden_weights{}, hidden_biases{}; ///< W [hidden, features], c
  std::vector<double> weights{}, biases{};               ///< V [classes, hidden or features], b
  FitReport report{};
};

[[nodiscard]] MCOMP_API std::string to_string(const CalibrationHead& head);

/// @param features [samples, features], f32 or f64, finite
/// @param logits   [samples, classes], f32 or f64, finite
/// Errors: those of fit_vector; invalid_shape where rows differ in number; invalid_argument for a hidden width outside
/// 0 .. 4096 or a penalty that is not positive.
[[nodiscard]] MCOMP_API Result<CalibrationHead> fit_head(const TensorView& features, const TensorView& logits,
                                                         const TensorView& labels, const HeadOptions& options = {});
/// On the log-probabilities of the logits themselves.
[[nodiscard]] MCOMP_API Result<CalibrationHead> fit_head(const TensorView& logits, const TensorView& labels,
                                                         const HeadOptions& options = {});

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::CalibrationHead> = true;
}
