#pragma once

// How fast a service uses up what it may do wrong: burn rate over several windows (Beyer et al., The Site Reliability
// Workbook, 2018, chapter 5). A rate of 1 uses up exactly the budget of the period.
//
//     auto burn = mcomp::monitor::BurnRate::create({.objective = 0.999}).value();
//     burn.add(seconds, good, bad);
//     if (burn.answer(seconds).fires) ...

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::monitor {

/// Fires where both windows burn at `factor` or faster: the long one says that it matters, the short one that it goes
/// on.
struct BurnWindow {
  double long_seconds = 0, short_seconds = 0;
  double factor = 0;
  friend bool operator==(const BurnWindow&, const BurnWindow&) = default;
};

struct BurnRateOptions {
  double objective = 0.999; ///< share of good events, within (0, 1)
  double period_seconds = 30.0 * 86400;
  /// Those of the workbook: 2, 5 and 10% of a budget of 30 days within an hour, six hours and three days.
  std::vector<BurnWindow> windows{{3600, 300, 14.4}, {21600, 1800, 6}, {259200, 21600, 1}};
  double resolution_seconds = 30; ///< counts are kept for so long each
  /// Bad and good events of the short window below which it says nothing.
  std::int64_t least_events = 1;

  /// Reads schema "mcomp-burn-rate-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<BurnRateOptions> parse(std::string_view json,
                                                                        const std::string& subject = "burn rate");
  friend bool operator==(const BurnRateOptions&, const BurnRateOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const BurnRateOptions& value);

struct WindowBurn {
  double long_rate = 0, short_rate = 0;
  std::int64_t long_events = 0, short_events = 0;
  bool fires = false;
  friend bool operator==(const WindowBurn&, const WindowBurn&) = default;
};
struct BurnAnswer {
  bool fires = false;              ///< one of the windows does
  bool no_data = false;            ///< no window has enough events: never a sign that all is well
  std::vector<WindowBurn> windows; ///< in the order of the options

  /// Reads schema "mcomp-burn-answer-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<BurnAnswer> parse(std::string_view json,
                                                                   const std::string& subject = "burn answer");
  friend bool operator==(const BurnAnswer&, const BurnAnswer&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const BurnAnswer& value);

/// Counts in a ring; memory is the longest window over the resolution, 16 bytes each. Not safe from several threads.
class MCOMP_WORKFLOW_API BurnRate {
 public:
  /// Errors: invalid_argument for an objective outside (0, 1), windows that do not ascend from short to long within the
  /// period, factors that are not > 0, a resolution below a millisecond, or more than 10^6 counts.
  [[nodiscard]] static Result<BurnRate> create(const BurnRateOptions& options = {});

  /// Events at a time in seconds of any clock that does not go back by more than the longest window. Counted nowhere
  /// are events before that (`late`). Errors: invalid_value for a time outside [0, 10^15], or counts outside [0, 2^40].
  [[nodiscard]] Status add(double seconds, std::int64_t good, std::int64_t bad);
  /// Rates of the windows that end now; a window takes in the whole of the interval that it begins in.
  [[nodiscard]] BurnAnswer answer(double now) const;
  [[nodiscard]] std::int64_t late() const noexcept { return late_; }

  /// Share of the period's budget that a window has used up when it fires: factor x long window / period.
  [[nodiscard]] static double consumed(const BurnWindow& window, double period_seconds) noexcept {
    return window.factor * window.long_seconds / period_seconds;
  }

 private:
  struct Count {
    std::int64_t slot = -1, good = 0, bad = 0;
  };
  explicit BurnRate(BurnRateOptions options, std::size_t slots) : options_(std::move(options)), ring_(slots) {}
  [[nodiscard]] Count sum(std::int64_t last, double seconds) const;

  BurnRateOptions options_;
  std::vector<Count> ring_;
  std::int64_t newest_ = -1, late_ = 0;
};

/// "burns at 15.2 and 17.1 of 14.4: fires; 6.1 and 17.1 of 6: fires; ..."
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const BurnAnswer& answer);

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::BurnAnswer> = true;
}
