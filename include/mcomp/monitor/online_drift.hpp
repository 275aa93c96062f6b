#pragma once

// Detectors of change in a stream, value by value and in fixed memory: has the mean moved, and since when?
//
//     mcomp::monitor::Adwin detector = mcomp::monitor::Adwin::create().value();
//     for (double error : stream)
//       if (detector.add(error)) ...            // the older part of the window was dropped: the mean is another one
//
// Which: Adwin for any bounded quantity, with a bound on false alarms; DriftDetectionMethod for errors of a classifier
// (0 or 1) that may only become worse; PageHinkley and Cusum for a rise (and fall) beyond a tolerance that is known.
// Versions matter: the alarms of these are those of MOA (Adwin) and of the library river 0.10 (the others; Page-Hinkley
// in its one-sided form). None of them is safe from several threads.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::monitor {

/// Two programs that bear the name, for those who must agree with one of them.
enum class AdwinVariant {
  bifet, ///< as its authors and MOA have it: every cut between buckets is looked at
  river, ///< of river 0.10 and later: the newest bucket of each size is passed over, and a detection starts anew
};

struct AdwinOptions {
  double delta = 0.002;           ///< chance of a false alarm, within (0, 1)
  std::int64_t clock = 32;        ///< values between two looks
  std::int64_t least_part = 5;    ///< values in either part of the window
  std::int64_t least_window = 10; ///< values before the first look
  std::int32_t buckets_a_row = 5; ///< of one size, before two are merged; at most 64
  AdwinVariant variant = AdwinVariant::bifet;

  /// Reads schema "mcomp-adwin-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<AdwinOptions> parse(std::string_view json,
                                                                     const std::string& subject = "adwin");
  friend bool operator==(const AdwinOptions&, const AdwinOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const AdwinOptions& value);

/// ADWIN2 (Bifet and Gavalda, SIAM Data Mining 2007): a window as long as its mean stays the same, held as an
/// exponential histogram of O(log n) buckets; an older part is dropped when its mean differs from that of the rest by
/// more than chance allows. Amortized O(log n) a value.
class MCOMP_WORKFLOW_API Adwin {
 public:
  /// Error: invalid_argument for options out of range.
  [[nodiscard]] static Result<Adwin> create(const AdwinOptions& options = {});

  /// True where a change was found. NaN and infinities are counted in `rejected` and change nothing else.
  bool add(double value);

  [[nodiscard]] std::int64_t width() const noexcept { return width_; } ///< values in the window
  [[nodiscard]] double mean() const noexcept { return width_ == 0 ? 0 : total_ / static_cast<double>(width_); }
  [[nodiscard]] double variance() const noexcept { return width_ == 0 ? 0 : spread_ / static_cast<double>(width_); }
  [[nodiscard]] std::int64_t detections() const noexcept { return detections_; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }

 private:
  struct Bucket {
    double total = 0, spread = 0; ///< sum, and sum of squared deviations from the own mean
  };
  using Row = std::vector<Bucket>; ///< buckets of 2^row values, the oldest first

  explicit Adwin(const AdwinOptions& options) : options_(options) {}
  void compress();
  [[nodiscard]] bool shrink();
  void drop_oldest();

  AdwinOptions options_;
  std::vector<Row> rows_{Row()};
  std::int64_t width_ = 0, ticks_ = 0, detections_ = 0, rejected_ = 0;
  double total_ = 0, spread_ = 0;
};

struct PageHinkleyOptions {
  double threshold = 50;      ///< > 0: an alarm at or above it
  double tolerance = 0.005;   ///< of a rise that does not matter, >= 0
  double forgetting = 0.9999; ///< factor of what was summed before, within (0, 1]
  std::int64_t least = 30;    ///< values before the first alarm

  /// Reads schema "mcomp-page-hinkley-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<PageHinkleyOptions> parse(std::string_view json,
                                                                           const std::string& subject = "Page-Hinkley");
  friend bool operator==(const PageHinkleyOptions&, const PageHinkleyOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const PageHinkleyOptions& value);

/// The test of Page (Biometrika 41, 1954) as Hinkley gave it: s = max(0, forgetting s + x - mean - tolerance), with the
/// mean of all values since the last alarm, this one included; an alarm where s >= threshold, and all starts anew.
class MCOMP_WORKFLOW_API PageHinkley {
 public:
  /// Error: invalid_argument for options out of range.
  [[nodiscard]] static Result<PageHinkley> create(const PageHinkleyOptions& options = {});
  bool add(double value) noexcept;
  [[nodiscard]] double sum() const noexcept { return sum_; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }

 private:
  explicit PageHinkley(const PageHinkleyOptions& options) : options_(options) {}
  PageHinkleyOptions options_;
  std::int64_t count_ = 0, rejected_ = 0;
  double mean_ = 0, sum_ = 0;
};

enum class DriftLevel { none, warning, drift };
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(DriftLevel level);

struct DriftDetectionOptions {
  double warning = 2, drift = 3; ///< standard deviations above the best rate; 0 < warning <= drift
  std::int64_t least = 30;       ///< values before the first alarm

  /// Reads schema "mcomp-drift-detection-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<DriftDetectionOptions>
  parse(std::string_view json, const std::string& subject = "drift detection");
  friend bool operator==(const DriftDetectionOptions&, const DriftDetectionOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const DriftDetectionOptions& value);

/// DDM (Gama, Medas, Castillo and Rodrigues, SBIA 2004): the rate of errors p with its standard deviation s against the
/// least p + s that was seen; starts anew after a drift. It does not see errors become rarer.
class MCOMP_WORKFLOW_API DriftDetectionMethod {
 public:
  /// Error: invalid_argument for options out of range.
  [[nodiscard]] static Result<DriftDetectionMethod> create(const DriftDetectionOptions& options = {});
  DriftLevel add(bool error) noexcept;
  [[nodiscard]] double rate() const noexcept { return rate_; } ///< of errors, since the last drift

 private:
  explicit DriftDetectionMethod(const DriftDetectionOptions& options);
  void restart() noexcept;
  DriftDetectionOptions options_;
  std::int64_t count_ = 1;
  double rate_ = 1, least_rate_ = 0, least_deviation_ = 0;
};

struct CusumOptions {
  double mean = 0;      ///< in control
  double deviation = 1; ///< standard deviation in control, > 0
  double slack = 0.5;   ///< half of the shift to be found, in deviations, >= 0
  double limit = 5;     ///< in deviations, > 0: 5 with a slack of .5 gives a false alarm in about 465 normal values

  /// Reads schema "mcomp-cusum-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<CusumOptions> parse(std::string_view json,
                                                                     const std::string& subject = "cusum");
  friend bool operator==(const CusumOptions&, const CusumOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const CusumOptions& value);
enum class Shift { none, up, down };
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(Shift shift);

/// The two-sided tabular CUSUM (Montgomery, Introduction to Statistical Quality Control, chapter 9). Both sums start
/// anew after an alarm.
class MCOMP_WORKFLOW_API Cusum {
 public:
  /// Error: invalid_argument for options out of range.
  [[nodiscard]] static Result<Cusum> create(const CusumOptions& options);
  Shift add(double value) noexcept;
  [[nodiscard]] double up() const noexcept { return up_; } ///< in deviations
  [[nodiscard]] double down() const noexcept { return down_; }
  /// Values since the sum that gave the last alarm left zero: where the shift began, most likely.
  [[nodiscard]] std::int64_t shift_length() const noexcept { return shift_length_; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }

 private:
  explicit Cusum(const CusumOptions& options) : options_(options) {}
  CusumOptions options_;
  double up_ = 0, down_ = 0;
  std::int64_t up_length_ = 0, down_length_ = 0, shift_length_ = 0, rejected_ = 0;
};

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::DriftLevel> = true;
template <> inline constexpr bool enable_format<monitor::Shift> = true;
} // namespace mcomp::inline v0
