#include "mcomp/report/chart.hpp"

#include <algorithm>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "mcomp/core/markup.hpp"
#include "report/drawing.hpp"

namespace mcomp::inline v0::report {

namespace {

using detail::in_unit;

std::string axis_text(double value, const Axis& axis) {
  return axis.scale == Scale::time ? detail::moment_of(value) : format_number(value, axis.unit);
}

std::string interval_text(const std::optional<stats::Interval>& interval, const std::string& unit) {
  if (!interval) return "";
  const std::string range =
      fmt::format("{} to {}", format_number(interval->lower, unit), format_number(interval->upper, unit));
  if (interval->level <= 0) return range; // a range, not an interval of confidence
  return fmt::format("{} ({})", range, format_number(interval->level, "fraction"));
}

std::string or_word(const std::string& label, const char* word) {
  return label.empty() ? word : label;
}

DataTable table(const LineChart& chart) {
  DataTable result{.columns = {"line", or_word(chart.x.label, "x"), or_word(chart.y.label, "y")},
                   .rows = {},
                   .numeric = {false, chart.x.scale != Scale::time, true}};
  const bool bands =
      std::any_of(chart.lines.begin(), chart.lines.end(), [](const auto& line) { return !line.lower.empty(); });
  if (bands)
    result.columns.insert(result.columns.end(), {"from", "to"}),
        result.numeric.insert(result.numeric.end(), {true, true});
  for (const auto& line : chart.lines)
    for (std::size_t i = 0; i < std::min(line.x.size(), line.y.size()); ++i) {
      std::vector<std::string> row = {line.name, axis_text(line.x[i], chart.x), format_number(line.y[i], chart.y.unit)};
      if (bands) {
        const bool has = i < line.lower.size() && i < line.upper.size();
        row.push_back(has ? format_number(line.lower[i], chart.y.unit) : "");
        row.push_back(has ? format_number(line.upper[i], chart.y.unit) : "");
      }
      result.rows.push_back(std::move(row));
    }
  return result;
}

DataTable table(const ScatterChart& chart) {
  const std::vector<std::string> front = pareto_front(chart);
  DataTable result{
      .columns = {"point", "group", or_word(chart.x.label, "x"), or_word(chart.y.label, "y"), "Pareto front"},
      .rows = {},
      .numeric = {false, false, true, true, false}};
  for (const auto& p : chart.points)
    result.rows.push_back({p.name, p.group, format_number(p.x, chart.x.unit), format_number(p.y, chart.y.unit),
                           std::find(front.begin(), front.end(), p.name) != front.end() ? "yes" : "no"});
  return result;
}

DataTable table(const BarChart& chart) {
  DataTable result{.columns = {chart.name_label, "note", or_word(chart.value.label, "value"), "interval"},
                   .rows = {},
                   .numeric = {false, false, true, true}};
  for (const auto& bar : chart.bars)
    result.rows.push_back({bar.name, bar.note, format_number(bar.value.value, chart.value.unit),
                           interval_text(bar.value.interval, chart.value.unit)});
  return result;
}

DataTable table(const HeatMap& chart) {
  DataTable result{.columns = {chart.row_label}, .rows = {}, .numeric = {false}};
  for (const auto& column : chart.columns) result.columns.push_back(column.name), result.numeric.push_back(true);
  for (std::size_t r = 0; r < chart.rows.size(); ++r) {
    std::vector<std::string> row = {chart.rows[r]};
    for (std::size_t c = 0; c < chart.columns.size(); ++c)
      row.push_back(
          format_number(r < chart.values.size() && c < chart.values[r].size() ? chart.values[r][c] : not_known,
                        chart.columns[c].unit));
    result.rows.push_back(std::move(row));
  }
  return result;
}

DataTable table(const ReliabilityChart& chart) {
  DataTable result{.columns = {"confidence", "rows", "mean confidence", "accuracy", "what chance allows"},
                   .rows = {},
                   .numeric = {false, true, true, true, true}};
  for (const auto& bin : chart.bins)
    result.rows.push_back(
        {fmt::format("{} to {}", format_number(bin.lower, "fraction"), format_number(bin.upper, "fraction")),
         format_number(static_cast<double>(bin.count)), bin.count > 0 ? format_number(bin.confidence, "fraction") : "",
         bin.count > 0 ? format_number(bin.accuracy, "fraction") : "", interval_text(bin.band, "fraction")});
  return result;
}

DataTable table(const Histogram& chart) {
  DataTable result{.columns = {"sample", "from", "to", "count"}, .rows = {}, .numeric = {false, true, true, true}};
  for (const auto& sample : chart.samples)
    for (const auto& bin : sample.bins)
      result.rows.push_back({sample.name, axis_text(bin.lower, chart.x), axis_text(bin.upper, chart.x),
                             format_number(static_cast<double>(bin.count))});
  return result;
}

DataTable table(const Waterfall& chart) {
  DataTable result{.columns = {"step", "change", "then"}, .rows = {}, .numeric = {false, true, true}};
  double level = chart.begin;
  result.rows.push_back({chart.begin_name, "", format_number(level, chart.unit)});
  for (const auto& step : chart.steps) {
    level += step.change;
    result.rows.push_back({step.name, format_number(step.change, chart.unit), format_number(level, chart.unit)});
  }
  result.rows.push_back({chart.end_name, "", format_number(level, chart.unit)});
  return result;
}

} // namespace

const ChartText& text_of(const Chart& chart) {
  return std::visit([](const auto& value) -> const ChartText& { return value.text; }, chart);
}

DataTable data_table(const Chart& chart) {
  return std::visit([](const auto& value) { return table(value); }, chart);
}

std::string to_svg(const Chart& chart, const SvgOptions& options) {
  const double width = std::isfinite(options.width) ? std::clamp(options.width, 240., 4000.) : 400;
  const detail::Drawing drawing = std::visit([&](const auto& value) { return detail::draw(value, width); }, chart);
  std::string id;
  for (const char c : options.id)
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-') id += c;
  const ChartText& text = text_of(chart);
  const double head = options.standalone ? 26 : 0;
  std::string svg = fmt::format(
      "<svg {}class=\"chart\" role=\"img\" viewBox=\"0 0 {:.0f} {:.0f}\" aria-labelledby=\"{}-t {}-d\">\n"
      "<title id=\"{}-t\">{}</title>\n<desc id=\"{}-d\">{}</desc>\n",
      options.standalone ? fmt::format("xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" height=\"{:.0f}\" ",
                                       width, drawing.height + head)
                         : "",
      width, drawing.height + head, id, id, id, escape_markup(text.title), id, escape_markup(text.summary));
  if (!options.standalone) return svg + drawing.elements() + "</svg>";
  svg += fmt::format("<style>{}{}</style>\n<rect width=\"{:.0f}\" height=\"{:.0f}\" class=\"plot\"/>\n",
                     detail::colour_variables(), detail::drawing_rules(), width, drawing.height + head);
  svg += fmt::format("<text x=\"4\" y=\"16\" class=\"strong\">{}</text>\n",
                     escape_markup(detail::fitted(text.title, width - 8)));
  return svg + fmt::format("<g transform=\"translate(0 {:.0f})\">\n", head) + drawing.elements() + "</g>\n</svg>\n";
}

} // namespace mcomp::inline v0::report
