#pragma once

// Reliability diagrams (DeGroot and Fienberg 1983; Niculescu-Mizil and Caruana 2005): accuracy over confidence, as data
// and as a self-contained SVG with the gaps to the diagonal, what chance allows a calibrated model, and how many rows
// each bin holds.
//
//     auto diagram = calibrate::reliability_diagram(rows, {.title = "after"}).value();
//     write_file("after.svg", calibrate::to_svg(diagram)).value();

#include <span>
#include <string>
#include <vector>

#include "mcomp/calibrate/calibration_test.hpp"
#include "mcomp/calibrate/metrics.hpp"

namespace mcomp::inline v0::calibrate {

struct DiagramOptions {
  std::string title{};
  int bins = 15;
  bool bands = true;   ///< consistency bands, by resampling
  double level = 0.95; ///< of them
  int resamples = 999;
  std::uint64_t seed = 1;
  Executor* executor = nullptr;
};

struct ReliabilityDiagram {
  std::string title{};
  CalibrationMetrics metrics{};         ///< its bins are the diagram's
  std::vector<stats::Interval> bands{}; ///< one for each bin, NaN where it is empty; or none
};

/// Errors: those of metrics_of and consistency_bands. No rows give an empty diagram.
[[nodiscard]] MCOMP_API Result<ReliabilityDiagram> reliability_diagram(const RowOutcomes& rows,
                                                                       const DiagramOptions& options = {});

/// One picture, UTF-8, that needs nothing else. The title is escaped.
[[nodiscard]] MCOMP_API std::string to_svg(const ReliabilityDiagram& diagram);
/// Several in a row, such as before and after.
[[nodiscard]] MCOMP_API std::string to_svg(std::span<const ReliabilityDiagram> diagrams);

} // namespace mcomp::inline v0::calibrate
