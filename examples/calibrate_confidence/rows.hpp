#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/core/tensor.hpp"

namespace example {

/// Where the rows are: FILE or FILE:A-B, both ends included, counted from 0.
struct RowSource {
  std::string file{};
  std::optional<std::int64_t> first{}, last{};
};

/// Error: invalid_argument for a range that is none.
[[nodiscard]] mcomp::Result<RowSource> row_source(const std::string& text, const std::string& option);

/// Names of tensors. Empty ones of logits and probabilities: whichever of `logits` and `probabilities` is there.
struct TensorNames {
  std::string logits{}, probabilities{}, labels = "labels", slices = "slices";
  bool slices_required = false;
};

/// One way to cut the rows: a column of the tensor `slices`.
struct SliceColumn {
  std::string name{};
  std::vector<std::int32_t> of{};    ///< the group of every row; negative: none
  std::vector<std::string> groups{}; ///< names by number
};

/// Outputs of a network with their labels.
struct Rows {
  RowSource source{}; ///< with both ends
  std::string tensor{};
  bool are_probabilities = false;
  mcomp::Tensor outputs{}; ///< f32 or f64 [rows, classes], as they came
  mcomp::Tensor logits{};  ///< what calibrators take: of probabilities their logarithms
  mcomp::Tensor labels{};  ///< int64 [rows]
  std::vector<SliceColumn> slices{};

  [[nodiscard]] std::int64_t count() const { return outputs.size(0); }
  [[nodiscard]] std::int64_t classes() const { return outputs.size(1); }
};

/// Errors: those of the file; invalid_argument for a range beyond the file, not_found for absent tensors, and the rules
/// of shapes, dtypes and values, which are checked here so that they name the file.
[[nodiscard]] mcomp::Result<Rows> read_rows(const RowSource& source, const TensorNames& names);

} // namespace example
