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

/// An error that names `what` unless the number is finite and `allowed`; the range is said in words.
[[nodiscard]] Status check_number(const std::string& what, double value, bool allowed, const char* range);
[[nodiscard]] Status check_count(const std::string& what, std::int64_t value, std::int64_t low, std::int64_t high);
/// The rules of all inputs but those of the sides, which `prepare` checks.
[[nodiscard]] Status check_inputs(const ForecastInputs& inputs);
/// @param role what the side is, for messages: "baseline"
[[nodiscard]] Result<PreparedSide> prepare(const ForecastInputs& inputs, const ForecastSide& side, const char* role);
[[nodiscard]] double hours_of(const RequestTrace& trace);
/// Objectives that there are, with the quantile of each.
struct QuantileObjective {
  double quantile = 0, seconds = 0;
};
[[nodiscard]] std::vector<QuantileObjective> quantile_objectives(const ResponseObjectives& objectives);
/// Machines needed by hour, whole ones.
[[nodiscard]] std::vector<std::int64_t> hourly_demand(const Replay& run, double interval_seconds);
[[nodiscard]] Result<SideForecast> side_forecast(const ForecastInputs& inputs, const PreparedSide& side,
                                                 const Replay& run, const std::vector<std::int64_t>& demand,
                                                 double busiest_per_second);
/// Fills the interval of the saving, and what it covers.
[[nodiscard]] Status saving_interval(const ForecastInputs& inputs, const PreparedSide& baseline,
                                     const PreparedSide& candidate, const ForecastOptions& options,
                                     const Context& context, ForecastSaving& saving);
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
