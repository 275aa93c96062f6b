#pragma once

// Candidate against baseline on one frozen suite: both run over the same inputs, alternating; outcomes, latencies and
// resource use are collected, by slice too; criteria are applied, and every verdict has a sentence with its numbers.
//
//     auto evaluation = evaluate::compare({.name = "fp32", .predict = serve(model)},
//                                         {.name = "w4a8", .predict = serve(small)}, suite, criteria).value();
//     fmt::print("{}\n", evaluation);
//     if (evaluation.verdict.passed()) release(evaluate::to_json(evaluation));

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/evaluate/scores.hpp"
#include "mcomp/evaluate/suite.hpp"
#include "mcomp/evaluate/verdict.hpp"

namespace mcomp::inline v0::evaluate {

/// What a model answers to a part of the inputs.
struct Answer {
  Tensor outputs{}; ///< [rows, classes], f32 or f64, or whatever `CompareOptions::score` takes
  /// Seconds inside the call by the caller's names, in order: queue, preprocessing, model, postprocessing. The same
  /// names in every answer of a model.
  std::vector<std::pair<std::string, double>> stages{};
};

/// A model in a comparison, whatever it runs on.
struct Contender {
  std::string name{};                                                ///< artifact or version, for the record
  std::function<Result<Answer>(const TensorView& inputs)> predict{}; ///< called with consecutive rows of the suite
  bool probabilities = false;                                        ///< what `predict` gives; otherwise logits
  double temperature = 1;                                            ///< divides logits
  std::optional<std::int64_t> bytes{}, memory_bytes{};
  std::optional<double> monthly_cost{};
};

struct CompareOptions {
  std::int64_t batch = 1; ///< rows in a request
  int warm_up = 3;        ///< requests of each model before any is timed
  int exemplars = 20;     ///< rows that are kept of those that got worse
  int ece_bins = 15;
  /// Resamples of the paired bootstrap of rows behind intervals of ECE, loss and fairness (Efron's percentiles); 0: no
  /// such intervals. Each costs one pass over the rows.
  int resamples = 500;
  std::uint64_t seed = 0;
  /// The class whose rates fairness compares; none: of every dimension the worst class, and nothing beyond 1,000
  /// classes.
  std::optional<std::int32_t> positive_class{};
  /// Dimensions of the suite whose groups are people to be treated alike; empty: all.
  std::vector<std::string> fairness_dimensions{};
  /// Rows that a rate needs to be compared between groups: of a group for selection and flips, of a group's labels (and
  /// of all its others) for equalized odds.
  std::int64_t min_group_rows = 30;
  /// What is right and what is lost on each row; default: as classifier, by `score_logits` or `score_probabilities`.
  std::function<Result<RowScores>(const TensorView& outputs, const TensorView& labels)> score{};
};

/// A row that the baseline gets right and the candidate wrong.
struct Exemplar {
  std::int64_t row = 0;
  std::int64_t label = 0;
  std::optional<std::int32_t> baseline_class{}, candidate_class{};
  std::optional<double> baseline_confidence{}, candidate_confidence{};
  std::optional<double> loss_increase{}; ///< none where it is infinite
  std::vector<std::string> slices{};     ///< that it belongs to

  friend bool operator==(const Exemplar&, const Exemplar&) = default;
};

/// Time and processor time of the requests of one model.
struct ResourceUse {
  stats::LatencySummary latency{};
  double processor_seconds = 0; ///< of all threads of the process, mean of a request
  std::vector<std::pair<std::string, stats::LatencySummary>> stages{};

  friend bool operator==(const ResourceUse&, const ResourceUse&) = default;
};

/// The record of one comparison: plain, printable, written to JSON and read back.
struct Evaluation {
  std::string baseline{}, candidate{};
  std::string suite{}, suite_version{}, suite_fingerprint{};
  std::map<std::string, std::string> suite_versions{};
  std::int64_t rows = 0;
  std::string library_version{};
  Criteria criteria{};
  Evidence evidence{};
  std::optional<ResourceUse> baseline_use{}, candidate_use{}; ///< absent where recorded outputs were compared
  std::vector<Exemplar> exemplars{}; ///< the surest answers of the baseline first, otherwise the largest rise in loss
  Verdict verdict{};

  friend bool operator==(const Evaluation&, const Evaluation&) = default;
};

/// Runs both models over the suite, request by request: baseline and candidate in turn, the first of the two changing.
/// Latency by slice is that of requests whose rows all belong to the slice.
/// Errors, before any model runs: invalid_argument for a suite without inputs, models without `predict`, impossible
/// options and those of `check` of the criteria. Then: those of the models, invalid_shape where outputs do not have the
/// rows of their inputs, those of scoring, cancelled.
[[nodiscard]] MCOMP_API Result<Evaluation> compare(const Contender& baseline, const Contender& candidate,
                                                   const Suite& suite, const Criteria& criteria,
                                                   const CompareOptions& options = {}, const Context& context = {});

/// Scores that were taken elsewhere, row by row of the suite; latencies, sizes and costs may be added to
/// `measured`, of which `accuracy`, losses, ECE, slices and fairness are filled here.
/// Errors: those of `check` of criteria and scores, invalid_shape for another number of rows than the suite's.
[[nodiscard]] MCOMP_API Result<Evaluation> compare_scores(const RowScores& baseline, const RowScores& candidate,
                                                          const Suite& suite, const Criteria& criteria,
                                                          const CompareOptions& options = {}, Evidence measured = {});

/// Judges the same evidence by other criteria. Errors: those of `judge`.
[[nodiscard]] MCOMP_API Result<Evaluation> judge_again(Evaluation evaluation, const Criteria& criteria);

/// What changed between two evaluations: each measurement that both have.
struct EvaluationChange {
  std::string name{}; ///< "candidate_accuracy", "candidate_accuracy[region=eu]", ...
  double before = 0, after = 0;
};

/// Numbers of the candidates side by side. Error: invalid_argument where they ran on suites of different fingerprints.
[[nodiscard]] MCOMP_API Result<std::vector<EvaluationChange>> changes(const Evaluation& before,
                                                                      const Evaluation& after);

/// Verdict, then what was measured, by slice too, and the exemplars.
[[nodiscard]] MCOMP_API std::string to_string(const Evaluation& evaluation);
/// Schema "mcomp-evaluation-1".
[[nodiscard]] MCOMP_API std::string to_json(const Evaluation& evaluation);
/// Strict: an unknown key is an error. Gives an equal value. Errors: corrupt, version_mismatch, naming `subject`.
[[nodiscard]] MCOMP_API Result<Evaluation> evaluation_from_json(std::string_view json, const std::string& subject);

// For continuous integration.

/// One test case a check; insufficient data is a skipped one with its sentence, and so are no pass.
[[nodiscard]] MCOMP_API std::string to_junit_xml(const Evaluation& evaluation);
/// A summary for a pull request: outcome, a table of checks, slices, the exemplars.
[[nodiscard]] MCOMP_API std::string to_markdown(const Evaluation& evaluation);

} // namespace mcomp::inline v0::evaluate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<evaluate::Evaluation> = true;
} // namespace mcomp::inline v0
