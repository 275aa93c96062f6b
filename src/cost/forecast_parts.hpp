#pragma once

#include "mcomp/cost/forecast.hpp"

// What the sources of the forecast share.

namespace mcomp::inline v0::cost::detail {

/// One side with its checked inputs looked up.
struct PreparedSide {
  const ForecastSide* side = nullptr;
  ServiceTime service;
  InstancePrice machine;
  double storage_per_month = 0;
};

/// The conditions of one replay.
struct Variant {
  const RequestTrace* trace = nullptr;
  ScalingRules scaling;
  double policy_factor = 1; ///< of the policy's target, as `moved` applies it
  double boot_factor = 1;   ///< of the boot delay of either side
  std::uint64_t seed = 1;
};

/// The policy with its target utilization (or what comes closest to it; a schedule's instances) times `factor`.
[[nodiscard]] ScalingPolicy moved(const ScalingPolicy& policy, double factor);
[[nodiscard]] Result<Replay> replay_variant(const ForecastInputs& inputs, const PreparedSide& side,
                                            const Variant& variant, double service_factor, bool latency);
/// Everything that the side costs a month.
[[nodiscard]] Result<double> variant_per_month(const ForecastInputs& inputs, const PreparedSide& side,
                                               const Variant& variant, double service_factor);
[[nodiscard]] Result<std::vector<Sensitivity>> sensitivity(const ForecastInputs& inputs, const PreparedSide& baseline,
                                                           const PreparedSide& candidate, const Forecast& forecast,
                                                           const ForecastOptions& options, const Context& context);
/// Fills concerns, decision and advice from the rest of the forecast.
void advise(Forecast& forecast, const ForecastOptions& options);
/// Shares of the trace's intervals between the edges, as TrafficMix::level_share.
[[nodiscard]] std::vector<double> level_shares(const RequestTrace& trace, const std::vector<double>& edges);

} // namespace mcomp::inline v0::cost::detail
