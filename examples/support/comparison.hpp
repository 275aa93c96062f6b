#pragma once

#include <CLI/CLI.hpp>

#include "mcomp/evaluate/evaluation.hpp"
#include "program.hpp"
#include "recorded_rows.hpp"

namespace example {

/// The options of programs that compare two files of recorded outputs.
struct ComparisonOptions {
  std::string baseline, candidate;
  TensorNames names{};
  std::string candidate_logits, candidate_probabilities; ///< where they have another name than the baseline's
  double baseline_temperature = 1, candidate_temperature = 1;
  std::string suite = "recorded outputs";
  std::vector<std::string> cross; ///< dimensions whose intersections are slices too
  mcomp::evaluate::CompareOptions compare{};
};

void add_comparison_options(CLI::App& app, ComparisonOptions& options);

/// Reads both files and compares them row by row. Labels and slices are those of the baseline; the candidate's labels
/// must be equal. Errors: those of reading; invalid_value for other labels; those of evaluate::compare_scores.
[[nodiscard]] mcomp::Result<mcomp::evaluate::Evaluation> compare_recorded(const ComparisonOptions& options,
                                                                          const mcomp::evaluate::Criteria& criteria);

/// Reads criteria. Errors: those of read_file and evaluate::criteria_from_json.
[[nodiscard]] mcomp::Result<mcomp::evaluate::Criteria> read_criteria(const std::filesystem::path& path);

/// Writes evaluation.json, summary.md and junit.xml into `folder`. Errors: those of write_file.
[[nodiscard]] mcomp::Status write_evaluation(const std::filesystem::path& folder,
                                             const mcomp::evaluate::Evaluation& evaluation);

/// Says the verdict, prints the evaluation, and keeps its numbers in the report.
[[nodiscard]] ExitStatus report_evaluation(Report& report, const mcomp::evaluate::Evaluation& evaluation);

} // namespace example
