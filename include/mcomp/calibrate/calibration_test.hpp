#pragma once

// How sure is a calibration error? Intervals by the bootstrap (Efron 1979), what a calibrated model would show by
// chance (consistency bands: Broecker and Smith 2007), and a test of "calibrated at all": is the error larger than
// that of labels drawn from the confidences themselves? All seeded: same seed, same numbers, on any executor.
//
//     auto rows = calibrate::outcomes_of_logits(logits, labels).value();
//     auto test = calibrate::calibration_test(rows.confidence, rows.correct).value();   // test.p_value

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::calibrate {

struct ResamplingOptions {
  int resamples = 999;
  double level = 0.95;
  int bins = 15; ///< of equal width
  std::uint64_t seed = 1;
  Executor* executor = nullptr; ///< null: the calling thread; the result does not depend on it
};

/// Percentile intervals. Those of `ece`, `rms` and `ks` show how the number varies, not how large the true error is:
/// the numbers are biased upwards, and resampling adds as much bias again. For the size of the error take
/// `ece_debiased` and the test below. Of a constant (zero variance) the ends agree.
struct MetricIntervals {
  stats::Interval accuracy{}, confidence{}, nll{}, brier{}, ece{}, rms{}, ece_debiased{}, ks{};
};

/// Draws rows with replacement. O(resamples n). Errors: insufficient_data without rows; those of metrics_of;
/// invalid_argument for a level outside (0, 1) or resamples outside 1 .. 10^7.
[[nodiscard]] MCOMP_API Result<MetricIntervals> bootstrap_intervals(const RowOutcomes& rows,
                                                                    const ResamplingOptions& options = {});

enum class CalibrationStatistic {
  ks,  ///< without bins: the default
  ece, ///< bins of equal width
};

struct CalibrationTest {
  double statistic = 0;
  double expected = 0; ///< mean of the statistic where the confidences are right
  double p_value = 1;  ///< (1 + resamples with at least this statistic) / (1 + resamples): at most alpha with
                       ///< probability at most alpha for any n, where each row is right with its confidence
  std::int64_t count = 0;
  int resamples = 0;
};
[[nodiscard]] MCOMP_API std::string to_string(const CalibrationTest& test);

/// The null hypothesis is P(correct) = confidence for every row. A large p-value says that no error is seen, not that
/// there is none. O(n log n + resamples n). Errors as above.
[[nodiscard]] MCOMP_API Result<CalibrationTest>
calibration_test(std::span<const double> confidences, std::span<const std::uint8_t> correct,
                 CalibrationStatistic statistic = CalibrationStatistic::ks, const ResamplingOptions& options = {});

/// Between these a bin's accuracy lies with probability `level` where the confidences are right, for each of the M
/// bins; both NaN where a bin is empty. Errors as above.
[[nodiscard]] MCOMP_API Result<std::vector<stats::Interval>> consistency_bands(std::span<const double> confidences,
                                                                               const ResamplingOptions& options = {});

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::CalibrationTest> = true;
}
