#pragma once

// Metrics as text: OpenMetrics 1.0 (github.com/prometheus/OpenMetrics, specification), read strictly and written, and
// the Prometheus text format 0.0.4, written.
//
//     std::string page = mcomp::monitor::to_open_metrics(families).value();
//     auto families = mcomp::monitor::parse_open_metrics(page, "scrape").value();

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::monitor {

enum class MetricType { unknown, gauge, counter, stateset, info, histogram, gaugehistogram, summary };
/// "counter", as the formats write it.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(MetricType type);

using MetricLabels = std::vector<std::pair<std::string, std::string>>; ///< name and value, in their order

/// A trace or request that is an example of what was counted.
struct MetricExemplar {
  MetricLabels labels; ///< at most 128 characters, names and values together
  double value = 0;
  std::optional<double> timestamp{}; ///< seconds since 1970
  friend bool operator==(const MetricExemplar&, const MetricExemplar&) = default;
};

struct MetricSample {
  std::string suffix{}; ///< after the family's name: "_total", "_bucket", "_count", "_sum", "_created", "_info", ...
  MetricLabels labels{};
  double value = 0;
  std::optional<double> timestamp{};
  std::optional<MetricExemplar> exemplar{}; ///< of counters' totals and histograms' buckets
  friend bool operator==(const MetricSample&, const MetricSample&) = default;
};

/// Samples of one name. What the types ask for: a counter has "_total" (>= 0) and may have "_created"; a histogram has
/// cumulative "_bucket"s that ascend in "le" to "+Inf", and may have both "_count" and "_sum"; a gaugehistogram the
/// same with "_gcount" and "_gsum"; a summary has samples with "quantile" and no suffix, "_count", "_sum", "_created";
/// an info has "_info" of 1; a stateset has samples of 0 or 1 with a label of the family's name. Samples of equal
/// labels (but "le" and "quantile") stand together, their timestamps do not descend.
struct MetricFamily {
  std::string name;
  MetricType type = MetricType::unknown;
  std::string unit{}; ///< "seconds": the name then ends in "_seconds"
  std::string help{};
  std::vector<MetricSample> samples{};
  friend bool operator==(const MetricFamily&, const MetricFamily&) = default;
};

/// Everything that the specification asks of a page is checked: grammar, names that clash, order, types. Errors:
/// corrupt, naming `subject`, the line and the rule.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<MetricFamily>> parse_open_metrics(std::string_view text,
                                                                                      const std::string& subject);

/// A page that `parse_open_metrics` reads as the same families, with "# EOF". Errors: invalid_value, with the rule that
/// the families break.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_open_metrics(std::span<const MetricFamily> families);

/// The older format, for scrapers that ask for it: units and exemplars are left out; info, stateset and the parts of a
/// gaugehistogram become gauges, "_created" a gauge of its own, unknown "untyped". Errors: as above.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_prometheus_text(std::span<const MetricFamily> families);

/// The same families as JSON, schema "mcomp-metrics-1"; numbers that JSON has not are the texts "NaN", "+Inf", "-Inf".
/// Errors: as `to_open_metrics`.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(std::span<const MetricFamily> families);
/// Errors: corrupt, also for families that break the rules of OpenMetrics; version_mismatch.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<MetricFamily>>
parse_metrics_json(std::string_view json, const std::string& subject = "metrics");

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::MetricType> = true;
}
