#pragma once

// Quantiles of a stream in fixed memory, each within a relative error that is promised: DDSketch (Masson, Rim and Lee,
// VLDB 12, 2019). Values are counted in bins whose borders grow geometrically. Sketches of shards, windows and
// processes merge without loss: in any order and grouping they give the same bytes as one sketch of all values.
//
//     mcomp::stats::QuantileSketch sketch = mcomp::stats::QuantileSketch::create({.relative_accuracy = 0.01}).value();
//     for (double seconds : latencies) sketch.add(seconds);
//     double p99 = sketch.quantile(0.99).value();       // within 1% of the exact order statistic

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/stats/exact_sum.hpp"
#include "mcomp/stats/quantile.hpp"

namespace mcomp::inline v0::stats {

struct SketchOptions {
  double relative_accuracy = 0.01; ///< |estimate - x| <= relative_accuracy |x|; within 1e-5 .. 0.5
  /// For each sign; 8 bytes each, all taken at creation. 2048 bins at 1% span 17 decades. Where values span more, the
  /// bins of the smallest magnitudes are joined: quantiles above keep the promise, those within are refused.
  std::int32_t max_bins = 2048;
  bool negative_values = true; ///< false saves half of the memory and rejects values below 0

  friend bool operator==(const SketchOptions&, const SketchOptions&) = default;
};

/// The values x with lower < |x| <= upper, up to rounding at the borders; both 0 for values nearer to 0 than the least
/// normal number.
struct SketchBin {
  double lower = 0, upper = 0; ///< for negative values lower < upper <= 0
  std::int64_t count = 0;
  friend bool operator==(const SketchBin&, const SketchBin&) = default;
};

/// Borders are powers of (1 + a) / (1 - a), up to a cubic approximation of the logarithm that takes 1% more bins and
/// keeps the promise. A plain value; `add` allocates nothing.
class MCOMP_API QuantileSketch {
 public:
  /// Error: invalid_argument for an accuracy outside 1e-5 .. 0.5, or bins outside 16 .. 2^20.
  [[nodiscard]] static Result<QuantileSketch> create(const SketchOptions& options = {});

  /// A few nanoseconds. NaN, infinities, and negative values where the options exclude them, are counted in `rejected`
  /// and change nothing else.
  void add(double value) noexcept {
    const double magnitude = std::abs(value);
    if (!(magnitude <= std::numeric_limits<double>::max() && value >= lowest_)) {
      ++rejected_;
      return;
    }
    ++count_;
    sum_.add(value);
    min_ = value < min_ ? value : min_;
    max_ = value > max_ ? value : max_;
    if (magnitude < std::numeric_limits<double>::min()) {
      ++zeros_;
      return;
    }
    (value > 0 ? positive_ : negative_).add(key(magnitude), 1);
  }

  /// Adds what another sketch has counted. Error: invalid_argument where the options differ, or both
  /// together have more than 2^62 values.
  [[nodiscard]] Status merge(const QuantileSketch& other);

  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }
  /// Exact, rounded once; 0 for none.
  [[nodiscard]] double sum() const noexcept { return sum_.value(); }
  /// Exact; NaN for none.
  [[nodiscard]] double min() const noexcept;
  [[nodiscard]] double max() const noexcept;
  [[nodiscard]] double mean() const noexcept; ///< NaN for none
  [[nodiscard]] const SketchOptions& options() const noexcept { return options_; }
  /// True once bins of small magnitudes have been joined.
  [[nodiscard]] bool collapsed() const noexcept { return positive_.collapsed || negative_.collapsed; }

  /// The value of nearest rank (`QuantileRule::nearest_rank`) within the relative accuracy; 0 and 1 give the exact
  /// extremes. Cost: the number of bins. Errors: invalid_argument for a probability outside [0, 1] or a quantile among
  /// joined bins; insufficient_data without values.
  [[nodiscard]] Result<double> quantile(double probability) const;
  /// With the limits of `stats::estimate_quantile`, moved outwards by the relative accuracy.
  [[nodiscard]] Result<QuantileEstimate> estimate_quantile(double probability, double level = 0.95) const;
  /// The bins that are not empty, from the least value up: for histograms and exports.
  [[nodiscard]] std::vector<SketchBin> bins() const;

  /// The same bytes for the same options and values, in whatever order they came: little-endian, a few bytes a bin.
  [[nodiscard]] std::vector<std::byte> to_bytes() const;
  /// Errors: corrupt for bytes that no sketch writes, version_mismatch for those of a later version. Takes no more
  /// memory than the options say, those at most 16 MB.
  [[nodiscard]] static Result<QuantileSketch> from_bytes(std::span<const std::byte> bytes);

  friend bool operator==(const QuantileSketch& a, const QuantileSketch& b) { return a.to_bytes() == b.to_bytes(); }

 private:
  /// Counts of the keys low .. low + size - 1.
  struct Store {
    std::vector<std::int64_t> counts;
    std::int32_t low = 0;
    bool used = false;
    bool pinned = false;    ///< the last bin is in use: smaller keys than `low` have no room
    bool collapsed = false; ///< counts[0] holds smaller keys too

    void add(std::int32_t key, std::int64_t count) noexcept {
      const auto index = static_cast<std::uint32_t>(key) - static_cast<std::uint32_t>(low);
      if (index < counts.size() && used)
        counts[index] += count;
      else
        add_outside(key, count);
    }
    void add_outside(std::int32_t key, std::int64_t count) noexcept;
    void move_to(std::int32_t new_low) noexcept;
    [[nodiscard]] std::int32_t first() const noexcept; ///< least key in use
    [[nodiscard]] std::int32_t last() const noexcept;
    void merge(const Store& other) noexcept;
  };

  explicit QuantileSketch(const SketchOptions& options);
  /// The bin of a normal number: its logarithm to base 2, by a cubic polynomial of the mantissa, in units of a bin.
  [[nodiscard]] std::int32_t key(double magnitude) const noexcept {
    const auto bits = std::bit_cast<std::uint64_t>(magnitude);
    const double s = std::bit_cast<double>((bits & 0xfffffffffffff) | 0x3ff0000000000000) - 1;
    const double log =
        static_cast<double>(static_cast<std::int32_t>(bits >> 52)) + s * (10. / 7 + s * (-3. / 5 + s * (6. / 35)));
    return static_cast<std::int32_t>(log * bins_per_octave_);
  }
  /// The number between the borders of a bin that is within the relative accuracy of both.
  [[nodiscard]] double representative(std::int32_t key) const noexcept;
  [[nodiscard]] double lower_border(std::int32_t key) const noexcept;
  [[nodiscard]] Result<double> at_rank(std::int64_t rank) const;

  SketchOptions options_;
  double bins_per_octave_, lowest_;
  std::int64_t count_ = 0, zeros_ = 0, rejected_ = 0;
  double min_ = std::numeric_limits<double>::infinity(), max_ = -std::numeric_limits<double>::infinity();
  ExactSum sum_;
  Store positive_, negative_;
};

/// "1000 values, 0.0012 .. 0.31, mean 0.0043, p50 0.0039, p95 0.0091, p99 0.014 (within 1%)"
[[nodiscard]] MCOMP_API std::string to_string(const QuantileSketch& sketch);

} // namespace mcomp::inline v0::stats

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<stats::QuantileSketch> = true;
}
