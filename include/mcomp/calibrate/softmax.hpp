#pragma once

#include <span>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate {

// Probabilities p_k = exp(z_k / T) / sum_j exp(z_j / T). Logits may also be log-probabilities; minus infinity is a
// class of probability zero. The limits are defined: T = 0 shares the probability equally among the largest logits, T =
// infinity among all classes but those at minus infinity.
// Errors of all: invalid_value for NaN, plus infinity or a row that is minus infinity throughout; invalid_argument for
// a temperature that is negative or NaN.

/// One row. Error: invalid_shape where the spans differ in length or are empty.
[[nodiscard]] MCOMP_API Status softmax_into(std::span<const float> logits, double temperature,
                                            std::span<float> probabilities);
[[nodiscard]] MCOMP_API Status softmax_into(std::span<const double> logits, double temperature,
                                            std::span<double> probabilities);

/// Logits [samples, classes], f32 or f64, as probabilities of the same shape and type. Errors: invalid_dtype,
/// invalid_shape.
[[nodiscard]] MCOMP_API Result<Tensor> softmax(const TensorView& logits, double temperature = 1,
                                               Executor* executor = nullptr);

} // namespace mcomp::inline v0::calibrate
