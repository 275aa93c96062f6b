#pragma once

// What a service did in a span of time, as a plain value: one row for each combination of dimensions, whole numbers
// only, so that snapshots of shards, windows and processes merge in any order and grouping to the same bytes.
//
//     ServiceSnapshot hour = instruments.last(now, 3600).value();
//     hour.merge(of_another_process).value();
//     fmt::print("{}\n", hour);                           // or to_json(hour), or metric_families(hour)

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/monitor/metrics_text.hpp"

namespace mcomp::inline v0::monitor {

inline constexpr std::size_t service_dimensions = 6;
inline constexpr int confidence_bins = 15; ///< of equal width, (k / 15, (k + 1) / 15]

/// Seconds in bins of which every octave has 32: quantiles are within `relative_error` of an observed value. Bin 0
/// holds up to 2^-20 s (a microsecond), the last what is above 2^10 s. Counts here and below end at 2^62.
struct LatencyBins {
  static constexpr std::uint32_t bins_per_octave = 32, octaves = 30, bins = octaves * bins_per_octave + 2;
  static constexpr double lowest = 0x1p-20, highest = 0x1p10;
  static constexpr double relative_error = 1.0 / 65; ///< within lowest .. highest

  struct Bin {
    std::uint32_t index = 0;
    std::int64_t count = 0;
    friend bool operator==(const Bin&, const Bin&) = default;
  };
  std::vector<Bin> counts{};                 ///< those that are not empty, in their order
  std::int64_t seconds = 0, nanoseconds = 0; ///< sum, of values rounded to a nanosecond; nanoseconds < 10^9

  [[nodiscard]] MCOMP_WORKFLOW_API std::int64_t count() const noexcept;
  [[nodiscard]] MCOMP_WORKFLOW_API double mean_seconds() const noexcept; ///< NaN for none
  /// By nearest rank: the middle of its bin (harmonic mean of the borders), `highest` in the last. Errors:
  /// invalid_argument for a probability outside [0, 1], insufficient_data without values.
  [[nodiscard]] MCOMP_WORKFLOW_API Result<double> quantile(double probability) const;
  /// Values up to a border between bins: exact for 2^-20 .. 2^10 and the 31 borders within each octave. Others count
  /// with the bin that holds them.
  [[nodiscard]] MCOMP_WORKFLOW_API std::int64_t at_most(double seconds) const noexcept;
  MCOMP_WORKFLOW_API void merge(const LatencyBins& other);

  /// The bin of a value that is finite and >= 0. Values equal to a border belong to the bin below it, as in "le".
  [[nodiscard]] MCOMP_WORKFLOW_API static std::uint32_t bin(double seconds) noexcept;
  [[nodiscard]] MCOMP_WORKFLOW_API static double upper_border(std::uint32_t bin) noexcept; ///< infinite of the last

  friend bool operator==(const LatencyBins&, const LatencyBins&) = default;
};

/// One combination of dimensions. Sums of numbers in [0, 1] are in units of 10^-6, each rounded, costs in 10^-9.
struct SeriesSnapshot {
  std::array<std::string, service_dimensions> labels{}; ///< values of the dimensions, "" where an event has none
  std::int64_t events = 0, errors = 0;
  LatencyBins latency{};
  std::vector<LatencyBins> stages{}; ///< in the order of `ServiceSnapshot::stages`

  std::int64_t confident = 0;                                 ///< events with a confidence
  std::int64_t confidence = 0;                                ///< sum
  std::int64_t confidence_variance = 0;                       ///< sum of p (1 - p)
  std::array<std::int64_t, confidence_bins> confidences{};    ///< counts
  std::array<std::int64_t, confidence_bins> labelled{};       ///< of those, events whose label has come
  std::array<std::int64_t, confidence_bins> labelled_right{}; ///< predicted class = label
  std::array<std::int64_t, confidence_bins> labelled_confidence{};

  std::int64_t feedbacks = 0, satisfaction = 0; ///< count, and sum of satisfactions within [0, 1]
  std::int64_t cost = 0;                        ///< in 10^-9 of the currency

  [[nodiscard]] MCOMP_WORKFLOW_API std::int64_t labels_seen() const noexcept;
  [[nodiscard]] MCOMP_WORKFLOW_API std::optional<double> mean_confidence() const noexcept;
  [[nodiscard]] MCOMP_WORKFLOW_API std::optional<double> accuracy() const noexcept; ///< of events with labels
  /// Expected calibration error of events with labels, 15 bins of equal width.
  [[nodiscard]] MCOMP_WORKFLOW_API std::optional<double> calibration_error() const noexcept;
  [[nodiscard]] MCOMP_WORKFLOW_API std::optional<double> mean_satisfaction() const noexcept;
  [[nodiscard]] MCOMP_WORKFLOW_API double total_cost() const noexcept; ///< in the currency
  MCOMP_WORKFLOW_API void merge(const SeriesSnapshot& other);          ///< labels stay

  friend bool operator==(const SeriesSnapshot&, const SeriesSnapshot&) = default;
};

/// Activations of a quantized layer that lay beyond its range.
struct LayerSnapshot {
  std::string layer{};
  std::int64_t values = 0, overflows = 0;
  friend bool operator==(const LayerSnapshot&, const LayerSnapshot&) = default;
};

/// The process, at one time.
struct ProcessUsage {
  double seconds = 0;     ///< when, by the clock of the instruments
  double cpu_seconds = 0; ///< used since its start, in user and system mode
  std::int64_t resident_bytes = 0;
  friend bool operator==(const ProcessUsage&, const ProcessUsage&) = default;
};

/// What could not be counted where it belongs; nothing is lost silently.
struct ServiceLosses {
  std::int64_t overflow_events = 0;    ///< counted under the series "overflow", as there are too many combinations
  std::int64_t rejected_values = 0;    ///< latencies, confidences, costs, ... that cannot be
  std::int64_t labels_unmatched = 0;   ///< labels and feedback of requests that are not (or no longer) waiting
  std::int64_t labels_repeated = 0;    ///< second labels of a request
  std::int64_t requests_displaced = 0; ///< that waited for a label when others took their place
  std::int64_t layers_unknown = 0;     ///< reports of layers beyond those that have room
  friend bool operator==(const ServiceLosses&, const ServiceLosses&) = default;
};

struct ServiceSnapshot {
  std::array<std::string, service_dimensions> dimensions{};
  std::vector<std::string> stages{};
  double begin = 0, end = 0;             ///< seconds that it spans
  std::vector<SeriesSnapshot> series{};  ///< by labels, ascending; only those with events, labels or feedback
  std::vector<LayerSnapshot> layers{};   ///< by name, ascending
  std::optional<ProcessUsage> process{}; ///< the latest
  ServiceLosses losses{};

  /// Adds another one, of any span. Error: invalid_argument where dimensions or stages differ.
  [[nodiscard]] MCOMP_WORKFLOW_API Status merge(const ServiceSnapshot& other);
  /// Everything together, without labels.
  [[nodiscard]] MCOMP_WORKFLOW_API SeriesSnapshot total() const;
  /// Merged into one series for each value of a dimension, the others left empty: slices. Error: not_found.
  [[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<SeriesSnapshot>> by(std::string_view dimension) const;
  [[nodiscard]] double events_per_second() const noexcept {
    return end > begin ? static_cast<double>(total().events) / (end - begin) : 0;
  }

  /// Schema "mcomp-service-snapshot-1"; reads what `to_json` writes. Errors: corrupt, version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<ServiceSnapshot> parse(std::string_view json,
                                                                        const std::string& subject = "snapshot");
  friend bool operator==(const ServiceSnapshot&, const ServiceSnapshot&) = default;
};

/// Equal snapshots give equal bytes.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const ServiceSnapshot& snapshot);
/// A line for the whole, and one for each series.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const ServiceSnapshot& snapshot);

struct MetricNames {
  std::string prefix = "mcomp"; ///< "mcomp_requests", "mcomp_latency_seconds", ...
  /// Upper bounds of the buckets of latencies. The default, every octave from 2^-10 s to 2^4 s, is exact.
  std::vector<double> latency_buckets{0x1p-10, 0x1p-9, 0x1p-8, 0x1p-7, 0x1p-6, 0x1p-5, 0x1p-4, 0x1p-3,
                                      0x1p-2,  0x1p-1, 1,      2,      4,      8,      16};
};

/// For to_open_metrics and to_prometheus_text. Counters are those of the snapshot: give one of everything since the
/// start (`Instruments::since_start`), as scrapers expect counters that do not fall. Error: invalid_argument for a
/// prefix that is no name, or buckets that do not ascend or are no borders of `LatencyBins`.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<MetricFamily>> metric_families(const ServiceSnapshot& snapshot,
                                                                                   const MetricNames& names = {});

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::ServiceSnapshot> = true;
}
