#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/evaluate/scores.hpp"
#include "mcomp/evaluate/slices.hpp"

namespace example {

/// What a classifier said about rows, as a safetensors file keeps it:
///
/// - `logits` or `probabilities`, floating [rows, classes];
/// - `labels`, integers [rows];
/// - `slices`, where there are any, int32 [rows] or [rows, k]: group of each row, -1 for none. Names stand in the
///   metadata key `slices` as JSON: {"region": ["eu", "us"], ...} with one key a column in order, [["eu", "us"], ...]
///   or, for one column, ["eu", "us"]. What has no name is called by its number.
struct RecordedOutputs {
  mcomp::Tensor outputs;      ///< [rows, classes], f32 or f64
  bool probabilities = false; ///< otherwise logits
  mcomp::Tensor labels;       ///< int32 [rows]
  std::vector<mcomp::evaluate::Slicing> slicings;

  [[nodiscard]] std::int64_t rows() const { return labels.size(0); }
  [[nodiscard]] std::int64_t classes() const { return outputs.size(1); }
};

/// Names of the tensors in the file. An empty name of outputs: whichever of `logits` and `probabilities` is there.
struct RecordedNames {
  std::string logits{}, probabilities{}, labels = "labels", slices = "slices";
};

/// A file and perhaps rows of it: "FILE", "FILE:A-B" (rows A to B - 1), "FILE:A-" or "FILE:-B".
struct RowRange {
  std::string path;
  std::optional<std::int64_t> begin, end;
};
/// Error: invalid_argument for rows that are no range. A path that holds a colon of its own is taken whole where no
/// range stands behind it.
[[nodiscard]] mcomp::Result<RowRange> parse_row_range(const std::string& text);

/// Errors: those of io::read_safetensors, invalid_dtype, invalid_shape; invalid_argument for rows outside the file and
/// where logits and probabilities are both there and neither is named; not_found; corrupt for names of slices.
[[nodiscard]] mcomp::Result<RecordedOutputs> read_outputs(const RowRange& rows, const RecordedNames& names = {});

/// Right and wrong, losses, confidences of the rows. Errors: those of evaluate::score_logits and score_probabilities.
[[nodiscard]] mcomp::Result<mcomp::evaluate::RowScores> scores_of(const RecordedOutputs& outputs,
                                                                  double temperature = 1);

} // namespace example
