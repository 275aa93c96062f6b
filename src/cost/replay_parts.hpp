#pragma once

#include <utility>
#include <vector>

#include "mcomp/cost/autoscale.hpp"

// What both replays of a trace have in common, beside the controller.

namespace mcomp::inline v0::cost::detail {

/// The rules of trace and options, as `replay` states them.
[[nodiscard]] Status check_replay(const RequestTrace& trace, const AutoscaleOptions& options);
/// Seconds since midnight at the start of the trace.
[[nodiscard]] double clock_of(const RequestTrace& trace);
/// `replay`; without `latency` waits and responses stay 0, which spares most of the time of a short trace.
[[nodiscard]] Result<Replay> replay_intervals(const RequestTrace& trace, const AutoscaleOptions& options, bool latency);
/// Service times with their probabilities, finer towards the long ones: what expectations over the service are taken
/// by.
[[nodiscard]] std::vector<std::pair<double, double>> service_strata(const ServiceTime& service);
/// Fills costs and numbers of instances from the timeline and the instance hours.
void price(Replay& result, const RequestTrace& trace, const AutoscaleOptions& options);

} // namespace mcomp::inline v0::cost::detail
