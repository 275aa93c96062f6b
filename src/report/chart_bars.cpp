// Bars with intervals, and the waterfall.

#include <algorithm>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "report/drawing.hpp"

namespace mcomp::inline v0::report::detail {

namespace {

std::string number_of(const BarChart& chart, const BarChart::Bar& bar) {
  return bar.shown.empty() ? number_text(bar.value.value, chart.value.unit, 3) : bar.shown;
}

/// A name within the plot, upon a piece of its ground, so that no line runs through it.
void draw_row_name(Drawing& drawing, double x, double y, const std::string& name, std::string_view css) {
  if (name.empty()) return;
  drawing.rectangle(x - 2, y - 11, text_width(name) * 0.92 + 4, 14, "plot");
  drawing.text(x, y, "start", name, css);
}

} // namespace

Drawing draw(const BarChart& chart, double width) {
  Range range;
  const Scale scale = chart.value.scale == Scale::logarithmic ? Scale::logarithmic : Scale::linear;
  for (const auto& bar : chart.bars) {
    range.add(bar.value.value, scale);
    if (bar.value.interval) range.add(bar.value.interval->lower, scale), range.add(bar.value.interval->upper, scale);
  }
  if (chart.bars.empty()) return draw_nothing(width);
  if (chart.reference) range.add(*chart.reference, scale);
  Axis axis = chart.value;
  if (!chart.dots) axis.from_zero = true;
  if (!range.any) range = {0, 1, true};

  Drawing drawing;
  std::vector<LegendEntry> entries;
  if (chart.reference)
    entries.push_back({.name = fmt::format("{}: {}", chart.reference_name, format_number(*chart.reference, axis.unit)),
                       .kind = LegendEntry::Kind::dotted});
  const double top = draw_legend(drawing, entries, 4, width - 8, 0) + 4;
  // A name above its row leaves the whole width to the numbers; on wide pictures it stands beside it.
  const bool beside = width > 600;
  const double row = beside ? 26 : 38;
  double values = 44;
  for (const auto& bar : chart.bars) values = std::max(values, text_width(number_of(chart, bar)) + 4);
  values = std::min(values, width * 0.3);
  // The number below the left end is centred there and needs half of its width.
  Frame frame{.left = beside ? 250. : 20., .top = top, .right = width - values - 8, .bottom = 0};
  frame.bottom = top + row * static_cast<double>(chart.bars.size()) + 4;
  const AxisScale x(axis, range.lower, range.upper, frame.left, frame.right, ticks_across(frame.width(), scale));
  drawing.rectangle(frame.left, frame.top, frame.width(), frame.height(), "plot");
  draw_x_axis(drawing, frame, x);
  if (x.lower() <= 0 && x.upper() >= 0 && scale == Scale::linear)
    drawing.line(x.at(0), frame.top, x.at(0), frame.bottom, "zero");
  if (chart.reference && x.shows(*chart.reference))
    drawing.line(x.at(*chart.reference), frame.top, x.at(*chart.reference), frame.bottom, "limit");
  const double origin = scale == Scale::linear ? x.at(0) : frame.left;
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    const auto& bar = chart.bars[i];
    const double begin = top + row * static_cast<double>(i), middle = beside ? begin + row / 2 : begin + 26;
    const std::string name = bar.note.empty() ? bar.name : bar.name + " (" + bar.note + ")";
    if (beside)
      drawing.text(frame.left - 10, middle + 4, "end", fitted(name, frame.left - 14));
    else
      draw_row_name(drawing, frame.left + 3, begin + 14, fitted(name, frame.width() - 8), "small");
    drawing.text(width - 4, middle + 4, "end", fitted(number_of(chart, bar), values), "small strong");
    if (!x.shows(bar.value.value)) continue;
    const double at = x.at(bar.value.value);
    if (!chart.dots)
      drawing.rectangle(std::min(origin, at), middle - 6, std::abs(at - origin), 12, bar.value.value < 0 ? "f1" : "f0");
    if (bar.value.interval && x.shows(bar.value.interval->lower) && x.shows(bar.value.interval->upper)) {
      const double l = x.at(bar.value.interval->lower), u = x.at(bar.value.interval->upper);
      drawing.line(l, middle, u, middle, "ink");
      drawing.line(l, middle - 4, l, middle + 4, "ink");
      drawing.line(u, middle - 4, u, middle + 4, "ink");
    }
    if (chart.dots) drawing.marker(at, middle, 0);
  }
  drawing.rectangle(frame.left, frame.top, frame.width(), frame.height(), "frame");
  drawing.height = frame.bottom + 44;
  return drawing;
}

Drawing draw(const Waterfall& chart, double width) {
  // Rows from top to bottom, so that long names have room on narrow screens.
  struct Row {
    std::string name;
    double from, until;
    bool total;
  };
  std::vector<Row> rows;
  Range range;
  double level = chart.begin;
  rows.push_back({chart.begin_name, 0, level, true});
  range.add(0), range.add(level);
  for (const auto& step : chart.steps) {
    rows.push_back({step.name, level, level + step.change, false});
    level += step.change;
    range.add(level);
  }
  rows.push_back({chart.end_name, 0, level, true});
  if (!std::isfinite(level)) return draw_nothing(width);

  const bool beside = width > 600;
  const double row = beside ? 28 : 40, values = 78;
  Frame frame{.left = beside ? 190. : 10., .top = 4, .right = width - values - 8, .bottom = 0};
  frame.bottom = frame.top + row * static_cast<double>(rows.size()) + 4;
  Drawing drawing;
  Axis axis{.label = "per month", .unit = chart.unit};
  axis.from_zero = true;
  const AxisScale x(axis, range.lower, range.upper, frame.left, frame.right,
                    ticks_across(frame.width(), Scale::linear));
  drawing.rectangle(frame.left, frame.top, frame.width(), frame.height(), "plot");
  draw_x_axis(drawing, frame, x);
  drawing.line(x.at(0), frame.top, x.at(0), frame.bottom, "zero");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& r = rows[i];
    const double begin = frame.top + row * static_cast<double>(i), middle = beside ? begin + row / 2 : begin + 28;
    const double a = x.at(std::min(r.from, r.until)), b = x.at(std::max(r.from, r.until));
    if (beside)
      drawing.text(frame.left - 10, middle + 4, "end", fitted(r.name, frame.left - 14), r.total ? "strong" : "");
    else
      draw_row_name(drawing, frame.left + 3, begin + 15, fitted(r.name, frame.width() - 8),
                    r.total ? "small strong" : "small");
    const double change = r.until - r.from;
    drawing.rectangle(a, middle - 8, std::max(b - a, 1.5), 16, r.total ? "f5" : change > 0 ? "f1" : "f2");
    // Which way it goes is said by an arrow and a sign too.
    std::string number = in_unit(r.total ? r.until : change, x.unit());
    if (!r.total) number = (change > 0 ? "\u25b2 +" : change < 0 ? "\u25bc " : "") + number;
    drawing.text(width - 4, middle + 4, "end", number, r.total ? "small strong" : "small");
    if (i + 1 < rows.size()) {
      const double edge = x.at(r.until);
      drawing.line(edge, middle + 8, edge, middle + row - 8, "connector");
    }
  }
  drawing.rectangle(frame.left, frame.top, frame.width(), frame.height(), "frame");
  drawing.height = frame.bottom + 44;
  return drawing;
}

} // namespace mcomp::inline v0::report::detail
