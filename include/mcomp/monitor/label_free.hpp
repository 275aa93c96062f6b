#pragma once

// How accurate is the service, before any label has come? The mean of calibrated confidence (confidence-based
// performance estimation, CBPE): a model that is right as often as it says. What it rests on stands beside every
// number, since it cannot be checked without labels.
//
//     auto estimate = monitor::estimate_accuracy(confidences, {.calibration_rows = 5000}).value();
//     fmt::print("{}\n", estimate);    // accuracy 0.9112 [0.9031, 0.9193] (95%) of 5000 requests without labels, if
//     ...

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/monitor/service_snapshot.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::monitor {

/// What the estimate assumes, in a sentence.
inline constexpr std::string_view label_free_assumption =
    "if confidence is as well calibrated on these requests as on the labelled rows it was fitted on: inputs may shift, "
    "but not what is right for an input, nor to inputs on which the model is overconfident";

struct LabelFreeOptions {
  /// Labelled rows on which the confidence was calibrated; how far off it may be is part of the interval. 0: not known,
  /// and the interval is only that of chance in the answers.
  std::int64_t calibration_rows = 0;
  double level = 0.95;
  friend bool operator==(const LabelFreeOptions&, const LabelFreeOptions&) = default;
};

struct AccuracyEstimate {
  double accuracy = 0;        ///< expected: the mean confidence
  stats::Interval interval{}; ///< of the accuracy of these requests, under the assumption
  std::int64_t count = 0;
  std::int64_t calibration_rows = 0;
  std::string slice{}; ///< "region=eu", or "" for all
  std::string assumption{label_free_assumption};

  friend bool operator==(const AccuracyEstimate&, const AccuracyEstimate&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const AccuracyEstimate& estimate);
/// {"schema": "mcomp-accuracy-estimate-1", "accuracy", "lower", "upper", "level", "count", "calibration_rows", "slice",
/// "assumption"}
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const AccuracyEstimate& estimate);

/// Of calibrated probabilities of the predicted classes. The number of right answers is Poisson-binomial, with variance
/// sum of p (1 - p); the mean gap between confidence and accuracy of the calibration rows has the variance of as many
/// such answers. Both go into a normal interval, cut off at 0 and 1. Errors: insufficient_data for none, invalid_value
/// outside [0, 1], invalid_argument for the options.
[[nodiscard]] MCOMP_WORKFLOW_API Result<AccuracyEstimate> estimate_accuracy(std::span<const double> confidences,
                                                                            const LabelFreeOptions& options = {});
/// The same from what instruments have counted.
[[nodiscard]] MCOMP_WORKFLOW_API Result<AccuracyEstimate> estimate_accuracy(const SeriesSnapshot& series,
                                                                            const LabelFreeOptions& options = {});
/// For each value of a dimension that has requests with a confidence, the least accurate first. Errors: not_found, as
/// above for the options.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<AccuracyEstimate>>
estimate_accuracy_by(const ServiceSnapshot& snapshot, std::string_view dimension, const LabelFreeOptions& options = {});

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::AccuracyEstimate> = true;
}
