#pragma once

// Has the mean of a stream risen above what it is allowed to be, and since when? Without any assumption on the
// distribution but a range, and with a bound on false alarms that is exact: the e-detector of Shin, Ramdas and Rinaldo
// (E-detectors: a nonparametric framework for sequential change detection, New England Journal of Statistics in Data
// Science 2, 2024), in its Shiryaev-Roberts form.
//
//     auto detector = mcomp::monitor::ChangeDetector::create({.mean = 0.02, .run_length = 1e6}).value();
//     for (double share_of_errors : looks)
//       if (detector.add(share_of_errors)) fmt::print("above 2% since look {}\n", detector.since());
//
// The values may have any distribution and depend on each other, as long as the mean of each, given those before, is at
// most `mean`: then the mean number of values until an alarm is at least `run_length`, and an alarm within the first n
// has a probability of at most n / run_length. To find a fall, give 1 - value.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::monitor {

struct ChangeDetectorOptions {
  double mean = 0.01;      ///< of values within [0, 1] that is allowed, within (0, 1)
  double run_length = 1e5; ///< values until a false alarm, on average at least; > 1

  /// Reads schema "mcomp-change-detector-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<ChangeDetectorOptions>
  parse(std::string_view json, const std::string& subject = "change detector");
  friend bool operator==(const ChangeDetectorOptions&, const ChangeDetectorOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const ChangeDetectorOptions& value);

/// With the bets b on a geometric grid within (0, 1 / mean): M_b <- (M_b + 1) (1 + b (x - mean)), an alarm where the
/// mean of M_b over the bets reaches `run_length`; all starts anew then. Not safe from several threads.
class MCOMP_WORKFLOW_API ChangeDetector {
 public:
  /// Error: invalid_argument for options out of range.
  [[nodiscard]] static Result<ChangeDetector> create(const ChangeDetectorOptions& options = {});

  /// True for an alarm. Some 100 ns. A value outside [0, 1] or NaN is counted in `rejected` and changes nothing else.
  bool add(double value) noexcept;

  /// The number, from 0, of the value with which the change began most likely: where the bet that has won most since
  /// any time began to win. Of the last alarm right after it; otherwise of what is under way.
  [[nodiscard]] std::int64_t since() const noexcept { return since_; }
  /// Against `run_length`; of the last alarm right after it.
  [[nodiscard]] double evidence() const noexcept { return evidence_; }
  [[nodiscard]] std::int64_t values() const noexcept { return values_; } ///< that were taken
  [[nodiscard]] std::int64_t alarms() const noexcept { return alarms_; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }

  static constexpr std::size_t bets = 16;

 private:
  struct Bet {
    double evidence = 0; ///< M_b
    double log_gain = 0; ///< most that it has won since any time
    std::int64_t since = 0;
  };
  explicit ChangeDetector(const ChangeDetectorOptions& options) noexcept : options_(options) {}
  ChangeDetectorOptions options_;
  std::array<Bet, bets> bets_{};
  std::int64_t values_ = 0, alarms_ = 0, rejected_ = 0, since_ = 0;
  double evidence_ = 0;
};

} // namespace mcomp::inline v0::monitor
