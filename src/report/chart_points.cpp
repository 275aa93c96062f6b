// Scatter with its Pareto front, reliability diagram, heat map.

#include <algorithm>
#include <cmath>
#include <map>

#include "mcomp/core/format.hpp"
#include "report/drawing.hpp"

namespace mcomp::inline v0::report {

namespace detail {

namespace {

bool shown(const ScatterChart& chart, const ScatterChart::Point& p) {
  const auto fits = [](double v, Scale scale) { return std::isfinite(v) && (scale != Scale::logarithmic || v > 0); };
  return fits(p.x, chart.x.scale) && fits(p.y, chart.y.scale);
}

/// Indices of the front, in order of x.
std::vector<std::size_t> front_of(const ScatterChart& chart) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < chart.points.size(); ++i)
    if (shown(chart, chart.points[i]) && chart.points[i].contends) order.push_back(i);
  const double sx = chart.higher_x_better ? -1 : 1, sy = chart.higher_y_better ? -1 : 1;
  const auto key = [&](std::size_t i) { return std::pair(sx * chart.points[i].x, sy * chart.points[i].y); };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  // From the best x on, whatever improves on the best y so far; equal points are on the front together.
  std::vector<std::size_t> front;
  for (const std::size_t i : order)
    if (front.empty() || key(i).second < key(front.back()).second || key(i) == key(front.back())) front.push_back(i);
  std::sort(front.begin(), front.end(),
            [&](std::size_t a, std::size_t b) { return chart.points[a].x < chart.points[b].x; });
  return front;
}

void pad(Range& range, Scale scale) {
  if (scale == Scale::logarithmic) {
    const double factor = std::pow(range.upper / range.lower, 0.04);
    if (std::isfinite(factor)) range.lower /= factor, range.upper *= factor;
  } else {
    const double more = (range.upper / 2 - range.lower / 2) * 0.06;
    range.lower -= more, range.upper += more;
  }
}

struct Box {
  double left, top, right, bottom;
  [[nodiscard]] bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

} // namespace

Drawing draw(const ScatterChart& chart, double width) {
  Range across, up;
  std::map<std::string, std::size_t> groups;
  std::vector<std::string> names;
  for (const auto& p : chart.points) {
    if (!shown(chart, p)) continue;
    across.add(p.x, chart.x.scale), up.add(p.y, chart.y.scale);
    if (groups.emplace(p.group, names.size()).second) names.push_back(p.group);
  }
  if (!across.any) return draw_nothing(width);
  std::vector<LegendEntry> entries;
  if (names.size() > 1 || !names[0].empty())
    for (std::size_t i = 0; i < names.size(); ++i)
      entries.push_back(
          {.name = names[i].empty() ? "other" : names[i], .series = i, .kind = LegendEntry::Kind::marker});
  entries.push_back({.name = "Pareto front (ringed)", .kind = LegendEntry::Kind::front});

  Drawing drawing;
  const double tall = width > 600 ? 260 : 230;
  Frame frame{.left = 0, .top = draw_legend(drawing, entries, 4, width - 8, 0) + 4, .right = width - 16, .bottom = 0};
  frame.bottom = frame.top + tall;
  // Markers keep clear of the frame.
  pad(across, chart.x.scale), pad(up, chart.y.scale);
  const AxisScale y(chart.y, up.lower, up.upper, frame.bottom, frame.top, 6);
  double widest = 0;
  for (const Tick& tick : y.ticks()) widest = std::max(widest, text_width(tick.label));
  frame.left = 28 + widest;
  const AxisScale x(chart.x, across.lower, across.upper, frame.left, frame.right,
                    ticks_across(frame.width(), chart.x.scale));
  draw_axes(drawing, frame, x, y);

  const std::vector<std::size_t> front = front_of(chart);
  // Between two points of the front nothing better is known than either: a staircase on the worse side.
  std::string stairs;
  for (std::size_t i = 0; i < front.size(); ++i) {
    const double px = x.at(chart.points[front[i]].x), py = y.at(chart.points[front[i]].y);
    if (i == 0)
      stairs = fmt::format("M{:.1f} {:.1f}", px, py);
    else
      stairs += chart.higher_x_better ? fmt::format("V{:.1f}H{:.1f}", py, px) : fmt::format("H{:.1f}V{:.1f}", px, py);
  }
  if (front.size() > 1) drawing.path(stairs, "front");

  // Names of points where they have room, those of the front first.
  std::vector<Box> taken;
  std::vector<std::size_t> order = front;
  for (std::size_t i = 0; i < chart.points.size(); ++i) {
    if (!shown(chart, chart.points[i])) continue;
    const double px = x.at(chart.points[i].x), py = y.at(chart.points[i].y);
    taken.push_back({px - 5, py - 5, px + 5, py + 5});
    if (std::find(front.begin(), front.end(), i) == front.end()) order.push_back(i);
  }
  constexpr std::size_t most_named = 60; // beyond them only the front has names
  for (const std::size_t i : order) {
    const auto& p = chart.points[i];
    const double px = x.at(p.x), py = y.at(p.y);
    const bool best = std::find(front.begin(), front.end(), i) != front.end();
    drawing.marker(px, py, groups[p.group]);
    if (best) drawing.circle(px, py, 7.5, "halo");
    if (!best && order.size() > most_named) continue;
    const std::string name = shortened(p.name, width > 600 ? 28 : 18);
    const double w = text_width(name), away = best ? 10 : 8;
    for (const auto& [left, base] : {std::pair(px + away, py + 4), std::pair(px - away - w, py + 4),
                                     std::pair(px - w / 2, py - away - 2), std::pair(px - w / 2, py + away + 11)}) {
      const Box box{left, base - 10, left + w, base + 3};
      if (box.left < frame.left + 2 || box.right > frame.right - 2 || box.top < frame.top || box.bottom > frame.bottom)
        continue;
      if (std::any_of(taken.begin(), taken.end(), [&](const Box& other) { return other.meets(box); })) continue;
      taken.push_back(box);
      drawing.text(left, base, "start", name, best ? "small strong over" : "small over");
      break;
    }
  }
  drawing.height = frame.bottom + 44;
  return drawing;
}

Drawing draw(const ReliabilityChart& chart, double width) {
  std::int64_t most = 0;
  for (const auto& bin : chart.bins) most = std::max(most, bin.count);
  if (most <= 0) return draw_nothing(width);
  const bool bands =
      std::any_of(chart.bins.begin(), chart.bins.end(), [](const auto& b) { return b.band.has_value(); });
  Drawing drawing;
  using Kind = LegendEntry::Kind;
  std::vector<LegendEntry> entries = {{.name = "accuracy of a bin", .series = 0, .kind = Kind::marker}};
  double top = draw_legend(drawing, entries, 4, width - 8, 0);
  // The two gaps and the whiskers have swatches of their own.
  double at = 4 + 18 + text_width(entries[0].name) + 18, row = top - 12;
  const auto swatch = [&](const char* css, const char* name) {
    if (at + 18 + text_width(name) > width - 4) at = 4, row += 18, top += 18;
    if (css != nullptr)
      drawing.rectangle(at, row - 5, 12, 11, css);
    else
      drawing.line(at + 6, row - 6, at + 6, row + 7, "ink");
    drawing.text(at + 18, row + 4, "start", name);
    at += 18 + text_width(name) + 16;
  };
  swatch("gap", "too confident");
  swatch("modest", "too modest");
  if (bands) swatch(nullptr, "where chance puts it");

  const double side = std::min(width - 76, 420.), tall = side * 0.68, counts = 46;
  Frame frame{.left = 56, .top = top + 6, .right = 56 + side, .bottom = top + 6 + tall};
  const AxisScale x({.label = "confidence", .unit = "fraction", .lower = 0, .upper = 1}, 0, 1, frame.left, frame.right,
                    5);
  const AxisScale y({.label = "accuracy", .unit = "fraction", .lower = 0, .upper = 1}, 0, 1, frame.bottom, frame.top,
                    5);
  Frame below{.left = frame.left, .top = frame.bottom + 8, .right = frame.right, .bottom = frame.bottom + 8 + counts};
  drawing.rectangle(frame.left, frame.top, frame.width(), frame.height(), "plot");
  for (const Tick& tick : y.ticks()) {
    drawing.line(frame.left, y.at(tick.value), frame.right, y.at(tick.value), "grid");
    drawing.text(frame.left - 7, y.at(tick.value) + 4, "end", tick.label, "tick");
  }
  for (const Tick& tick : x.ticks()) drawing.line(x.at(tick.value), frame.top, x.at(tick.value), frame.bottom, "grid");
  drawing.upright_text(12, (frame.top + frame.bottom) / 2, y.label());
  for (const auto& bin : chart.bins) {
    if (bin.count <= 0) continue;
    const double from = x.at(bin.lower) + 1, until = x.at(bin.upper) - 1;
    const double share = static_cast<double>(bin.count) / static_cast<double>(most);
    drawing.rectangle(from, below.bottom - share * counts, until - from, share * counts, "f5");
    if (!std::isfinite(bin.accuracy) || !std::isfinite(bin.confidence)) continue;
    const double high = y.at(std::max(bin.accuracy, bin.confidence)),
                 low = y.at(std::min(bin.accuracy, bin.confidence));
    drawing.rectangle(from, high, until - from, low - high, bin.confidence > bin.accuracy ? "gap" : "modest");
    if (bin.band && std::isfinite(bin.band->lower) && std::isfinite(bin.band->upper)) {
      const double middle = (from + until) / 2, l = y.at(bin.band->lower), u = y.at(bin.band->upper);
      drawing.line(middle, l, middle, u, "ink");
      drawing.line(middle - 3, l, middle + 3, l, "ink");
      drawing.line(middle - 3, u, middle + 3, u, "ink");
    }
  }
  drawing.line(frame.left, frame.bottom, frame.right, frame.top, "diagonal");
  for (const auto& bin : chart.bins)
    if (bin.count > 0 && std::isfinite(bin.accuracy))
      drawing.marker((x.at(bin.lower) + x.at(bin.upper)) / 2, y.at(bin.accuracy), 0, 3.2);
  drawing.rectangle(frame.left, frame.top, frame.width(), frame.height(), "frame");
  drawing.text(below.left - 7, below.top + 9, "end", compact(static_cast<double>(most)), "tick");
  drawing.text(below.left - 7, below.bottom + 3, "end", "0", "tick");
  drawing.upright_text(12, (below.top + below.bottom) / 2, "rows");
  drawing.line(below.left, below.bottom, below.right, below.bottom, "frame");
  draw_x_axis(drawing, below, x, false);
  drawing.height = below.bottom + 44;
  return drawing;
}

Drawing draw(const HeatMap& chart, double width) {
  if (chart.rows.empty() || chart.columns.empty()) return draw_nothing(width);
  const auto columns = static_cast<double>(chart.columns.size());
  const double names = std::min(width * 0.4, 260.), cell = (width - names - 4) / columns;
  constexpr double tall = 24;
  Drawing drawing;
  // Names of columns above, in up to three lines of words.
  double head = 16;
  for (std::size_t c = 0; c < chart.columns.size(); ++c) {
    std::vector<std::string> lines(1);
    const std::string& name = chart.columns[c].name;
    for (std::size_t begin = 0; begin < name.size();) {
      const std::size_t end = std::min(name.find(' ', begin), name.size());
      const std::string word = name.substr(begin, end - begin);
      if (!lines.back().empty() && text_width(lines.back() + " " + word) > cell - 6 && lines.size() < 3)
        lines.emplace_back(word);
      else
        lines.back() += (lines.back().empty() ? "" : " ") + word;
      begin = end + 1;
    }
    for (std::size_t l = 0; l < lines.size(); ++l)
      drawing.text(names + cell * (static_cast<double>(c) + 0.5), 14 + 14 * static_cast<double>(l), "middle",
                   fitted(lines[l], cell - 4), "small strong");
    head = std::max(head, 8 + 14 * static_cast<double>(lines.size()));
  }
  drawing.text(0, 14, "start", chart.row_label, "axis");
  head += 4;
  for (std::size_t c = 0; c < chart.columns.size(); ++c) {
    Range range;
    const auto value_at = [&](std::size_t r) {
      return r < chart.values.size() && c < chart.values[r].size() ? chart.values[r][c] : not_known;
    };
    for (std::size_t r = 0; r < chart.rows.size(); ++r) range.add(value_at(r));
    const ShownUnit unit = shown_unit(chart.columns[c].unit, std::max(std::abs(range.lower), std::abs(range.upper)));
    for (std::size_t r = 0; r < chart.rows.size(); ++r) {
      const double left = names + cell * static_cast<double>(c) + 1, y = head + tall * static_cast<double>(r) + 1;
      const double value = value_at(r);
      std::string number = std::isfinite(value) ? in_unit(value, unit, 3) : "not known";
      if (text_width(number) > cell - 6 && std::isfinite(value)) number = in_unit(value, unit, 2);
      if (std::isfinite(value) && text_width(number + " " + unit.name) < cell - 8 && !unit.name.empty())
        number += " " + unit.name;
      if (!std::isfinite(value)) {
        drawing.rectangle(left, y, cell - 2, tall - 2, "unknown");
        drawing.text(left + cell / 2 - 1, y + 15, "middle", text_width(number) < cell - 4 ? number : "?", "tick");
        continue;
      }
      // Halves, so that no difference overflows; of numbers too small for halves there is no part.
      const double part = (value / 2 - range.lower / 2) / (range.upper / 2 - range.lower / 2);
      const int level = part > 0 ? static_cast<int>(std::min(part * 5, 4.)) : 0;
      drawing.rectangle(left, y, cell - 2, tall - 2, fmt::format("h{}", level));
      drawing.text(left + cell / 2 - 1, y + 15, "middle", fitted(number, cell - 4), fmt::format("small h{}i", level));
    }
  }
  for (std::size_t r = 0; r < chart.rows.size(); ++r)
    drawing.text(0, head + tall * static_cast<double>(r) + 16, "start", fitted_tail(chart.rows[r], names - 4), "small");
  double bottom = head + tall * static_cast<double>(chart.rows.size()) + 8;
  drawing.text(names, bottom + 10, "start", "least", "tick");
  for (int level = 0; level < 5; ++level)
    drawing.rectangle(names + 34 + 20 * level, bottom + 1, 18, 11, fmt::format("h{}", level));
  drawing.text(names + 140, bottom + 10, "start", "most", "tick");
  drawing.height = bottom + 20;
  return drawing;
}

} // namespace detail

std::vector<std::string> pareto_front(const ScatterChart& chart) {
  std::vector<std::string> names;
  for (const std::size_t i : detail::front_of(chart)) names.push_back(chart.points[i].name);
  return names;
}

} // namespace mcomp::inline v0::report
