#include "mcomp/loop/signals.hpp"

#include <algorithm>
#include <map>

#include "mcomp/stats/proportion.hpp"

namespace mcomp::inline v0::loop {

std::vector<DriftSignal> drift_signals(const monitor::DriftAnswer& answer) {
  std::map<std::string, const monitor::FeatureDrift*> most;
  for (const monitor::FeatureDrift& feature : answer.features) {
    const monitor::FeatureDrift*& found = most[feature.slice];
    if (!found || feature.population_stability > found->population_stability) found = &feature;
  }
  std::vector<DriftSignal> signals;
  for (const auto& [slice, feature] : most)
    signals.push_back({.subject = slice.empty() ? "all inputs" : slice,
                       .distance = feature->population_stability,
                       .p_value = feature->p_value,
                       .samples = feature->count});
  return signals;
}

std::optional<CalibrationSignal> calibration_signal(const monitor::SeriesSnapshot& series, double level) {
  const std::int64_t labels = series.labels_seen();
  const auto error = series.calibration_error();
  if (!error || labels <= 0 || !(level > 0 && level < 1)) return std::nullopt;
  const auto used = std::ranges::count_if(series.labelled, [](std::int64_t n) { return n > 0; });
  const double each = 1 - (1 - level) / static_cast<double>(used);
  constexpr double millionths = 1e-6;
  CalibrationSignal signal{.error = *error, .samples = labels};
  for (std::size_t b = 0; b < series.labelled.size(); ++b) {
    const auto n = static_cast<double>(series.labelled[b]);
    const auto accuracy = stats::wilson_interval(series.labelled_right[b], series.labelled[b], each);
    if (!accuracy) continue; // a bin without labels
    const double confidence = millionths * static_cast<double>(series.labelled_confidence[b]) / n;
    const double gap = std::max({0.0, accuracy->lower - confidence, confidence - accuracy->upper});
    signal.lower += gap * n / static_cast<double>(labels);
  }
  return signal;
}

std::optional<CostSignal> cost_signal(const monitor::SeriesSnapshot& series) {
  if (series.events <= 0) return std::nullopt;
  constexpr double million = 1e6;
  return CostSignal{.per_million = million * series.total_cost() / static_cast<double>(series.events),
                    .requests = series.events};
}

} // namespace mcomp::inline v0::loop
