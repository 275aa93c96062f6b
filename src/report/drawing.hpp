#pragma once

// What every chart is drawn with; never part of the interface. Coordinates are user units of the picture, y down.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "report/scale.hpp"

namespace mcomp::inline v0::report::detail {

/// Series are told apart by colour (class s0 ..), dash pattern and marker.
inline constexpr std::size_t series_styles = 6;

/// At most so many characters, the last one an ellipsis; never within a character.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t most);
/// Estimated width of a text of 12 units' height.
[[nodiscard]] double text_width(std::string_view text);
/// As much of a text as fits.
[[nodiscard]] std::string fitted(std::string_view text, double width);
/// The same from its end: for names whose ends differ.
[[nodiscard]] std::string fitted_tail(std::string_view text, double width);

/// Collects elements. All text that is given is escaped here.
class Drawing {
 public:
  void line(double x1, double y1, double x2, double y2, std::string_view css);
  void rectangle(double x, double y, double width, double height, std::string_view css);
  void text(double x, double y, std::string_view anchor, std::string_view content, std::string_view css = "");
  void upright_text(double x, double y, std::string_view content);
  void circle(double x, double y, double radius, std::string_view css);
  void path(const std::string& commands, std::string_view css);
  /// A marker of a series: circle, square, triangle, diamond, cross, ring.
  void marker(double x, double y, std::size_t series, double size = 4);
  /// A piece of a series' line with its marker, for legends.
  void sample(double x, double y, std::size_t series, bool marker);

  [[nodiscard]] const std::string& elements() const noexcept { return elements_; }
  double height = 0; ///< that is used

 private:
  std::string elements_;
};

/// The place of a plot, and its axes.
struct Frame {
  double left = 0, top = 0, right = 0, bottom = 0;
  [[nodiscard]] double width() const { return right - left; }
  [[nodiscard]] double height() const { return bottom - top; }
};

struct LegendEntry {
  std::string name;
  std::size_t series = 0;
  enum class Kind { line, line_and_marker, marker, dotted, front, area } kind = Kind::line;
};
/// Rows of entries from `y` down; gives where they end.
double draw_legend(Drawing& drawing, const std::vector<LegendEntry>& entries, double left, double width, double y);

/// Grid, ticks and labels of both axes.
void draw_axes(Drawing& drawing, const Frame& frame, const AxisScale& x, const AxisScale& y);
void draw_x_axis(Drawing& drawing, const Frame& frame, const AxisScale& x, bool grid = true);
/// How many ticks have room on an x axis of that width.
[[nodiscard]] int ticks_across(double width, Scale scale);

// One drawing a kind of chart, of the width given.
[[nodiscard]] Drawing draw(const LineChart& chart, double width);
[[nodiscard]] Drawing draw(const ScatterChart& chart, double width);
[[nodiscard]] Drawing draw(const BarChart& chart, double width);
[[nodiscard]] Drawing draw(const HeatMap& chart, double width);
[[nodiscard]] Drawing draw(const ReliabilityChart& chart, double width);
[[nodiscard]] Drawing draw(const Histogram& chart, double width);
[[nodiscard]] Drawing draw(const Waterfall& chart, double width);

/// What an empty chart says.
[[nodiscard]] Drawing draw_nothing(double width);

/// Rules for the classes of drawings, and the variables that hold both colour schemes.
[[nodiscard]] std::string_view colour_variables();
[[nodiscard]] std::string_view drawing_rules();

} // namespace mcomp::inline v0::report::detail
