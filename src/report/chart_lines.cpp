// Lines and timelines, and histograms as outlines.

#include <algorithm>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "report/drawing.hpp"

namespace mcomp::inline v0::report::detail {

namespace {

constexpr double axis_room = 44; ///< below a plot, for ticks and the name of the axis

double left_margin(const AxisScale& y) {
  double widest = 0;
  for (const Tick& tick : y.ticks()) widest = std::max(widest, text_width(tick.label));
  return 28 + widest;
}

/// Up to so many markers on a line, so that they can be told apart.
std::size_t marker_stride(std::size_t points, double width) {
  const auto room = static_cast<std::size_t>(std::max(1., width / 46));
  return std::max<std::size_t>(1, (points + room - 1) / room);
}

/// A line of more points than there is room for, by its least and greatest value in every half unit of the width: it
/// looks the same. Lines whose x do not ascend stay as they are.
LineChart::Line thinned(const LineChart::Line& line, const AxisScale& x, double width) {
  const std::size_t n = std::min(line.x.size(), line.y.size());
  if (static_cast<double>(n) <= 4 * width || !std::is_sorted(line.x.begin(), line.x.end())) return line;
  const bool band = line.lower.size() >= n && line.upper.size() >= n;
  LineChart::Line result{.name = line.name, .x = {}, .y = {}, .step = line.step};
  for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
    const double column = std::floor(2 * x.at(line.x[begin]));
    std::size_t least = n, most = n;
    double lower = not_known, upper = not_known;
    for (end = begin; end < n && std::floor(2 * x.at(line.x[end])) == column; ++end) {
      if (!std::isfinite(line.y[end])) continue;
      if (least == n || line.y[end] < line.y[least]) least = end;
      if (most == n || line.y[end] > line.y[most]) most = end;
      if (band && !(line.lower[end] >= lower)) lower = line.lower[end];
      if (band && !(line.upper[end] <= upper)) upper = line.upper[end];
    }
    if (least == n) least = most = begin; // nothing is known here: a gap
    for (const std::size_t at : {std::min(least, most), std::max(least, most)}) {
      if (!result.x.empty() && least == most && at == std::max(least, most) && result.x.back() == line.x[at]) continue;
      result.x.push_back(line.x[at]), result.y.push_back(line.y[at]);
      if (band) result.lower.push_back(lower), result.upper.push_back(upper);
    }
  }
  return result;
}

/// Pieces of a line between points that are not known.
std::string polyline(const LineChart::Line& line, const AxisScale& x, const AxisScale& y) {
  std::string commands;
  bool open = false;
  double before = 0;
  for (std::size_t i = 0; i < std::min(line.x.size(), line.y.size()); ++i) {
    if (!x.shows(line.x[i]) || !y.shows(line.y[i])) {
      open = false;
      continue;
    }
    const double px = x.at(line.x[i]), py = y.at(line.y[i]);
    if (open && line.step) commands += fmt::format("H{:.1f}", px);
    if (open && line.step)
      commands += py == before ? "" : fmt::format("V{:.1f}", py);
    else
      commands += fmt::format("{}{:.1f} {:.1f}", open ? 'L' : 'M', px, py);
    open = true;
    before = py;
  }
  return commands;
}

void draw_band(Drawing& drawing, const LineChart::Line& line, std::size_t series, const AxisScale& x,
               const AxisScale& y) {
  const std::size_t n = std::min({line.x.size(), line.lower.size(), line.upper.size()});
  std::string forward, backward;
  const auto close = [&] {
    if (!forward.empty()) drawing.path("M" + forward.substr(1) + backward + "z", fmt::format("band f{}", series));
    forward.clear(), backward.clear();
  };
  for (std::size_t i = 0; i < n; ++i) {
    if (!x.shows(line.x[i]) || !y.shows(line.lower[i]) || !y.shows(line.upper[i])) {
      close();
      continue;
    }
    forward += fmt::format("L{:.1f} {:.1f}", x.at(line.x[i]), y.at(line.upper[i]));
    backward = fmt::format("L{:.1f} {:.1f}", x.at(line.x[i]), y.at(line.lower[i])) + backward;
  }
  close();
}

/// Numbered flags above the plot with a line down; flags that would touch go to the next row.
void draw_marks(Drawing& drawing, const std::vector<ChartMark>& marks, const Frame& frame, const AxisScale& x,
                double first_row, int rows) {
  std::vector<double> taken(static_cast<std::size_t>(std::max(rows, 1)), -1e9);
  for (std::size_t i = 0; i < marks.size(); ++i) {
    if (!x.shows(marks[i].x)) continue;
    const double at = x.at(marks[i].x);
    std::size_t row = 0;
    while (row + 1 < taken.size() && at - taken[row] < 17) ++row;
    taken[row] = at;
    const double y = first_row + 17 * static_cast<double>(row);
    drawing.line(at, y + 7, at, frame.bottom, "mark");
    drawing.circle(at, y, 7.5, "flag");
    drawing.text(at, y + 3.6, "middle", std::to_string(i + 1), "flagtext");
  }
}

int mark_rows(const std::vector<ChartMark>& marks, const AxisScale& x) {
  std::vector<double> taken;
  for (const ChartMark& mark : marks) {
    if (!x.shows(mark.x)) continue;
    const double at = x.at(mark.x);
    const auto row = std::find_if(taken.begin(), taken.end(), [&](double last) { return at - last >= 17; });
    if (row != taken.end())
      *row = at;
    else if (taken.size() < 4)
      taken.push_back(at);
  }
  return static_cast<int>(taken.size());
}

std::vector<LegendEntry> legend_of(const LineChart& chart) {
  std::vector<LegendEntry> entries;
  if (chart.lines.size() > 1 || !chart.limits.empty())
    for (std::size_t i = 0; i < chart.lines.size(); ++i)
      entries.push_back({.name = chart.lines[i].name,
                         .series = i,
                         .kind = chart.lines[i].step ? LegendEntry::Kind::line : LegendEntry::Kind::line_and_marker});
  for (const auto& limit : chart.limits)
    entries.push_back({.name = fmt::format("{}: {}", limit.name, format_number(limit.value, chart.y.unit)),
                       .kind = LegendEntry::Kind::dotted});
  return entries;
}

} // namespace

Drawing draw(const LineChart& chart, double width) {
  Range across, up;
  for (const auto& line : chart.lines) {
    for (const double v : line.x) across.add(v, chart.x.scale);
    for (const auto* values : {&line.y, &line.lower, &line.upper})
      for (const double v : *values) up.add(v, chart.y.scale);
  }
  for (const auto& limit : chart.limits) up.add(limit.value, chart.y.scale);
  for (const auto& span : chart.spans) across.add(span.from, chart.x.scale), across.add(span.until, chart.x.scale);
  if (!across.any) return draw_nothing(width);
  for (const auto& mark : chart.marks) across.add(mark.x, chart.x.scale);
  if (!up.any) up = {0, 1, true};

  Drawing drawing;
  // The y axis decides how much room its numbers take, the x axis how many rows of flags there are.
  const double tall = width > 600 ? 200 : 190;
  Frame frame{.left = 0, .top = 0, .right = width - 14, .bottom = tall};
  const AxisScale probe(chart.y, up.lower, up.upper, tall, 0, 5);
  frame.left = left_margin(probe);
  const AxisScale x(chart.x, across.lower, across.upper, frame.left, frame.right,
                    ticks_across(frame.width(), chart.x.scale));
  const int rows = mark_rows(chart.marks, x);
  double top = draw_legend(drawing, legend_of(chart), 4, width - 8, 0) + 4;
  const double first_flag = top + 8;
  top += 17. * rows + (rows > 0 ? 4 : 0);
  const double span_row = top;
  if (!chart.spans.empty()) top += 20;
  frame.top = top, frame.bottom = top + tall;
  const AxisScale y(chart.y, up.lower, up.upper, frame.bottom, frame.top, 5);

  draw_axes(drawing, frame, x, y);
  for (std::size_t i = 0; i < chart.spans.size(); ++i) {
    const auto& span = chart.spans[i];
    if (!x.shows(span.from) || !x.shows(span.until)) continue;
    const double from = x.at(span.from), until = std::max(x.at(span.until), from);
    drawing.rectangle(from, span_row, until - from, 17, i % 2 ? "span1" : "span0");
    const std::string name = fitted(span.name, until - from - 6);
    if (name.size() > 5 || name == span.name) {
      if (text_width(name) <= until - from - 2)
        drawing.text((from + until) / 2, span_row + 12.5, "middle", name, i % 2 ? "small h0i" : "small h1i");
    }
  }
  std::vector<LineChart::Line> lines;
  for (const auto& line : chart.lines) lines.push_back(thinned(line, x, frame.width()));
  for (std::size_t i = 0; i < lines.size(); ++i) draw_band(drawing, lines[i], i % series_styles, x, y);
  for (const auto& limit : chart.limits)
    if (y.shows(limit.value)) drawing.line(frame.left, y.at(limit.value), frame.right, y.at(limit.value), "limit");
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto& line = lines[i];
    if (const std::string commands = polyline(line, x, y); !commands.empty())
      drawing.path(commands, fmt::format("line s{}", i % series_styles));
    const std::size_t points = std::min(line.x.size(), line.y.size());
    const std::size_t stride = marker_stride(points, frame.width());
    if (line.step && points > 1) continue;
    for (std::size_t p = std::min(i * stride / 3, stride - 1); p < points; p += stride)
      if (x.shows(line.x[p]) && y.shows(line.y[p])) drawing.marker(x.at(line.x[p]), y.at(line.y[p]), i, 3.4);
  }
  draw_marks(drawing, chart.marks, frame, x, first_flag, rows);
  drawing.height = frame.bottom + axis_room;
  return drawing;
}

Drawing draw(const Histogram& chart, double width) {
  // Outlines of shares per bin: the same form as a chart of steps.
  LineChart lines{.text = chart.text, .x = chart.x, .y = {.label = "share of requests", .unit = "fraction"}};
  lines.y.from_zero = true;
  Range across;
  for (const auto& sample : chart.samples)
    for (const auto& bin : sample.bins)
      if (bin.count > 0) across.add(bin.lower, chart.x.scale), across.add(bin.upper, chart.x.scale);
  if (!across.any) return draw_nothing(width);
  double most = 0;
  std::vector<LegendEntry> entries;
  std::vector<double> totals;
  for (std::size_t i = 0; i < chart.samples.size(); ++i) {
    double total = 0;
    for (const auto& bin : chart.samples[i].bins) total += static_cast<double>(std::max<std::int64_t>(bin.count, 0));
    totals.push_back(total);
    for (const auto& bin : chart.samples[i].bins)
      if (total > 0) most = std::max(most, static_cast<double>(bin.count) / total);
    entries.push_back({.name = fmt::format("{} ({})", chart.samples[i].name, compact(total)),
                       .series = i,
                       .kind = LegendEntry::Kind::line});
  }
  for (const auto& limit : chart.limits) {
    across.add(limit.value, chart.x.scale);
    entries.push_back({.name = fmt::format("{}: {}", limit.name, format_number(limit.value, chart.x.unit)),
                       .kind = LegendEntry::Kind::dotted});
  }
  Drawing drawing;
  constexpr double tall = 190;
  Frame frame{.left = 0, .top = draw_legend(drawing, entries, 4, width - 8, 0) + 4, .right = width - 14, .bottom = 0};
  frame.bottom = frame.top + tall;
  const AxisScale y(lines.y, 0, most > 0 ? most : 1, frame.bottom, frame.top, 5);
  frame.left = left_margin(y);
  const AxisScale x(chart.x, across.lower, across.upper, frame.left, frame.right,
                    ticks_across(frame.width(), chart.x.scale));
  draw_axes(drawing, frame, x, y);
  for (std::size_t i = 0; i < chart.samples.size(); ++i) {
    if (totals[i] <= 0) continue;
    std::string outline;
    double last = 0;
    for (const auto& bin : chart.samples[i].bins) {
      if (bin.count <= 0 || !x.shows(bin.lower) || !x.shows(bin.upper)) continue;
      const double from = x.at(bin.lower), until = x.at(bin.upper);
      const double at = y.at(static_cast<double>(bin.count) / totals[i]);
      if (outline.empty())
        outline = fmt::format("M{:.1f} {:.1f}", from, frame.bottom);
      else if (from - last > 0.5)
        outline += fmt::format("V{:.1f}H{:.1f}", frame.bottom, from); // empty bins between
      outline += fmt::format("V{:.1f}H{:.1f}", at, until);
      last = until;
    }
    if (outline.empty()) continue;
    outline += fmt::format("V{:.1f}", frame.bottom);
    drawing.path(outline + "z", fmt::format("band f{}", i % series_styles));
    drawing.path(outline, fmt::format("line s{}", i % series_styles));
  }
  for (const auto& limit : chart.limits)
    if (x.shows(limit.value)) drawing.line(x.at(limit.value), frame.top, x.at(limit.value), frame.bottom, "limit");
  drawing.height = frame.bottom + axis_room;
  return drawing;
}

} // namespace mcomp::inline v0::report::detail
