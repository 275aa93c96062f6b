#pragma once

#include <cstdint>
#include <vector>

#include "mcomp/cost/autoscale.hpp"

namespace mcomp::inline v0::cost::detail {

/// What a policy sees of the period before a decision.
struct ScalingSignals {
  double now = 0;
  double requests_per_second = 0;
  double utilization = 0;           ///< of the servers that were up
  double waiting = 0;               ///< mean number of requests
  double served_by = 0;             ///< mean number of instances that were up
  std::int64_t up = 0, booting = 0; ///< now
};

/// A policy with its limits and cool-downs; the same for both replays.
class ScalingController {
 public:
  /// @param clock seconds since midnight at the start of the trace
  ScalingController(const AutoscaleOptions& options, double clock);
  /// How many instances there shall be, those that boot among them.
  [[nodiscard]] std::int64_t decide(const ScalingSignals& signals);
  [[nodiscard]] std::int64_t initial(double requests_per_second) const;

 private:
  [[nodiscard]] double wish(const ScalingSignals& signals) const;
  [[nodiscard]] double wish(const TargetUtilization& policy, const ScalingSignals& signals) const;
  [[nodiscard]] double wish(const QueueLengthTarget& policy, const ScalingSignals& signals) const;
  [[nodiscard]] double wish(const Scheduled& policy, const ScalingSignals& signals) const;
  [[nodiscard]] double wish(const Predictive& policy, const ScalingSignals& signals) const;
  [[nodiscard]] double limited(double instances) const;

  const AutoscaleOptions& options_;
  double clock_;
  double last_out_, last_change_;
  std::vector<double> rates_; ///< of every period so far
};

} // namespace mcomp::inline v0::cost::detail
