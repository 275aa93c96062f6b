#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/core/tensor.hpp"
#include "mcomp/evaluate/scores.hpp"
#include "mcomp/evaluate/slices.hpp"

namespace example {

/// Where the rows are: FILE or FILE:A-B, both ends included, counted from 0. B may also be the number of rows, which is
/// taken as their end.
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

/// Outputs of a network with their labels, as a safetensors file keeps them:
///
/// - `logits` or `probabilities`, floating [rows, classes];
/// - `labels`, integers [rows];
/// - `slices`, where there are any, integers [rows] or [rows, k]: the group of each row, negative for none. Names stand
/// in
///   the metadata key `slices` as JSON: {"region": ["eu", "us"], ...} with one key a column in order, [["eu", "us"],
///   ...] or, for one column, ["eu", "us"]. What has no name is called by its number.
struct Rows {
  RowSource source{}; ///< with both ends
  std::string tensor{};
  bool are_probabilities = false;
  mcomp::Tensor outputs{}; ///< f32 or f64 [rows, classes], as they came
  mcomp::Tensor logits{};  ///< what calibrators take: of probabilities their logarithms
  mcomp::Tensor labels{};  ///< int64 [rows]
  std::vector<mcomp::evaluate::Slicing> slices{};

  [[nodiscard]] std::int64_t count() const { return outputs.size(0); }
  [[nodiscard]] std::int64_t classes() const { return outputs.size(1); }
};

/// Errors: those of the file; invalid_argument for a range beyond the file, not_found for absent tensors, and the rules
/// of shapes, dtypes and values, which are checked here so that they name the file.
[[nodiscard]] mcomp::Result<Rows> read_rows(const RowSource& source, const TensorNames& names);

/// Right and wrong, losses, confidences of the rows. Errors: those of evaluate::score_logits.
[[nodiscard]] mcomp::Result<mcomp::evaluate::RowScores> scores_of(const Rows& rows, double temperature = 1);

} // namespace example
