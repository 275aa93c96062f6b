#pragma once

// Charts as plain values, drawn as small SVG: axes with units and round ticks, legends, and everything told apart by
// markers, dash patterns and numbers beside colour. A chart describes itself to screen readers (role "img", title and
// description) and has its data as a table.
//
//     report::LineChart chart{.text = {.title = "Latency", .summary = "p99 by day"}, .x = {"day"}, .y = {"p99",
//     "seconds"},
//                             .lines = {{.name = "w4a8", .x = days, .y = p99}}};
//     write_file("latency.svg", report::to_svg(chart)).value();
//
// Units are words: "seconds", "bytes" and "fraction" are shown in the unit that reads best (ms, MB, %), "count" without
// one, anything else ("USD", "points") as it stands behind the number. Numbers that are not finite are not drawn, and
// read "not known" in tables.

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mcomp/core/export.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::report {

/// Stands for a number that nobody knows.
inline constexpr double not_known = std::numeric_limits<double>::quiet_NaN();

/// A number with its unit as people read it: "1.25 ms", "93.1 %", "12,300 USD"; "not known" where it is not finite.
[[nodiscard]] MCOMP_WORKFLOW_API std::string format_number(double value, const std::string& unit = "");

/// A number with its interval where there is one.
struct Estimate {
  double value = not_known;
  std::optional<stats::Interval> interval{};
  /// Two numbers that are not known are equal.
  friend MCOMP_WORKFLOW_API bool operator==(const Estimate& a, const Estimate& b);
};

struct ChartText {
  std::string title;
  std::string summary{}; ///< one or two sentences that say what is to be seen
};

enum class Scale {
  linear,
  logarithmic, ///< values <= 0 are not drawn
  time,        ///< seconds since 1970, labelled in UTC
};

struct Axis {
  std::string label{};
  std::string unit{};
  Scale scale = Scale::linear;
  bool from_zero = false; ///< the axis starts at 0
  std::optional<double> lower{}, upper{};
};

/// A moment or place on the x axis that is explained below the chart.
struct ChartMark {
  double x = 0;
  std::string label;
  std::string detail{};
};

/// Lines, steps, bands; with a time axis a timeline, with shares a cumulative distribution.
struct LineChart {
  struct Line {
    std::string name;
    std::vector<double> x, y;
    std::vector<double> lower{}, upper{}; ///< band, as long as `y`, or empty
    bool step = false;                    ///< holds each value until the next x
  };
  struct Limit {
    std::string name;
    double value = 0;
  };
  struct Span {
    double from = 0, until = 0;
    std::string name;
  };
  ChartText text{};
  Axis x{}, y{};
  std::vector<Line> lines{};
  std::vector<Limit> limits{}; ///< dotted, across
  std::vector<Span> spans{};   ///< named stretches of x, above the plot
  std::vector<ChartMark> marks{};
};

/// Points, and those among them that no other point beats in both directions.
struct ScatterChart {
  struct Point {
    std::string name;
    double x = 0, y = 0;
    std::string group{};  ///< decides the marker
    bool contends = true; ///< may lie on the front
  };
  ChartText text{};
  Axis x{}, y{};
  bool higher_x_better = false, higher_y_better = true;
  std::vector<Point> points{};
};

/// Values with intervals in rows, along one axis; `reference` is a line through all rows.
struct BarChart {
  struct Bar {
    std::string name;
    Estimate value{};
    std::string note{};  ///< beside the name
    std::string shown{}; ///< in place of the value, where it is not empty
  };
  ChartText text{};
  Axis value{};
  std::string name_label = "name"; ///< what the rows are
  std::vector<Bar> bars{};
  std::optional<double> reference{};
  std::string reference_name{};
  bool dots = false; ///< points in place of bars: for values around a reference, where 0 is nothing special
};

/// Rows by measures; each column has its own scale, from its least to its greatest value.
struct HeatMap {
  struct Column {
    std::string name;
    std::string unit{};
  };
  ChartText text{};
  std::string row_label = "row";
  std::vector<Column> columns{};
  std::vector<std::string> rows{};
  std::vector<std::vector<double>> values{}; ///< [row][column]
};

/// Accuracy over confidence in bins, with the gap between them and how many rows each bin holds.
struct ReliabilityChart {
  struct Bin {
    double lower = 0, upper = 0;
    std::int64_t count = 0;
    double confidence = 0, accuracy = 0;
    std::optional<stats::Interval> band{}; ///< what chance allows a calibrated model
    friend bool operator==(const Bin&, const Bin&) = default;
  };
  ChartText text{};
  std::vector<Bin> bins{};
};

/// Counts in bins, one outline for each sample, as shares of all of it.
struct Histogram {
  struct Bin {
    double lower = 0, upper = 0;
    std::int64_t count = 0;
    friend bool operator==(const Bin&, const Bin&) = default;
  };
  struct Sample {
    std::string name;
    std::vector<Bin> bins;
  };
  ChartText text{};
  Axis x{};
  std::vector<Sample> samples{};
  std::vector<LineChart::Limit> limits{}; ///< dotted, upright
};

/// From one amount to another by what was added and taken away.
struct Waterfall {
  struct Step {
    std::string name;
    double change = 0;
    friend bool operator==(const Step&, const Step&) = default;
  };
  ChartText text{};
  std::string unit{};
  std::string begin_name = "before", end_name = "after";
  double begin = 0;
  std::vector<Step> steps{};
};

using Chart = std::variant<LineChart, ScatterChart, BarChart, HeatMap, ReliabilityChart, Histogram, Waterfall>;

struct SvgOptions {
  double width = 400;       ///< user units; letters are 12 high
  std::string id = "chart"; ///< unique in its page, of letters, digits and '-'
  bool standalone = true;   ///< with its own style and title, as a file; otherwise the page's style serves
};

/// The picture, UTF-8; needs nothing else, and all text in it is escaped. Colours follow the reader's scheme, light or
/// dark. O(points).
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_svg(const Chart& chart, const SvgOptions& options = {});

/// Names of the points that no other one beats: at least as good in both directions and better in one. Points with a
/// coordinate that is not finite, and those that do not contend, are left out.
[[nodiscard]] MCOMP_WORKFLOW_API std::vector<std::string> pareto_front(const ScatterChart& chart);

/// The data of a chart as text, for tables.
struct DataTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<bool> numeric; ///< by column
};
[[nodiscard]] MCOMP_WORKFLOW_API DataTable data_table(const Chart& chart);

[[nodiscard]] MCOMP_WORKFLOW_API const ChartText& text_of(const Chart& chart);

} // namespace mcomp::inline v0::report
