#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "calibrate/row_kernels.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate::detail {

/// Calls `work(block, first, last)` for blocks of `rows_per_block` rows.
template <class Work> void for_each_row_block(Executor* executor, std::size_t rows, const Work& work) {
  const std::size_t blocks = (rows + rows_per_block - 1) / rows_per_block;
  (executor ? *executor : serial_executor()).run(blocks, [&](std::size_t block) {
    work(block, block * rows_per_block, std::min(rows, (block + 1) * rows_per_block));
  });
}

/// The error of a row that the range kernel calls invalid.
[[nodiscard]] Error invalid_row(const char* subject, std::size_t row);

/// Demands floating [samples, classes] with at least one of each. Errors: invalid_dtype, invalid_shape,
/// insufficient_data.
[[nodiscard]] Status check_rows(const TensorView& rows, const char* subject);
/// Labels [rows] within 0 .. classes - 1. Errors: invalid_dtype, invalid_shape, invalid_value.
[[nodiscard]] Result<std::vector<std::size_t>> read_labels(const TensorView& labels, std::size_t rows,
                                                           std::size_t classes);
[[nodiscard]] Status check_temperature(double temperature);
/// Error: invalid_argument for bins outside 1 .. 2^20.
[[nodiscard]] Status check_bins(int bins);

/// Checked logits with what every pass over them needs again.
template <class T> struct LabelledRows {
  std::span<const T> values{};
  std::size_t rows = 0, classes = 0;
  std::vector<std::size_t> label{};
  std::vector<RowRange> range{};
  std::vector<double> gap{}; ///< z_label - maximum, at most 0, perhaps minus infinity

  [[nodiscard]] const T* row(std::size_t i) const noexcept { return values.data() + i * classes; }
};

template <class T>
[[nodiscard]] Result<LabelledRows<T>> read_labelled_rows(const TensorView& logits, const TensorView& labels,
                                                         Executor* executor);

} // namespace mcomp::inline v0::calibrate::detail
