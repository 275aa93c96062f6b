#include "mcomp/stats/bootstrap.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/distributions.hpp"
#include "mcomp/stats/quantile.hpp"
#include "stats/interval.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr std::size_t most_groups = 1000; ///< of clusters left out in turn for BCa

/// The rows of each cluster, clusters in the order of their numbers.
struct Clusters {
  std::vector<std::int64_t> rows;
  std::vector<std::size_t> begin; ///< of each cluster in `rows`, and the end

  explicit Clusters(std::span<const std::int64_t> cluster_of_row) : rows(cluster_of_row.size()) {
    std::iota(rows.begin(), rows.end(), std::int64_t{0});
    const auto of = [&](std::int64_t row) { return cluster_of_row[static_cast<std::size_t>(row)]; };
    std::stable_sort(rows.begin(), rows.end(), [&](std::int64_t a, std::int64_t b) { return of(a) < of(b); });
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (i == 0 || of(rows[i]) != of(rows[i - 1])) begin.push_back(i);
    begin.push_back(rows.size());
  }
  [[nodiscard]] std::size_t count() const { return begin.size() - 1; }
  void append(std::size_t cluster, std::vector<std::int64_t>& to) const {
    to.insert(to.end(), rows.begin() + static_cast<std::ptrdiff_t>(begin[cluster]),
              rows.begin() + static_cast<std::ptrdiff_t>(begin[cluster + 1]));
  }
};

/// Values of `evaluate(i, rows)` for i in 0 .. count - 1; `rows` is memory to work in.
template <class Evaluate>
std::vector<double> evaluate_all(std::size_t count, const Evaluate& evaluate, const Context& context) {
  constexpr std::size_t block = 16; // a constant, so that the cut does not depend on the executor
  std::vector<double> values(count, std::nan(""));
  context.executor_or_serial().run((count + block - 1) / block, [&](std::size_t b) {
    if (context.cancellation.cancelled()) return;
    std::vector<std::int64_t> rows;
    for (std::size_t i = b * block; i < std::min(count, (b + 1) * block); ++i) values[i] = evaluate(i, rows);
  });
  return values;
}

Status check_finite(const std::vector<double>& values, const char* what) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      return Error(ErrorCode::invalid_value, "statistic", fmt::format("{} {} gives {}", what, i, values[i]),
                   "use a statistic that is finite for every choice of clusters, or larger clusters");
  return {};
}

/// Efron's acceleration from the influence of groups of clusters: a sixth of their skewness.
double acceleration(const std::vector<double>& without) {
  double mean = 0, squares = 0, cubes = 0;
  for (const double value : without) mean += value;
  mean /= static_cast<double>(without.size());
  for (const double value : without) {
    const double influence = mean - value;
    squares += influence * influence;
    cubes += influence * influence * influence;
  }
  return squares > 0 ? cubes / (6 * std::pow(squares, 1.5)) : 0;
}

} // namespace

Result<BootstrapEstimate> cluster_bootstrap(std::span<const std::int64_t> clusters, const RowStatistic& statistic,
                                            const BootstrapOptions& options, const Context& context) {
  MCOMP_CHECK(detail::check_level(options.level));
  const double tail = (1 - options.level) / 2;
  if (options.replicates < 20 || static_cast<double>(options.replicates) * tail < 1)
    return Error(ErrorCode::invalid_argument, "replicates",
                 fmt::format("at least 20, and one beyond each end of the interval, there are {}", options.replicates),
                 "pass 2000");
  const Clusters grouped(clusters);
  const std::size_t n = clusters.empty() ? 0 : grouped.count();
  if (n < 2)
    return Error(ErrorCode::insufficient_data, "clusters", fmt::format("it takes at least 2, there are {}", n),
                 "observe more users, or whatever makes a cluster");

  BootstrapEstimate result{.clusters = static_cast<std::int64_t>(n),
                           .rows = static_cast<std::int64_t>(clusters.size()),
                           .replicates = options.replicates};
  result.estimate = statistic(grouped.rows);
  MCOMP_CHECK(check_finite({result.estimate}, "the whole sample, number"));

  const auto draw = [&](std::size_t replicate, std::vector<std::int64_t>& rows) {
    Random random(options.seed, replicate);
    rows.clear();
    for (std::size_t i = 0; i < n; ++i) grouped.append(random.below(n), rows);
    return statistic(rows);
  };
  std::vector<double> replicates = evaluate_all(static_cast<std::size_t>(options.replicates), draw, context);
  MCOMP_CHECK(context.check("bootstrap"));
  MCOMP_CHECK(check_finite(replicates, "replicate"));
  const auto count = static_cast<double>(replicates.size());
  double mean = 0, squares = 0;
  for (const double value : replicates) mean += value;
  mean /= count;
  for (const double value : replicates) squares += (value - mean) * (value - mean);
  result.bias = mean - result.estimate;
  result.standard_error = std::sqrt(squares / (count - 1));

  // Resampling n clusters has (n - 1) / n of their variance, and knows no error of its estimate: the tails are those of
  // Student's t, widened (Hesterberg, The American Statistician 69, 2015).
  const auto clusters_drawn = static_cast<double>(n);
  const double expanded =
      normal_cdf(std::sqrt(clusters_drawn / (clusters_drawn - 1)) * student_t_quantile(tail, clusters_drawn - 1));
  double low = expanded, high = 1 - expanded;
  if (options.method == BootstrapMethod::bca) {
    const std::size_t groups = std::min(n, most_groups);
    const auto leave_out = [&](std::size_t group, std::vector<std::int64_t>& rows) {
      rows.clear();
      for (std::size_t c = 0; c < n; ++c)
        if (c % groups != group) grouped.append(c, rows);
      return statistic(rows);
    };
    const std::vector<double> without = evaluate_all(groups, leave_out, context);
    MCOMP_CHECK(context.check("bootstrap"));
    MCOMP_CHECK(check_finite(without, "the sample without cluster group"));
    const double a = acceleration(without);
    double below = 0;
    for (const double value : replicates) below += value < result.estimate ? 1 : value == result.estimate ? 0.5 : 0;
    const double bias = normal_quantile(std::clamp(below, 0.5, count - 0.5) / count);
    // Beyond its pole the correction has no meaning; there the outermost replicate is the end.
    const auto corrected = [&](double probability) {
      const double z = bias + normal_quantile(probability), scale = 1 - a * z;
      return scale > 0 ? normal_cdf(bias + z / scale) : z > 0 ? 1.0 : 0.0;
    };
    low = corrected(expanded);
    high = corrected(1 - expanded);
  }
  MCOMP_TRY(lower, quantile(replicates, low, QuantileRule::linear));
  MCOMP_TRY(upper, quantile(replicates, high, QuantileRule::linear));
  result.interval = {lower, upper, options.level};
  return result;
}

Result<BootstrapEstimate> bootstrap(std::int64_t rows, const RowStatistic& statistic, const BootstrapOptions& options,
                                    const Context& context) {
  if (rows < 2)
    return Error(ErrorCode::insufficient_data, "rows", fmt::format("it takes at least 2, there are {}", rows),
                 "observe more");
  std::vector<std::int64_t> clusters(static_cast<std::size_t>(rows));
  std::iota(clusters.begin(), clusters.end(), std::int64_t{0});
  return cluster_bootstrap(clusters, statistic, options, context);
}

std::string to_string(const BootstrapEstimate& estimate) {
  return fmt::format("{:.4g} +- {:.2g} {} of {} rows in {} clusters", estimate.estimate, estimate.standard_error,
                     estimate.interval, estimate.rows, estimate.clusters);
}

} // namespace mcomp::inline v0::stats
