// Snapshots of a service as families of metrics.

#include <algorithm>
#include <cctype>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "mcomp/monitor/service_snapshot.hpp"

namespace mcomp::inline v0::monitor {

namespace {

Status check(const MetricNames& names) {
  const auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  const auto inner = [&](char c) { return letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0; };
  if (names.prefix.empty() || !letter(names.prefix.front()) ||
      !std::all_of(names.prefix.begin(), names.prefix.end(), inner))
    return Error(ErrorCode::invalid_argument, "prefix", fmt::format("'{}' is no name of a metric", names.prefix),
                 "pass letters, digits and underscores, such as mcomp");
  double last = 0;
  for (const double border : names.latency_buckets) {
    if (!(border > last && border <= LatencyBins::highest) ||
        LatencyBins::upper_border(LatencyBins::bin(border)) != border)
      return Error(ErrorCode::invalid_argument, "latency_buckets",
                   fmt::format("{} is no border of a bin above {}, up to {}", border, last, LatencyBins::highest),
                   "pass ascending powers of two, or 32nds between two of them");
    last = border;
  }
  return {};
}

MetricLabels labels_of(const ServiceSnapshot& snapshot, const SeriesSnapshot& series) {
  MetricLabels labels;
  for (std::size_t d = 0; d < series.labels.size(); ++d)
    if (!series.labels[d].empty()) labels.emplace_back(snapshot.dimensions[d], series.labels[d]);
  return labels;
}

void add_histogram(MetricFamily& family, const MetricLabels& labels, const LatencyBins& latency,
                   const std::vector<double>& borders) {
  const auto with_le = [&](const std::string& le) {
    MetricLabels all = labels;
    all.emplace_back("le", le);
    return all;
  };
  for (const double border : borders)
    family.samples.push_back(
        {"_bucket", with_le(fmt::format("{}", border)), static_cast<double>(latency.at_most(border))});
  const auto n = static_cast<double>(latency.count());
  family.samples.push_back({"_bucket", with_le("+Inf"), n});
  family.samples.push_back({"_count", labels, n});
  family.samples.push_back(
      {"_sum", labels, static_cast<double>(latency.seconds) + 1e-9 * static_cast<double>(latency.nanoseconds)});
}

} // namespace

Result<std::vector<MetricFamily>> metric_families(const ServiceSnapshot& snapshot, const MetricNames& names) {
  if (const Status status = check(names); !status) return status.error();
  const auto family = [&](const char* name, MetricType type, const char* help, const char* unit = "") {
    MetricFamily f;
    f.name = names.prefix + "_" + name;
    f.type = type;
    f.unit = unit;
    f.help = help;
    return f;
  };
  std::vector<MetricFamily> families;
  /// One sample for every series that has a value.
  const auto by_series = [&](MetricFamily f, const auto& value) {
    const std::string suffix = f.type == MetricType::counter ? "_total" : "";
    for (const SeriesSnapshot& s : snapshot.series)
      if (const std::optional<double> v = value(s)) f.samples.push_back({suffix, labels_of(snapshot, s), *v});
    if (!f.samples.empty()) families.push_back(std::move(f));
  };
  using S = SeriesSnapshot;
  const auto whole = [](std::int64_t n) { return std::optional<double>(static_cast<double>(n)); };
  const auto some = [&](std::int64_t n) { return n > 0 ? whole(n) : std::nullopt; };
  by_series(family("requests", MetricType::counter, "Requests that were served."),
            [&](const S& s) { return whole(s.events); });
  by_series(family("request_errors", MetricType::counter, "Requests that failed."),
            [&](const S& s) { return whole(s.errors); });

  MetricFamily latency = family("latency_seconds", MetricType::histogram, "Time from request to answer.", "seconds");
  for (const S& s : snapshot.series)
    if (!s.latency.counts.empty()) add_histogram(latency, labels_of(snapshot, s), s.latency, names.latency_buckets);
  if (!latency.samples.empty()) families.push_back(std::move(latency));
  MetricFamily stages = family("stage_latency_seconds", MetricType::histogram, "Time within a stage.", "seconds");
  for (const S& s : snapshot.series)
    for (std::size_t k = 0; k < s.stages.size() && k < snapshot.stages.size(); ++k)
      if (!s.stages[k].counts.empty()) {
        MetricLabels labels = labels_of(snapshot, s);
        labels.emplace_back("stage", snapshot.stages[k]);
        add_histogram(stages, labels, s.stages[k], names.latency_buckets);
      }
  if (!stages.samples.empty()) families.push_back(std::move(stages));

  by_series(family("confidence_mean", MetricType::gauge, "Mean probability of the predicted class."),
            [](const S& s) { return s.mean_confidence(); });
  by_series(family("labels", MetricType::counter, "Requests whose label has come."),
            [&](const S& s) { return some(s.labels_seen()); });
  by_series(family("label_accuracy_ratio", MetricType::gauge, "Share of the labels that were predicted."),
            [](const S& s) { return s.accuracy(); });
  by_series(family("calibration_error_ratio", MetricType::gauge,
                   "Expected calibration error of requests whose label has come, 15 bins."),
            [](const S& s) { return s.calibration_error(); });
  by_series(family("feedback", MetricType::counter, "Requests that a user has rated."),
            [&](const S& s) { return some(s.feedbacks); });
  by_series(family("satisfaction_mean", MetricType::gauge, "Mean rating by users, 0 to 1."),
            [](const S& s) { return s.mean_satisfaction(); });
  by_series(family("cost", MetricType::counter, "Cost of requests, in the currency of the service."),
            [](const S& s) { return s.cost > 0 ? std::optional<double>(s.total_cost()) : std::nullopt; });

  MetricFamily values = family("activations", MetricType::counter, "Activations of quantized layers.");
  MetricFamily beyond =
      family("activation_overflows", MetricType::counter, "Activations beyond the range of a quantized layer.");
  for (const LayerSnapshot& l : snapshot.layers) {
    values.samples.push_back({"_total", {{"layer", l.layer}}, static_cast<double>(l.values)});
    beyond.samples.push_back({"_total", {{"layer", l.layer}}, static_cast<double>(l.overflows)});
  }
  if (!snapshot.layers.empty()) {
    families.push_back(std::move(values));
    families.push_back(std::move(beyond));
  }

  if (snapshot.process) {
    MetricFamily cpu = family("process_cpu_seconds", MetricType::counter, "Processor time of the process.", "seconds");
    cpu.samples.push_back({"_total", {}, snapshot.process->cpu_seconds});
    MetricFamily memory =
        family("process_resident_memory_bytes", MetricType::gauge, "Resident memory of the process.", "bytes");
    memory.samples.push_back({"", {}, static_cast<double>(snapshot.process->resident_bytes)});
    families.push_back(std::move(cpu));
    families.push_back(std::move(memory));
  }
  MetricFamily losses = family("not_counted", MetricType::counter, "What could not be counted where it belongs.");
  const auto loss = [&](const char* reason, std::int64_t count) {
    losses.samples.push_back({"_total", {{"reason", reason}}, static_cast<double>(count)});
  };
  loss("series_overflow", snapshot.losses.overflow_events);
  loss("value_rejected", snapshot.losses.rejected_values);
  loss("label_unmatched", snapshot.losses.labels_unmatched);
  loss("label_repeated", snapshot.losses.labels_repeated);
  loss("request_displaced", snapshot.losses.requests_displaced);
  loss("layer_unknown", snapshot.losses.layers_unknown);
  families.push_back(std::move(losses));
  return families;
}

} // namespace mcomp::inline v0::monitor
