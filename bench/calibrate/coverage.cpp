// The guarantees of the room by simulation, seeds fixed: coverage of conformal sets, level and power of the tests of
// calibration, coverage of bootstrap intervals and of consistency bands. Prints Markdown; calibration.sh keeps it.
//
//     bench_calibration_coverage [--small]      a tenth of the repeats

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "mcomp/calibrate/calibration_test.hpp"
#include "mcomp/calibrate/conformal.hpp"
#include "mcomp/calibrate/kernel_calibration_error.hpp"
#include "mcomp/calibrate/softmax.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/distributions.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::calibrate;

constexpr std::int64_t classes = 10;

struct Rows {
  Tensor p, labels;
};

/// Probabilities softmax(z) with z = 3 N(0, 1); labels are drawn from softmax(z / T).
Rows drawn(std::int64_t rows, double T, Random& random) {
  Rows data{Tensor::uninitialized(DType::f64, {rows, classes}).value(),
            Tensor::uninitialized(DType::int64, {rows}).value()};
  const auto p = data.p.mutable_values<double>();
  std::vector<double> z(classes), truth(classes);
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
    for (double& x : z) x = 3 * random.normal();
    softmax_into(z, 1, p.subspan(i * classes, classes)).value();
    softmax_into(z, T, truth).value();
    double u = random.uniform();
    std::size_t label = 0;
    while (label + 1 < truth.size() && u >= truth[label]) u -= truth[label++];
    data.labels.mutable_values<std::int64_t>()[i] = static_cast<std::int64_t>(label);
  }
  return data;
}

/// Apart from all seeds of the data: Random(a, b) and Random(b, a) are the same stream.
std::uint64_t own_seed(int repeat) {
  return (std::uint64_t{1} << 40) + static_cast<std::uint64_t>(repeat);
}

/// In parallel, in a fixed number of streams; the sum of what `one` gives.
double sum(int repeats, std::uint64_t seed, Executor& executor, const std::function<double(Random&, int)>& one) {
  std::vector<double> found(static_cast<std::size_t>(repeats));
  executor.run(found.size(), [&](std::size_t r) {
    Random random(seed, r);
    found[r] = one(random, static_cast<int>(r));
  });
  double total = 0;
  for (const double value : found) total += value;
  return total;
}

void conformal(int repeats, Executor& executor) {
  fmt::print(
      "### Conformal sets\n\n{} fits a line; labels of a model that is overconfident (T = 2). Mean coverage must lie "
      "between the promise and 1 / (n + 1) above it, +- 3 standard errors of the simulation.\n\n",
      repeats);
  fmt::print("| score | rows of the fit | rows of use | promised | covered | bounds with 3 sigma | mean size | |\n");
  fmt::print("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const auto score : {ConformalScore::lac, ConformalScore::aps, ConformalScore::raps})
    for (const auto& [n, alpha] :
         {std::pair{std::int64_t{100}, .1}, {std::int64_t{1000}, .1}, {std::int64_t{1000}, .01}}) {
      constexpr std::int64_t use = 500;
      std::vector<double> sizes(static_cast<std::size_t>(repeats));
      const double covered =
          sum(repeats, 1, executor,
              [&, n = n, alpha = alpha](Random& random, int r) {
                const Rows fit = drawn(n, 2, random), rows = drawn(use, 2, random);
                const auto predictor =
                    fit_conformal(fit.p, fit.labels, {.score = score, .miscoverage = alpha, .seed = own_seed(r)})
                        .value();
                const auto metrics = measure_sets(prediction_sets(predictor, rows.p).value(), rows.labels).value();
                sizes[static_cast<std::size_t>(r)] = metrics.mean_size;
                return metrics.coverage;
              }) /
          repeats;
      double size = 0;
      for (const double s : sizes) size += s / repeats;
      const double sigma = std::sqrt(alpha * (1 - alpha) * (1. / static_cast<double>(n + 2) + 1. / use) / repeats);
      const double low = 1 - alpha - 3 * sigma, high = 1 - alpha + 1. / static_cast<double>(n + 1) + 3 * sigma;
      fmt::print("| {} | {} | {} | {:.2f} | {:.5f} | {:.5f} .. {:.5f} | {:.2f} | {} |\n", to_string(score), n, use,
                 1 - alpha, covered, low, high, size, covered >= low && covered <= high ? "kept" : "BROKEN");
    }
}

void level(int repeats, Executor& executor) {
  fmt::print(
      "\n### Is it calibrated at all?\n\n{} simulated sets a line. On a calibrated model (T = 1) no more than alpha + "
      "3 "
      "sigma may be rejected; on the others is the power. KS and ECE: 199 resamples; kernel: blocks of 16 rows.\n\n",
      repeats);
  fmt::print("| test | rows | alpha | rejected at T = 1 | limit | | T = 1.1 | T = 1.25 |\n");
  fmt::print("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const std::string test : {"KS", "ECE", "kernel"})
    for (const auto& [rows, alpha] : {std::pair{200, .05}, {1000, .05}, {1000, .01}}) {
      const auto rejected = [&, rows = rows, alpha = alpha](double T) {
        return sum(repeats, 2, executor,
                   [&](Random& random, int r) {
                     const Rows data = drawn(rows, T, random);
                     if (test == "kernel")
                       return kernel_calibration_error(data.p, data.labels, {.block_size = 16})->p_value <= alpha ? 1.
                                                                                                                  : 0.;
                     const auto outcomes = outcomes_of_probabilities(data.p, data.labels).value();
                     const auto statistic = test == "KS" ? CalibrationStatistic::ks : CalibrationStatistic::ece;
                     return calibration_test(outcomes.confidence, outcomes.correct, statistic,
                                             {.resamples = 199, .seed = own_seed(r)})
                                        ->p_value <= alpha
                                ? 1.
                                : 0.;
                   }) /
               repeats;
      };
      const double limit = alpha + 3 * std::sqrt(alpha * (1 - alpha) / repeats), found = rejected(1);
      fmt::print("| {} | {} | {:.2f} | {:.4f} | {:.4f} | {} | {:.3f} | {:.3f} |\n", test, rows, alpha, found, limit,
                 found <= limit ? "kept" : "BROKEN", rejected(1.1), rejected(1.25));
    }
}

void intervals(int repeats, Executor& executor) {
  fmt::print("\n### Intervals and bands\n\n{} simulated sets of 1,000 rows a line, 95 % percentile intervals of 399 "
             "resamples; "
             "the truth from 2,000,000 rows.\n\n",
             repeats);
  Random random(3);
  const Rows many = drawn(2'000'000, 2, random);
  const auto truth = measure_probabilities(many.p, many.labels).value();
  std::vector<double> covered(5);
  std::vector<std::vector<double>> found(static_cast<std::size_t>(repeats), std::vector<double>(5));
  static_cast<void>(sum(repeats, 4, executor, [&](Random& stream, int r) {
    const Rows data = drawn(1000, 2, stream);
    const auto rows = outcomes_of_probabilities(data.p, data.labels).value();
    const auto i = bootstrap_intervals(rows, {.resamples = 399, .seed = own_seed(r)}).value();
    found[static_cast<std::size_t>(r)] = {
        static_cast<double>(i.accuracy.contains(truth.accuracy)), static_cast<double>(i.nll.contains(truth.nll)),
        static_cast<double>(i.brier.contains(truth.brier)), static_cast<double>(i.ece.contains(truth.ece)),
        static_cast<double>(i.ece_debiased.contains(truth.rms))};
    return 0.;
  }));
  for (const auto& row : found)
    for (std::size_t v = 0; v < 5; ++v) covered[v] += row[v] / repeats;
  fmt::print("| interval of | covers |\n| --- | --- |\n");
  const char* const names[] = {"accuracy", "NLL", "Brier", "ECE (15 bins)", "debiased ECE, of the root mean square"};
  for (std::size_t v = 0; v < 5; ++v) fmt::print("| {} | {:.4f} |\n", names[v], covered[v]);

  double inside = 0, bins = 0;
  std::vector<std::pair<double, double>> counts(static_cast<std::size_t>(repeats));
  static_cast<void>(sum(repeats, 5, executor, [&](Random& stream, int r) {
    const Rows data = drawn(1000, 1, stream);
    const auto rows = outcomes_of_probabilities(data.p, data.labels).value();
    const auto bands = consistency_bands(rows.confidence, {.resamples = 399, .seed = own_seed(r)}).value();
    const auto measured = reliability_bins(rows.confidence, rows.correct).value();
    auto& [in, of] = counts[static_cast<std::size_t>(r)];
    for (std::size_t b = 0; b < bands.size(); ++b)
      if (measured[b].count > 0) in += bands[b].contains(measured[b].accuracy), of += 1;
    return 0.;
  }));
  for (const auto& [in, of] : counts) inside += in, bins += of;
  fmt::print("| consistency band of a calibrated model's bin (discrete: at least 95 %) | {:.4f} |\n", inside / bins);
}

} // namespace

int main(int argc, char** argv) {
  const bool small = argc == 2 && std::strcmp(argv[1], "--small") == 0;
  if (argc > 1 && !small) return fmt::print(stderr, "usage: bench_calibration_coverage [--small]\n"), 2;
  ThreadPool pool(2);
  conformal(small ? 200 : 2000, pool);
  level(small ? 500 : 5000, pool);
  intervals(small ? 200 : 2000, pool);
}
