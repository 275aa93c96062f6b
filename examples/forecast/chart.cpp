#include "chart.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "mcomp/core/format.hpp"
#include "mcomp/core/markup.hpp"

namespace example {

namespace {

// In user units of a picture that is 940 wide.
constexpr double width = 940, left = 74, right = 168, plot = width - left - right, top = 92, tall = 158, apart = 44,
                 foot = 58;
constexpr double height = top + 3 * tall + 2 * apart + foot;
constexpr std::size_t most_columns = 348; ///< two units each: what a screen still shows apart

// Colours of Okabe and Ito, which the usual kinds of colour blindness tell apart, of unlike lightness for grey paper.
constexpr const char* demand_colour = "#009e73";
constexpr const char* baseline_colour = "#0072b2";
constexpr const char* candidate_colour = "#d55e00";
constexpr const char* dashes = "7 3";

std::string text(double x, double y, const char* anchor, const std::string& content, const std::string& extra = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, extra, content);
}

std::string line(double x1, double y1, double x2, double y2, const std::string& style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, style);
}

/// "1,250", "12,300", "1.2 M", "0.25"
std::string compact(double value) {
  const double size = std::abs(value);
  // From where four digits round up to it.
  for (const auto& [unit, name] : {std::pair(1e12, " T"), std::pair(1e9, " G"), std::pair(1e6, " M")})
    if (size >= unit * 0.9999995) return fmt::format("{:.4g}{}", value / unit, name);
  if (size >= 1000) {
    std::string digits = fmt::format("{:.0f}", value);
    digits.insert(digits.size() - 3, ",");
    return digits;
  }
  return fmt::format("{:.4g}", value);
}

/// A round step of at most `ticks` from 0 to `most`.
double round_step(double most, int ticks) {
  const double rough = most / ticks, unit = std::pow(10, std::floor(std::log10(rough)));
  for (const double step : {1., 2., 2.5, 5.})
    if (step * unit >= rough * (1 - 1e-9)) return step * unit;
  return 10 * unit;
}

/// "58 minutes", "3.5 hours", "2 days"
std::string duration(double seconds) {
  if (seconds < 7200) return fmt::format("{:.3g} minutes", seconds / 60);
  return seconds < 2 * 86400 ? fmt::format("{:.3g} hours", seconds / 3600)
                             : fmt::format("{:.3g} days", seconds / 86400);
}

struct TimeAxis {
  double start = 0, seconds = 0; ///< since midnight at the left edge, length
  bool clock = true;
  [[nodiscard]] double x(double elapsed) const { return left + plot * elapsed / seconds; }
};

struct Tick {
  double elapsed = 0;
  std::string label;
  bool day = false;
};

std::vector<Tick> ticks_of(const TimeAxis& axis) {
  // Seconds apart, so that labels do not touch.
  double step = 0;
  for (const double each : {60., 300., 600., 1800., 3600., 7200., 10800., 21600., 43200., 86400., 2 * 86400.,
                            7 * 86400., 14 * 86400., 28 * 86400., 91 * 86400., 364 * 86400.})
    if (step == 0 && axis.seconds / each <= 12) step = each;
  if (step == 0) step = 364 * 86400. * std::ceil(axis.seconds / (12 * 364 * 86400.));
  std::vector<Tick> ticks;
  const double first_day = std::floor(axis.start / 86400);
  for (double at = std::ceil(axis.start / step - 1e-9) * step; at <= axis.start + axis.seconds + 1e-6; at += step) {
    const double day = std::floor((at + 1e-6) / 86400), clock = at - day * 86400;
    const bool midnight = clock < 1;
    std::string label;
    if (step >= 86400 || (midnight && axis.seconds > 86400))
      label = fmt::format("day {:.0f}", day - first_day + 1);
    else
      label = fmt::format("{:02}:{:02}", std::llround(clock / 60) / 60, std::llround(clock / 60) % 60);
    ticks.push_back({at - axis.start, std::move(label), midnight});
  }
  return ticks;
}

struct Series {
  std::string name;
  std::vector<Column> columns;
  const char* colour;
  const char* dash; ///< "" for a whole line
  const char* band; ///< fill of the band, "" for none
  double span = 0;  ///< seconds of a column
};

/// @param whole only whole numbers beside the grid
/// A panel: its frame, grid, band, lines, and the names of its series at their last value.
std::string panel(int place, const std::string& title, const TimeAxis& axis, const std::vector<Tick>& ticks,
                  const std::vector<Series>& series, bool whole) {
  const double y0 = top + place * (tall + apart), floor = y0 + tall;
  double most = 0;
  for (const Series& s : series)
    for (const Column& c : s.columns) most = std::max(most, c.high);
  if (most <= 0) most = 1; // nothing to see, on a scale that says so
  const double step = std::max(whole ? 1.0 : 0.0, round_step(most, 5)), upper = std::ceil(most / step - 1e-9) * step;
  const auto y = [&](double value) { return floor - tall * std::clamp(value / upper, 0.0, 1.0); };
  std::string svg =
      fmt::format("<g>\n<rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" fill=\"#fcfcfc\"/>\n", left,
                  y0, plot, tall);
  svg += text(left, y0 - 9, "start", mcomp::escape_markup(title), " font-weight=\"600\"");
  for (double value = 0; value <= upper * (1 + 1e-9); value += step) {
    svg += line(left, y(value), left + plot, y(value), "stroke=\"#e3e3e3\"");
    svg += text(left - 8, y(value) + 4, "end", compact(value));
  }
  for (const Tick& tick : ticks)
    svg += line(axis.x(tick.elapsed), y0, axis.x(tick.elapsed), floor,
                tick.day ? "stroke=\"#c4c4c4\"" : "stroke=\"#ececec\"");
  for (const Series& s : series) {
    if (*s.band == 0) continue;
    std::string upper_edge, lower_edge;
    for (std::size_t i = 0; i < s.columns.size(); ++i) {
      const double x = axis.x(std::min(axis.seconds, (static_cast<double>(i) + 0.5) * s.span));
      upper_edge += fmt::format("{:.1f},{:.1f} ", x, y(s.columns[i].high));
      lower_edge = fmt::format("{:.1f},{:.1f} ", x, y(s.columns[i].low)) + lower_edge;
    }
    svg +=
        fmt::format("<polygon points=\"{}{}\" fill=\"{}\" fill-opacity=\"0.28\"/>\n", upper_edge, lower_edge, s.band);
  }
  for (const Series& s : series) {
    std::string points;
    const auto point = [&](double elapsed, double value) {
      points += fmt::format("{:.1f},{:.1f} ", axis.x(std::clamp(elapsed, 0.0, axis.seconds)), y(value));
    };
    if (s.columns.size() == 1) point(0, s.columns[0].mean);
    for (std::size_t i = 0; i < s.columns.size(); ++i)
      point((static_cast<double>(i) + 0.5) * s.span, s.columns[i].mean);
    if (s.columns.size() == 1) point(axis.seconds, s.columns[0].mean);
    svg += fmt::format(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" stroke-linejoin=\"round\"{}/>\n",
        points, s.colour, *s.dash ? fmt::format(" stroke-dasharray=\"{}\"", s.dash) : "");
  }
  svg += fmt::format(
      "<rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" fill=\"none\" stroke=\"#777\"/>\n", left, y0,
      plot, tall);
  // Names beside the last value, moved apart where they would touch.
  std::vector<std::pair<double, const Series*>> names;
  for (const Series& s : series)
    if (!s.columns.empty()) names.emplace_back(y(s.columns.back().mean), &s);
  std::sort(names.begin(), names.end());
  for (std::size_t i = 1; i < names.size(); ++i) names[i].first = std::max(names[i].first, names[i - 1].first + 15);
  for (std::size_t i = names.size(); i-- > 0;) {
    const double most_y = floor - 15 * static_cast<double>(names.size() - 1 - i);
    names[i].first = std::min(names[i].first, most_y);
  }
  for (const auto& [at, s] : names)
    svg += text(left + plot + 8, at + 4, "start", mcomp::escape_markup(shortened(s->name, 19)),
                fmt::format(" fill=\"{}\" font-weight=\"600\"", s->colour));
  return svg + "</g>\n";
}

std::string legend(const Chart& chart) {
  std::string svg;
  double x = left;
  const double y = 62;
  const auto entry = [&](const std::string& name, const char* colour, const char* dash) {
    svg += line(x, y - 4, x + 30, y - 4,
                fmt::format("stroke=\"{}\" stroke-width=\"2.2\"{}", colour,
                            *dash ? fmt::format(" stroke-dasharray=\"{}\"", dash) : ""));
    const std::string shown = shortened(name, 34);
    svg += text(x + 36, y, "start", mcomp::escape_markup(shown));
    x += 36 + 7.0 * static_cast<double>(shown.size()) + 20;
  };
  entry("demand", demand_colour, "");
  const auto named = [](const std::string& role, const std::string& label) {
    return label.empty() || label == role ? role : role + ": " + label;
  };
  entry(named("baseline", chart.baseline.label), baseline_colour, "");
  entry(named("candidate", chart.candidate.label), candidate_colour, dashes);
  return svg;
}

} // namespace

std::string shortened(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t end = most - 1;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end; // not within a character
  return text.substr(0, end) + "\u2026";
}

std::vector<Column> downsample(const std::vector<double>& values, std::size_t most) {
  std::vector<Column> columns;
  const std::size_t each = std::max<std::size_t>(1, (values.size() + most - 1) / std::max<std::size_t>(most, 1));
  for (std::size_t begin = 0; begin < values.size(); begin += each) {
    const std::size_t end = std::min(values.size(), begin + each);
    Column column{.mean = 0, .low = values[begin], .high = values[begin]};
    for (std::size_t i = begin; i < end; ++i) {
      column.mean += values[i] / static_cast<double>(end - begin);
      column.low = std::min(column.low, values[i]);
      column.high = std::max(column.high, values[i]);
    }
    columns.push_back(column);
  }
  return columns;
}

std::string to_svg(const Chart& chart) {
  const auto& points = chart.baseline.replay->timeline;
  const std::size_t n = points.size();
  const TimeAxis axis{
      .start = chart.start_seconds, .seconds = static_cast<double>(n) * chart.interval_seconds, .clock = chart.clock};
  const std::size_t each = std::max<std::size_t>(1, (n + most_columns - 1) / most_columns);
  const double span = static_cast<double>(each) * chart.interval_seconds;
  const auto values = [&](const ChartSide& side, const std::function<double(const mcomp::cost::ScalingPoint&)>& of) {
    std::vector<double> result;
    for (const auto& point : side.replay->timeline) result.push_back(of(point));
    return downsample(result, most_columns);
  };
  const auto spent = [&](const ChartSide& side) {
    std::vector<double> result;
    double sum = 0;
    for (const auto& point : side.replay->timeline)
      result.push_back(sum += point.billed * chart.interval_seconds / 3600 * side.price_per_hour);
    auto columns = downsample(result, most_columns);
    for (Column& column : columns) column.mean = column.high; // a sum: what it is at the end of the column
    return columns;
  };
  const auto ticks = ticks_of(axis);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "role=\"img\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12.5\" fill=\"#222\">\n"
      "<title>{2}</title>\n<desc>Demand, instances and cost over time of baseline and candidate. {3}</desc>\n"
      "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"#fff\"/>\n",
      width, height, mcomp::escape_markup(chart.title), mcomp::escape_markup(chart.subtitle));
  svg += text(left, 24, "start", mcomp::escape_markup(shortened(chart.title, 84)),
              " font-size=\"16\" font-weight=\"600\"");
  svg += text(left, 43, "start", mcomp::escape_markup(shortened(chart.subtitle, 118)), " fill=\"#555\"");
  svg += legend(chart);
  const bool banded = each > 1;
  svg += panel(0, "Demand, requests per second", axis, ticks,
               {{"demand", values(chart.baseline, [](const auto& p) { return p.requests_per_second; }), demand_colour,
                 "", banded ? demand_colour : "", span}},
               false);
  svg += panel(1, "Instances paid for", axis, ticks,
               {{chart.baseline.label, values(chart.baseline, [](const auto& p) { return p.billed; }), baseline_colour,
                 "", banded ? baseline_colour : "", span},
                {chart.candidate.label, values(chart.candidate, [](const auto& p) { return p.billed; }),
                 candidate_colour, dashes, banded ? candidate_colour : "", span}},
               true);
  auto before = spent(chart.baseline), after = spent(chart.candidate);
  const auto named = [&](const ChartSide& side, const std::vector<Column>& columns) {
    return columns.empty() ? side.label : fmt::format("{} {}", compact(columns.back().mean), side.label);
  };
  const std::string before_name = named(chart.baseline, before), after_name = named(chart.candidate, after);
  svg += panel(2, fmt::format("Cost of machines up to here, {}", chart.currency), axis, ticks,
               {{before_name, std::move(before), baseline_colour, "", "", span},
                {after_name, std::move(after), candidate_colour, dashes, "", span}},
               false);
  const double floor = top + 3 * tall + 2 * apart;
  for (const Tick& tick : ticks) {
    svg += line(axis.x(tick.elapsed), floor, axis.x(tick.elapsed), floor + 5, "stroke=\"#777\"");
    svg += text(axis.x(tick.elapsed), floor + 19, "middle", tick.label);
  }
  svg += text(left + plot / 2, floor + 42, "middle",
              fmt::format("{}{}", chart.clock ? "time of the trace" : "time since the first arrival",
                          banded ? fmt::format("; lines are means of {}, bands reach from the least to the "
                                               "most within them",
                                               duration(span))
                                 : ""),
              " fill=\"#555\"");
  return svg + "</svg>\n";
}

} // namespace example
