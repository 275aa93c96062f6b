#pragma once

// The gates of a release, watched in service: rules for Prometheus and a dashboard for Grafana, generated from the same
// `evaluate::Criteria` that decide whether a candidate goes out. Both ask for the metrics that
// `monitor::metric_families` exports.
//
//     auto rules = monitor::prometheus_rules(criteria, {.baseline = "v7", .candidate = "v8"}).value();
//     write_file("mcomp.rules.yml", rules.yaml).value();          // promtool check rules mcomp.rules.yml
//     fmt::print("not watched: {}\n", fmt::join(rules.not_watched, ", "));

#include <optional>
#include <string>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/evaluate/verdict.hpp"

namespace mcomp::inline v0::monitor {

struct RuleOptions {
  std::string prefix = "mcomp";                    ///< of the metrics, as in `MetricNames`
  std::string version_dimension = "model_version"; ///< the label that tells baseline from candidate
  std::string baseline{}, candidate{};             ///< its values; without a candidate every version is meant
  int window_minutes = 5;                          ///< over which rates are taken
  int hold_minutes = 5;                            ///< that a criterion must be broken
  /// Share of requests without errors; its budget's burn rates (monitor/burn_rate.hpp) are rules too.
  std::optional<double> objective{};
  std::string severity = "warning"; ///< of criteria; burn rates are "page" and "ticket"
  std::string playbook{};           ///< base of the runbook URLs: the name of the alert is appended
  std::string title = "mcomp";      ///< of the dashboard

  friend bool operator==(const RuleOptions&, const RuleOptions&) = default;
};

/// One criterion as an expression of Prometheus.
struct WatchedCriterion {
  std::string criterion{};      ///< "max_latency_p99_seconds", "slice_latency_p99_seconds[region=eu]"
  std::string alert{};          ///< "McompMaxLatencyP99Seconds"
  std::string expression{};     ///< the quantity
  std::string comparison = ">"; ///< broken where the quantity is so ...
  double bound = 0;             ///< ... to this
  std::string summary{};
  friend bool operator==(const WatchedCriterion&, const WatchedCriterion&) = default;
};

struct PrometheusRules {
  std::string yaml{};
  std::vector<WatchedCriterion> watched{};
  std::vector<std::string> not_watched{}; ///< criteria that metrics of a service cannot tell, each with the reason
};

/// Errors: those of evaluate::check; invalid_argument for options that cannot be, a criterion that compares with a
/// baseline where none is named, or a slice that is not "dimension=value".
[[nodiscard]] MCOMP_WORKFLOW_API Result<PrometheusRules> prometheus_rules(const evaluate::Criteria& criteria,
                                                                          const RuleOptions& options = {});

/// A dashboard (schema version 39): traffic, errors, latency, confidence, cost and overflows, and a panel for each
/// criterion that is watched with its bound as threshold. Errors: as above.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> grafana_dashboard(const evaluate::Criteria& criteria,
                                                                       const RuleOptions& options = {});

} // namespace mcomp::inline v0::monitor
