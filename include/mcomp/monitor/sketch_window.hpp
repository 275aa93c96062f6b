#pragma once

// Quantiles of the last minutes: a ring of sketches, one for each window of time, merged when they are asked.
//
//     auto recent = mcomp::monitor::SketchWindows::create({.window_seconds = 60, .windows = 60}).value();
//     recent.add(now, latency_seconds);
//     double p99 = recent.last(now, 600).value().quantile(0.99).value();   // of ten minutes

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/sketch.hpp"

namespace mcomp::inline v0::monitor {

struct SketchWindowOptions {
  double window_seconds = 60;
  std::int64_t windows = 60; ///< that are kept, at most 10^5
  stats::SketchOptions sketch{};

  /// Reads schema "mcomp-sketch-windows-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<SketchWindowOptions>
  parse(std::string_view json, const std::string& subject = "sketch windows");
  friend bool operator==(const SketchWindowOptions&, const SketchWindowOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const SketchWindowOptions& value);

/// Tumbling windows [k w, (k + 1) w). Rings of several threads, shards or processes merge without loss: in any order
/// they give the same sketches as one ring of all values, as long as no value came too late for one of them. Not safe
/// from several threads; give each its own.
class MCOMP_WORKFLOW_API SketchWindows {
 public:
  /// Errors: invalid_argument for a length that is not finite and > 0 or windows out of range; as
  /// stats::QuantileSketch::create.
  [[nodiscard]] static Result<SketchWindows> create(const SketchWindowOptions& options = {});

  /// Counts a value at a time of any clock that starts at 0 or later. Allocates nothing but where a window is used for
  /// the first time. A time before the oldest window that is kept is counted in `late`, one that is negative or not
  /// finite in `rejected`.
  void add(double seconds, double value);
  /// All windows that end after now - seconds and begin at or before now: the one that is filled now among them.
  /// Errors: invalid_argument for seconds that are not > 0 or span more windows than are kept.
  [[nodiscard]] Result<stats::QuantileSketch> last(double now, double seconds) const;
  /// Adds what another ring of the same options has counted. Error: invalid_argument where they differ.
  [[nodiscard]] Status merge(const SketchWindows& other);

  [[nodiscard]] std::int64_t late() const noexcept { return late_; }
  [[nodiscard]] std::int64_t rejected() const noexcept { return rejected_; }

 private:
  struct Window {
    std::int64_t index = -1;
    std::vector<stats::QuantileSketch> sketch; ///< one, or none yet
  };
  SketchWindows(const SketchWindowOptions& options, stats::QuantileSketch empty)
      : options_(options), empty_(std::move(empty)), ring_(static_cast<std::size_t>(options.windows)) {}
  /// The sketch of a window, emptied where the ring has come round; null where it is too old.
  [[nodiscard]] stats::QuantileSketch* at(std::int64_t index);

  SketchWindowOptions options_;
  stats::QuantileSketch empty_;
  std::vector<Window> ring_;
  std::int64_t newest_ = -1, late_ = 0, rejected_ = 0;
};

} // namespace mcomp::inline v0::monitor
