#pragma once

#include <algorithm>
#include <cstdint>

#include "mcomp/quant/scheme.hpp"

namespace mcomp::inline v0::quant::detail {

/// How a weight is cut into groups that share a scale: the weight as a matrix [rows, columns], its scales as a matrix
/// [row_groups, groups]. One row per tensor.
struct Grouping {
  std::int64_t rows = 1, columns = 1;
  std::int64_t row_groups = 1, rows_in_group = 1;
  std::int64_t groups = 1, group_size = 1;

  Grouping(const Shape& shape, const Scheme& scheme) {
    const std::int64_t elements = shape.elements();
    rows = scheme.granularity == Granularity::per_tensor || shape.rank() == 0 ? 1 : shape[0];
    columns = rows == 0 ? 0 : elements / rows;
    const bool grouped = scheme.granularity == Granularity::per_group || scheme.granularity == Granularity::per_block;
    group_size = grouped ? std::min(scheme.group_size, columns) : columns;
    rows_in_group = scheme.granularity == Granularity::per_block ? std::min(scheme.group_rows, rows) : 1;
    groups = group_size == 0 ? 0 : (columns + group_size - 1) / group_size;
    row_groups = rows_in_group == 0 ? 0 : (rows + rows_in_group - 1) / rows_in_group;
  }

  /// Position in `scales` of the group that holds element (row, column).
  [[nodiscard]] std::int64_t scale_index(std::int64_t row, std::int64_t column) const noexcept {
    return row / rows_in_group * groups + column / group_size;
  }
  /// Columns of a group; the last may be shorter.
  [[nodiscard]] std::int64_t size(std::int64_t group) const noexcept {
    return std::min(group_size, columns - group * group_size);
  }
  /// Calls `visit(first element, count)` for each run of elements that share the scale at `index`.
  template <class Visit> void visit(std::int64_t index, Visit&& visit) const {
    const std::int64_t group = index % groups, first_row = index / groups * rows_in_group;
    for (std::int64_t row = first_row; row < std::min(rows, first_row + rows_in_group); ++row)
      visit(row * columns + group * group_size, size(group));
  }
};

} // namespace mcomp::inline v0::quant::detail
