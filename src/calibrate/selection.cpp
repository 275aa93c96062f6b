#include "mcomp/calibrate/selection.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "calibrate/calibrator_state.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

/// Scores of rows by fits that did not see them.
class CrossValidation {
 public:
  CrossValidation(const detail::FiniteRows& data, const SelectionOptions& options)
      : data_(data), options_(options),
        part_(detail::stratified_parts(data.label, data.classes, options.folds, options.fit.seed)) {}

  [[nodiscard]] std::span<const int> part() const { return part_; }

  /// Writes the scores of the rows of `fold` and, where it is another, of `other`, from a fit on all rows of neither.
  [[nodiscard]] Status score(Method method, int fold, int other, std::vector<double>& scores) const {
    const auto inside = detail::rows_where(part_, fold, other, false),
               outside = detail::rows_where(part_, fold, other, true);
    const std::span<const std::int32_t> slices = options_.fit.slices;
    MCOMP_TRY(
        fit, detail::fit_plain(method, detail::subset(data_, inside), detail::slices_of(slices, inside), options_.fit));
    MCOMP_TRY(result, detail::proper_scores(fit.calibrator, detail::subset(data_, outside),
                                            detail::slices_of(slices, outside), options_.fit.executor));
    const std::vector<double>& values = options_.criterion == Criterion::nll ? result.nll : result.brier;
    for (std::size_t i = 0; i < outside.size(); ++i) scores[outside[i]] = values[i];
    return {};
  }

 private:
  const detail::FiniteRows& data_;
  const SelectionOptions& options_;
  std::vector<int> part_;
};

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

/// The first of the least; NaN and infinity never.
std::size_t least(std::span<const double> scores) {
  std::size_t best = 0;
  for (std::size_t m = 1; m < scores.size(); ++m)
    if (scores[m] < scores[best]) best = m;
  return best;
}

} // namespace

std::string to_string(Criterion criterion) {
  return criterion == Criterion::nll ? "NLL" : "Brier";
}

std::string to_string(const Selection& selection) {
  std::string text = fmt::format("{} by {} in {}-fold cross-validation\n", selection.chosen.method, selection.criterion,
                                 selection.folds);
  for (const CandidateScore& candidate : selection.candidates)
    text += candidate.refused.empty()
                ? fmt::format("  {:<18} {:.6f}, gain {:+.6f} (standard error {:.6f})\n", candidate.method,
                              candidate.score, candidate.gain, candidate.standard_error)
                : fmt::format("  {:<18} refused: {}\n", candidate.method, candidate.refused);
  if (selection.nested) text += fmt::format("  choosing and fitting: {:.6f}\n", selection.nested_score);
  return text;
}

Result<Selection> select_calibrator(const TensorView& logits, const TensorView& labels,
                                    const SelectionOptions& options) {
  MCOMP_TRY(data, detail::read_finite_rows(logits, labels));
  if (options.folds < (options.nested ? 3 : 2))
    return Error(ErrorCode::invalid_argument, "folds", fmt::format("{} are asked", options.folds),
                 "take 5; nested cross-validation needs 3");
  if (data.rows < 2 * static_cast<std::size_t>(options.folds))
    return Error(ErrorCode::insufficient_data, "logits", fmt::format("{} rows for {} folds", data.rows, options.folds),
                 "take more rows, or fewer folds");
  if (!options.fit.slices.empty() && options.fit.slices.size() != data.rows)
    return Error(ErrorCode::invalid_shape, "slices",
                 fmt::format("{} numbers for {} rows", options.fit.slices.size(), data.rows), "pass one for each row");
  std::vector<Method> methods{Method::identity};
  std::vector<Method> asked = options.methods;
  if (asked.empty()) {
    asked = {Method::temperature, Method::vector,    Method::dirichlet, Method::beta,
             Method::isotonic,    Method::histogram, Method::spline};
    if (!options.fit.slices.empty()) asked.push_back(Method::slice_temperature);
  }
  for (const Method method : asked)
    if (std::find(methods.begin(), methods.end(), method) == methods.end()) methods.push_back(method);

  Selection selection{.criterion = options.criterion, .folds = options.folds, .nested = options.nested};
  const CrossValidation validation(data, options);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> scores(methods.size(), std::vector<double>(data.rows)); // of every row
  std::vector<double> means(methods.size(), infinity);
  for (std::size_t m = 0; m < methods.size(); ++m) {
    CandidateScore candidate{.method = methods[m]};
    for (int fold = 0; fold < options.folds && candidate.refused.empty(); ++fold)
      if (const Status done = validation.score(methods[m], fold, fold, scores[m]); !done)
        candidate.refused = done.error().what();
    if (candidate.refused.empty()) {
      means[m] = candidate.score = mean_of(scores[m]);
      double squares = 0;
      const double n = static_cast<double>(data.rows);
      candidate.gain = means[0] - means[m];
      for (std::size_t i = 0; i < data.rows; ++i) {
        const double difference = scores[0][i] - scores[m][i] - candidate.gain;
        squares += difference * difference;
      }
      candidate.standard_error = std::sqrt(squares / (n - 1) / n);
    }
    selection.candidates.push_back(std::move(candidate));
  }
  const std::size_t best = least(means);

  if (options.nested) {
    // Without fold j every other fold i is scored by a fit on neither; one fit serves both orders of i and j.
    std::vector<std::vector<double>> without(methods.size(),
                                             std::vector<double>(static_cast<std::size_t>(options.folds)));
    const auto part = validation.part();
    for (std::size_t m = 0; m < methods.size(); ++m) {
      if (!selection.candidates[m].refused.empty()) {
        std::fill(without[m].begin(), without[m].end(), infinity);
        continue;
      }
      std::vector<double> row_scores(data.rows);
      for (int i = 0; i < options.folds; ++i)
        for (int j = 0; j < i; ++j) {
          const Status done = validation.score(methods[m], i, j, row_scores);
          double of_i = 0, of_j = 0;
          for (std::size_t row = 0; row < data.rows; ++row) {
            if (part[row] == i) of_i += row_scores[row];
            if (part[row] == j) of_j += row_scores[row];
          }
          without[m][static_cast<std::size_t>(j)] += done ? of_i : infinity;
          without[m][static_cast<std::size_t>(i)] += done ? of_j : infinity;
        }
    }
    double total = 0;
    for (int j = 0; j < options.folds; ++j) {
      std::vector<double> inner;
      for (const auto& of_method : without) inner.push_back(of_method[static_cast<std::size_t>(j)]);
      const std::size_t choice = least(inner);
      for (std::size_t row = 0; row < data.rows; ++row)
        if (part[row] == j) total += scores[choice][row];
    }
    selection.nested_score = total / static_cast<double>(data.rows);
  }

  MCOMP_TRY(fit, detail::fit_plain(methods[best], data, options.fit.slices, options.fit));
  selection.chosen = {.calibrator = fit.calibrator, .method = methods[best], .report = fit.report};
  return selection;
}

} // namespace mcomp::inline v0::calibrate
