#include "mcomp/calibrate/conformal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "calibrate/labelled_rows.hpp"
#include "calibrate/probability_rows.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

Status check(const ConformalOptions& options) {
  if (!(options.miscoverage > 0 && options.miscoverage < 1))
    return Error(ErrorCode::invalid_argument, "miscoverage",
                 fmt::format("it must lie within (0, 1), it is {}", options.miscoverage), "pass 0.1 for 90 % coverage");
  if (!(options.rank_penalty >= 0 && options.rank_penalty <= 1e100) || options.free_classes < 0)
    return Error(ErrorCode::invalid_argument, "rank_penalty", "it and the number of free classes must not be negative",
                 "leave them at 0.01 and 5");
  return {};
}

// Streams of the two uses of the seed, so that a row of use shares nothing with a row of the fit.
constexpr std::uint64_t use_stream = std::uint64_t{1} << 63;

double share(const ConformalOptions& options, std::uint64_t row) {
  if (!options.randomized || options.score == ConformalScore::lac) return 1;
  return Random(options.seed, row).uniform();
}

/// Scores of all classes of one row, and their order by falling probability.
class RowScores {
 public:
  RowScores(const ConformalOptions& options, std::size_t classes) : score(classes), order(classes), options_(options) {}

  void set(const double* p, double u) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [p](int a, int b) { return p[a] > p[b]; });
    double before = 0;
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
      const auto k = static_cast<std::size_t>(order[rank]);
      if (options_.score == ConformalScore::lac) {
        score[k] = 1 - p[k];
        continue;
      }
      score[k] = before + u * p[k];
      before += p[k];
      if (options_.score == ConformalScore::raps)
        score[k] += options_.rank_penalty *
                    std::max(0., static_cast<double>(rank) + 1 - static_cast<double>(options_.free_classes));
    }
  }

  std::vector<double> score;
  std::vector<int> order;

 private:
  const ConformalOptions& options_;
};

} // namespace

std::string to_string(ConformalScore score) {
  switch (score) {
  case ConformalScore::lac:
    return "LAC";
  case ConformalScore::aps:
    return "APS";
  case ConformalScore::raps:
    return "RAPS";
  }
  return "unknown";
}

std::string to_string(const ConformalPredictor& predictor) {
  return fmt::format("{} sets with coverage {:g} from {} rows: score at most {:.4g}", predictor.options.score,
                     1 - predictor.options.miscoverage, predictor.count, predictor.threshold);
}

std::string to_string(const SetMetrics& metrics) {
  return fmt::format("{} rows: coverage {:.2f}%, {:.2f} classes on average, {:.2f}% empty", metrics.count,
                     100 * metrics.coverage, metrics.mean_size, 100 * metrics.empty);
}

Result<ConformalPredictor> fit_conformal(const TensorView& probabilities, const TensorView& labels,
                                         const ConformalOptions& options) {
  MCOMP_CHECK(check(options));
  MCOMP_TRY(p, detail::read_probability_rows(probabilities));
  const auto rows = static_cast<std::size_t>(probabilities.size(0));
  const auto classes = static_cast<std::size_t>(probabilities.size(1));
  MCOMP_TRY(label, detail::read_labels(labels, rows, classes));
  std::vector<double> scores(rows);
  RowScores row(options, classes);
  for (std::size_t i = 0; i < rows; ++i) {
    row.set(p.data() + i * classes, share(options, i));
    scores[i] = row.score[label[i]];
  }
  ConformalPredictor predictor{
      .options = options, .classes = static_cast<std::int64_t>(classes), .count = static_cast<std::int64_t>(rows)};
  // Less than a rounding error below a whole number is that number.
  const double n = static_cast<double>(rows), wanted = (n + 1) * (1 - options.miscoverage);
  const double k = std::ceil(wanted * (1 - 1e-13));
  if (k > n) {
    predictor.threshold = std::numeric_limits<double>::infinity();
    return predictor;
  }
  const auto nth = scores.begin() + static_cast<std::ptrdiff_t>(std::max(k, 1.)) - 1;
  std::nth_element(scores.begin(), nth, scores.end());
  predictor.threshold = *nth;
  return predictor;
}

Result<PredictionSets> prediction_sets(const ConformalPredictor& predictor, const TensorView& probabilities,
                                       std::uint64_t first_row) {
  MCOMP_CHECK(check(predictor.options));
  MCOMP_TRY(p, detail::read_probability_rows(probabilities));
  if (probabilities.size(1) != predictor.classes)
    return Error(
        ErrorCode::invalid_shape, "probabilities",
        fmt::format("{} classes, and the predictor was fitted on {}", probabilities.size(1), predictor.classes),
        "pass outputs of the same model");
  const auto classes = static_cast<std::size_t>(predictor.classes);
  PredictionSets sets{.classes = predictor.classes};
  RowScores row(predictor.options, classes);
  for (std::size_t i = 0; i < p.size() / classes; ++i) {
    row.set(p.data() + i * classes, share(predictor.options, (first_row + i) | use_stream));
    for (const int k : row.order)
      if (row.score[static_cast<std::size_t>(k)] <= predictor.threshold) sets.members.push_back(k);
    if (!predictor.options.allow_empty && static_cast<std::int64_t>(sets.members.size()) == sets.offsets.back())
      sets.members.push_back(row.order.front());
    sets.offsets.push_back(static_cast<std::int64_t>(sets.members.size()));
  }
  return sets;
}

Result<SetMetrics> measure_sets(const PredictionSets& sets, const TensorView& labels) {
  const std::vector<std::int32_t> all(static_cast<std::size_t>(sets.rows()));
  MCOMP_TRY(metrics, measure_sets_by_slice(sets, labels, all, 1));
  return metrics.front();
}

Result<std::vector<SetMetrics>> measure_sets_by_slice(const PredictionSets& sets, const TensorView& labels,
                                                      std::span<const std::int32_t> slices, std::int32_t groups) {
  const auto rows = static_cast<std::size_t>(sets.rows());
  MCOMP_TRY(label, detail::read_labels(labels, rows, static_cast<std::size_t>(sets.classes)));
  if (slices.size() != rows || groups < 0)
    return Error(ErrorCode::invalid_shape, "slices", fmt::format("{} numbers for {} rows", slices.size(), rows),
                 "pass one for each row");
  std::vector<SetMetrics> result(static_cast<std::size_t>(groups));
  for (std::size_t i = 0; i < rows; ++i) {
    if (slices[i] < 0 || slices[i] >= groups) continue;
    SetMetrics& metrics = result[static_cast<std::size_t>(slices[i])];
    const auto set = sets.of(static_cast<std::int64_t>(i));
    ++metrics.count;
    metrics.coverage += std::find(set.begin(), set.end(), static_cast<std::int32_t>(label[i])) != set.end();
    metrics.mean_size += static_cast<double>(set.size());
    metrics.empty += set.empty();
    metrics.single += set.size() == 1;
  }
  for (SetMetrics& metrics : result) {
    const double n = static_cast<double>(std::max<std::int64_t>(metrics.count, 1));
    metrics.coverage /= n, metrics.mean_size /= n, metrics.empty /= n, metrics.single /= n;
  }
  return result;
}

} // namespace mcomp::inline v0::calibrate
