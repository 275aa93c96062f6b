#pragma once

#include <span>
#include <vector>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate::detail {

/// Checked logits as doubles, with their labels.
struct FiniteRows {
  std::size_t rows = 0, classes = 0;
  std::vector<double> values{};
  std::vector<std::size_t> label{};

  [[nodiscard]] const double* row(std::size_t i) const noexcept { return values.data() + i * classes; }
};

/// Elements of any floating [rows, columns] as doubles. Errors: those of check_rows; invalid_value for what is not
/// finite or beyond 1e300.
[[nodiscard]] Result<std::vector<double>> read_finite(const TensorView& rows, const char* subject);
[[nodiscard]] Result<FiniteRows> read_finite_rows(const TensorView& logits, const TensorView& labels);
/// Those rows of `rows`, in that order.
[[nodiscard]] FiniteRows subset(const FiniteRows& rows, std::span<const std::size_t> which);
/// Every row minus its log sum exp.
void log_softmax_in_place(std::vector<double>& values, std::size_t classes);
/// Error: insufficient_data naming the first class that no row has.
[[nodiscard]] Status require_all_classes(const FiniteRows& rows);

/// `parts` parts of about equal size and about equal shares of every class: the part of every row.
[[nodiscard]] std::vector<int> stratified_parts(std::span<const std::size_t> label, std::size_t classes, int parts,
                                                std::uint64_t seed);

} // namespace mcomp::inline v0::calibrate::detail
