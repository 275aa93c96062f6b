#include "mcomp/calibrate/calibration_test.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "calibrate/calibration_error.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

Status check(const ResamplingOptions& options, std::size_t rows) {
  if (rows == 0) return Error(ErrorCode::insufficient_data, "rows", "there are none", "pass at least one");
  if (!(options.level > 0 && options.level < 1))
    return Error(ErrorCode::invalid_argument, "level",
                 fmt::format("it must lie within (0, 1), it is {}", options.level), "take 0.95");
  if (options.resamples < 1 || options.resamples > 10'000'000)
    return Error(ErrorCode::invalid_argument, "resamples",
                 fmt::format("1 .. 10^7 are possible, {} are asked", options.resamples), "take 999");
  return {};
}

/// The percentile interval of values, which are sorted; linear between order statistics.
stats::Interval percentile(std::vector<double>& values, double level) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double probability) {
    const double position = probability * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    const double part = position - static_cast<double>(below);
    // Without the product where it would make infinity less infinity of two equal ends.
    return part == 0 || values[below] == values[above] ? values[below]
                                                       : values[below] + part * (values[above] - values[below]);
  };
  return {at((1 - level) / 2), at((1 + level) / 2), level};
}

std::size_t bin_of(double p, double M) {
  return static_cast<std::size_t>(std::clamp(std::ceil(M * p) - 1, 0.0, M - 1));
}

/// Rows by rising confidence: their positions, and whether a row is the last of its confidence.
struct Order {
  explicit Order(std::span<const double> confidences) : row(confidences.size()), last(confidences.size()) {
    std::iota(row.begin(), row.end(), std::size_t{0});
    std::stable_sort(row.begin(), row.end(),
                     [&](std::size_t a, std::size_t b) { return confidences[a] < confidences[b]; });
    for (std::size_t i = 0; i < row.size(); ++i)
      last[i] = i + 1 == row.size() || confidences[row[i + 1]] != confidences[row[i]];
  }
  std::vector<std::size_t> row;
  std::vector<std::uint8_t> last;
};

} // namespace

std::string to_string(const CalibrationTest& test) {
  return fmt::format(
      "calibration error {:.4f}, {:.4f} expected of a calibrated model, p = {:.4g} ({} rows, {} resamples)",
      test.statistic, test.expected, test.p_value, test.count, test.resamples);
}

Result<MetricIntervals> bootstrap_intervals(const RowOutcomes& rows, const ResamplingOptions& options) {
  MCOMP_CHECK(check(options, rows.size()));
  MCOMP_TRY(observed, metrics_of(rows, options.bins)); // checks the rest
  static_cast<void>(observed);
  const std::size_t n = rows.size(), resamples = static_cast<std::size_t>(options.resamples);
  const double M = options.bins;
  const Order order(rows.confidence);
  std::vector<std::size_t> bin(n);
  for (std::size_t i = 0; i < n; ++i) bin[i] = bin_of(rows.confidence[i], M);
  constexpr std::size_t numbers = 8;
  std::vector<std::vector<double>> values(numbers, std::vector<double>(resamples));
  (options.executor ? *options.executor : serial_executor()).run(resamples, [&](std::size_t r) {
    Random random(options.seed, r);
    std::vector<std::uint32_t> times(n);
    for (std::size_t i = 0; i < n; ++i) ++times[random.below(n)];
    std::vector<ReliabilityBin> bins(static_cast<std::size_t>(options.bins));
    double right = 0, confidence = 0, nll = 0, brier = 0, gap = 0, ks = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t row = order.row[i];
      if (times[row] > 0) {
        const double w = times[row], y = rows.correct[row] != 0, p = rows.confidence[row];
        right += w * y, confidence += w * p, nll += w * rows.nll[row], brier += w * rows.brier[row];
        ReliabilityBin& b = bins[bin[row]];
        b.count += times[row], b.confidence += w * p, b.accuracy += w * y;
        gap += w * (y - p);
      }
      if (order.last[i]) ks = std::max(ks, std::abs(gap));
    }
    for (ReliabilityBin& b : bins) {
      const double count = static_cast<double>(std::max<std::int64_t>(b.count, 1));
      b.confidence /= count, b.accuracy /= count;
    }
    const double size = static_cast<double>(n);
    const double all[numbers] = {right / size,
                                 confidence / size,
                                 nll / size,
                                 brier / size,
                                 expected_calibration_error(bins),
                                 detail::error_of(bins, 2, false),
                                 detail::error_of(bins, 2, true),
                                 ks / size};
    for (std::size_t v = 0; v < numbers; ++v) values[v][r] = all[v];
  });
  MetricIntervals intervals;
  stats::Interval* const out[numbers] = {&intervals.accuracy,     &intervals.confidence, &intervals.nll,
                                         &intervals.brier,        &intervals.ece,        &intervals.rms,
                                         &intervals.ece_debiased, &intervals.ks};
  for (std::size_t v = 0; v < numbers; ++v) *out[v] = percentile(values[v], options.level);
  return intervals;
}

Result<CalibrationTest> calibration_test(std::span<const double> confidences, std::span<const std::uint8_t> correct,
                                         CalibrationStatistic statistic, const ResamplingOptions& options) {
  MCOMP_CHECK(check(options, confidences.size()));
  MCOMP_TRY(bins, reliability_bins(confidences, correct, options.bins)); // checks the rest
  static_cast<void>(bins);
  const std::size_t n = confidences.size(), resamples = static_cast<std::size_t>(options.resamples);
  const double M = options.bins;
  const Order order(confidences);
  std::vector<double> p(n); // in order
  std::vector<std::size_t> bin(n);
  for (std::size_t i = 0; i < n; ++i) {
    p[i] = std::min(confidences[order.row[i]], 1.);
    bin[i] = bin_of(p[i], M);
  }
  const auto measure = [&](auto&& right) {
    double largest = 0;
    if (statistic == CalibrationStatistic::ks) {
      double gap = 0;
      for (std::size_t i = 0; i < n; ++i) {
        gap += right(i) - p[i];
        if (order.last[i]) largest = std::max(largest, std::abs(gap));
      }
      return largest / static_cast<double>(n);
    }
    std::vector<double> gaps(static_cast<std::size_t>(options.bins));
    for (std::size_t i = 0; i < n; ++i) gaps[bin[i]] += right(i) - p[i];
    double sum = 0;
    for (const double gap : gaps) sum += std::abs(gap);
    return sum / static_cast<double>(n);
  };
  CalibrationTest test{.count = static_cast<std::int64_t>(n), .resamples = options.resamples};
  test.statistic = measure([&](std::size_t i) { return correct[order.row[i]] != 0 ? 1. : 0.; });
  std::vector<double> drawn(resamples);
  (options.executor ? *options.executor : serial_executor()).run(resamples, [&](std::size_t r) {
    Random random(options.seed, r);
    drawn[r] = measure([&](std::size_t i) { return random.uniform() < p[i] ? 1. : 0.; });
  });
  std::int64_t as_large = 0;
  for (const double value : drawn) {
    // Equal but for the order of rounding errors counts as equal.
    as_large += value >= test.statistic - 1e-12;
    test.expected += value / static_cast<double>(resamples);
  }
  test.p_value = static_cast<double>(1 + as_large) / static_cast<double>(1 + resamples);
  return test;
}

Result<std::vector<stats::Interval>> consistency_bands(std::span<const double> confidences,
                                                       const ResamplingOptions& options) {
  MCOMP_CHECK(check(options, confidences.size()));
  const std::vector<std::uint8_t> none(confidences.size());
  MCOMP_TRY(bins, reliability_bins(confidences, none, options.bins));
  const std::size_t resamples = static_cast<std::size_t>(options.resamples), M = bins.size();
  std::vector<std::size_t> bin;
  for (const double p : confidences) bin.push_back(bin_of(p, options.bins));
  std::vector<std::vector<double>> accuracy(M, std::vector<double>(resamples));
  (options.executor ? *options.executor : serial_executor()).run(resamples, [&](std::size_t r) {
    Random random(options.seed, r);
    std::vector<double> right(M);
    for (std::size_t i = 0; i < confidences.size(); ++i) right[bin[i]] += random.uniform() < confidences[i];
    for (std::size_t b = 0; b < M; ++b)
      accuracy[b][r] = right[b] / static_cast<double>(std::max<std::int64_t>(bins[b].count, 1));
  });
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<stats::Interval> result;
  for (std::size_t b = 0; b < M; ++b)
    result.push_back(bins[b].count > 0 ? percentile(accuracy[b], options.level)
                                       : stats::Interval{nan, nan, options.level});
  return result;
}

} // namespace mcomp::inline v0::calibrate
