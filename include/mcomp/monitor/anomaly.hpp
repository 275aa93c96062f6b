#pragma once

// Is this value of a latency, an error rate or a business figure unlike what the series did before? Row by row, from
// what came before alone, without labels, and with the same settings for every series.
//
//     auto detector = mcomp::monitor::AnomalyDetector::create().value();
//     for (auto [seconds, value] : stream)
//       if (auto point = detector.update(seconds, value).value(); point.alarm) std::cout << to_string(point);
//
// Five signs are watched, each in units of its own usual size: a value; the mean of a few rows beyond what the hour of
// the week leads to expect; the mean of two hours (of five-minute rows) against the long run and against the day
// before; and how much neighbouring rows differ. How rare a sign is now, is read from its past: the series is cut into
// blocks, the largest value of each is kept, and beyond the tenth largest a Pareto tail continues (Hill's estimator,
// Annals of Statistics 3, 1975, of block maxima, held to a usual slope since ten values say little). That makes
// surprises of different signs and series comparable: on data that do not change a sign reaches 2 in at most one of a
// hundred blocks. The five are joined by a power mean.
//
// An operator reads only so many alarms. Each alarm makes the next one harder for a while (`fatigue`), and for some
// rows after an alarm there is none, so that one event is told once and a restless series gets a higher threshold. What
// was held back still stands in `surprise`. With the defaults data that do not change give up to 60 alarms in 100,000
// rows, and some more in the first thousands, in which much is new; raise `threshold` where that is too many. Measured,
// with the delay until changes are found and the score in the Numenta benchmark: bench/results/anomaly.md.
//
// Memory is fixed at creation, about 36 kB. Not safe from several threads.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::monitor {

/// What about a series may be unusual.
enum class AnomalySign {
  season, ///< a few values in a row beside what the time of the week leads to expect
  value,  ///< one value beside the long-run mean
  level,  ///< the mean of a window beside the long-run mean
  step,   ///< the mean of a window beside the short-run mean
  spread, ///< the mean absolute difference of neighbours in a window beside its own long-run mean
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(AnomalySign sign);
inline constexpr std::size_t anomaly_signs = 5;

/// Lengths are in rows: the defaults suit rows every few minutes to every hour.
struct AnomalyOptions {
  double threshold = 0.3;         ///< surprise beyond the fatigue at which the score is 1/2 and an alarm is given, > 0
  std::int64_t warm_up = 200;     ///< rows at the start without an alarm
  std::int64_t quiet = 100;       ///< rows without an alarm after one
  double fatigue = 0.2;           ///< what an alarm adds to the threshold, >= 0
  double fatigue_memory = 5000;   ///< rows after which 1/e of that is left, >= 1
  std::int64_t level_window = 24; ///< of level, step and spread; 2 to 1000
  std::int64_t season_window = 4; ///< of season; 1 to 1000
  double long_memory = 5000;      ///< rows that the long-run means remember, >= 1
  double short_memory = 300;      ///< rows that the short-run mean remembers, >= 1
  double season_period = 604800;  ///< seconds, > 0: a week
  std::int64_t season_bins = 168; ///< of the profile of a period; 1 to 100,000
  double season_learning = 0.2;   ///< weight of the newest value in its bin once there are enough, within (0, 1]
  std::int64_t block = 48;        ///< rows of which the largest sign is kept, >= 1
  std::int64_t blocks = 400;      ///< that are kept; 2 to 100,000
  std::int64_t tail = 10;         ///< largest of them from which the tail is taken, 2 to `blocks`
  double tail_slope = 0.2;        ///< usual mean logarithm of their ratio to the smallest of them, > 0 ...
  double tail_weight = 10;        ///< ... that counts as so many of them, > 0
  double step_back = 7200;        ///< seconds that the clock may be set back between two rows, >= 0

  /// invalid_argument, naming the member.
  [[nodiscard]] MCOMP_WORKFLOW_API Status check() const;
  /// Reads what `to_json` writes; absent keys keep their defaults. Errors: corrupt, version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<AnomalyOptions> parse(std::string_view json,
                                                                       const std::string& subject = "anomaly options");
  friend bool operator==(const AnomalyOptions&, const AnomalyOptions&) = default;
};
/// {"schema":"mcomp-anomaly-options-1",...}
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const AnomalyOptions& options);

/// What the detector says about one row.
struct AnomalyPoint {
  /// 0 to 1: e / (e + threshold) with e what the surprise exceeds the fatigue by; 0 while warming up and in the quiet
  /// rows after an alarm.
  double score = 0;
  bool alarm = false;                     ///< the score is at least 1/2
  double surprise = 0;                    ///< of all signs together, in decades of rarity, whether told or not
  double fatigue = 0;                     ///< before this row
  double value = 0;                       ///< as given
  double expected = 0;                    ///< by the time of the week where that was met before, else the long-run mean
  double residual = 0;                    ///< value - expected
  AnomalySign sign = AnomalySign::season; ///< the most surprising
  std::array<double, anomaly_signs> surprises{}; ///< by sign, in decades, 0 to 5
};
/// "score 0.81, alarm: 1203 where 310.2 was expected, by value (surprise 1.42 over 0.19)"
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const AnomalyPoint& point);

namespace detail {

/// Exponentially forgetting mean and mean absolute deviation of a windowed mean, plain averages while there are few.
struct ForgettingScale {
  double rate = 0;
  std::int64_t window = 1, count = 0;
  double mean = 0, deviation = 0;
  /// The deviation of `windowed` in units of the usual one, then takes both in. Deviations up to `rounding` are none.
  double add(double value, double windowed, double rounding) noexcept;
};

/// Largest values of past blocks of rows, and how rare a value is beside them.
class BlockTail {
 public:
  explicit BlockTail(const AnomalyOptions& options);
  /// Decades of rarity of `value`, which is >= 0; then takes it in.
  double add(double value);

 private:
  [[nodiscard]] double surprise(double value) const noexcept;
  void close_block();

  std::int64_t block_, tail_;
  double usual_slope_, weight_;
  std::size_t capacity_, oldest_ = 0;
  std::vector<double> maxima_, ascending_;
  double current_ = 0, least_ = 0, slope_ = 0;
  std::int64_t rows_ = 0;
};

/// The mean of the last rows, summed anew each time so that no rounding of a large value outlives it.
class RowWindowMean {
 public:
  explicit RowWindowMean(std::int64_t rows) : capacity_(static_cast<std::size_t>(rows)) { values_.reserve(capacity_); }
  double add(double value);

 private:
  std::size_t capacity_, oldest_ = 0;
  std::vector<double> values_;
};

} // namespace detail

class MCOMP_WORKFLOW_API AnomalyDetector {
 public:
  /// Error: as `AnomalyOptions::check`.
  [[nodiscard]] static Result<AnomalyDetector> create(const AnomalyOptions& options = {});

  /// O(windows), and O(blocks) once a block. The result depends on the rows so far and nothing else.
  /// @param seconds of the row, in any fixed time scale: UTC seconds since 1970, say
  /// Errors, with nothing changed: invalid_value for a value or a time that is not finite or beyond 1e100, and for a
  /// time more than `step_back` before that of the row before.
  [[nodiscard]] Result<AnomalyPoint> update(double seconds, double value);

  [[nodiscard]] std::int64_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::int64_t alarms() const noexcept { return alarms_; }
  [[nodiscard]] const AnomalyOptions& options() const noexcept { return options_; }

 private:
  explicit AnomalyDetector(const AnomalyOptions& options);
  [[nodiscard]] std::size_t bin(double seconds) const noexcept;
  [[nodiscard]] std::array<double, anomaly_signs> measure(double seconds, double value, double expected);

  AnomalyOptions options_;
  double fatigue_factor_ = 0;
  std::array<detail::ForgettingScale, anomaly_signs> scales_;
  std::vector<detail::BlockTail> tails_;
  detail::RowWindowMean residuals_, values_, differences_;
  std::vector<double> season_mean_;
  std::vector<std::int64_t> season_count_;
  double magnitude_ = 0, fatigue_ = 0, last_time_ = 0, last_value_ = 0;
  std::int64_t rows_ = 0, alarms_ = 0, last_alarm_ = -1;
};

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::AnomalySign> = true;
template <> inline constexpr bool enable_format<monitor::AnomalyPoint> = true;
} // namespace mcomp::inline v0
