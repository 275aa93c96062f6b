#pragma once

// Calibration of the last n predictions, for code that serves: labels come in one by one, each costs a few additions
// and no allocation, and the metrics of the window can be read at any time.
//
//     calibrate::CalibrationWindow window(10'000);
//     window.add(confidence, correct, nll, brier);      // or add(logits, label)
//     if (window.metrics().ece > 0.05) ...

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/calibrate/metrics.hpp"

namespace mcomp::inline v0::calibrate {

struct WindowMetrics {
  std::int64_t count = 0; ///< rows in the window, at most its capacity; without rows everything is 0
  double accuracy = 0, confidence = 0, nll = 0, brier = 0, ece = 0, mce = 0;
};
[[nodiscard]] MCOMP_API std::string to_string(const WindowMetrics& metrics);

/// Not safe to use from two threads at once.
class MCOMP_API CalibrationWindow {
 public:
  /// Memory is taken here, 32 bytes a row, and never again. Throws std::bad_alloc. A capacity below 1 is 1; bins are
  /// held within 1 .. 2^20.
  explicit CalibrationWindow(std::int64_t capacity, int bins = 15);

  /// Adds a row, and drops the oldest where the window is full. O(1). Infinite NLL is kept as such while it is in the
  /// window. Errors, which leave the window as it was: invalid_value for a confidence outside [0, 1], a negative or NaN
  /// score.
  [[nodiscard]] Status add(double confidence, bool correct, double nll, double brier);
  /// The same from logits of one row, O(classes) and still without allocation. Errors: invalid_shape without classes;
  /// invalid_value for invalid logits or a label outside.
  [[nodiscard]] Status add(std::span<const float> logits, std::int64_t label, double temperature = 1);

  /// O(bins). Rounding errors do not accumulate: sums are begun anew whenever the window has been filled once.
  [[nodiscard]] WindowMetrics metrics() const noexcept;
  /// Allocates.
  [[nodiscard]] std::vector<ReliabilityBin> bins() const;
  [[nodiscard]] std::int64_t capacity() const noexcept { return static_cast<std::int64_t>(rows_.size()); }
  void clear() noexcept;

 private:
  struct Row {
    double nll = 0, brier = 0, confidence = 0;
    std::uint32_t bin = 0;
    std::uint32_t correct = 0;
  };
  struct Cell {
    double confidence = 0;
    std::int64_t count = 0, correct = 0;
  };
  /// Sums over a part of the rows.
  struct Sums {
    std::vector<Cell> cells{};
    double nll = 0, brier = 0;
    std::int64_t infinite = 0; ///< rows with infinite NLL, which is not in the sum
    void add(const Row& row, std::int64_t sign) noexcept;
  };

  std::vector<Row> rows_;
  std::size_t next_ = 0, count_ = 0;
  Sums old_{}, fresh_{}; ///< of the rows of the last lap that are still there, and of this lap
};

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::WindowMetrics> = true;
}
