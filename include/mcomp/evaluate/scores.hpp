#pragma once

// What one model did on every row: the columns that comparisons are made of. For classifiers they come from logits or
// probabilities; for any other task the caller fills `correct` and `loss` in its own way.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::evaluate {

/// One entry a row in every column. `predicted` and `confidence` may be empty: what needs them is then not measured.
struct RowScores {
  std::vector<std::uint8_t> correct{};   ///< zero for wrong
  std::vector<double> loss{};            ///< smaller is better; for classifiers -log p(label), nats, may be infinite
  std::vector<std::int32_t> predicted{}; ///< class; the first of equally probable ones
  std::vector<double> confidence{};      ///< probability of the predicted class

  [[nodiscard]] std::int64_t rows() const noexcept { return static_cast<std::int64_t>(correct.size()); }
  [[nodiscard]] MCOMP_API double accuracy() const noexcept; ///< NaN without rows
};

/// Errors: insufficient_data without rows; invalid_shape for columns of other lengths; invalid_value for a NaN loss or
/// a confidence outside [0, 1].
[[nodiscard]] MCOMP_API Status check(const RowScores& scores, const char* subject);

// Rows [samples, classes], f32 or f64; labels [samples], int32 or int64.
// Errors of both: insufficient_data without rows; invalid_shape, invalid_dtype; invalid_value for NaN, plus infinity
// and labels outside 0 .. classes - 1; invalid_argument for the temperature. Errors name `subject`.

/// Of softmax(logits / temperature).
[[nodiscard]] MCOMP_API Result<RowScores> score_logits(const TensorView& logits, const TensorView& labels,
                                                       double temperature = 1, const std::string& subject = "logits",
                                                       Executor* executor = nullptr);
/// Of probabilities, which must sum to 1 within 0.001 and are divided by their sum.
[[nodiscard]] MCOMP_API Result<RowScores> score_probabilities(const TensorView& probabilities, const TensorView& labels,
                                                              const std::string& subject = "probabilities");

} // namespace mcomp::inline v0::evaluate
