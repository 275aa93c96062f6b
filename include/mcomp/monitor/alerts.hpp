#pragma once

// Alerts that people can act on: raised and cleared at different levels, after a time, once and not every minute, and
// naming the slice, the layer or the cost item that moved most: what to look at, and to recompress.
//
//     auto alerts = monitor::Alerts::create({{.name = "HighErrorRate", .raise = 0.02, .clear = 0.01,
//                                             .raise_seconds = 120}}, {monitor::file_sink("alerts.jsonl")}).value();
//     alerts.observe("HighErrorRate", {{"region", "eu"}}, rate, now,
//                    monitor::most_moved(last_week, last_hour, monitor::ServiceMetric::error_rate)).value();
//
// The same gates as rules for Prometheus and as a dashboard: monitor/alert_rules.hpp.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/monitor/burn_rate.hpp"
#include "mcomp/monitor/service_snapshot.hpp"

namespace mcomp::inline v0::monitor {

enum class AlertState {
  inactive,
  pending, ///< beyond the level, not yet for long enough
  firing,
  resolved, ///< was firing, and has been good for long enough; inactive from the next good value on
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(AlertState state);

/// Above `raise` where raise > clear, below it where raise < clear (accuracy).
struct AlertRule {
  std::string name{};
  double raise = 1, clear = 1; ///< at `raise` or beyond it becomes bad, at `clear` or beyond it becomes good again
  bool low_is_bad = false;     ///< decides where raise = clear; must agree where they differ
  double raise_seconds = 0;    ///< that it must be bad before it fires
  double clear_seconds = 0;    ///< that it must be good before it is resolved
  double repeat_seconds = 0;   ///< a notice again while it fires; 0: never
  std::string severity = "warning";
  std::string summary{};  ///< for people
  std::string playbook{}; ///< where it says what to do
  friend bool operator==(const AlertRule&, const AlertRule&) = default;
};
/// Schema "mcomp-alert-rules-1".
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(std::span<const AlertRule> rules);
/// Errors: corrupt, version_mismatch; what `Alerts::create` demands.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<AlertRule>>
alert_rules_from_json(std::string_view json, const std::string& subject = "rules");

enum class PartKind { slice, layer, cost_item };
/// What moved most.
struct MovedPart {
  PartKind kind = PartKind::slice;
  std::string name{}; ///< "region=eu", "layer1.0.conv1", "egress"
  double before = 0, after = 0;
  friend bool operator==(const MovedPart&, const MovedPart&) = default;
};
/// "slice region=eu: 0.01 -> 0.08"
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const MovedPart& part);

enum class ServiceMetric {
  slow_share, ///< of requests slower than the 99th percentile of the reference
  error_rate,
  confidence, ///< mean; lower is worse
  accuracy,   ///< of requests with labels; lower is worse
  cost_per_request,
  activation_overflow, ///< share beyond the range, by layer
};

/// The slice (of one dimension) or layer that became worse and stands out most: the change there against the change of
/// all others, in standard errors (of cost, with a standard deviation as large as the mean). Nothing where none of them
/// became worse than the others, or fewer than `least` events are there before and after.
[[nodiscard]] MCOMP_WORKFLOW_API std::optional<MovedPart>
most_moved(const ServiceSnapshot& before, const ServiceSnapshot& after, ServiceMetric metric, std::int64_t least = 30);
/// The cost item that rose most, in money; items that are new rose from 0.
[[nodiscard]] MCOMP_WORKFLOW_API std::optional<MovedPart> most_moved(const std::map<std::string, double>& cost_before,
                                                                     const std::map<std::string, double>& cost_after);

using AlertLabels = std::map<std::string, std::string>;

/// What sinks are told.
struct AlertNotice {
  AlertRule rule{};
  AlertLabels labels{};
  AlertState state = AlertState::firing; ///< firing or resolved
  double value = 0;
  double started = 0, at = 0; ///< seconds since 1970: bad since, and now
  std::optional<MovedPart> moved{};

  /// 16 hexadecimal digits of rule and labels: the same alert has the same.
  [[nodiscard]] MCOMP_WORKFLOW_API std::string fingerprint() const;
  /// Reads schema "mcomp-alert-notice-1", such as a line that `file_sink` wrote. It does not tell the times of the
  /// rule, which are 0, and numbers that were not finite are NaN. Errors: corrupt, also for another fingerprint than
  /// that of rule and labels; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<AlertNotice> parse(std::string_view json,
                                                                    const std::string& subject = "alert notice");
  friend bool operator==(const AlertNotice&, const AlertNotice&) = default;
};
/// Schema "mcomp-alert-notice-1".
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const AlertNotice& notice);
/// "HighErrorRate {region=eu} firing: 0.034 of 0.02; moved most: slice cohort=new: 0.01 -> 0.2"
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const AlertNotice& notice);

/// The body of Alertmanager's webhook, version 4, of notices of one receiver.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_webhook_json(std::span<const AlertNotice> notices,
                                                             const std::string& receiver = "mcomp",
                                                             const std::string& external_url = "");

/// Takes a notice. After an error it is told again later.
using AlertSink = std::function<Status(const AlertNotice&)>;
/// Appends a line of JSON for each notice, and syncs. Errors of the sink: io_failure.
[[nodiscard]] MCOMP_WORKFLOW_API AlertSink file_sink(std::filesystem::path path);
/// Gives the webhook's body to whoever can send it.
[[nodiscard]] MCOMP_WORKFLOW_API AlertSink webhook_sink(std::function<Status(const std::string& body)> send,
                                                        std::string receiver = "mcomp", std::string external_url = "");

/// One alert for each rule and set of labels. Not safe from several threads.
class MCOMP_WORKFLOW_API Alerts {
 public:
  /// Errors: invalid_argument for rules without a name or with one that comes twice, levels or times that cannot be.
  [[nodiscard]] static Result<Alerts> create(std::vector<AlertRule> rules, std::vector<AlertSink> sinks = {});

  /// A value of now; sinks are told when the alert fires, is resolved, or is to be repeated. NaN is no data: nothing
  /// changes, and what fires goes on. Error: not_found for a rule that there is not, invalid_value for a time that is
  /// not within [0, 10^11].
  [[nodiscard]] Result<AlertState> observe(std::string_view rule, const AlertLabels& labels, double value, double now,
                                           std::optional<MovedPart> moved = {});
  /// Of burn rates: the value is how many times its factor a window burns in both its lengths, the largest; a rule with
  /// raise = 1 fires where the answer does. Too few events are no data.
  [[nodiscard]] Result<AlertState> observe(std::string_view rule, const AlertLabels& labels, const BurnAnswer& answer,
                                           std::span<const BurnWindow> windows, double now,
                                           std::optional<MovedPart> moved = {});

  /// After a restart: what fired when `notices` end (in the order in which sinks were told, such as the lines of a
  /// `file_sink`) fires still, and is not told anew. Notices of rules that there are no more are passed over. Replaces
  /// what is known of the alerts that are named. Error: invalid_value for a time that is not within [0, 10^11], and
  /// nothing is changed.
  [[nodiscard]] Status resume(std::span<const AlertNotice> notices);

  [[nodiscard]] AlertState state(std::string_view rule, const AlertLabels& labels) const;
  /// Those that fire now.
  [[nodiscard]] std::vector<AlertNotice> firing() const;
  /// Tells sinks what they have refused; how many notices are still untold. At most 1000 wait for a sink, the oldest go
  /// first and are counted in `lost`.
  std::size_t retry();
  [[nodiscard]] std::int64_t lost() const noexcept { return lost_; }

 private:
  struct Alert {
    AlertState state = AlertState::inactive;
    double bad_since = -1, good_since = -1, told = -1;
    AlertNotice notice{};
  };
  Alerts(std::vector<AlertRule> rules, std::vector<AlertSink> sinks)
      : rules_(std::move(rules)), sinks_(std::move(sinks)), waiting_(sinks_.size()) {}
  void tell(const AlertNotice& notice);

  std::vector<AlertRule> rules_;
  std::vector<AlertSink> sinks_;
  std::vector<std::vector<AlertNotice>> waiting_; ///< by sink
  std::map<std::pair<std::string, AlertLabels>, Alert> alerts_;
  std::int64_t lost_ = 0;
};

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::AlertState> = true;
template <> inline constexpr bool enable_format<monitor::MovedPart> = true;
template <> inline constexpr bool enable_format<monitor::AlertNotice> = true;
} // namespace mcomp::inline v0
