#pragma once

// What the monitors have seen, as the triggers take it.
//
//     loop::Observation seen{.time = now, .drift = loop::drift_signals(window.answer().value())};
//     seen.calibration = loop::calibration_signal(instruments.last(now, 86400).value().total());
//     auto step = loop::watch(state, seen, rules).value();

#include <optional>
#include <vector>

#include "mcomp/loop/trigger.hpp"
#include "mcomp/monitor/drift.hpp"
#include "mcomp/monitor/service_snapshot.hpp"

namespace mcomp::inline v0::loop {

/// One signal for each slice that the answer knows, in the order of their names: the feature with the largest
/// population stability index, with its p-value (which is corrected for all features and slices). All rows together are
/// the subject "all inputs".
[[nodiscard]] MCOMP_WORKFLOW_API std::vector<DriftSignal> drift_signals(const monitor::DriftAnswer& answer);

/// The calibration error of events with labels (15 bins), and a lower end that holds for all bins together with about
/// `level`: of each bin the way from its mean confidence to Wilson's interval of its accuracy, at 1 - (1 - level) / the
/// number of bins with labels (Bonferroni). The error itself is too high for few labels; the lower end is not. Nothing
/// without labels, or for a level outside (0, 1).
[[nodiscard]] MCOMP_WORKFLOW_API std::optional<CalibrationSignal>
calibration_signal(const monitor::SeriesSnapshot& series, double level = 0.95);

/// What a million requests have cost. Nothing without requests.
[[nodiscard]] MCOMP_WORKFLOW_API std::optional<CostSignal> cost_signal(const monitor::SeriesSnapshot& series);

} // namespace mcomp::inline v0::loop
