#pragma once

#include <string>
#include <vector>

#include "mcomp/cost/autoscale.hpp"

namespace example {

struct ChartSide {
  std::string label;
  const mcomp::cost::Replay* replay = nullptr;
  double price_per_hour = 0;
};

struct Chart {
  std::string title, subtitle, currency;
  double start_seconds = 0; ///< of the day, at the first interval
  double interval_seconds = 60;
  bool clock = true; ///< false: hours count from the first arrival
  ChartSide baseline, candidate;
};

/// What a pixel column shows of a series: its mean, and between what it lies.
struct Column {
  double mean = 0, low = 0, high = 0;
};
/// At most `most` columns of as many values each, the last one of what is left. Empty for no values.
[[nodiscard]] std::vector<Column> downsample(const std::vector<double>& values, std::size_t most);

/// At most so many bytes of it, cut between characters, with an ellipsis in place of the rest.
[[nodiscard]] std::string shortened(const std::string& text, std::size_t most);

/// Demand, instances paid for and cost up to each time, below each other over the same time, as one picture that needs
/// nothing else. Series differ in dashes, weight and name beside colour.
[[nodiscard]] std::string to_svg(const Chart& chart);

} // namespace example
